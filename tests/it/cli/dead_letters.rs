//! Dead letters by `dead-letters` against a real dead topic: listed, shown, replayed.

use actiwapi_dispatcher::broker::{Broker, DeadLetters, NewDeadLetter, Producer, Record};
use actiwapi_dispatcher::domain::dead_letter::DeadCause;
use actiwapi_dispatcher::domain::partition::PartitionNo;
use actiwapi_dispatcher::limits::DEAD_PAYLOAD_BYTES_MAX;
use bytes::Bytes;
use serde_json::Value;
use time::macros::datetime;

use super::kafka::{environment, exited, run};
use super::stderr_of;
use crate::broker::support::{Member, with_topics};

async fn keep(broker: &Broker, letters: &[(DeadCause, Bytes)]) {
    let dead_letters = DeadLetters::new(broker.clone(), Producer::start(broker).unwrap());
    for (cause, payload) in letters {
        let record = Record {
            partition: PartitionNo(3),
            offset: 17,
            timestamp_ms: None,
            key: Some("key".into()),
            payload: Some(payload.clone()),
            headers: vec![("traceparent".into(), Some("00-1".into()))],
        };
        let at = datetime!(2026-11-23 09:00:00 UTC);
        let letter = NewDeadLetter { record: &record, cause: *cause, detail: "expected value", at };
        dead_letters.keep(&[letter]).await.unwrap();
    }
}

#[tokio::test]
async fn letters_are_listed_shown_and_replayed() {
    with_topics(8, |config, broker| async move {
        let (folder, environment) = (tempfile::tempdir().unwrap(), environment(&config));
        let run = async |arguments: &[&str]| {
            run(folder.path(), &[&["dead-letters"], arguments].concat(), &environment, None).await
        };
        let list = async |arguments: &[&str]| {
            let text = exited(&run(&[&["list", "--json"], arguments].concat()).await, 0);
            let letters: Vec<Value> = serde_json::from_str(&text).unwrap();
            letters.into_iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(list(&[]).await, [""; 0]);
        let (poison, bytes) = (Bytes::from("poison ü"), Bytes::from_static(b"\xff\x00"));
        let huge = Bytes::from(vec![b'x'; DEAD_PAYLOAD_BYTES_MAX + 1]);
        let letters = [
            (DeadCause::Unreadable, poison.clone()),
            (DeadCause::ForeignTenant, bytes.clone()),
            (DeadCause::OverSize, huge),
            (DeadCause::ForeignTenant, poison.clone()),
        ];
        keep(&broker, &letters).await;

        assert_eq!(list(&[]).await, ["0:0", "0:1", "0:2", "0:3"]);
        assert_eq!(list(&["--cause", "foreign_tenant"]).await, ["0:1", "0:3"]);
        let text = exited(&run(&["list"]).await, 0);
        let row = text.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>();
        let source = format!("{}/3/17", config.topics.jobs);
        assert_eq!(row, ["0:0", "2026-11-23T09:00:00Z", "UNREADABLE", &source, "9", "no"]);

        let output = run(&["show", "0:0"]).await;
        let text = exited(&output, 0);
        for part in ["expected value", "traceparent: 00-1", "key       key", "\npoison ü\n", &source] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(stderr_of(&output).contains("personal data"));
        assert_eq!(run(&["show", "0:1", "--raw"]).await.stdout, bytes);
        let output = run(&["show", "0:9"]).await;
        exited(&output, 1);
        assert!(stderr_of(&output).contains("no dead letter 0:9"), "{}", stderr_of(&output));

        let text = exited(&run(&["replay", "0:0", "0:9"]).await, 1);
        assert!(text.starts_with("0:0  9 bytes to ") && text.lines().count() == 1, "{text}");
        let text = exited(&run(&["replay", "--all", "--cause", "FOREIGN_TENANT"]).await, 0);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert_eq!(list(&[]).await, ["0:2"]);
        assert_eq!(list(&["--all"]).await.len(), 4);
        let text = exited(&run(&["replay", "--all"]).await, 1);
        assert!(text.contains("0:2  not replayed"), "{text}");

        let mut member = Member::join(&broker);
        let mut replayed: Vec<_> = member.read(3).await.into_iter().map(|record| record.payload.unwrap()).collect();
        replayed.sort_unstable();
        assert_eq!(replayed, [poison.clone(), poison, bytes]);
        member.consumer.stop().await;
    })
    .await;
}
