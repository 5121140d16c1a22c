//! The executable from outside: exit codes, what goes to which stream, and a whole small campaign.

use std::path::Path;
use std::process::{Command, Output};

use actiwapi_dispatcher::domain::id::{TenantId, UserId};
use actiwapi_dispatcher::domain::user::Role;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::tenants::TenantRecord;
use actiwapi_dispatcher::store::users::UserRecord;

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
    for command in
        ["serve", "simulate", "demo", "bench", "migrate", "grant-operator", "check-config", "openapi", "asyncapi"]
    {
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

#[tokio::test]
async fn an_account_becomes_an_operators_and_an_owners_again() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run_in(folder.path(), &["migrate"], &[]).status.code(), Some(0));
    let nobody = run_in(folder.path(), &["grant-operator", "ops@example.com"], &[]);
    assert_eq!(nobody.status.code(), Some(1));
    assert_eq!(stderr_of(&nobody), "error: there is no such account: it must be registered first\n");

    let url = format!("sqlite:{}", folder.path().join("data/dispatcher.db").display());
    let store = Store::open(&url, 1).await.unwrap();
    let tenant = TenantRecord { id: TenantId::generate(), name: "Platform".to_owned(), created_at_ms: 0 };
    let owner = UserRecord {
        id: UserId::generate(),
        tenant_id: tenant.id,
        tenant_name: tenant.name.clone(),
        email: "ops@example.com".to_owned(),
        name: "Ana Rao".to_owned(),
        password_hash: "none".into(),
        role: Role::Owner,
        created_at_ms: 0,
    };
    assert!(store.users().insert_with_tenant(&tenant, &owner).await.unwrap());
    let who = "Ana Rao of Platform, registered 1970-01-01T00:00:00.000Z";
    for (arguments, role, said) in [
        (&["grant-operator", "Ops@example.com"][..], Role::Operator, "operator"),
        (&["grant-operator", "ops@example.com"], Role::Operator, "operator"),
        (&["grant-operator", "--revoke", "ops@example.com"], Role::Owner, "no operator"),
    ] {
        let output = run_in(folder.path(), arguments, &[]);
        assert_eq!(stdout_of(&output), format!("ops@example.com is {said} now: {who}\n"), "{}", stderr_of(&output));
        assert_eq!(store.users().find_by_email("ops@example.com").await.unwrap().unwrap().role, role);
    }
}
