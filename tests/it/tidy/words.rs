//! One word per thing: refuses synonyms of the glossary's words as parts of names.
//!
//! Only words that mean nothing else here are refused; where a library or a wire format owns a word
//! it is let through in the files that speak to it.

use super::code::{Source, line_of, names};
use super::{File, Offence};

/// A refused word, the glossary's word for it, and where it is let through.
struct Synonym {
    word: &'static str,
    instead: &'static str,
    except_in: &'static [&'static str],
}

const fn synonym(word: &'static str, instead: &'static str, except_in: &'static [&'static str]) -> Synonym {
    Synonym { word, instead, except_in }
}

const SYNONYMS: &[Synonym] = &[
    synonym("ack", "receipt", &["src/gateway/", "src/intake/", "web/"]),
    synonym("acks", "receipts", &["src/gateway/", "src/intake/", "web/"]),
    synonym("addressee", "recipient", &[]),
    synonym("blacklist", "opt_out", &[]),
    synonym("blast", "campaign", &[]),
    synonym("blocklist", "opt_out", &[]),
    // tokio's channel of that name is let through below.
    synonym("broadcast", "campaign", &[]),
    // Histograms have buckets, and so have S3 and the simulated provider's throttle.
    synonym("bucket", "shard, or quota", &["src/bench", "src/demo/", "src/media/", "src/simulator/", "src/telemetry/"]),
    synonym("deadletter", "dead_letter", &[]),
    synonym("denylist", "opt_out", &[]),
    synonym("dlq", "dead_letter", &[]),
    synonym("organisation", "tenant", &[]),
    synonym("organization", "tenant", &[]),
    synonym("priority", "traffic_class", &[]),
    synonym("quiesce", "drain", &[]),
    synonym("ramp", "warm_up", &[]),
    synonym("suppression", "opt_out", &[]),
    synonym("warmup", "warm_up", &[]),
];

/// Names in Rust code.
pub(super) fn rust_uses_glossary(source: &Source) -> Vec<Offence> {
    names(&source.all_code)
        .filter(|(at, name)| !is_channel_of_tokio(&source.all_code, *at, name))
        .flat_map(|(at, name)| complaints(&source.path, name).map(move |what| (at, what)))
        .map(|(at, what)| Offence::new(&source.path, source.line(at), what))
        .collect()
}

/// Names of tables and columns.
pub(super) fn sql_uses_glossary(file: &File) -> Vec<Offence> {
    if !file.path.ends_with(".sql") {
        return vec![];
    }
    // Comments become blanks of the same length, so that lines stay right.
    let code: Vec<String> =
        file.text.lines().map(|line| line.split("--").next().unwrap_or_default()).map(str::to_owned).collect();
    let code = code.join("\n");
    names(&code)
        .flat_map(|(at, name)| complaints(&file.path, name).map(move |what| (at, what)))
        .map(|(at, what)| Offence::new(&file.path, line_of(&code, at), what))
        .collect()
}

fn complaints<'a>(path: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let words = words_of(name);
    SYNONYMS
        .iter()
        .filter(move |s| words.iter().any(|word| word == s.word))
        .filter(move |s| !s.except_in.iter().any(|start| path.starts_with(start)))
        .map(move |s| format!("`{name}`: the glossary's word for `{}` is {}", s.word, s.instead))
}

/// Splits `snake_case`, `CamelCase` and `SCREAMING_CASE` into lowercase words.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![];
    for part in name.split('_') {
        let mut word = String::new();
        let mut previous_is_lower = false;
        for c in part.chars() {
            if c.is_ascii_uppercase() && previous_is_lower {
                words.push(std::mem::take(&mut word));
            }
            previous_is_lower = c.is_ascii_lowercase();
            word.push(c.to_ascii_lowercase());
        }
        words.push(word);
    }
    words
}

fn is_channel_of_tokio(code: &str, at: usize, name: &str) -> bool {
    name == "broadcast" && (code[..at].ends_with("::") || code[at + name.len()..].starts_with("::"))
}

#[test]
fn names_are_split_into_words() {
    assert_eq!(words_of("held_by"), ["held", "by"]);
    assert_eq!(words_of("CampaignBlastId"), ["campaign", "blast", "id"]);
    assert_eq!(words_of("LANES_MAX"), ["lanes", "max"]);
}

#[test]
fn a_synonym_is_refused() {
    let check = |path, text| rust_uses_glossary(&Source::read(&File::new(path, text))).len();
    assert_eq!(check("src/x.rs", "struct BlastId; fn start_blast(n_blasts: u8) {}"), 2);
    assert_eq!(check("src/x.rs", "use tokio::sync::broadcast; fn f() { broadcast::channel(1) }"), 0);
    assert_eq!(check("src/x.rs", "fn broadcast() {} // a blast\nconst A: &str = \"blast\";"), 1);
    assert_eq!(check("src/telemetry/x.rs", "let bucket = 1;"), 0);
    assert_eq!(check("src/lane.rs", "let bucket = 1;"), 1);
    assert_eq!(check("src/x.rs", "fn ramped(trampoline: u8) {}"), 0);
}

#[test]
fn a_synonym_in_a_table_is_refused() {
    let sql = "-- not a blocklist\nCREATE TABLE opt_outs (id BIGINT);\nCREATE TABLE phone_blocklist (priority INT);\n";
    let offences = sql_uses_glossary(&File::new("src/store/migrations/sqlite/0001_a.sql", sql));
    assert_eq!(offences.iter().map(|offence| offence.line).collect::<Vec<_>>(), [3, 3]);
}
