//! A slow intake: partitions are paused and resumed, and nothing is lost or repeated.

use std::collections::{BTreeMap, BTreeSet};

use actiwapi_dispatcher::broker::{Producer, Record};
use actiwapi_dispatcher::domain::partition::PartitionNo;
use actiwapi_dispatcher::limits::{RECORD_BATCH_MAX, RECORD_BATCHES_MAX};

use super::support::{DEADLINE, Member, record, until, with_topics};

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

#[tokio::test]
async fn a_pause_loses_and_repeats_nothing() {
    assert!((RECORD_BATCHES_MAX + 1) * RECORD_BATCH_MAX < usize::from(RECORDS));
    with_topics(3, |_, broker| async move {
        let producer = Producer::start(&broker).unwrap();
        producer.send_all((0..RECORDS).map(|n| record(&broker, n % 3, n.to_string())).collect()).await.unwrap();
        let mut member = Member::join(&broker);
        until("the partitions are paused", || member.consumer.is_paused()).await;

        // A second one comes and goes meanwhile: what is assigned anew is paused too.
        let mut second = Member::join(&broker);
        second.until_assigned(1).await;
        second.consumer.stop().await;
        member.until_assigned(3).await;
        assert!(member.consumer.is_paused());

        let mut seen = Seen::default();
        // Some room is not enough to go on, or it would flutter.
        for _ in 0..2 {
            seen.note(member.records.recv().await.unwrap());
        }
        assert!(member.consumer.is_paused());
        while seen.n_distinct() < usize::from(RECORDS) {
            let batch = tokio::time::timeout(DEADLINE, member.records.recv()).await;
            seen.note(batch.unwrap_or_else(|_| panic!("nothing comes any more after {}", seen.describe())).unwrap());
        }
        assert!(!member.consumer.is_paused());
        // Only the partition that the second one had for a moment comes again, from where it was finished.
        assert!(2 <= seen.n_unrepeated(), "{}", seen.describe());
        member.consumer.stop().await;
    })
    .await;
}
