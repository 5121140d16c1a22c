//! The topics: creates missing ones, and refuses a cluster whose topics are not as the settings say.
//!
//! Changes nothing about a topic that is there.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;

use super::connection::Connection;
use super::{Broker, BrokerError};
use crate::limits::{JOB_RECORD_BYTES_MAX, RECORD_BYTES_MAX};

/// Longest time of one question to the cluster.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Time between two looks for topics that were just created, and how many looks there are.
const CREATED_INTERVAL: Duration = Duration::from_millis(200);
const CREATED_LOOKS_MAX: u32 = 50;

/// Why the topics are not ready.
#[derive(Debug, thiserror::Error)]
pub enum TopicProblem {
    /// The cluster does not answer or is not ready; the caller tries again.
    #[error("the broker can not be reached")]
    Unreachable(#[source] BrokerError),
    /// The topics are not as the settings say, or may not be created; the process must end. The text is a
    /// sentence for the operator and says what to do.
    #[error("{0}")]
    Refused(String),
}

/// A topic that should be there.
struct Wanted<'a> {
    /// The setting that names it.
    key: &'static str,
    name: &'a str,
    n_partitions: NonZeroU16,
    settings: Vec<(&'static str, String)>,
}

/// A topic that is there.
#[derive(Debug, Clone, Copy)]
struct Found {
    n_partitions: usize,
    /// Whether all of it has leaders: just after its making, and while brokers are away, it has not.
    is_ready: bool,
}

impl Found {
    fn of(topic: &MetadataTopic) -> Self {
        let partitions = topic.partitions();
        let is_ready = topic.error().is_none() && partitions.iter().all(|partition| 0 <= partition.leader());
        Self { n_partitions: partitions.len(), is_ready }
    }
}

impl Wanted<'_> {
    fn to_new(&self, replication: i32) -> NewTopic<'_> {
        let n_partitions = i32::from(self.n_partitions.get());
        let new = NewTopic::new(self.name, n_partitions, TopicReplication::Fixed(replication));
        self.settings.iter().fold(new, |new, (key, value)| new.set(key, value))
    }
}

impl Broker {
    /// Creates missing topics when that is allowed, and checks the number of partitions of the job topic.
    ///
    /// # Errors
    /// [`TopicProblem`] tells an outage from a refusal.
    pub async fn prepare_topics(&self) -> Result<(), TopicProblem> {
        let admin: AdminClient<Connection> = self
            .client_config()
            .create_with_context(Connection::default())
            .map_err(|error| TopicProblem::Refused(describe_setting(error.into())))?;
        let wanted = self.wanted_topics();
        let (admin, mut present) = list_topics(admin).await?;
        let missing: Vec<&Wanted<'_>> = wanted.iter().filter(|topic| !present.contains_key(topic.name)).collect();
        if let Some(topic) = missing.first() {
            if !self.config.create_topics {
                return Err(TopicProblem::Refused(format!(
                    "The topic {} is missing and queue.create_topics is false: create it with {} partition(s), set \
                     queue.create_topics = true, or name another one in {}.",
                    topic.name, topic.n_partitions, topic.key
                )));
            }
            self.create(&admin, &missing).await?;
            present = wait_for(admin, &missing).await?;
        }
        self.check_partitions(present.get(self.topics().jobs.as_str()).copied())
    }

