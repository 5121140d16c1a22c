//! Topics of their own for one run, made and deleted on a given cluster.
//!
//! Writes no records. What is left behind when a run is killed has names that nobody else uses.

use std::num::NonZeroU16;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use uuid::Uuid;

use super::connection::Connection;
use super::{Broker, BrokerError, TopicProblem};
use crate::config::{ClientSettings, KafkaConfig, TopicNames};

/// Longest time of one question to the cluster.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Time after which the group gives a member's partitions to others.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);

/// Topics and a consumer group that are there until they are deleted on purpose.
#[derive(Debug)]
pub struct ScratchTopics {
    config: KafkaConfig,
    broker: Broker,
}

impl ScratchTopics {
    /// Makes the topics, with the job topic in as many partitions.
    ///
    /// # Errors
    /// [`TopicProblem`] when the cluster does not answer or refuses.
    pub async fn create(brokers: Vec<String>, partitions: NonZeroU16) -> Result<Self, TopicProblem> {
        let run = format!("bench.{}", Uuid::new_v4().simple());
        let topic = |name: &str| format!("{run}.{name}");
        let config = KafkaConfig {
            brokers,
            topics: TopicNames {
                jobs: topic("jobs"),
                control: topic("control"),
                events: topic("events"),
                session_events: topic("session-events"),
                dead: topic("dead"),
            },
            partitions,
            replication: NonZeroU16::MIN,
            create_topics: true,
            group: topic("group"),
            instance_id: None,
            session_timeout: SESSION_TIMEOUT,
            client: ClientSettings::default(),
        };
        let broker = Broker::new(config.clone()).map_err(TopicProblem::Unreachable)?;
        broker.prepare_topics().await?;
        Ok(Self { config, broker })
    }

    /// Returns what names them.
    #[must_use]
    pub fn config(&self) -> &KafkaConfig {
        &self.config
    }

    /// Deletes them, and the group when nobody is left in it.
    ///
    /// # Errors
    /// [`BrokerError`] when a topic was not deleted; it is then left behind.
    pub async fn delete(self) -> Result<(), BrokerError> {
        let admin: AdminClient<Connection> = self.broker.client_config().create_with_context(Connection::default())?;
        let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX));
        let TopicNames { jobs, control, events, session_events, dead } = &self.config.topics;
        let results = admin.delete_topics(&[jobs, control, events, session_events, dead], &options).await?;
        // A member that was killed stays in the group for a while; the cluster forgets an empty one by itself.
        admin.delete_groups(&[&self.config.group], &options).await.ok();
        let mut failed = results.into_iter().filter_map(Result::err).map(|(_, code)| code);
        match failed.rfind(|code| *code != RDKafkaErrorCode::UnknownTopicOrPartition) {
            None => Ok(()),
            Some(code) => Err(KafkaError::AdminOp(code).into()),
        }
    }
}
