//! Records go through whole: any bytes, any compression, in order, from where the group was.

use std::collections::BTreeMap;

use actiwapi_dispatcher::broker::{BrokerError, Outgoing, Producer, Record};
use actiwapi_dispatcher::domain::partition::PartitionNo;
use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::support::{DEADLINE, Member, record, servers, with_topics};
use crate::support::wait::until_so;

fn same(record: &Record, outgoing: &Outgoing) -> bool {
    record.key == outgoing.key && record.payload == outgoing.payload && record.headers == outgoing.headers
}

#[tokio::test]
async fn keys_values_and_headers_come_as_they_were() {
    with_topics(3, |_, broker| async move {
        let header = |name: &str, value: Option<&'static [u8]>| (name.to_owned(), value.map(Bytes::from_static));
        let plain = record(&broker, 1, "plain");
        let written = vec![
            Outgoing { key: Some(Bytes::from_static(b"\xff\x00key")), ..plain.clone() },
            Outgoing { payload: None, ..plain.clone() },
            Outgoing { payload: Some(Bytes::new()), key: Some(Bytes::new()), ..plain.clone() },
            Outgoing {
                payload: Some(Bytes::from_static(b"\x00\xc3\x28")),
                headers: vec![
                    header("traceparent", Some(b"00-1")),
                    header("", Some(b"\xff")),
                    header("again", None),
                    header("again", Some(b"")),
                ],
                ..plain.clone()
            },
            Outgoing { payload: Some(Bytes::from(vec![b'x'; 1_000_000])), ..plain },
        ];
        let producer = Producer::start(&broker).unwrap();
        producer.send_all(written.clone()).await.unwrap();
        let mut member = Member::join(&broker);
        let read = member.read(written.len()).await;
        for (place, (record, outgoing)) in read.iter().zip(&written).enumerate() {
            assert!(same(record, outgoing), "record {place}");
            assert_eq!((record.partition, record.offset), (PartitionNo(1), i64::try_from(place).unwrap()));
            assert!(record.timestamp_ms.is_some());
        }
        member.consumer.stop().await;
        producer.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_record_that_is_too_large_is_said_to_be() {
    with_topics(1, |_, broker| async move {
        let producer = Producer::start(&broker).unwrap();
        // Bytes that do not compress, more than the topic takes.
        let noise: Vec<u8> = (0..400_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let answer = producer.send_all(vec![record(&broker, 0, noise)]).await;
        assert!(matches!(answer, Err(BrokerError::TooLarge)), "{answer:?}");
        producer.send_all(vec![record(&broker, 0, "small")]).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn every_compression_is_read() {
    with_topics(1, |_, broker| async move {
        let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
        for codec in codecs {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", servers().join(",")).set("compression.type", codec).set("linger.ms", "50");
            let foreign: FutureProducer = config.create().unwrap();
            let payload = format!("{codec} {}", "x".repeat(1_000));
            let sends = (0..20)
                .map(|_| foreign.send(FutureRecord::<(), _>::to(&broker.topics().jobs).payload(&payload), DEADLINE));
            for sent in futures::future::join_all(sends).await {
                sent.unwrap();
            }
        }
        let mut member = Member::join(&broker);
        for record in member.read(codecs.len() * 20).await {
            let payload = record.payload.unwrap();
            assert!(
                codecs
                    .iter()
                    .any(|codec| payload.starts_with(codec.as_bytes()) && payload.len() == codec.len() + 1_001)
            );
        }
        member.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn reading_goes_on_behind_what_was_finished() {
    with_topics(2, |_, broker| async move {
        let producer = Producer::start(&broker).unwrap();
        let numbered = |n: u16| record(&broker, n % 2, n.to_string());
        producer.send_all((0..100).map(numbered).collect()).await.unwrap();
        let mut first = Member::join(&broker);
        assert_eq!(first.read(100).await.len(), 100);
        // 20 of one partition are finished, none of the other.
        first.consumer.store_offsets(&[(PartitionNo(0), 9)]);
        first.consumer.store_offsets(&[(PartitionNo(0), 19)]);
        // Of a partition that is not ours nothing is stored, and the others are all the same.
        first.consumer.store_offsets(&[(PartitionNo(77), 5)]);
        first.consumer.stop().await;

        let mut second = Member::join(&broker);
        let mut by_partition: BTreeMap<PartitionNo, Vec<i64>> = BTreeMap::new();
        for record in second.read(80).await {
            by_partition.entry(record.partition).or_default().push(record.offset);
        }
        assert_eq!(by_partition[&PartitionNo(0)], (20..50).collect::<Vec<_>>());
        assert_eq!(by_partition[&PartitionNo(1)], (0..50).collect::<Vec<_>>());
        second.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn lag_and_connection_are_known() {
    with_topics(2, |_, broker| async move {
        let producer = Producer::start(&broker).unwrap();
        producer.send_all((0..10).map(|n: u16| record(&broker, n % 2, "x")).collect()).await.unwrap();
        let mut member = Member::join(&broker);
        member.until_assigned(2).await;
        assert!(member.consumer.is_connected());
        member.read(10).await;
        let lag = |no: u16, lag: i64| (PartitionNo(no), lag);
        until_so("nothing is finished", async || member.consumer.lag() == [lag(0, 5), lag(1, 5)]).await;
        member.consumer.store_offsets(&[(PartitionNo(0), 4), (PartitionNo(1), 1)]);
        until_so("some is finished", async || member.consumer.lag() == [lag(0, 0), lag(1, 3)]).await;
        member.consumer.stop().await;
    })
    .await;
}
