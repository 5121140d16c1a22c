//! The control topic: publishes nudges, and reads those of all nodes.
//!
//! A nudge only says where to look again; see [`ControlMessage`]. The reader belongs to no group and commits
//! nothing: it reads all partitions from their end, and after an outage goes on where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::connection::Connection;
use super::producer::{Outgoing, Producer};
use super::{Broker, BrokerError};
use crate::domain::control::ControlMessage;

/// Longest time of one question to the cluster.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Time between two tries at a question.
const ASK_AGAIN_INTERVAL: Duration = Duration::from_millis(100);

/// Longest time in one poll: the end of the thread waits for it.
const POLL: Duration = Duration::from_millis(100);

/// Time between two tries to hand a message over.
const HAND_OVER_INTERVAL: Duration = Duration::from_millis(5);

/// Publishes nudges for all nodes, this one included, and waits until they are durable.
///
/// # Errors
/// When the broker does not take them; nothing is lost, somebody only looks later.
pub async fn publish(broker: &Broker, producer: &Producer, messages: &[ControlMessage]) -> Result<(), BrokerError> {
    let outgoing = messages.iter().map(|message| Outgoing {
        topic: broker.topics().control.clone(),
        partition: None,
        key: None,
        payload: Some(Bytes::from(message.encode())),
        headers: Vec::new(),
    });
    producer.send_all(outgoing.collect()).await
}

/// Reads the whole control topic until it is dropped.
#[derive(Debug)]
pub struct ControlReader {
    is_stopping: Arc<AtomicBool>,
}

impl ControlReader {
    /// Starts at the present end of the topic: what is published after this returns will be read.
    ///
    /// Messages go to `messages`; while it is full the reader waits. What can not be understood is skipped.
    ///
    /// # Errors
    /// When the broker can not be asked for the end; the caller tries again.
    pub async fn start(broker: &Broker, messages: mpsc::Sender<ControlMessage>) -> Result<Self, BrokerError> {
        let broker = broker.clone();
        let at_end = tokio::task::spawn_blocking(move || open_at_end(&broker)).await;
        let consumer = at_end.map_err(|_| BrokerError::Stopped)??;
        let is_stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_stopping);
        let run = move || read(&consumer, &messages, &stop);
        thread::Builder::new().name("control-reader".into()).spawn(run).map_err(BrokerError::Thread)?;
        Ok(Self { is_stopping })
    }
}

impl Drop for ControlReader {
    fn drop(&mut self) {
        // The thread ends by itself within a poll.
        self.is_stopping.store(true, Ordering::Release);
    }
}

fn open_at_end(broker: &Broker) -> Result<BaseConsumer<Connection>, BrokerError> {
    let topic = &broker.topics().control;
    let consumer = plain_consumer(broker)?;
    let mut positions = TopicPartitionList::new();
    for partition in partitions_of(&consumer, topic)? {
        let (_, end) = watermarks_of(&consumer, topic, partition)?;
        positions.add_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    consumer.assign(&positions)?;
    Ok(consumer)
}

fn read(consumer: &BaseConsumer<Connection>, messages: &mpsc::Sender<ControlMessage>, is_stopping: &AtomicBool) {
    let is_over = || is_stopping.load(Ordering::Acquire) || messages.is_closed();
    while !is_over() {
        let Some(Ok(record)) = consumer.poll(POLL) else { continue };
        let mut message = match ControlMessage::decode(record.payload().unwrap_or_default()) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(%error, offset = record.offset(), "control message skipped");
                continue;
            }
        };
        while let Err(TrySendError::Full(unsent)) = messages.try_send(message) {
            if is_over() {
                return;
            }
            message = unsent;
            thread::sleep(HAND_OVER_INTERVAL);
        }
    }
}

/// Makes a consumer that is assigned by hand and never commits.
pub(super) fn plain_consumer(broker: &Broker) -> Result<BaseConsumer<Connection>, BrokerError> {
    Ok(plain_config(broker).create_with_context(Connection::default())?)
}

pub(super) fn plain_config(broker: &Broker) -> ClientConfig {
    let mut config = broker.client_config();
    config
        // The client wants a group to assign by hand; without a subscription it never joins it.
        .set("group.id", &broker.config.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false");
    config
}

/// Asks for the partitions of a topic.
pub(super) fn partitions_of(consumer: &BaseConsumer<Connection>, topic: &str) -> Result<Vec<i32>, BrokerError> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_MAX)?;
    let topic = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let topic = topic.ok_or(BrokerError::Refused("the topic is not there"))?;
    Ok(topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}

/// Asks for the beginning and the end of a partition; for up to 10 s while it has no leader, as for a moment
/// after its making.
pub(super) fn watermarks_of(
    consumer: &BaseConsumer<Connection>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), BrokerError> {
    let since = Instant::now();
    loop {
        match consumer.fetch_watermarks(topic, partition, ANSWER_MAX) {
            Ok(watermarks) => return Ok(watermarks),
            Err(error) if ANSWER_MAX < since.elapsed() => return Err(error.into()),
            Err(_) => thread::sleep(ASK_AGAIN_INTERVAL),
        }
    }
}
