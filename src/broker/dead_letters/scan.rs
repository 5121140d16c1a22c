//! Reads the dead topic from its beginning to its present end. Blocks; belongs on a thread for that.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::DeadLetter;
use super::form::{self, Kept};
use crate::broker::control::{partitions_of, plain_consumer, watermarks_of};
use crate::broker::record::Record;
use crate::broker::{Broker, BrokerError};
use crate::limits::DEAD_LETTERS_LISTED_MAX;

/// Longest time without a record before the end is taken for out of reach.
const SILENCE_MAX: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(100);

/// Returns the newest dead letters without values and headers, oldest first.
pub(super) fn list(broker: &Broker) -> Result<Vec<DeadLetter>, BrokerError> {
    let mut letters = VecDeque::new();
    let mut replayed = HashSet::new();
    read_all(broker, |record| match form::read(record) {
        Kept::Letter(mut letter) => {
            letter.payload = None;
            letter.headers = Vec::new();
            letters.push_back(*letter);
            if DEAD_LETTERS_LISTED_MAX < letters.len() {
                letters.pop_front();
            }
        }
        Kept::Replayed(id) => {
            replayed.insert(id);
        }
        Kept::Foreign => {}
    })?;
    let with_mark = |letter: DeadLetter| DeadLetter { replayed: replayed.contains(&letter.id), ..letter };
    Ok(letters.into_iter().map(with_mark).collect())
}

/// Returns one dead letter with its value and headers.
pub(super) fn find(broker: &Broker, id: &str) -> Result<Option<DeadLetter>, BrokerError> {
    let (mut found, mut replayed) = (None, false);
    read_all(broker, |record| match form::read(record) {
        Kept::Letter(letter) if letter.id == id => found = Some(*letter),
        Kept::Replayed(other) if other == id => replayed = true,
        _ => {}
    })?;
    Ok(found.map(|letter| DeadLetter { replayed, ..letter }))
}

/// Hands over the dead letters with these ids, whole; waits while nobody takes them.
pub(super) fn pick(
    broker: &Broker,
    ids: &HashSet<String>,
    to_letters: &mpsc::Sender<DeadLetter>,
) -> Result<(), BrokerError> {
    read_all(broker, |record| match form::read(record) {
        // Nobody takes them any more after a failure; the rest is read for nothing, which is rare.
        Kept::Letter(letter) if ids.contains(&letter.id) => drop(to_letters.blocking_send(*letter)),
        _ => {}
    })
}

/// Hands over every record between the beginning and the present end.
fn read_all(broker: &Broker, mut take: impl FnMut(Record)) -> Result<(), BrokerError> {
    let topic = &broker.topics().dead;
    let consumer = plain_consumer(broker)?;
    let (mut positions, mut ends) = (TopicPartitionList::new(), BTreeMap::new());
    for partition in partitions_of(&consumer, topic)? {
        let (beginning, end) = watermarks_of(&consumer, topic, partition)?;
        if beginning < end {
            positions.add_partition_offset(topic, partition, Offset::Offset(beginning))?;
            ends.insert(partition, end);
        }
    }
    consumer.assign(&positions)?;
    let mut heard = Instant::now();
    while !ends.is_empty() {
        if SILENCE_MAX < heard.elapsed() {
            return Err(BrokerError::Refused("the dead topic could not be read to its end"));
        }
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let (partition, next) = (message.partition(), message.offset() + 1);
                if let Some(end) = ends.get(&partition).copied().filter(|end| next <= *end) {
                    take(Record::copy(&message));
                    if end == next {
                        ends.remove(&partition);
                    }
                }
            }
            // The last places before the end may hold no record, only marks of transactions.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
            }
            _ => {}
        }
    }
    Ok(())
}
