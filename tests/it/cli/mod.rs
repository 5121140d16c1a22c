//! The executable from outside: exit codes, what goes to which stream, and a whole small campaign.

use std::path::Path;
use std::process::{Command, Output};

use actiwapi_dispatcher::domain::id::{TenantId, UserId};
use actiwapi_dispatcher::domain::user::Role;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::tenants::TenantRecord;
use actiwapi_dispatcher::store::users::UserRecord;
use actiwapi_dispatcher::telemetry::admin::{self, Phase, Readiness};
use actiwapi_dispatcher::telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;

use crate::broker::support as broker;

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

#[tokio::test]
async fn a_probe_says_whether_the_daemon_lives_and_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, readiness) = (listener.local_addr().unwrap().to_string(), Readiness::new());
    let (stop, routes) = (CancellationToken::new(), admin::router(Metrics::new().unwrap(), readiness.clone()));
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(admin::serve(listener, routes, stop.clone()));
    let probe = async |arguments: &'static [&'static str]| {
        let (folder, address) = (folder.path().to_owned(), address.clone());
        let asked = move || run_in(&folder, arguments, &[("DISPATCHER__SERVER__ADMIN_LISTEN", &address)]);
        let output = tokio::task::spawn_blocking(asked).await.unwrap();
        (output.status.code(), stderr_of(&output))
    };
    assert_eq!(probe(&["probe"]).await, (Some(0), String::new()));
    let (code, said) = probe(&["probe", "--ready"]).await;
    assert!(code == Some(1) && said.contains("/readyz answered 503: starting"), "{said}");
    readiness.set(Phase::Ready);
    assert_eq!(probe(&["probe", "--ready"]).await, (Some(0), String::new()));
    stop.cancel();
    serving.join_next().await.unwrap().unwrap().unwrap();
    let (code, said) = probe(&["probe"]).await;
    assert!(code == Some(1) && said.contains(&address), "{said}");
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
        "grant-operator",
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
        email_verified_at_ms: Some(0),
        name: "Ana Rao".to_owned(),
        password_hash: "none".into(),
        role: Role::Owner,
        created_at_ms: 0,
    };
    assert!(store.users().insert_with_tenant(&tenant, &owner, None).await.unwrap());
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

#[test]
fn a_broker_is_asked_for_when_one_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, environment, expected) in [
        (&["demo", "--queue=kafka"][..], &[][..], "--brokers HOST:PORT"),
        (&["bench", "--queue", "kafka"], &[("KAFKA_BROKERS", "")], "--brokers HOST:PORT"),
        (&["bench", "--intake"], &[("KAFKA_BROKERS", "127.0.0.1:1")], "add --queue kafka"),
    ] {
        let output = run_in(folder.path(), arguments, environment);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr_of(&output).contains(expected), "{}", stderr_of(&output));
    }
}

#[test]
fn a_broker_that_does_not_answer_is_said_to_be_away() {
    let folder = tempfile::tempdir().unwrap();
    let output = run_in(folder.path(), &["bench", "--queue=kafka"], &[("KAFKA_BROKERS", "127.0.0.1:1")]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr_of(&output);
    assert!(text.starts_with("error: make topics for this run: the broker can not be reached"), "{text}");
}

#[test]
fn a_small_campaign_over_kafka_keeps_every_promise_and_leaves_no_topic() {
    let folder = tempfile::tempdir().unwrap();
    let servers = broker::servers().join(",");
    let arguments = ["--recipients=200", "--sessions=20", "--rate=20", "--data-dir=data", "--json"];
    let queue = ["--queue=kafka", "--partitions=4", "--brokers", &servers];
    let output = run_in(folder.path(), &[&["demo"], &arguments[..], &queue].concat(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
    let report: serde_json::Value = serde_json::from_str(&stdout_of(&output)).unwrap();
    assert_eq!((&report["accepted"], &report["provider"]["distinct"]), (&200.into(), &200.into()), "{report}");

    let settings = std::fs::read_to_string(folder.path().join("data/dispatcher.toml")).unwrap();
    let settings: toml::Table = settings.parse().unwrap();
    let left = broker::topic_names();
    for key in ["jobs_topic", "control_topic", "events_topic", "session_events_topic", "dead_topic"] {
        let name = settings["queue"][key].as_str().unwrap();
        assert!(!left.iter().any(|topic| topic == name), "{name} is left behind");
    }
}

#[test]
fn intake_is_measured_until_everything_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let servers = broker::servers().join(",");
    let arguments = ["bench", "--intake", "--messages=1050", "--per-job=100", "--sessions=7", "--partitions=3"];
    let output =
        run_in(folder.path(), &[&arguments[..], &["--queue=kafka", "--json"]].concat(), &[("KAFKA_BROKERS", &servers)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
    let report: serde_json::Value = serde_json::from_str(&stdout_of(&output)).unwrap();
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} is not in {report}"));
    assert_eq!(["deliveries", "jobs", "sessions", "partitions"].map(number), [1_050.0, 11.0, 7.0, 3.0]);
    assert!(number("busySeconds") <= number("elapsedSeconds") && 0.0 < number("busySeconds"), "{report}");
    assert!((number("deliveriesPerSecond") * number("busySeconds") / 1_050.0 - 1.0).abs() < 0.05, "{report}");
}
