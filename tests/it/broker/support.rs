//! Topics of its own for every test, and what the tests do with them.

use std::collections::BTreeSet;
use std::future::Future;
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use actiwapi_dispatcher::broker::{Broker, JobConsumer, Membership, Outgoing, Record};
use actiwapi_dispatcher::config::{KafkaConfig, TopicNames};
use actiwapi_dispatcher::domain::partition::PartitionNo;
use actiwapi_dispatcher::limits::{MEMBERSHIPS_MAX, RECORD_BATCHES_MAX};
use bytes::Bytes;
use futures::FutureExt;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::sync::mpsc;

/// Longest time until something that must happen has happened; a busy machine takes most of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Returns where the tests' Kafka is.
pub(crate) fn servers() -> Vec<String> {
    let text = std::env::var("KAFKA_BROKERS").unwrap_or_else(|_| {
        panic!("KAFKA_BROKERS is not set: these tests need Apache Kafka, such as KAFKA_BROKERS=127.0.0.1:9092")
    });
    text.split(',').map(|server| server.trim().to_owned()).collect()
}

/// Makes settings with topic names that nobody else uses; nothing is created.
pub(crate) fn config(n_partitions: u16) -> KafkaConfig {
    let id = uuid::Uuid::now_v7().simple();
    let topic = |name: &str| format!("test.{id}.{name}");
    KafkaConfig {
        brokers: servers(),
        topics: TopicNames {
            jobs: topic("jobs"),
            control: topic("control"),
            events: topic("events"),
            session_events: topic("session-events"),
            dead: topic("dead"),
        },
        partitions: NonZeroU16::new(n_partitions).unwrap(),
        replication: NonZeroU16::MIN,
        create_topics: true,
        group: format!("test.{id}"),
        instance_id: None,
        session_timeout: Duration::from_secs(30),
        client: Default::default(),
    }
}

/// Runs a test with topics of its own and deletes them, also when the test fails.
pub(crate) async fn with_topics<T, F>(n_partitions: u16, test: T)
where
    T: FnOnce(KafkaConfig, Broker) -> F,
    F: Future<Output = ()>,
{
    let config = config(n_partitions);
    let broker = Broker::new(config.clone()).unwrap();
    broker.prepare_topics().await.unwrap();
    let outcome = AssertUnwindSafe(test(config.clone(), broker)).catch_unwind().await;
    delete_topics(&config.topics).await;
    outcome.unwrap_or_else(|panic| resume_unwind(panic));
}

pub(crate) fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", servers().join(",")).create().unwrap()
}

/// Returns the names of all topics of the cluster.
pub(crate) fn topic_names() -> Vec<String> {
    let metadata = admin().inner().fetch_metadata(None, DEADLINE).unwrap();
    metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
}

pub(crate) async fn delete_topics(topics: &TopicNames) {
    let names = [&topics.jobs, &topics.control, &topics.events, &topics.dead].map(String::as_str);
    // Some of them may never have been created.
    admin().delete_topics(&names, &AdminOptions::new()).await.unwrap();
}

/// A member of the group with what it has been told.
pub(crate) struct Member {
    pub(crate) consumer: JobConsumer,
    pub(crate) records: mpsc::Receiver<Vec<Record>>,
    pub(crate) membership: mpsc::Receiver<Membership>,
    pub(crate) assigned: BTreeSet<PartitionNo>,
}

impl Member {
    pub(crate) fn join(broker: &Broker) -> Self {
        let (to_records, records) = mpsc::channel(RECORD_BATCHES_MAX);
        let (to_membership, membership) = mpsc::channel(MEMBERSHIPS_MAX);
        let consumer = JobConsumer::start(broker, to_records, to_membership).unwrap();
        Self { consumer, records, membership, assigned: BTreeSet::new() }
    }

    /// Joins with an instance id and the settings' topics.
    pub(crate) fn join_as(config: &KafkaConfig, instance_id: &str) -> Self {
        let config = KafkaConfig { instance_id: Some(instance_id.to_owned()), ..config.clone() };
        Self::join(&Broker::new(config).unwrap())
    }

    /// Follows what the group says until as many partitions are assigned.
    pub(crate) async fn until_assigned(&mut self, n_partitions: usize) {
        while self.assigned.len() != n_partitions {
            match self.next_membership().await {
                Membership::Assigned(partitions) => self.assigned = partitions,
                Membership::Fatal(reason) => panic!("the group refuses the member: {reason}"),
            }
        }
    }

    pub(crate) async fn next_membership(&mut self) -> Membership {
        let next = tokio::time::timeout(DEADLINE, self.membership.recv()).await;
        next.expect("news of the group in time").expect("the consumer runs")
    }

    /// Reads as many records.
    pub(crate) async fn read(&mut self, n_records: usize) -> Vec<Record> {
        let mut records = Vec::new();
        while records.len() < n_records {
            records.extend(self.read_batch().await);
        }
        assert_eq!(records.len(), n_records, "more records than were written");
        records
    }

    pub(super) async fn read_batch(&mut self) -> Vec<Record> {
        let batch = tokio::time::timeout(DEADLINE, self.records.recv()).await;
        batch.expect("records in time").expect("the consumer runs")
    }
}

/// Makes a record of the job topic.
pub(crate) fn record(broker: &Broker, partition: u16, payload: impl Into<Bytes>) -> Outgoing {
    Outgoing {
        topic: broker.topics().jobs.clone(),
        partition: Some(PartitionNo(partition)),
        key: None,
        payload: Some(payload.into()),
        headers: Vec::new(),
    }
}
