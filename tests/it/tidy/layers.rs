//! Rules on which part may know which: the layers, and what only one part may do.
//!
//! Test code is free to use what it likes.

use super::code::{Source, closing, names, split_arguments};
use super::{File, Offence};

/// What each part may use besides itself and what serves all; a part that is not here is refused.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("node", &[]),
    ("limits", &[]),
    ("patience", &[]),
    ("shutdown", &[]),
    ("kill_point", &[]),
    ("config", &["domain"]),
    ("telemetry", &["domain"]),
    ("notice", &["domain"]),
    ("store", &["domain", "node"]),
    ("error", &["domain", "store"]),
    ("media", &["domain", "error"]),
    ("gateway", &["domain", "error", "media"]),
    ("broker", &["domain"]),
    ("receipts", &["domain", "error", "gateway", "notice", "store"]),
    ("dispatch", &["domain", "error", "gateway", "notice", "receipts", "store"]),
    ("ownership", &["dispatch", "domain", "error", "node", "store"]),
    ("intake", &["broker", "dispatch", "domain", "error", "notice", "store"]),
    ("events", &["broker", "dispatch", "domain", "error", "store"]),
    ("webhooks", &["domain", "error", "store"]),
    ("realtime", &["domain", "error", "store"]),
    (
        "service",
        &["dispatch", "domain", "error", "gateway", "intake", "media", "notice", "receipts", "store", "webhooks"],
    ),
    ("mail", &["domain", "error", "service", "store"]),
    ("background", &["dispatch", "domain", "error", "gateway", "notice", "receipts", "service", "store"]),
    ("api", &["dispatch", "domain", "error", "notice", "realtime", "receipts", "service", "store"]),
    // The provider's side of the wire shares nothing with ours, or it would share our mistakes.
    ("simulator", &[]),
    ("daemon", &[EVERYTHING]),
    ("cli", &[EVERYTHING]),
    ("demo", &[EVERYTHING]),
    ("bench", &[EVERYTHING]),
];

/// What serves all parts but those below it.
const SERVING: &[&str] = &["clock", "config", "kill_point", "limits", "patience", "shutdown", "telemetry"];
const BELOW_SERVING: &[&str] = &["domain", "clock", "kill_point", "limits", "patience", "shutdown"];
const EVERYTHING: &str = "*";

/// Where the gateway's trait may be named: its own part, those that hand it on, and who starts them.
const KNOW_GATEWAY: &[&str] = &["src/gateway/", "src/dispatch/", "src/daemon"];

/// A part names only parts below it in its `crate::` and `super::` paths.
pub(super) fn uses_only_below(source: &Source) -> Vec<Offence> {
    let Some(module) = module_path(&source.path).filter(|module| !module.is_empty()) else {
        return vec![];
    };
    let Some((part, allowed)) = LAYERS.iter().find(|(part, _)| *part == module[0]) else {
        let what = format!("`{}` has no place in LAYERS of tests/it/tidy/layers.rs", module[0]);
        return vec![Offence::new(&source.path, 1, what)];
    };
    let may_use = |used: &str| {
        used == *part
            || allowed.contains(&used)
            || allowed.contains(&EVERYTHING)
            || (SERVING.contains(&used) && !BELOW_SERVING.contains(part))
    };
    used_parts(&source.code, module.len())
        .into_iter()
        .filter(|(_, used)| LAYERS.iter().any(|(part, _)| part == used) && !may_use(used))
        .map(|(at, used)| Offence::new(&source.path, source.line(at), format!("`{part}` must not use `{used}`")))
        .collect()
}

/// Returns the modules above and of a library file, or nothing for a file outside the library.
fn module_path(path: &str) -> Option<Vec<&str>> {
    let inside = path.strip_prefix("src/")?.strip_suffix(".rs").filter(|inside| *inside != "main")?;
    Some(inside.split('/').filter(|name| !matches!(*name, "mod" | "lib")).collect())
}

/// Returns the top-level names that paths from `crate`, or from as many `super` as lead there, begin with.
fn used_parts(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let mut used = vec![];
    for (at, name) in names(code) {
        let continues = code[..at].trim_end().ends_with("::");
        let start = match name {
            "crate" => after_colons(code, at + name.len()),
            "super" if !continues => after_supers(code, at, depth),
            _ => None,
        };
        if let Some(start) = start {
            used.extend(heads(code, start).into_iter().map(|head| (at, head)));
        }
    }
    used
}

