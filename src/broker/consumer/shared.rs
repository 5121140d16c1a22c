//! What the poll thread, its callbacks and the handle have in common.
//!
//! Callbacks run on the poll thread, inside `poll`; they take notes and return.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use serde::Deserialize;

use crate::broker::connection::{Connection, log};
use crate::domain::partition::PartitionNo;

/// Notes that cross threads.
#[derive(Debug, Default)]
pub(super) struct Shared {
    connection: Connection,
    is_stopping: AtomicBool,
    is_paused: AtomicBool,
    finished: Mutex<BTreeMap<PartitionNo, i64>>,
    lag: Mutex<Vec<(PartitionNo, i64)>>,
    n_assigned: AtomicUsize,
    rebalances: [AtomicU64; 2],
    thread: OnceLock<Thread>,
}

impl Shared {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn set_thread(&self, thread: Thread) {
        // Set once, by the only one who starts the thread.
        self.thread.set(thread).ok();
    }

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    pub(super) fn note_paused(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::Relaxed);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    pub(super) fn finish(&self, finished: &[(PartitionNo, i64)]) {
        locked(&self.finished).extend(finished.iter().copied());
    }

    pub(super) fn take_finished(&self) -> BTreeMap<PartitionNo, i64> {
        std::mem::take(&mut locked(&self.finished))
    }

    /// How many partitions are assigned.
    pub(super) fn n_assigned(&self) -> usize {
        self.n_assigned.load(Ordering::Relaxed)
    }

    /// How many rebalances gave partitions, and how many took some, since this was asked last.
    pub(super) fn take_rebalances(&self) -> [u64; 2] {
        self.rebalances.each_ref().map(|n| n.swap(0, Ordering::Relaxed))
    }

    pub(super) fn lag(&self) -> Vec<(PartitionNo, i64)> {
        locked(&self.lag).clone()
    }
}

/// What a rebalance left to do for the poll loop.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    /// What is assigned now.
    pub(super) partitions: BTreeSet<PartitionNo>,
    /// Whether the set is to be posted.
    pub(super) is_news: bool,
    /// Whether what is just being revoked was lost: the group has gone on without us.
    is_lost: bool,
    /// Whether pausing or not must be said again: new partitions do not follow the others.
    pub(super) has_new: bool,
}

/// The callbacks of the consumer.
#[derive(Debug)]
pub(super) struct Callbacks {
    pub(super) topic: String,
    pub(super) shared: Arc<Shared>,
    assignment: Mutex<Assignment>,
}

impl Callbacks {
    pub(super) fn new(topic: String, shared: Arc<Shared>) -> Self {
        Self { topic, shared, assignment: Mutex::default() }
    }

    pub(super) fn assignment(&self) -> MutexGuard<'_, Assignment> {
        locked(&self.assignment)
    }

    fn partitions_of(&self, list: &TopicPartitionList) -> BTreeSet<PartitionNo> {
        let elements = list.elements();
        let ours = elements.iter().filter(|element| element.topic() == self.topic);
        ours.filter_map(|element| u16::try_from(element.partition()).ok().map(PartitionNo)).collect()
    }

    /// Gives the client the offsets that are finished, to be committed by it.
    pub(super) fn store_finished(&self, consumer: &BaseConsumer<Self>) {
        let finished = self.shared.take_finished();
        if finished.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(finished.len());
        for (partition, offset) in finished {
            let next = Offset::Offset(offset.saturating_add(1));
            if let Err(error) = list.add_partition_offset(&self.topic, i32::from(partition.0), next) {
                tracing::warn!(%error, partition.no = %partition, "an offset can not be stored");
            }
        }
        // Partitions that are no longer ours are refused one by one; the others are stored all the same.
        if let Err(error) = consumer.store_offsets(&list) {
            tracing::debug!(%error, "offsets of partitions that are no longer ours were left out");
        }
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(_) = rebalance {
            // The client commits what is stored before it gives the partitions back.
            self.store_finished(consumer);
            // Only known now: giving the partitions back clears the mark.
            self.assignment().is_lost = consumer.assignment_lost();
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut assignment = self.assignment();
        match rebalance {
            Rebalance::Assign(list) => {
                let added = self.partitions_of(list);
                tracing::info!(n_partitions = added.len(), "partitions assigned");
                assignment.partitions.extend(added);
                assignment.is_news = true;
                assignment.has_new = true;
                self.shared.rebalances[0].fetch_add(1, Ordering::Relaxed);
                self.shared.connection.note(true);
            }
            Rebalance::Revoke(list) => {
                let revoked = self.partitions_of(list);
                let is_lost = std::mem::take(&mut assignment.is_lost);
                tracing::info!(n_partitions = revoked.len(), is_lost, "partitions revoked");
                assignment.partitions.retain(|partition| !revoked.contains(partition));
                // A lost assignment says nothing about ownership: the lease in the database goes on.
                assignment.is_news |= !is_lost;
                self.shared.rebalances[1].fetch_add(1, Ordering::Relaxed);
            }
            Rebalance::Error(error) => tracing::warn!(%error, "a rebalance failed"),
        }
        self.shared.n_assigned.store(assignment.partitions.len(), Ordering::Relaxed);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "offsets were not committed");
        }
    }
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.shared.connection.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice::<Figures>(statistics) {
            Ok(figures) => {
                self.shared.connection.note(figures.is_any_broker_up());
                let lag = figures.lag_of(&self.topic, &self.assignment().partitions);
                *locked(&self.shared.lag) = lag;
            }
            Err(error) => tracing::warn!(%error, "the client's own figures can not be read"),
        }
    }
}

