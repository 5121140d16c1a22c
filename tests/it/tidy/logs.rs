//! Rules on what the program says: log events, and printing.
//!
//! Which level an event deserves is for a reviewer to judge.

use super::code::{Source, closing, split_arguments};
use super::{File, Offence};

const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error"];
const PRINTERS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// Who talks to a person at a terminal.
const MAY_PRINT: &[&str] = &["src/main.rs", "src/cli", "src/demo", "src/bench"];

/// Fields whose value is a person's or a secret; ids stand for them.
const SECRET_FIELDS: &[&str] =
    &["recipient", "phone", "to", "text", "body", "token", "secret", "password", "authorization", "variables"];

/// A macro called in production code: where, and its arguments.
struct Call<'a> {
    at: usize,
    arguments: Vec<(usize, &'a str)>,
}

fn calls<'a>(source: &'a Source, macros: &[&str]) -> Vec<Call<'a>> {
    let mut calls = vec![];
    for (at, name) in source.names().filter(|(_, name)| macros.contains(name)) {
        let open = at + name.len() + 1;
        if source.code[at + name.len()..].starts_with("!(") {
            let inside = &source.code[open + 1..closing(&source.code, open)];
            let arguments = split_arguments(inside).into_iter().map(|(from, part)| (open + 1 + from, part)).collect();
            calls.push(Call { at, arguments });
        }
    }
    calls
}

/// Only commands write to the terminal; everything else logs.
pub(super) fn only_commands_print(source: &Source) -> Vec<Offence> {
    if !source.is_in_src() || MAY_PRINT.iter().any(|start| source.path.starts_with(start)) {
        return vec![];
    }
    calls(source, PRINTERS)
        .iter()
        .map(|call| Offence::new(&source.path, source.line(call.at), "prints: use the log, or return it"))
        .collect()
}

/// The message of an event can be searched for, because it never varies.
pub(super) fn events_are_phrases(source: &Source) -> Vec<Offence> {
    let complain = |call: &Call| {
        let (from, last) = *call.arguments.last()?;
        let quote = from + (last.len() - last.trim_start().len());
        match source.string_at(quote).filter(|_| last.trim().ends_with('"')) {
            None => Some("the last argument of a log event is its message, a constant"),
            Some(message) if message.contains('{') => Some("a log message never varies: what varies is a field"),
            Some(message) if !message.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) => {
                Some("a log message opens with a lowercase letter")
            }
            Some(message) if !message.ends_with(|c: char| c.is_alphanumeric() || c == ')') => {
                Some("a log message ends without a full stop")
            }
            Some(_) => None,
        }
    };
    calls(source, LEVELS)
        .iter()
        .filter_map(|call| Some(Offence::new(&source.path, source.line(call.at), complain(call)?)))
        .collect()
}

/// No field of an event is called like what must not be logged.
pub(super) fn events_keep_secrets(source: &Source) -> Vec<Offence> {
    let mut offences = vec![];
    for call in calls(source, LEVELS) {
        for (from, argument) in &call.arguments {
            // `phone = …`, `to.phone = …`, and the short forms `%phone` and `job.phone`.
            let field = argument.split('=').next().unwrap_or_default().trim().trim_start_matches(['%', '?']);
            let name = field.rsplit('.').next().unwrap_or_default();
            if SECRET_FIELDS.contains(&name) {
                let what = format!("`{field}` in a log: log an id");
                offences.push(Offence::new(&source.path, source.line(*from), what));
            }
        }
    }
    offences
}

fn n_offences(check: fn(&Source) -> Vec<Offence>, path: &str, text: &str) -> usize {
    check(&Source::read(&File::new(path, text))).len()
}

#[test]
fn printing_elsewhere_is_refused() {
    let text = "fn f() { println!(\"a\"); eprint!(\"b\"); compile_error!(\"c\"); }";
    assert_eq!(n_offences(only_commands_print, "src/store/x.rs", text), 2);
    assert_eq!(n_offences(only_commands_print, "src/cli.rs", text), 0);
    assert_eq!(n_offences(only_commands_print, "src/demo/report.rs", text), 0);
}

#[test]
fn an_event_that_is_no_constant_phrase_is_refused() {
    let check = |event: &str| n_offences(events_are_phrases, "src/x/y.rs", &format!("fn f() {{ {event}; }}"));
    for good in [
        r#"info!("campaign paused")"#,
        r#"tracing::warn!(campaign.id = %id, n = f(a, b), "campaign paused",)"#,
        r#"error!(error = chain(&e), "cannot reach PostgreSQL (again)")"#,
        r#"info_span!("Anything.")"#,
    ] {
        assert_eq!(check(good), 0, "{good}");
    }
    for bad in [
        r#"info!("Campaign paused")"#,
        r#"info!("campaign paused.")"#,
        r#"info!("campaign {id} paused")"#,
        r#"info!("campaign {} paused", id)"#,
        r#"debug!(?id)"#,
        r#"error!(id, "")"#,
    ] {
        assert_eq!(check(bad), 1, "{bad}");
    }
}

#[test]
fn a_secret_in_an_event_is_refused() {
    let check = |event: &str| n_offences(events_keep_secrets, "src/x/y.rs", &format!("fn f() {{ {event}; }}"));
    assert_eq!(check(r#"info!(%phone, "a phone in a recipient's text")"#), 1);
    assert_eq!(check(r#"info!(job.recipient = ?x, delivery.id = %id, text, "sent")"#), 2);
    assert_eq!(check(r#"info!(token.id = %id, n_recipients = 3, "sent")"#), 0);
}
