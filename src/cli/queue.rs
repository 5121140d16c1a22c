//! Which queue a run's jobs take: the arguments that `demo` and `bench` share, and topics for one run.

use std::num::NonZeroU16;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::{Failure, Outcome};
use crate::broker::ScratchTopics;
use crate::config::KafkaConfig;

/// The queues there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum QueueChoice {
    /// The outbox goes straight into intake.
    Local,
    /// The outbox goes to a topic, and jobs come from there.
    Kafka,
}

/// The queue of one run.
#[derive(Debug, Clone, Args)]
pub(super) struct QueueArgs {
    /// Which way jobs take to the lanes; with kafka through topics of the run's own, deleted afterwards.
    #[arg(long, value_name = "QUEUE", value_enum, default_value_t = QueueChoice::Local)]
    queue: QueueChoice,
    /// Where Kafka is, HOST:PORT and more after commas [default: what KAFKA_BROKERS names]
    #[arg(long, value_name = "BROKERS", env = "KAFKA_BROKERS", hide_env = true, value_delimiter = ',')]
    brokers: Vec<String>,
    /// Into how many partitions the sessions are divided, with kafka.
    #[arg(long, value_name = "NUMBER", default_value_t = NonZeroU16::new(64).expect("64 is not zero"),
        value_parser = partitions)]
    partitions: NonZeroU16,
}

fn partitions(text: &str) -> Result<NonZeroU16, String> {
    let most = crate::limits::PARTITIONS_MAX;
    let number = text.parse().ok().filter(|number: &NonZeroU16| number.get() <= most);
    number.ok_or_else(|| format!("must be between 1 and {most}"))
}

impl QueueArgs {
    /// Fails when brokers are needed and none is named.
    pub(super) fn check(&self) -> Outcome {
        if self.is_kafka() && self.brokers.iter().all(String::is_empty) {
            let text = "--queue kafka needs a broker: name it with --brokers HOST:PORT, or in KAFKA_BROKERS";
            return Err(Failure::Usage(text.to_owned()));
        }
        Ok(())
    }

    /// Tells whether jobs take the way over Kafka.
    pub(super) fn is_kafka(&self) -> bool {
        self.queue == QueueChoice::Kafka
    }

    /// Makes the topics of a run; none with the local queue.
    pub(super) async fn topics(&self) -> Result<RunTopics, Failure> {
        if !self.is_kafka() {
            return Ok(RunTopics(None));
        }
        let topics = ScratchTopics::create(self.brokers.clone(), self.partitions).await;
        Ok(RunTopics(Some(topics.context("make topics for this run")?)))
    }
}

/// The topics of one run, if it has any.
#[derive(Debug)]
pub(super) struct RunTopics(Option<ScratchTopics>);

impl RunTopics {
    /// Returns what names them.
    pub(super) fn config(&self) -> Option<KafkaConfig> {
        self.0.as_ref().map(|topics| topics.config().clone())
    }

    /// Deletes them; fails when the run went well and they could not be deleted.
    pub(super) async fn delete_after(self, outcome: Outcome) -> Outcome {
        let deleted = match self.0 {
            Some(topics) => topics.delete().await.context("delete the topics of this run"),
            None => Ok(()),
        };
        outcome.and(deleted.map_err(Failure::from))
    }
}
