//! The executable from outside: exit codes, what goes to which stream, and a whole small campaign.

use std::path::Path;
use std::process::{Command, Output};

mod dead_letters;
mod doctor;
mod kafka;
mod submit;

/// Runs the executable in an empty folder with an environment of its own.
fn run_in(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dispatcher"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn stdout_of(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_config_prints_settled_values_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/default.toml"), "[dispatch]\ndefault_burst = 2\nshards = 3\n").unwrap();
    std::fs::write(folder.path().join("given.toml"), "[dispatch]\ndefault_burst = 4\n").unwrap();
    let environment = [("DISPATCHER__GATEWAY__APP_SECRET", "hunter2")];
    let output = run_in(folder.path(), &["check-config", "given.toml"], &environment);
    let text = stdout_of(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
    for line in ["default_burst = 4", "shards = 3", "app_secret = \"***\"", "access_token = \"\""] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn mistakes_in_the_settings_are_all_named_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("DISPATCHER__SERVER__LISTEN", "here"), ("DISPATCHER__SERVER__LITSEN", "there")];
    for arguments in [&["check-config"][..], &["serve"], &["migrate"]] {
        let output = run_in(folder.path(), arguments, &environment);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout_of(&output), "", "{arguments:?}");
        let text = stderr_of(&output);
        assert!(text.starts_with("2 mistakes in the settings:\n"), "{text}");
        assert!(text.contains("server.listen: ") && text.contains("(in DISPATCHER__SERVER__LITSEN)"), "{text}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn migrate_makes_the_folder_and_the_schema_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = run_in(folder.path(), &["migrate"], &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
        assert_eq!(stdout_of(&output), "the schema of sqlite:data/dispatcher.db is up to date\n");
    }
    assert!(folder.path().join("data/dispatcher.db").exists());
}

#[test]
fn the_openapi_document_is_printed_whole() {
    let folder = tempfile::tempdir().unwrap();
    let output = run_in(folder.path(), &["openapi"], &[]);
    let document: serde_json::Value = serde_json::from_str(&stdout_of(&output)).unwrap();
    assert!(document["paths"].as_object().is_some_and(|paths| paths.contains_key("/api/v1/campaigns")), "{document}");
}

#[test]
fn completions_name_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let text = stdout_of(&run_in(folder.path(), &["completions", "bash"], &[]));
    let commands = [
        "serve",
        "simulate",
        "demo",
        "bench",
        "migrate",
        "check-config",
        "openapi",
        "asyncapi",
        "submit",
        "dead-letters",
        "doctor",
    ];
    for command in commands {
        assert!(text.contains(&format!("dispatcher,{command})")), "{command} is not in\n{text}");
    }
}

#[test]
fn a_fault_file_with_mistakes_stops_demo_and_simulator() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("faults.toml"), "[hang]\nbefore_acceptance = 2.0\nafter = 1\n").unwrap();
    for command in ["demo", "simulate"] {
        let output = run_in(folder.path(), &[command, "--faults", "faults.toml"], &[]);
        let text = stderr_of(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("faults.toml") && text.contains("hang.before_acceptance"), "{text}");
        assert!(text.contains("hang.after"), "{text}");
    }
}

#[test]
fn a_small_campaign_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--recipients=200", "--sessions=100", "--rate=1", "--data-dir=data", "--json"];
    let output = run_in(folder.path(), &arguments, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
    let text = stdout_of(&output);
    assert_eq!(text.lines().count(), 1, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let number = |pointer: &str| report.pointer(pointer).and_then(serde_json::Value::as_i64).unwrap();
    assert_eq!((number("/accepted"), number("/delivered") + number("/read")), (200, 200), "{text}");
    assert_eq!((number("/provider/received"), number("/provider/distinct")), (200, 200), "{text}");
    assert!(0 < number("/peakRssBytes"), "{text}");

    let again = run_in(folder.path(), &arguments, &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr_of(&again).contains("is from an earlier run"), "{}", stderr_of(&again));
}
