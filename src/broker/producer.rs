//! The producer: writes records and waits until every one of them is durable on the broker.
//!
//! Idempotent, so a retry inside the client repeats nothing and keeps the order. A caller that gets an error
//! writes again, and may so write twice: whoever reads must bear that. Knows nothing of what it writes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::connection::Connection;
use super::record::RecordHeaders;
use super::{Broker, BrokerError};
use crate::domain::partition::PartitionNo;
use crate::limits::PRODUCE_QUEUE_KBYTES_MAX;

/// Time between two tries to queue a record while the queue is full.
const QUEUE_RETRY: Duration = Duration::from_millis(10);

/// How long [`Producer::close`] waits for records under way.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub topic: String,
    /// Which partition; by the key's hash, as Java clients do it, when there is none.
    pub partition: Option<PartitionNo>,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub payload: Option<Bytes>,
    /// Its headers, in order.
    pub headers: RecordHeaders,
}

/// Writes records. Cheap to clone; all clones share one client.
#[derive(Clone)]
pub struct Producer {
    broker: Broker,
    connection: Connection,
    current: Arc<Mutex<Client>>,
}

type Client = Arc<FutureProducer<Connection>>;

impl Producer {
    /// Makes the client; returns at once, whether the broker is there or not.
    ///
    /// # Errors
    /// When the client can not be made.
    pub fn start(broker: &Broker) -> Result<Self, BrokerError> {
        let connection = Connection::default();
        let client = new_client(broker, &connection)?;
        Ok(Self { broker: broker.clone(), connection, current: Arc::new(Mutex::new(client)) })
    }

    /// Writes records and waits until all are durable; for minutes when the broker is away.
    ///
    /// Records of one call with the same partition, or the same key, keep their order. Those of several calls
    /// at the same time have none.
    ///
    /// # Errors
    /// The first failure, after nothing is under way any more; some of the records may be durable.
    pub async fn send_all(&self, records: Vec<Outgoing>) -> Result<(), BrokerError> {
        let client = self.client();
        let mut under_way = Vec::with_capacity(records.len());
        let mut failure = None;
        for record in &records {
            match queue(&client, record).await {
                Ok(delivery) => under_way.push(delivery),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        for delivery in under_way {
            let answer = match delivery.await {
                Ok(Ok(_)) => continue,
                Ok(Err((error, _))) => error,
                Err(_) => KafkaError::Canceled,
            };
            failure.get_or_insert(answer);
        }
        match failure {
            None => Ok(()),
            Some(error) => {
                self.replace_if_broken(&client);
                Err(error.into())
            }
        }
    }

    /// Waits for records under way, up to 10 s, without blocking a worker.
    pub async fn close(self) {
        let client = self.client();
        drop(self);
        let flushed = tokio::task::spawn_blocking(move || client.flush(FLUSH_MAX)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "records under way were not written in time");
        }
    }

    fn client(&self) -> Client {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new client in place of one that has given up for good: its sequence numbers are in doubt.
    fn replace_if_broken(&self, broken: &Client) {
        let Some((code, reason)) = broken.client().fatal_error() else { return };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, broken) {
            return;
        }
        tracing::warn!(%code, reason, "the producer gave up and is replaced");
        match new_client(&self.broker, &self.connection) {
            Ok(client) => *current = client,
            Err(error) => tracing::error!(%error, "no new producer could be made"),
        }
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("broker", &self.broker).finish_non_exhaustive()
    }
}

/// Gives a record to the client; waits while its queue is full, so that nothing overtakes it.
async fn queue(client: &Client, record: &Outgoing) -> Result<DeliveryFuture, KafkaError> {
    loop {
        match client.send_result(future_record(record)) {
            Ok(delivery) => return Ok(delivery),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                tokio::time::sleep(QUEUE_RETRY).await;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn future_record(record: &Outgoing) -> FutureRecord<'_, [u8], [u8]> {
    let mut out = FutureRecord::to(&record.topic);
    if let Some(partition) = record.partition {
        out = out.partition(i32::from(partition.0));
    }
    if let Some(key) = &record.key {
        out = out.key(key.as_ref());
    }
    if let Some(payload) = &record.payload {
        out = out.payload(payload.as_ref());
    }
    if record.headers.is_empty() {
        return out;
    }
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (name, value) in &record.headers {
        // A name with a zero byte can not be written by this client, nor read by it.
        let key = name.split('\0').next().unwrap_or_default();
        headers = headers.insert(Header { key, value: value.as_deref() });
    }
    out.headers(headers)
}

fn new_client(broker: &Broker, connection: &Connection) -> Result<Client, BrokerError> {
    let client: FutureProducer<Connection> = producer_config(broker).create_with_context(connection.clone())?;
    Ok(Arc::new(client))
}

pub(super) fn producer_config(broker: &Broker) -> ClientConfig {
    let mut config = broker.client_config();
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("message.timeout.ms", "300000")
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.kbytes", PRODUCE_QUEUE_KBYTES_MAX.to_string());
    config
}
