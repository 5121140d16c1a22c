//! The command `doctor`: looks at everything the daemon needs, one line each.
//!
//! Changes nothing and starts nothing. Checks run beside each other, each with its own time limit.

use anyhow::Context;
use clap::Args;

use self::check::{Check, Verdict};
use super::{ConfigArgs, Failure, Outcome, block_on, print};
use crate::config::Config;

mod around;
mod check;
mod database;
mod kafka;

/// Checks everything that the daemon needs, and says what to do.
///
/// Settings, database, schema, durability, clock, broker, topics, consumer group, partitions, provider, secrets and
/// addresses. One line for each check: ok, warn or FAIL, what was found, and what to do. All are made even when
/// earlier ones fail, each within 5 s; nothing is changed. Exit code 1 when any fails.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dispatcher doctor --config dispatcher.toml
  dispatcher doctor --json | jq '.[] | select(.verdict != \"ok\")'")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Prints the checks as exactly one JSON array.
    #[arg(long)]
    json: bool,
}

impl DoctorArgs {
    pub(super) fn run(self) -> Outcome {
        let checks = match Config::load(&self.config.sources()) {
            Ok(config) => block_on(Box::pin(examine(&config)))?,
            Err(problems) => {
                let advice = "correct it; check-config shows all of them";
                problems.iter().map(|problem| Check::fail("settings", problem.to_string(), advice)).collect()
            }
        };
        let text = if self.json {
            serde_json::to_string(&checks).context("write the checks")? + "\n"
        } else {
            checks.iter().map(|check| format!("{check}\n")).collect()
        };
        print(text.as_bytes())?;
        let is_healthy = checks.iter().all(|check| check.verdict != Verdict::Fail);
        if is_healthy { Ok(()) } else { Err(Failure::Broken) }
    }
}

async fn examine(config: &Config) -> Vec<Check> {
    let (database, broker, provider, addresses) = tokio::join!(
        Box::pin(database::examine(config)),
        Box::pin(kafka::examine(&config.queue)),
        Box::pin(around::examine_provider(&config.gateway)),
        Box::pin(around::examine_addresses(&config.server)),
    );
    let mut checks = vec![Check::ok("settings", "readable")];
    checks.extend(database);
    checks.extend(broker);
    checks.push(provider);
    checks.push(around::examine_secrets(&config.gateway));
    checks.push(around::examine_tokens(&config.auth));
    checks.extend(addresses);
    checks
}

#[cfg(test)]
mod tests;
