//! Runs the executable against topics of the test's own.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use actiwapi_dispatcher::config::KafkaConfig;

use super::stderr_of;

/// The settings of the topics as the environment says them, and a database in the working folder.
pub(super) fn environment(config: &KafkaConfig) -> Vec<(String, String)> {
    let queue = [
        ("KIND", "kafka".to_owned()),
        ("BROKERS", config.brokers.join(",")),
        ("JOBS_TOPIC", config.topics.jobs.clone()),
        ("CONTROL_TOPIC", config.topics.control.clone()),
        ("EVENTS_TOPIC", config.topics.events.clone()),
        ("DEAD_TOPIC", config.topics.dead.clone()),
        ("PARTITIONS", config.partitions.to_string()),
        ("GROUP", config.group.clone()),
    ];
    let queue = queue.map(|(key, value)| (format!("DISPATCHER__QUEUE__{key}"), value));
    let others =
        [("STORE__URL", "sqlite:store.db"), ("SERVER__LISTEN", "127.0.0.1:0"), ("SERVER__ADMIN_LISTEN", "127.0.0.1:0")];
    let others = others.map(|(key, value)| (format!("DISPATCHER__{key}"), value.to_owned()));
    queue.into_iter().chain(others).collect()
}

/// Runs the executable; `input` is its standard input.
pub(super) async fn run(
    folder: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
    input: Option<std::fs::File>,
) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dispatcher"));
    command.args(arguments).current_dir(folder).env_clear().envs(environment.iter().cloned());
    command.stdin(input.map_or_else(Stdio::null, Stdio::from));
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Checks the exit code; returns what stands on standard output.
pub(super) fn exited(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", stderr_of(output));
    super::stdout_of(output)
}
