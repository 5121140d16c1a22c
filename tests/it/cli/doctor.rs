//! The report of `doctor` with everything in order, and with a broker or a database that is not there.

use serde_json::Value;

use super::kafka::{environment, exited, run};
use crate::broker::support::{servers, with_topics};

const SECRET: (&str, &str) = ("DISPATCHER__AUTH__JWT_SECRET", "0123456789abcdef0123456789abcdef");

/// Answers every connection as a provider would, until it is dropped.
async fn provider() -> (String, tokio::task::JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    let routes = axum::Router::new();
    tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, tasks)
}

fn verdict_of<'a>(checks: &'a Value, name: &str) -> &'a str {
    let check = checks.as_array().unwrap().iter().find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("{name} is not in {checks}"))["verdict"].as_str().unwrap()
}

#[tokio::test]
async fn all_is_well() {
    with_topics(8, |config, _| async move {
        let (folder, mut environment) = (tempfile::tempdir().unwrap(), environment(&config));
        let (address, _provider) = provider().await;
        environment.push(("DISPATCHER__GATEWAY__BASE_URL".into(), address));
        environment.push((SECRET.0.into(), SECRET.1.into()));
        exited(&run(folder.path(), &["migrate"], &environment, None).await, 0);
        let text = exited(&run(folder.path(), &["doctor", "--json"], &environment, None).await, 0);
        let checks: Value = serde_json::from_str(&text).unwrap();
        let well = [
            "settings",
            "database",
            "schema",
            "durability",
            "clock",
            "broker",
            "provider",
            "auth.jwt_secret",
            "server.listen",
            "server.admin_listen",
        ];
        for name in well {
            assert_eq!(verdict_of(&checks, name), "ok", "{name}: {checks}");
        }
        // One broker has one copy, and no daemon runs.
        let topics = &config.topics;
        for name in [&topics.jobs, &topics.control, &topics.events, &topics.dead] {
            assert_eq!(verdict_of(&checks, &format!("topic {name}")), "warn", "{name}: {checks}");
        }
        for name in ["partitions", "group", "secrets"] {
            assert_eq!(verdict_of(&checks, name), "warn", "{name}: {checks}");
        }
        let text = exited(&run(folder.path(), &["doctor"], &environment, None).await, 0);
        assert_eq!(text.lines().count(), checks.as_array().unwrap().len(), "{text}");
        assert!(text.lines().all(|line| line.starts_with("ok  ") || line.starts_with("warn")), "{text}");
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let environment = [
        ("DISPATCHER__QUEUE__KIND", "kafka".to_owned()),
        ("DISPATCHER__QUEUE__BROKERS", free.to_string()),
        ("DISPATCHER__STORE__URL", format!("postgres://ana:hunter2@{free}/none")),
        ("DISPATCHER__GATEWAY__BASE_URL", format!("http://{free}")),
        // Taken by something that is no daemon.
        ("DISPATCHER__SERVER__LISTEN", servers()[0].replace("localhost", "127.0.0.1")),
    ];
    let environment = environment.map(|(key, value)| (key.to_owned(), value));
    let text = exited(&run(folder.path(), &["doctor"], &environment, None).await, 1);
    let said = |name: &str| {
        let line = text.lines().find(|line| line[6..].starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).to_owned()
    };
    for name in ["database", "broker", "provider", "server.listen"] {
        assert!(said(name).starts_with("FAIL") && said(name).contains(" -> "), "{text}");
    }
    assert!(said("database").contains("refused") && !text.contains("hunter2"), "{text}");
    for name in ["schema", "clock", "topic campaign.jobs", "group"] {
        assert!(said(name).starts_with("warn") && said(name).contains("not looked at"), "{text}");
    }
    assert!(said("settings").starts_with("ok"), "{text}");
}

#[tokio::test]
async fn postgres_is_looked_at_too() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL must name a PostgreSQL");
    let folder = tempfile::tempdir().unwrap();
    let environment = [("DISPATCHER__STORE__URL".to_owned(), url)];
    let output = run(folder.path(), &["doctor", "--json"], &environment, None).await;
    let checks: Value = serde_json::from_str(&exited(&output, 1)).unwrap();
    assert_eq!(verdict_of(&checks, "database"), "ok", "{checks}");
    assert_eq!(verdict_of(&checks, "clock"), "ok", "{checks}");
    // Nobody has migrated the server's own database.
    assert_eq!(verdict_of(&checks, "schema"), "FAIL", "{checks}");
    assert_eq!(verdict_of(&checks, "broker"), "ok", "{checks}");
    assert!(
        checks.to_string().contains("synchronous_commit = ") && checks.to_string().contains("not used"),
        "{checks}"
    );
}

#[tokio::test]
async fn mistakes_in_the_settings_are_failures() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("DISPATCHER__SERVER__LISTEN".to_owned(), "here".to_owned())];
    let text = exited(&run(folder.path(), &["doctor"], &environment, None).await, 1);
    assert!(text.starts_with("FAIL  settings") && text.contains("server.listen: "), "{text}");
}