/// The few of the client's own figures that are of use; the document is long, and most of it is skipped.
#[derive(Debug, Deserialize)]
struct Figures {
    #[serde(default)]
    brokers: HashMap<String, BrokerFigures>,
    #[serde(default)]
    topics: HashMap<String, TopicFigures>,
}

#[derive(Debug, Deserialize)]
struct BrokerFigures {
    state: String,
}

#[derive(Debug, Deserialize)]
struct TopicFigures {
    partitions: HashMap<String, PartitionFigures>,
}

/// Offsets; -1 and below mean "not known".
#[derive(Debug, Deserialize)]
struct PartitionFigures {
    stored_offset: i64,
    committed_offset: i64,
    lo_offset: i64,
    ls_offset: i64,
}

impl Figures {
    fn is_any_broker_up(&self) -> bool {
        self.brokers.values().any(|broker| broker.state == "UP")
    }

    fn lag_of(&self, topic: &str, assigned: &BTreeSet<PartitionNo>) -> Vec<(PartitionNo, i64)> {
        let Some(topic) = self.topics.get(topic) else { return Vec::new() };
        let lag = |partition: &PartitionNo| {
            let figures = topic.partitions.get(&partition.to_string())?;
            let next = [figures.stored_offset, figures.committed_offset, figures.lo_offset];
            let next = next.into_iter().find(|offset| 0 <= *offset)?;
            (0 <= figures.ls_offset).then(|| (*partition, (figures.ls_offset - next).max(0)))
        };
        assigned.iter().filter_map(lag).collect()
    }
}

/// Locks what no code path can leave half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_is_not_finished() {
        let text = r#"{"name":"x","brokers":{"a":{"state":"DOWN","x":1},"b":{"state":"UP"}},"topics":{"jobs":{"partitions":{
            "0":{"stored_offset":7,"committed_offset":5,"lo_offset":0,"hi_offset":11,"ls_offset":10},
            "1":{"stored_offset":-1001,"committed_offset":5,"lo_offset":0,"hi_offset":9,"ls_offset":9},
            "2":{"stored_offset":-1001,"committed_offset":-1001,"lo_offset":2,"hi_offset":9,"ls_offset":9},
            "3":{"stored_offset":-1001,"committed_offset":-1001,"lo_offset":-1001,"hi_offset":-1001,"ls_offset":-1001},
            "4":{"stored_offset":1,"committed_offset":1,"lo_offset":0,"hi_offset":9,"ls_offset":9},
            "-1":{"stored_offset":-1001,"committed_offset":-1001,"lo_offset":-1001,"hi_offset":-1001,"ls_offset":-1001}}}}}"#;
        let figures: Figures = serde_json::from_str(text).expect("figures");
        let assigned = (0..4).map(PartitionNo).collect();
        let expected: Vec<_> = [(0, 3), (1, 4), (2, 7)].map(|(no, lag)| (PartitionNo(no), lag)).to_vec();
        assert_eq!(figures.lag_of("jobs", &assigned), expected);
        assert!(figures.is_any_broker_up());
    }
}
