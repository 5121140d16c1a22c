//! A slow intake: partitions are paused and resumed, and nothing is lost or repeated.

use std::collections::BTreeMap;

use actiwapi_dispatcher::broker::{Producer, Record};
use actiwapi_dispatcher::domain::partition::PartitionNo;
use actiwapi_dispatcher::limits::{RECORD_BATCH_MAX, RECORD_BATCHES_MAX};

use super::support::{Member, record, until, with_topics};

/// More than the queue and the batch in hand take.
const RECORDS: u16 = 9_000;

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

        let mut seen: BTreeMap<PartitionNo, Vec<i64>> = BTreeMap::new();
        let mut note = |records: Vec<Record>| {
            for record in records {
                seen.entry(record.partition).or_default().push(record.offset);
            }
        };
        // Some room is not enough to go on, or it would flutter.
        for _ in 0..2 {
            note(member.records.recv().await.unwrap());
        }
        assert!(member.consumer.is_paused());
        let mut n_records = 2 * RECORD_BATCH_MAX;
        while n_records < usize::from(RECORDS) {
            let batch = tokio::time::timeout(super::support::DEADLINE, member.records.recv()).await;
            let batch = batch.expect("records in time").unwrap();
            n_records += batch.len();
            note(batch);
        }
        assert!(!member.consumer.is_paused());
        for (partition, offsets) in seen {
            let mut distinct = offsets.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct, (0..i64::from(RECORDS / 3)).collect::<Vec<_>>(), "partition {partition}");
        }
        member.consumer.stop().await;
    })
    .await;
}
