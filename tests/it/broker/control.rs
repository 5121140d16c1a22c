//! Control messages reach every reader from its start on.

use actiwapi_dispatcher::domain::zone::Band;
use std::time::Duration;

use actiwapi_dispatcher::broker::{ControlReader, Outgoing, Producer, publish};
use actiwapi_dispatcher::domain::control::ControlMessage;
use actiwapi_dispatcher::domain::id::{CampaignId, SessionId};
use actiwapi_dispatcher::domain::job::TrafficClass;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::support::{DEADLINE, with_topics};

fn messages() -> Vec<ControlMessage> {
    let (session_id, campaign_id) = (SessionId::generate(), CampaignId::generate());
    let traffic_class = TrafficClass::Bulk;
    vec![
        ControlMessage::CampaignChanged { campaign_id },
        ControlMessage::SessionChanged { session_id },
        ControlMessage::WorkAdmitted {
            session_id,
            campaign_id,
            band: Band(2),
            zone: None,
            traffic_class,
            done_below_seq: 7,
        },
        ControlMessage::OutboxWritten {},
    ]
}

#[tokio::test]
async fn a_reader_sees_what_is_published_after_its_start() {
    with_topics(1, |_, broker| async move {
        let producer = Producer::start(&broker).unwrap();
        publish(&broker, &producer, &[ControlMessage::OutboxWritten {}]).await.unwrap();
        // One place only: the reader waits while nobody reads.
        let (to_first, mut first) = mpsc::channel(1);
        let (to_second, mut second) = mpsc::channel(64);
        let _first_reader = ControlReader::start(&broker, to_first).await.unwrap();
        let _second_reader = ControlReader::start(&broker, to_second).await.unwrap();
        let messages = messages();
        let poison = Outgoing {
            topic: broker.topics().control.clone(),
            partition: None,
            key: None,
            payload: Some(Bytes::from_static(b"\xff")),
            headers: Vec::new(),
        };
        producer.send_all(vec![poison]).await.unwrap();
        publish(&broker, &producer, &messages).await.unwrap();
        for inbox in [&mut first, &mut second] {
            for message in &messages {
                let read = tokio::time::timeout(DEADLINE, inbox.recv()).await.expect("a message in time");
                assert_eq!(read.as_ref(), Some(message));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_ends_when_it_is_dropped() {
    with_topics(1, |_, broker| async move {
        let (to_inbox, mut inbox) = mpsc::channel(1);
        drop(ControlReader::start(&broker, to_inbox).await.unwrap());
        let end = tokio::time::timeout(Duration::from_secs(10), inbox.recv()).await;
        assert_eq!(end.expect("the thread ends"), None);
    })
    .await;
}
