//! What the checks make of what they find.

use std::num::NonZeroU16;
use std::time::Duration;

use super::check::in_time;
use super::database::{judge_clock, judge_partitions};
use super::kafka::{Use, judge_group, judge_topic};
use super::*;
use crate::broker::{GroupSurvey, TopicSurvey};
use crate::config::{KafkaConfig, Sources};
use crate::domain::partition::PartitionNo;
use crate::store::partitions::PartitionRow;

fn kafka() -> KafkaConfig {
    let environment = [("KIND", "kafka"), ("BROKERS", "kafka1:9092"), ("PARTITIONS", "4")];
    let environment = environment.map(|(key, value)| (format!("DISPATCHER__QUEUE__{key}"), value.to_owned()));
    let sources = Sources { files: Vec::new(), environment: environment.to_vec() };
    Config::load(&sources).expect("good settings").queue.kafka.expect("kind is kafka")
}

fn topic() -> TopicSurvey {
    TopicSurvey {
        name: "t".into(),
        n_partitions: 4,
        replication: 3,
        n_without_leader: 0,
        n_record_bytes_max: Some(4_000_000),
    }
}

#[test]
fn clocks_may_be_a_little_apart() {
    let verdict = |ahead_us| judge_clock(ahead_us).verdict;
    assert_eq!([0, 249_999, -249_999].map(verdict), [Verdict::Ok; 3]);
    assert_eq!([250_000, -250_000, 1_999_999].map(verdict), [Verdict::Warn; 3]);
    assert_eq!([2_000_000, -2_000_000, i64::MAX].map(verdict), [Verdict::Fail; 3]);
}

#[test]
fn topics_are_judged_by_what_the_code_needs() {
    let kafka = kafka();
    let closed = KafkaConfig { create_topics: false, ..kafka.clone() };
    let more = KafkaConfig { partitions: NonZeroU16::MIN, ..kafka.clone() };
    let small = TopicSurvey { n_record_bytes_max: Some(1_000), ..topic() };
    let missing = TopicSurvey { n_partitions: 0, ..topic() };
    let verdict = |topic: &TopicSurvey, of, kafka: &KafkaConfig| judge_topic(topic, of, kafka, Some(2_000)).verdict;
    assert_eq!(verdict(&topic(), Use::Jobs, &kafka), Verdict::Ok);
    assert_eq!(verdict(&topic(), Use::Jobs, &more), Verdict::Fail);
    assert_eq!(verdict(&topic(), Use::Control, &more), Verdict::Ok);
    assert_eq!(verdict(&missing, Use::Jobs, &kafka), Verdict::Warn);
    assert_eq!(verdict(&missing, Use::Jobs, &closed), Verdict::Fail);
    assert_eq!(verdict(&small, Use::Jobs, &kafka), Verdict::Warn);
    assert_eq!(verdict(&small, Use::Dead, &kafka), Verdict::Fail);
    assert_eq!(verdict(&small, Use::Events, &kafka), Verdict::Ok);
    let unled = TopicSurvey { n_without_leader: 1, ..topic() };
    assert_eq!(verdict(&unled, Use::Events, &kafka), Verdict::Fail);
    let single = TopicSurvey { replication: 1, ..topic() };
    assert_eq!(verdict(&single, Use::Events, &kafka), Verdict::Warn);
}

#[test]
fn an_empty_group_is_worth_a_word() {
    let group = GroupSurvey { state: "Empty".into(), n_members: 0, lag: 7 };
    let check = judge_group(&group, "dispatcher");
    assert_eq!((check.verdict, check.detail.as_str()), (Verdict::Warn, "dispatcher: 0 member(s), 7 record(s) behind"));
    assert_eq!(judge_group(&GroupSurvey { n_members: 1, ..group }, "dispatcher").verdict, Verdict::Ok);
}

#[test]
fn unowned_partitions_are_named() {
    let row = |no, owner: Option<&str>, lease_left_ms| PartitionRow {
        partition: PartitionNo(no),
        fence: 1,
        owner_name: owner.map(str::to_owned),
        lease_left_ms,
        claimed_at_ms: 1,
        lag: None,
    };
    let rows = [
        row(0, Some("a"), 900),
        row(1, None, 900),
        row(2, Some("b"), -1),
        row(3, Some("a"), 900),
        row(9, Some("b"), 900),
    ];
    let check = judge_partitions(&rows, 4);
    assert_eq!(
        (check.verdict, check.detail.as_str()),
        (Verdict::Warn, "2 of 4 owned by nobody (1, 2); the others by a (2)")
    );
    assert_eq!(judge_partitions(&rows[..1], 1).detail, "1 owned by a (1)");
    assert!(judge_partitions(&[], 64).detail.starts_with("nobody owns"));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_fails() {
    let check = in_time("slow", "wait", async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Check::ok("slow", "")
    });
    assert_eq!(check.await.to_string(), "FAIL  slow                        no answer within 5 s -> wait");
}
