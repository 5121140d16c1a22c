//! The running front against its own document, by a program that makes up requests from it: no failure of ours, and
//! no answer that the document does not describe.
//!
//! By hand: `E2E_EXAMPLES=100`, and `E2E_STORE` for PostgreSQL.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use super::by_hand::{Draw, number};
use super::client::{Client, NewSession};
use super::world::{Plan, World};

/// What the document can not say: that a time lies in the future, that digits are a number somebody has, that a page
/// lies within the first rows. A refusal of those is right, and looks wrong.
const CHECKS_LEFT_OUT: &str = "positive_data_acceptance";

/// Operations after which the same credentials are worth nothing, or the daemon ends: they come last.
const LAST: &str = "/auth/(logout|logout-all|change-password)$";

/// Operations of operators that end the daemon or hold everything: left to tests of their own.
const LAST_OF_OPS: &str = "(drain|stop)$";

/// Requests of an operation, at most, of each kind.
const EXAMPLES: u64 = 3;

/// Returns the program, which `scripts/test` installs.
fn program() -> PathBuf {
    let folder = std::env::var_os("PYTHON_TOOLS").expect("PYTHON_TOOLS names the folder that scripts/test makes");
    PathBuf::from(folder).join("schemathesis")
}

/// Runs the program over some operations with the header of some credentials.
async fn check(client: &Client, header: &str, (filter, pattern): (&str, &str), seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let base = client.address();
    let mut command = Command::new(program());
    command
        .args(["run", &format!("{base}/api/v1/openapi.json"), "--url", base, "--header", header])
        .args(["--phases", "examples,coverage,fuzzing", "--exclude-checks", CHECKS_LEFT_OUT, "--continue-on-failure"])
        .args(["--max-examples", &number("E2E_EXAMPLES", EXAMPLES).to_string(), "--seed", &seed.to_string()])
        .args(["--warnings", "off", filter, pattern])
        .current_dir(folder.path());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{filter} {pattern}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("{}", said.lines().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn every_answer_is_the_documents() {
    let store_url = std::env::var("E2E_STORE").unwrap_or_default();
    let no_limits = "rate_limits.key_per_minute = 0\nrate_limits.address_per_minute = 0";
    let world = World::start(&Plan { store_url: &store_url, settings: no_limits, ..Plan::default() }, None).await;
    let client = &world.client;
    let operator = client.operator(world.store_url()).await;
    let session = NewSession { phone_number_id: "1000".to_owned(), rate_per_second: 1.0, burst: 1 };
    let sessions = client.connect(&[session]).await;
    client.draft(&sessions, 0..3).await;
    let key = client.key().await;

    let seed = Draw::new().between(0, u64::from(u32::MAX));
    eprintln!("seed {seed}");
    let bearer = |client: &Client| format!("Authorization: Bearer {}", client.token());
    let others = format!("/external/|/ops/|{LAST}");
    check(client, &format!("X-API-Key: {key}"), ("--include-path-regex", "/external/"), seed).await;
    check(client, &bearer(client), ("--exclude-path-regex", &others), seed).await;
    check(client, &bearer(&operator), ("--include-path-regex", &format!("/ops/(?!{LAST_OF_OPS})")), seed).await;
    check(client, &bearer(client), ("--include-path-regex", LAST), seed).await;
}
