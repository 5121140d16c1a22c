//! Topics are created as the settings say, and a cluster that is otherwise is refused with a sentence.

use std::num::NonZeroU16;

use actiwapi_dispatcher::broker::{Broker, TopicProblem};
use actiwapi_dispatcher::config::KafkaConfig;
use rdkafka::admin::{AdminOptions, ResourceSpecifier};

use super::support::{admin, config, with_topics};

async fn refusal_of(config: KafkaConfig) -> String {
    match Broker::new(config).unwrap().prepare_topics().await {
        Err(TopicProblem::Refused(sentence)) => sentence,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    with_topics(3, |config, broker| async move {
        // A second start finds everything there.
        broker.prepare_topics().await.unwrap();
        let jobs = config.topics.jobs.clone();
        let refusal = refusal_of(KafkaConfig { partitions: NonZeroU16::new(64).unwrap(), ..config }).await;
        assert_eq!(
            refusal,
            format!(
                "The topic {jobs} has 3 partitions and queue.partitions is 64: set queue.partitions = 3 (while nothing is \
                 under way, since sessions are divided by it), or name another topic in queue.jobs_topic."
            )
        );
    })
    .await;
}

#[tokio::test]
async fn a_missing_topic_is_refused_when_none_may_be_created() {
    let config = KafkaConfig { create_topics: false, ..config(3) };
    let jobs = config.topics.jobs.clone();
    let refusal = refusal_of(config).await;
    assert_eq!(
        refusal,
        format!(
            "The topic {jobs} is missing and queue.create_topics is false: create it with 3 partition(s), set \
             queue.create_topics = true, or name another one in queue.jobs_topic."
        )
    );
}

#[tokio::test]
async fn more_copies_than_brokers_are_refused() {
    let config = KafkaConfig { replication: NonZeroU16::new(7).unwrap(), ..config(1) };
    let refusal = refusal_of(config).await;
    assert!(refusal.contains("can not be created") && refusal.contains("queue.replication"), "{refusal}");
}

#[tokio::test]
async fn a_broker_that_is_away_is_no_refusal() {
    // Nobody listens on the discard port.
    let config = KafkaConfig { brokers: vec!["127.0.0.1:9".into()], ..config(1) };
    let answer = Broker::new(config).unwrap().prepare_topics().await;
    assert!(matches!(answer, Err(TopicProblem::Unreachable(_))), "{answer:?}");
}

#[tokio::test]
async fn the_dead_topic_takes_more_than_the_job_topic() {
    with_topics(2, |config, _| async move {
        let of = |name| ResourceSpecifier::Topic(name);
        let topics = [of(&config.topics.jobs), of(&config.topics.dead), of(&config.topics.control)];
        let answers = admin().describe_configs(&topics, &AdminOptions::new()).await.unwrap();
        let setting = |place: usize, name: &str| -> i64 {
            let topic = answers[place].as_ref().unwrap();
            topic.get(name).unwrap().value.as_ref().unwrap().parse().unwrap()
        };
        assert!(2 * 1024 * 1024 < setting(1, "max.message.bytes"));
        assert!(setting(0, "max.message.bytes") < setting(1, "max.message.bytes"));
        assert_eq!(setting(2, "retention.ms"), 3_600_000);
    })
    .await;
}