/// Returns the offset after `::`, if that is what comes next.
fn after_colons(code: &str, at: usize) -> Option<usize> {
    let rest = code[at..].trim_start().strip_prefix("::")?.trim_start();
    Some(code.len() - rest.len())
}

fn after_supers(code: &str, mut at: usize, depth: usize) -> Option<usize> {
    for _ in 0..depth {
        if !code[at..].starts_with("super") {
            return None;
        }
        at = after_colons(code, at + "super".len())?;
    }
    Some(at)
}

/// Returns the first names of the paths in a tree of imports.
fn heads(code: &str, start: usize) -> Vec<&str> {
    if code[start..].starts_with('{') {
        let inside = &code[start + 1..closing(code, start)];
        split_arguments(inside).into_iter().filter_map(|(_, path)| names(path).next().map(|(_, name)| name)).collect()
    } else {
        names(&code[start..]).next().map(|(_, name)| name).into_iter().collect()
    }
}

/// Nothing in the domain waits, reads a clock, or reaches outside.
pub(super) fn domain_is_pure(source: &Source) -> Vec<Offence> {
    const REFUSED: &[&str] = &[
        "async",
        "await",
        "tokio",
        "futures",
        "sqlx",
        "axum",
        "hyper",
        "reqwest",
        "tracing",
        "Instant",
        "SystemTime",
        "env",
        "fs",
        "net",
        "process",
        "thread",
    ];
    if !source.path.starts_with("src/domain/") {
        return vec![];
    }
    let is_path =
        |at: usize, name: &str| source.code[at + name.len()..].starts_with("::") || source.code[..at].ends_with("::");
    source
        .names()
        .filter(|(at, name)| REFUSED.contains(name) && (matches!(*name, "async" | "await") || is_path(*at, name)))
        .map(|(at, name)| Offence::new(&source.path, source.line(at), format!("`{name}` in the domain")))
        .collect()
}

/// SQL and the driver are the store's.
pub(super) fn sql_only_in_store(source: &Source) -> Vec<Offence> {
    const OPENINGS: &[&str] = &[
        "SELECT ",
        "INSERT INTO ",
        "UPDATE ",
        "DELETE FROM ",
        "WITH ",
        "CREATE TABLE ",
        "ALTER TABLE ",
        "DROP TABLE ",
    ];
    if !source.is_in_src() || source.path.starts_with("src/store/") {
        return vec![];
    }
    let drivers = source.names().filter(|(_, name)| *name == "sqlx").map(|(at, _)| (at, "`sqlx` outside store/"));
    let statements = source
        .strings
        .iter()
        .filter(|(_, text)| OPENINGS.iter().any(|opening| text.trim_start().starts_with(opening)))
        .map(|(at, _)| (*at, "SQL outside store/"));
    drivers.chain(statements).map(|(at, what)| Offence::new(&source.path, source.line(at), what)).collect()
}

/// One place sends, so one place has to be right about it.
pub(super) fn gateway_only_in_lane_task(source: &Source) -> Vec<Offence> {
    let may_call = source.path == "src/dispatch/lane/task.rs" || source.path.starts_with("src/gateway/");
    // A section of the settings is called like the part it is for.
    if !source.is_in_src() || source.path.starts_with("src/config/") {
        return vec![];
    }
    let mut offences = vec![];
    for (at, name) in source.names() {
        let after = &source.code[at + name.len()..];
        let knows = KNOW_GATEWAY.iter().any(|start| source.path.starts_with(start));
        if name == "Gateway" && !knows {
            offences.push(Offence::new(&source.path, source.line(at), "`Gateway` is not for this part to know"));
        } else if name == "gateway" && !may_call && called_method(after).is_some_and(|method| method != "clone") {
            let what = "calls the gateway: only dispatch/lane/task.rs does";
            offences.push(Offence::new(&source.path, source.line(at), what));
        }
    }
    offences
}

/// Returns the method called on the value whose name has just ended.
fn called_method(after: &str) -> Option<&str> {
    let rest = after.trim_start().strip_prefix('.')?.trim_start();
    let (_, method) = names(rest).next().filter(|(at, _)| *at == 0)?;
    rest[method.len()..].starts_with('(').then_some(method)
}

/// Settings come from one place; where a program is and which arguments it got is no setting.
pub(super) fn environment_only_in_config(source: &Source) -> Vec<Offence> {
    const REFUSED: &[&str] = &["var", "var_os", "vars", "vars_os", "set_var", "remove_var"];
    if !source.is_in_src() || source.path.starts_with("src/config/") {
        return vec![];
    }
    source
        .names()
        .filter(|(_, name)| *name == "env")
        .filter_map(|(at, name)| Some((at, after_colons(&source.code, at + name.len())?)))
        .filter(|(_, start)| heads(&source.code, *start).iter().any(|head| REFUSED.contains(head)))
        .map(|(at, _)| Offence::new(&source.path, source.line(at), "reads the environment: only config/ does"))
        .collect()
}

