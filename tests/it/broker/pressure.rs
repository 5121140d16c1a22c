//! A slow intake: partitions are paused and resumed, and nothing is lost or repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use actiwapi_dispatcher::broker::{Broker, Producer, Record};
use actiwapi_dispatcher::domain::partition::PartitionNo;
use actiwapi_dispatcher::limits::{RECORD_BATCH_MAX, RECORD_BATCHES_MAX};

use super::support::{DEADLINE, Member, record, with_topics};
use crate::support::wait::until_so;

/// More than the queue and the batch in hand take.
const RECORDS: u16 = 9_000;

/// Offsets by partition, as they came.
#[derive(Default)]
struct Seen(BTreeMap<PartitionNo, Vec<i64>>);

impl Seen {
    fn note(&mut self, records: Vec<Record>) {
        for record in records {
            self.0.entry(record.partition).or_default().push(record.offset);
        }
    }

    fn n_distinct(&self) -> usize {
        self.0.values().map(|offsets| offsets.iter().collect::<BTreeSet<_>>().len()).sum()
    }

    /// Returns how many partitions came once and in order.
    fn n_unrepeated(&self) -> usize {
        self.0.values().filter(|offsets| offsets.is_sorted_by(|a, b| a < b)).count()
    }

    fn describe(&self) -> String {
        let line =
            |(no, offsets): (&PartitionNo, &Vec<i64>)| format!("{no}: {} up to {:?}", offsets.len(), offsets.last());
        self.0.iter().map(line).collect::<Vec<_>>().join(", ")
    }
}

/// Reads until the partitions are resumed.
async fn read_until_resumed(member: &mut Member, seen: &mut Seen) {
    while member.consumer.is_paused() {
        // What waits may be too little to fill the time until the poll thread notices the room.
        match tokio::time::timeout(Duration::from_millis(10), member.records.recv()).await {
            Ok(batch) => seen.note(batch.unwrap()),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Reads until every record came, and makes sure that at most one partition came more than once.
async fn read_all(member: &mut Member, mut seen: Seen) {
    while seen.n_distinct() < usize::from(RECORDS) {
        let batch = tokio::time::timeout(DEADLINE, member.records.recv()).await;
        seen.note(batch.unwrap_or_else(|_| panic!("nothing comes any more after {}", seen.describe())).unwrap());
    }
    assert!(!member.consumer.is_paused());
    assert!(2 <= seen.n_unrepeated(), "{}", seen.describe());
}

/// Joins with more to read than fits, so that its partitions are paused.
async fn join_under_pressure(broker: &Broker) -> Member {
    assert!((RECORD_BATCHES_MAX + 1) * RECORD_BATCH_MAX < usize::from(RECORDS));
    let producer = Producer::start(broker).unwrap();
    producer.send_all((0..RECORDS).map(|n| record(broker, n % 3, n.to_string())).collect()).await.unwrap();
    let mut member = Member::join(broker);
    member.until_assigned(3).await;
    until_so("the partitions are paused", async || member.consumer.is_paused()).await;
    member
}

#[tokio::test]
async fn a_pause_loses_and_repeats_nothing() {
    with_topics(3, |_, broker| async move {
        let mut member = join_under_pressure(&broker).await;
        let mut seen = Seen::default();
        // Some room is not enough to go on, or it would flutter.
        for _ in 0..2 {
            seen.note(member.records.recv().await.unwrap());
        }
        assert!(member.consumer.is_paused());
        read_until_resumed(&mut member, &mut seen).await;
        while seen.n_distinct() < usize::from(RECORDS) {
            seen.note(member.read_batch().await);
        }
        assert_eq!(seen.n_unrepeated(), 3, "{}", seen.describe());
        member.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_partition_that_comes_back_during_a_pause_is_paused_and_resumed() {
    with_topics(3, |_, broker| async move {
        let mut member = join_under_pressure(&broker).await;
        let mut second = Member::join(&broker);
        second.until_assigned(1).await;
        member.until_assigned(2).await;
        second.consumer.stop().await;
        member.until_assigned(3).await;
        assert!(member.consumer.is_paused());
        read_all(&mut member, Seen::default()).await;
        member.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_partition_that_comes_back_after_a_pause_is_not_paused() {
    with_topics(3, |_, broker| async move {
        let mut member = join_under_pressure(&broker).await;
        let mut second = Member::join(&broker);
        second.until_assigned(1).await;
        member.until_assigned(2).await;
        let mut seen = Seen::default();
        read_until_resumed(&mut member, &mut seen).await;
        second.consumer.stop().await;
        read_all(&mut member, seen).await;
        member.consumer.stop().await;
    })
    .await;
}
