//! Several members of one group: who is assigned what, and who is sent away.

use std::collections::BTreeSet;
use std::time::Duration;

use actiwapi_dispatcher::broker::{Broker, Membership, Producer};
use actiwapi_dispatcher::config::KafkaConfig;
use actiwapi_dispatcher::domain::partition::PartitionNo;

use super::support::{Member, config, record, with_topics};

fn all(n_partitions: u16) -> BTreeSet<PartitionNo> {
    (0..n_partitions).map(PartitionNo).collect()
}

#[tokio::test]
async fn members_share_the_partitions_and_take_over() {
    with_topics(8, |_, broker| async move {
        let mut first = Member::join(&broker);
        first.until_assigned(8).await;
        assert_eq!(first.assigned, all(8));

        let mut second = Member::join(&broker);
        second.until_assigned(4).await;
        first.until_assigned(4).await;
        let shared: BTreeSet<_> = first.assigned.union(&second.assigned).copied().collect();
        assert_eq!(shared, all(8), "together they have all, so each has what the other has not");

        // Each reads what is in its own partitions, and nothing else.
        let producer = Producer::start(&broker).unwrap();
        producer.send_all((0..80).map(|n: u16| record(&broker, n % 8, n.to_string())).collect()).await.unwrap();
        for member in [&mut first, &mut second] {
            let seen: BTreeSet<_> = member.read(40).await.into_iter().map(|record| record.partition).collect();
            assert_eq!(seen, member.assigned);
        }

        let gone = second.assigned.clone();
        let last_finished: Vec<_> = gone.iter().map(|partition| (*partition, 9)).collect();
        second.consumer.store_offsets(&last_finished);
        second.consumer.stop().await;
        first.until_assigned(8).await;
        producer.send_all((0..8).map(|n: u16| record(&broker, n, "late")).collect()).await.unwrap();
        // What was finished by the one who left is not read again.
        for record in first.read(8).await {
            assert_eq!(record.payload.as_deref(), Some(b"late".as_slice()));
        }
        first.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_member_with_a_name_comes_back_unnoticed() {
    with_topics(4, |config, _| async move {
        let mut first = Member::join_as(&config, "node-1");
        first.until_assigned(4).await;
        let mut second = Member::join_as(&config, "node-2");
        second.until_assigned(2).await;
        first.until_assigned(2).await;

        second.consumer.stop().await;
        let mut again = Member::join_as(&config, "node-2");
        again.until_assigned(2).await;
        assert_eq!(again.assigned, second.assigned);
        // The group may meet meanwhile, but no partition moves.
        while let Ok(news) = first.membership.try_recv() {
            assert_eq!(news, Membership::Assigned(first.assigned.clone()));
        }
        again.consumer.stop().await;
        first.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn of_two_with_one_name_the_older_must_go() {
    with_topics(2, |config, _| async move {
        let mut older = Member::join_as(&config, "node-1");
        older.until_assigned(2).await;
        let mut younger = Member::join_as(&config, "node-1");
        let fatal = loop {
            match older.next_membership().await {
                Membership::Fatal(reason) => break reason,
                Membership::Assigned(_) => {}
            }
        };
        assert!(fatal.to_lowercase().contains("fenced"), "{fatal}");
        assert!(older.membership.recv().await.is_none(), "nothing comes after it");
        younger.until_assigned(2).await;
        older.consumer.stop().await;
        younger.consumer.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_member_without_a_broker_knows_it_and_can_be_stopped() {
    // Nobody listens on the discard port.
    let nowhere = KafkaConfig { brokers: vec!["127.0.0.1:9".into()], ..config(1) };
    let mut member = Member::join(&Broker::new(nowhere).unwrap());
    assert!(!member.consumer.is_connected());
    let started = tokio::time::Instant::now();
    member.consumer.stop().await;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(member.membership.recv().await, None);
}
