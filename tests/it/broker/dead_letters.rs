//! Dead letters: kept whole, listed, found, replayed once and shown as such.

use actiwapi_dispatcher::broker::{Broker, BrokerError, DeadLetters, NewDeadLetter, Producer, Record};
use actiwapi_dispatcher::domain::dead_letter::DeadCause;
use actiwapi_dispatcher::domain::id::SessionId;
use actiwapi_dispatcher::domain::partition::PartitionNo;
use bytes::Bytes;
use time::OffsetDateTime;
use time::macros::datetime;

use super::support::{Member, with_topics};

const AT: OffsetDateTime = datetime!(2026-11-23 09:00:00.25 UTC);

fn open(broker: &Broker) -> DeadLetters {
    DeadLetters::new(broker.clone(), Producer::start(broker).unwrap())
}

fn record(partition: u16, payload: impl Into<Bytes>) -> Record {
    let header = |name: &str, value: &'static str| (name.to_owned(), Some(Bytes::from_static(value.as_bytes())));
    Record {
        partition: PartitionNo(partition),
        offset: 4_711,
        timestamp_ms: Some(1),
        key: Some(Bytes::from_static(b"\xffkey")),
        payload: Some(payload.into()),
        // One of a name of ours, which must not be taken for ours.
        headers: vec![header("traceparent", "00-1"), header("dispatcher-cause", "mine"), ("none".into(), None)],
    }
}

fn letter(record: &Record, cause: DeadCause) -> NewDeadLetter<'_> {
    NewDeadLetter { record, cause, detail: "expected value at line 1", at: AT }
}

#[tokio::test]
async fn a_letter_is_kept_whole() {
    with_topics(8, |config, broker| async move {
        let dead_letters = open(&broker);
        assert_eq!(dead_letters.list().await.unwrap(), []);
        let (poison, empty) =
            (record(5, "\u{0}poison"), Record { payload: None, key: None, headers: vec![], ..record(6, "") });
        let letters = [letter(&poison, DeadCause::Unreadable), letter(&empty, DeadCause::OverSize)];
        dead_letters.keep(&letters).await.unwrap();

        let listed = dead_letters.list().await.unwrap();
        assert_eq!(listed.iter().map(|letter| letter.id.as_str()).collect::<Vec<_>>(), ["0:0", "0:1"]);
        assert_eq!(
            listed.iter().map(|letter| letter.cause).collect::<Vec<_>>(),
            [DeadCause::Unreadable, DeadCause::OverSize]
        );
        assert!(listed.iter().all(|letter| letter.payload.is_none() && !letter.replayed && !letter.is_truncated));

        let found = dead_letters.find("0:0").await.unwrap().unwrap();
        assert_eq!((found.key, found.payload, found.headers), (poison.key, poison.payload, poison.headers));
        assert_eq!((found.detail.as_str(), found.at), ("expected value at line 1", AT));
        assert_eq!(
            (found.source_topic, found.source_partition, found.source_offset),
            (config.topics.jobs, PartitionNo(5), 4_711)
        );
        assert_eq!(found.n_payload_bytes, 7);
        let found = dead_letters.find("0:1").await.unwrap().unwrap();
        assert_eq!((found.key, found.payload, found.headers), (None, None, vec![]));
        assert_eq!(dead_letters.find("0:2").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_replay_comes_once_more_and_is_remembered() {
    with_topics(8, |_, broker| async move {
        let dead_letters = open(&broker);
        let session_id = SessionId::generate();
        let job = format!(
            r#"{{"v":1,"jobId":"{session_id}","tenantId":"{session_id}","sessionId":"{session_id}","message":{{"type":"text","text":"a"}},
                "deliveries":[{{"id":"{session_id}","to":"919876543210"}}]}}"#
        );
        let (poison, good) = (record(5, "poison"), record(5, job.clone()));
        let letters = [letter(&poison, DeadCause::Unreadable), letter(&good, DeadCause::UnknownSession)];
        dead_letters.keep(&letters).await.unwrap();
        assert_eq!(dead_letters.replay("0:0").await.unwrap().unwrap().payload, poison.payload);
        assert!(dead_letters.replay("0:1").await.unwrap().is_some());
        assert_eq!(dead_letters.replay("0:9").await.unwrap(), None);

        let mut member = Member::join(&broker);
        let mut replayed = member.read(2).await;
        replayed.sort_by_key(|record| record.payload.as_ref().map(Bytes::len));
        // What can not be read goes where it was; a job goes where its session belongs.
        assert_eq!((replayed[0].partition, &replayed[0].key), (PartitionNo(5), &poison.key));
        assert_eq!(replayed[1].partition, PartitionNo::of(session_id, broker.partitions()));
        assert_eq!(replayed[1].key.as_deref(), Some(session_id.to_string().as_bytes()));
        for (place, record) in replayed.iter().enumerate() {
            let (of, theirs) = record.headers.split_last().unwrap();
            assert_eq!(theirs, poison.headers);
            assert_eq!(*of, ("dispatcher-replay-of".into(), Some(Bytes::from(format!("0:{place}")))));
        }
        let listed = dead_letters.list().await.unwrap();
        assert_eq!(listed.iter().map(|letter| (letter.id.as_str(), letter.replayed)).collect::<Vec<_>>(), [("0:0", true), ("0:1", true)]);
        member.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_is_cut_and_says_so() {
    with_topics(1, |_, broker| async move {
        let dead_letters = open(&broker);
        let noise: Vec<u8> = (0..750_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let (huge, wordy) = (record(0, noise.clone()), {
            let mut wordy = record(0, "small");
            wordy.headers.push(("long".into(), Some(Bytes::from(noise[..300_000].to_vec()))));
            wordy
        });
        dead_letters.keep(&[letter(&huge, DeadCause::OverSize), letter(&wordy, DeadCause::OverSize)]).await.unwrap();
        let found = dead_letters.find("0:0").await.unwrap().unwrap();
        assert!(found.is_truncated);
        assert_eq!(found.n_payload_bytes, 3_000_000);
        assert_eq!(found.payload.as_deref(), Some(&noise[..2 * 1024 * 1024]));
        let found = dead_letters.find("0:1").await.unwrap().unwrap();
        assert!(found.is_truncated);
        assert_eq!(found.headers, record(0, "").headers);
        let answer = dead_letters.replay("0:0").await;
        assert!(matches!(answer, Err(BrokerError::Refused(_))), "{answer:?}");
    })
    .await;
}