fn offences_of(check: fn(&Source) -> Vec<Offence>, path: &str, text: &str) -> Vec<(usize, String)> {
    check(&Source::read(&File::new(path, text))).into_iter().map(|offence| (offence.line, offence.what)).collect()
}

#[test]
fn a_path_upwards_is_refused() {
    let check = |path, text| offences_of(uses_only_below, path, text).len();
    assert_eq!(check("src/domain/x.rs", "use crate::domain::id::A;"), 0);
    assert_eq!(check("src/domain/x.rs", "use crate::limits::A;"), 1);
    assert_eq!(check("src/store/x.rs", "use crate::{clock::Clock, domain::{id, job}};"), 0);
    assert_eq!(check("src/store/x.rs", "use crate::{\n clock::Clock,\n dispatch::Lane,\n service::x as y};"), 2);
    assert_eq!(check("src/service/x.rs", "fn f() -> crate::api::Page { todo() }"), 1);
    assert_eq!(check("src/service/x.rs", "// crate::api\nconst A: &str = \"crate::api\";"), 0);
    assert_eq!(check("src/service/x.rs", "#[cfg(test)]\nmod tests { use crate::api::x; }"), 0);
    assert_eq!(check("src/dispatch/lane/task.rs", "use super::super::super::api::x;"), 1);
    assert_eq!(check("src/dispatch/lane/task.rs", "use super::super::api::x;"), 0, "that is dispatch::api");
    assert_eq!(check("src/dispatch/mod.rs", "use super::intake::x;"), 1);
    assert_eq!(check("src/daemon.rs", "use crate::api::x; use crate::store::y;"), 0);
    assert_eq!(check("src/main.rs", "use actiwapi_dispatcher::cli;"), 0);
    assert_eq!(check("src/elsewhere/x.rs", ""), 1);
    assert_eq!(offences_of(uses_only_below, "src/gateway/a.rs", "\n\nuse crate::dispatch;")[0].0, 3);
}

#[test]
fn an_impure_domain_is_refused() {
    let check = |text| offences_of(domain_is_pure, "src/domain/x.rs", text).len();
    assert_eq!(check("use std::time::Duration;\nfn process(net: u8, fs: u8) {}"), 0);
    assert_eq!(check("async fn f() { g().await }"), 2);
    assert_eq!(check("use tokio::time;\nuse std::time::Instant;\nuse std::fs;"), 3);
    assert_eq!(offences_of(domain_is_pure, "src/store/x.rs", "async fn f() {}"), []);
}

#[test]
fn sql_elsewhere_is_refused() {
    let check = |path, text| offences_of(sql_only_in_store, path, text).len();
    let text = "fn f() { sqlx::query(\"SELECT 1\"); g(\"UPDATE x SET y = 1\"); h(\"Update it\") }";
    assert_eq!(check("src/service/x.rs", text), 3);
    assert_eq!(check("src/store/x.rs", text), 0);
    assert_eq!(check("tests/it/x.rs", text), 0);
}

#[test]
fn a_send_elsewhere_is_refused() {
    let check = |path, text| offences_of(gateway_only_in_lane_task, path, text).len();
    let call = "fn f() { self.gateway\n    .send(message).await }";
    assert_eq!(check("src/dispatch/shard.rs", call), 1);
    assert_eq!(check("src/dispatch/lane/task.rs", call), 0);
    assert_eq!(check("src/dispatch/shard.rs", "fn f(g: Arc<dyn Gateway>) { gateway.clone(); gateway.timeout }"), 0);
    assert_eq!(check("src/service/x.rs", "use crate::gateway::Gateway;"), 1);
    assert_eq!(check("src/config/mod.rs", "fn f() { self.gateway.check(problems) }"), 0);
}

#[test]
fn reading_the_environment_elsewhere_is_refused() {
    let check = |path, text| offences_of(environment_only_in_config, path, text).len();
    let text = "use std::env::{self, var};\nfn f() { env::var_os(\"A\"); std::env::args(); env!(\"B\") }";
    assert_eq!(check("src/api/x.rs", text), 2);
    assert_eq!(check("src/config/mod.rs", text), 0);
}
