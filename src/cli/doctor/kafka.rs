//! Checks of the broker: reachable, the five topics as the settings and the code need them, the consumer group.

use super::check::{Check, in_time};
use crate::broker::{Broker, GroupSurvey, TopicSurvey};
use crate::config::{KafkaConfig, QueueConfig};
use crate::error::chain;
use crate::limits::{JOB_RECORD_BYTES_MAX, RECORD_BYTES_MAX};

const REACH: &str = "start the broker, or correct queue.brokers and queue.client_file";

/// Which of the five topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Jobs,
    Control,
    Events,
    Dead,
    SessionEvents,
}

const USES: [Use; 5] = [Use::Jobs, Use::Control, Use::Events, Use::Dead, Use::SessionEvents];

pub(super) async fn examine(queue: &QueueConfig) -> Vec<Check> {
    let Some(kafka) = &queue.kafka else {
        let unused = |name| Check::ok(name, "not used: queue.kind is \"local\"");
        return ["broker", "topics", "group"].map(unused).into();
    };
    let topics = &kafka.topics;
    let names = [&topics.jobs, &topics.control, &topics.events, &topics.dead, &topics.session_events];
    let broker = match Broker::new(kafka.clone()) {
        Ok(broker) => broker,
        Err(problem) => return vec![Check::fail("broker", chain(&problem), "correct queue.client_file")],
    };
    let mut found = None;
    let reach = async {
        match broker.survey().await {
            Ok(survey) => {
                let detail = format!("{}: {} broker(s) answer", kafka.brokers.join(","), survey.n_brokers);
                found = Some(survey.topics);
                Check::ok("broker", detail)
            }
            Err(problem) => Check::fail("broker", format!("{}: {}", kafka.brokers.join(","), chain(&problem)), REACH),
        }
    };
    let mut checks = vec![in_time("broker", REACH, reach).await];
    let Some(found) = found else {
        let because = "the broker does not answer";
        checks.extend(names.map(|name| Check::not_looked_at(&format!("topic {name}"), because)));
        checks.push(Check::not_looked_at("group", because));
        return checks;
    };
    let n_job_bytes_max = found[0].n_record_bytes_max;
    checks.extend(found.iter().zip(USES).map(|(topic, of)| judge_topic(topic, of, kafka, n_job_bytes_max)));
    if found[0].n_partitions == 0 {
        checks.push(Check::not_looked_at("group", "the job topic is not there"));
    } else {
        checks.push(in_time("group", REACH, group(&broker, &kafka.group)).await);
    }
    checks
}

/// Judges one topic; `n_job_bytes_max` is how large a record the job topic takes.
pub(super) fn judge_topic(topic: &TopicSurvey, of: Use, kafka: &KafkaConfig, n_job_bytes_max: Option<usize>) -> Check {
    let name = format!("topic {}", topic.name);
    let n_wanted = usize::from(kafka.partitions.get());
    if topic.n_partitions == 0 {
        return if kafka.create_topics {
            Check::warn(&name, "is not there yet", "nothing: serve and submit create it (queue.create_topics)")
        } else {
            Check::fail(&name, "is not there", "create it, or set queue.create_topics = true")
        };
    }
    let size = topic.n_record_bytes_max.map_or("unknown".to_owned(), |n_bytes| n_bytes.to_string());
    let detail =
        format!("{} partition(s), replication {}, max.message.bytes {size}", topic.n_partitions, topic.replication);
    if of == Use::Jobs && topic.n_partitions != n_wanted {
        let advice = format!("set queue.partitions = {} while nothing is under way", topic.n_partitions);
        return Check::fail(&name, format!("{detail}; queue.partitions is {n_wanted}"), &advice);
    }
    if 0 < topic.n_without_leader {
        let detail = format!("{detail}; {} partition(s) without a leader", topic.n_without_leader);
        return Check::fail(&name, detail, "bring the brokers that hold them back");
    }
    let n_bytes_wanted = match of {
        Use::Jobs => Some(JOB_RECORD_BYTES_MAX),
        Use::Dead => Some(RECORD_BYTES_MAX),
        Use::Control | Use::Events | Use::SessionEvents => None,
    };
    let too_small = n_bytes_wanted.filter(|wanted| topic.n_record_bytes_max.is_some_and(|n_bytes| n_bytes < *wanted));
    if let Some(wanted) = too_small {
        let advice = format!("set the topic's max.message.bytes to {wanted} or more");
        // A dead letter that can not be kept would stop its partition.
        return if of == Use::Dead && topic.n_record_bytes_max < n_job_bytes_max {
            Check::fail(&name, format!("{detail}, less than the job topic's"), &advice)
        } else {
            Check::warn(&name, detail, &advice)
        };
    }
    if topic.replication < 2 {
        return Check::warn(&name, detail, "with one copy a lost disk loses records: replicate it, 3 is usual");
    }
    Check::ok(&name, detail)
}

async fn group(broker: &Broker, name: &str) -> Check {
    match broker.survey_group().await {
        Ok(group) => judge_group(&group, name),
        Err(problem) => Check::fail("group", format!("{name}: {}", chain(&problem)), REACH),
    }
}

/// Judges the consumer group.
pub(super) fn judge_group(group: &GroupSurvey, name: &str) -> Check {
    let detail = format!("{name}: {} member(s), {} record(s) behind", group.n_members, group.lag);
    if group.n_members == 0 { Check::warn("group", detail, "start a daemon") } else { Check::ok("group", detail) }
}
