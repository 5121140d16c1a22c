//! All that knows Kafka: topics, the consumer of jobs, the producer, control messages and dead letters.
//!
//! Says nothing of what a job means, and holds no database. Ownership of sessions does not rest on what is
//! here: the group's assignment is a hint to claim a lease, which the database grants.
//!
//! The client is librdkafka. It keeps its connections, retries and finds moved partitions by itself, so an
//! outage is felt here only as waiting.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::{KafkaConfig, TopicNames};
use crate::limits::RECORD_BYTES_MAX;

pub use consumer::{JobConsumer, Membership};
pub use control::{ControlReader, publish};
pub use dead_letters::{DeadLetter, DeadLetters, NewDeadLetter, Replay};
pub use producer::{Outgoing, Producer};
pub use record::{Record, RecordHeaders};
pub use scratch::ScratchTopics;
pub use survey::{GroupSurvey, Survey, TopicSurvey};
pub use topics::TopicProblem;

mod connection;
mod consumer;
mod control;
mod dead_letters;
mod producer;
mod record;
mod scratch;
mod survey;
mod topics;

/// The AsyncAPI document of the five topics.
pub const ASYNCAPI_DOCUMENT: &str = include_str!("asyncapi.yaml");

/// The way to a cluster: makes clients. Cheap to clone; holds no connection.
#[derive(Clone)]
pub struct Broker {
    config: Arc<KafkaConfig>,
}

/// Why something with the broker did not work. Never shows a value of a setting or a record.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A further setting of the client is not one, or its value can not be.
    #[error("queue.client_file: {key} is not a setting of librdkafka, or its value is not allowed")]
    Setting {
        /// Its name.
        key: String,
    },
    /// Larger than the topic takes; trying again does not help.
    #[error("the record is larger than its topic takes")]
    TooLarge,
    /// The broker did not do its part; trying again may help.
    #[error("the broker failed")]
    Kafka(#[source] KafkaError),
    /// This end is being stopped.
    #[error("the client was stopped")]
    Stopped,
    /// The system gave no thread.
    #[error("no thread could be started")]
    Thread(#[source] std::io::Error),
    /// What was asked for can not be done; the text says why.
    #[error("{0}")]
    Refused(&'static str),
}

impl Broker {
    /// Takes the settings.
    ///
    /// # Errors
    /// [`BrokerError::Setting`] names a further setting that the client does not take.
    pub fn new(config: KafkaConfig) -> Result<Self, BrokerError> {
        let broker = Self { config: Arc::new(config) };
        broker.client_config().create_native_config()?;
        Ok(broker)
    }

    /// Returns the names of the topics.
    #[must_use]
    pub fn topics(&self) -> &TopicNames {
        &self.config.topics
    }

    /// Returns how many partitions the job topic has.
    #[must_use]
    pub fn partitions(&self) -> NonZeroU16 {
        self.config.partitions
    }

    /// Returns how long the group waits for a sign of life of a member.
    #[must_use]
    pub fn session_timeout(&self) -> Duration {
        self.config.session_timeout
    }

    /// Makes what all clients have in common. What each adds must be in [`crate::config::OWN_SETTINGS`].
    fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in self.config.client.iter() {
            config.set(key, value.expose());
        }
        config
            .set("bootstrap.servers", self.config.brokers.join(","))
            .set("client.id", "dispatcher")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            .set("statistics.interval.ms", "0")
            .set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("brokers", &self.config.brokers).field("topics", &self.config.topics).finish()
    }
}

impl From<KafkaError> for BrokerError {
    fn from(error: KafkaError) -> Self {
        match error {
            // Its text holds the value, which may be a password.
            KafkaError::ClientConfig(_, _, key, _) => Self::Setting { key },
            KafkaError::MessageProduction(
                RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize,
            ) => Self::TooLarge,
            KafkaError::Canceled => Self::Stopped,
            error => Self::Kafka(error),
        }
    }
}

#[cfg(test)]
mod tests;
