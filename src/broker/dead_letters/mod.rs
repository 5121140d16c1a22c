//! Dead letters: keeps records that could not be read or admitted, lists them, and replays them.
//!
//! A dead letter is the original record on the dead topic, with headers of ours behind its own. A replay writes
//! the original to the job topic again and then a marker to the dead topic, so that a list shows it as replayed;
//! dying in between only means that it may be replayed once more, which changes nothing.

use std::collections::HashSet;

use bytes::Bytes;
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::producer::{Outgoing, Producer};
use super::record::{Record, RecordHeaders};
use super::{Broker, BrokerError};
use crate::domain::dead_letter::DeadCause;
use crate::domain::job::Job;
use crate::domain::partition::PartitionNo;
use crate::limits::REPLAY_AHEAD_MAX;

mod form;
mod scan;

/// A record to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewDeadLetter<'a> {
    /// The record of the job topic as it came.
    pub record: &'a Record,
    /// Why it is kept.
    pub cause: DeadCause,
    /// More about it, for people: one line without recipients, texts and secrets.
    pub detail: &'a str,
    /// When it was found.
    pub at: OffsetDateTime,
}

/// A record that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place on the dead topic, `PARTITION:OFFSET`.
    pub id: String,
    /// Why it is kept.
    pub cause: DeadCause,
    /// More about it, for people.
    pub detail: String,
    /// The topic it came from.
    pub source_topic: String,
    /// The partition it came from.
    pub source_partition: PartitionNo,
    /// Its place there.
    pub source_offset: i64,
    /// When it was kept.
    pub at: OffsetDateTime,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; only [`DeadLetters::find`] fills it in.
    pub payload: Option<Bytes>,
    /// Its headers, ours left out; only [`DeadLetters::find`] fills them in.
    pub headers: RecordHeaders,
    /// Bytes of the original value.
    pub n_payload_bytes: u64,
    /// Whether it was too large and only its beginning is kept; it can not be replayed then.
    pub is_truncated: bool,
    /// Whether it was replayed.
    pub replayed: bool,
}

/// What came of a dead letter that was to be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// It is durable on the job topic once more.
    Done,
    /// Only its beginning was kept, so nothing was written.
    Truncated,
}

/// Writes and reads dead letters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    broker: Broker,
    producer: Producer,
}

impl DeadLetters {
    /// Uses the given ways to the cluster.
    #[must_use]
    pub fn new(broker: Broker, producer: Producer) -> Self {
        Self { broker, producer }
    }

    /// Keeps records; returns when all are durable.
    ///
    /// # Errors
    /// When the broker does not take them. Safe to repeat: a record may be kept twice.
    pub async fn keep(&self, letters: &[NewDeadLetter<'_>]) -> Result<(), BrokerError> {
        let topics = self.broker.topics();
        let outgoing = letters.iter().map(|letter| form::outgoing(letter, topics)).collect();
        self.producer.send_all(outgoing).await
    }

    /// Reads the whole dead topic up to its present end; the newest are returned, oldest first, without values
    /// and headers, at most [`crate::limits::DEAD_LETTERS_LISTED_MAX`].
    ///
    /// # Errors
    /// When the broker can not be read.
    pub async fn list(&self) -> Result<Vec<DeadLetter>, BrokerError> {
        let broker = self.broker.clone();
        blocking(move || scan::list(&broker)).await
    }

    /// Reads one dead letter with its value and headers; none when there is none with this id.
    ///
    /// # Errors
    /// When the broker can not be read.
    pub async fn find(&self, id: &str) -> Result<Option<DeadLetter>, BrokerError> {
        let (broker, id) = (self.broker.clone(), id.to_owned());
        blocking(move || scan::find(&broker, &id)).await
    }

    /// Writes the original record to the job topic again, with a header that names the dead letter, and marks it
    /// as replayed; returns what was replayed, none when there is none with this id.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] when only its beginning was kept; else when the broker fails.
    pub async fn replay(&self, id: &str) -> Result<Option<DeadLetter>, BrokerError> {
        let Some(letter) = self.find(id).await? else { return Ok(None) };
        if letter.is_truncated {
            return Err(BrokerError::Refused("the record was too large to be kept whole, so it can not be replayed"));
        }
        self.write_again(&letter).await?;
        Ok(Some(letter))
    }

    /// Replays many in one pass over the dead topic, in its order, and tells what came of each; ids that are not
    /// there are passed over.
    ///
    /// # Errors
    /// When the broker fails; what was told is done.
    pub async fn replay_many(
        &self,
        ids: HashSet<String>,
        mut tell: impl FnMut(&DeadLetter, Replay),
    ) -> Result<(), BrokerError> {
        let (to_letters, mut letters) = mpsc::channel(REPLAY_AHEAD_MAX);
        let broker = self.broker.clone();
        let scanned = tokio::task::spawn_blocking(move || scan::pick(&broker, &ids, &to_letters));
        while let Some(letter) = letters.recv().await {
            let replay = if letter.is_truncated { Replay::Truncated } else { Replay::Done };
            if replay == Replay::Done {
                self.write_again(&letter).await?;
            }
            tell(&letter, replay);
        }
        scanned.await.map_err(|_| BrokerError::Stopped)?
    }

    /// First the original, then the mark: dying in between only means that it may be replayed once more.
    async fn write_again(&self, letter: &DeadLetter) -> Result<(), BrokerError> {
        self.producer.send_all(vec![self.original(letter)]).await?;
        self.producer.send_all(vec![form::marker(&letter.id, &self.broker.topics().dead)]).await
    }

    /// Makes the record of the job topic again: placed by its session if it can be read, else where it was.
    fn original(&self, letter: &DeadLetter) -> Outgoing {
        let n_partitions = self.broker.partitions();
        let job = letter.payload.as_deref().and_then(|payload| Job::decode(payload).ok());
        let (partition, key) = match job {
            Some(job) => {
                let key = Bytes::from(job.session_id.to_string());
                (Some(PartitionNo::of(job.session_id, n_partitions)), Some(key))
            }
            None => {
                let was = letter.source_partition;
                ((was.0 < n_partitions.get()).then_some(was), letter.key.clone())
            }
        };
        let mut headers = letter.headers.clone();
        headers.push((form::REPLAY_OF.to_owned(), Some(Bytes::from(letter.id.clone()))));
        Outgoing { topic: self.broker.topics().jobs.clone(), partition, key, payload: letter.payload.clone(), headers }
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, BrokerError> + Send + 'static,
) -> Result<T, BrokerError> {
    tokio::task::spawn_blocking(read).await.map_err(|_| BrokerError::Stopped)?
}
