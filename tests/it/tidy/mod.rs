//! Reads the tree and refuses what the house rules forbid and no compiler lint can see.
//!
//! Each rule is a function over a file's path and text, so the tests beside it prove on small made-up
//! files that it can fail. Here they are run over the whole tree; a failure lists every offence.

mod code;
mod form;
mod layers;
mod logs;
mod tree;
mod words;

use std::path::Path;
use std::sync::LazyLock;

use code::Source;

/// One text file: its path from the top of the tree, with slashes, and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct File {
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

/// One breach of a rule; the line counts from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offence {
    path: String,
    line: usize,
    what: String,
}

impl Offence {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

static TREE: LazyLock<Vec<File>> = LazyLock::new(|| tree::read(Path::new(env!("CARGO_MANIFEST_DIR"))));

static SOURCES: LazyLock<Vec<Source>> =
    LazyLock::new(|| TREE.iter().filter(|file| file.path.ends_with(".rs")).map(Source::read).collect());

/// Fails with all offences, each on a line that editors can jump to.
fn refuse(rule: &str, offences: &[Offence]) {
    let list: String = offences.iter().map(|o| format!("\n{}:{}: {}", o.path, o.line, o.what)).collect();
    assert!(offences.is_empty(), "{} breaches of the rule: {rule}{list}", offences.len());
}

fn refuse_in_files(rule: &str, check: fn(&File) -> Vec<Offence>) {
    refuse(rule, &TREE.iter().flat_map(check).collect::<Vec<_>>());
}

fn refuse_in_sources(rule: &str, check: fn(&Source) -> Vec<Offence>) {
    refuse(rule, &SOURCES.iter().flat_map(check).collect::<Vec<_>>());
}

#[test]
fn the_tree_was_read() {
    for path in ["Cargo.toml", "scripts/test", "src/lib.rs", "tests/it/tidy/mod.rs", ".clippy.toml", ".ci/run"] {
        assert!(TREE.iter().any(|file| file.path == path), "{path} was not found");
    }
}

#[test]
fn files_open_with_what_they_are_for() {
    refuse_in_sources("a Rust file opens with `//!`", form::opens_with_purpose);
}

#[test]
fn files_are_short() {
    refuse_in_sources("at most 400 lines of source and 200 of tests in a file", form::is_short);
}

#[test]
fn bounds_say_the_sum_behind_them() {
    refuse_in_files("a bound's documentation has the sum behind it", form::bounds_have_sums);
}

#[test]
fn tests_are_not_switched_off() {
    refuse_in_sources("no test is ignored", form::no_ignored_tests);
}

#[test]
fn scripts_are_sound() {
    refuse_in_files("a script is valid bash that stops at the first failure", form::script_is_sound);
}

#[test]
fn no_machine_path_is_written_down() {
    refuse_in_files("no path of one machine", form::no_machine_path);
}

#[test]
fn migrations_go_in_step() {
    let paths: Vec<&str> = TREE.iter().map(|file| file.path.as_str()).collect();
    refuse("the same migrations for both databases, numbered from 1", &form::migrations_match(&paths));
}

#[test]
fn parts_use_only_what_lies_below_them() {
    refuse_in_sources("dependencies between parts point one way", layers::uses_only_below);
}

#[test]
fn domain_is_pure() {
    refuse_in_sources("domain does no I/O, reads no clock and knows no async", layers::domain_is_pure);
}

#[test]
fn sql_lives_in_the_store() {
    refuse_in_sources("only store/ holds SQL", layers::sql_only_in_store);
}

#[test]
fn only_a_lane_task_sends() {
    refuse_in_sources("only dispatch/lane/task.rs calls the gateway", layers::gateway_only_in_lane_task);
}

#[test]
fn only_config_reads_the_environment() {
    refuse_in_sources("only config/ reads the environment", layers::environment_only_in_config);
}

#[test]
fn only_commands_print() {
    refuse_in_sources("only commands print", logs::only_commands_print);
}

#[test]
fn log_events_are_constant_phrases() {
    refuse_in_sources("a log event is a constant lowercase phrase plus fields", logs::events_are_phrases);
}

#[test]
fn log_events_keep_secrets() {
    refuse_in_sources("no recipient, text or secret in a log", logs::events_keep_secrets);
}

#[test]
fn words_are_those_of_the_glossary() {
    refuse_in_sources("one word per thing", words::rust_uses_glossary);
    refuse_in_files("one word per thing", words::sql_uses_glossary);
}