    fn wanted_topics(&self) -> Vec<Wanted<'_>> {
        const HOUR_MS: u64 = 3_600_000;
        let one = NonZeroU16::MIN;
        let topics = self.topics();
        // A batch may be a little larger than the records in it.
        let with_frame = |n_bytes: usize| (n_bytes + 64 * 1024).to_string();
        vec![
            Wanted {
                key: "queue.jobs_topic",
                name: &topics.jobs,
                n_partitions: self.partitions(),
                settings: vec![("max.message.bytes", with_frame(JOB_RECORD_BYTES_MAX))],
            },
            Wanted {
                key: "queue.control_topic",
                name: &topics.control,
                n_partitions: one,
                // A nudge that is an hour old moves nobody.
                settings: vec![("retention.ms", HOUR_MS.to_string()), ("segment.ms", HOUR_MS.to_string())],
            },
            Wanted {
                key: "queue.events_topic",
                name: &topics.events,
                n_partitions: self.partitions(),
                settings: vec![],
            },
            Wanted {
                key: "queue.session_events_topic",
                name: &topics.session_events,
                n_partitions: one,
                settings: vec![],
            },
            Wanted {
                key: "queue.dead_topic",
                name: &topics.dead,
                n_partitions: one,
                // Time enough for a person to look: 30 days.
                settings: vec![
                    ("max.message.bytes", with_frame(RECORD_BYTES_MAX)),
                    ("retention.ms", (30 * 24 * HOUR_MS).to_string()),
                ],
            },
        ]
    }

    async fn create(&self, admin: &AdminClient<Connection>, missing: &[&Wanted<'_>]) -> Result<(), TopicProblem> {
        let replication = i32::from(self.config.replication.get());
        let new_topics: Vec<NewTopic<'_>> = missing.iter().map(|topic| topic.to_new(replication)).collect();
        let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX));
        let results = admin.create_topics(&new_topics, &options).await.map_err(unreachable)?;
        for result in results {
            match result {
                Ok(name) => tracing::info!(topic = name, "topic created"),
                // Another node was faster.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code @ (RDKafkaErrorCode::RequestTimedOut | RDKafkaErrorCode::OperationTimedOut))) => {
                    return Err(unreachable(KafkaError::AdminOp(code)));
                }
                Err((name, code)) => {
                    return Err(TopicProblem::Refused(format!(
                        "The topic {name} is missing and can not be created ({code}): create it by hand, or change \
                         queue.partitions and queue.replication to what the cluster allows."
                    )));
                }
            }
        }
        Ok(())
    }

    fn check_partitions(&self, jobs: Option<Found>) -> Result<(), TopicProblem> {
        let (name, wanted) = (&self.topics().jobs, self.partitions());
        // With brokers away some partitions have no leader; the others can be worked on.
        let Some(n_partitions) = jobs.map(|found| found.n_partitions).filter(|n| *n != 0) else {
            return Err(unreachable(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable)));
        };
        if n_partitions == usize::from(wanted.get()) {
            return Ok(());
        }
        Err(TopicProblem::Refused(format!(
            "The topic {name} has {n_partitions} partitions and queue.partitions is {wanted}: set queue.partitions = \
             {n_partitions} (while nothing is under way, since sessions are divided by it), or name another topic in \
             queue.jobs_topic."
        )))
    }
}

/// Asks for all topics with their numbers of partitions. All, since asking for one by name may create it.
async fn list_topics(
    admin: AdminClient<Connection>,
) -> Result<(AdminClient<Connection>, HashMap<String, Found>), TopicProblem> {
    let ask = move || {
        let metadata = admin.inner().fetch_metadata(None, ANSWER_MAX)?;
        let topics = metadata.topics().iter().map(|topic| (topic.name().to_owned(), Found::of(topic))).collect();
        Ok((admin, topics))
    };
    match tokio::task::spawn_blocking(ask).await {
        Ok(answer) => answer.map_err(unreachable),
        Err(_) => Err(TopicProblem::Unreachable(BrokerError::Stopped)),
    }
}

/// Waits until topics that were just created are known.
async fn wait_for(
    mut admin: AdminClient<Connection>,
    created: &[&Wanted<'_>],
) -> Result<HashMap<String, Found>, TopicProblem> {
    for _ in 0..CREATED_LOOKS_MAX {
        let (same, present) = list_topics(admin).await?;
        if created.iter().all(|topic| present.get(topic.name).is_some_and(|found| found.is_ready)) {
            return Ok(present);
        }
        admin = same;
        tokio::time::sleep(CREATED_INTERVAL).await;
    }
    Err(unreachable(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic)))
}

fn unreachable(error: KafkaError) -> TopicProblem {
    TopicProblem::Unreachable(error.into())
}

/// Says what is wrong with the client's settings: with those no retry helps.
fn describe_setting(error: BrokerError) -> String {
    match error {
        BrokerError::Kafka(cause) => format!("The Kafka client can not be made ({cause}): look at queue.client_file."),
        error => format!("{error}."),
    }
}
