//! Section `queue`: where jobs come from, and how the broker is reached.

use std::num::NonZeroU16;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kafka_client::ClientSettings;
use super::problems::Problems;
use super::server::list_or_commas;

/// Where jobs come from.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// Which queue.
    pub kind: QueueKind,
    /// Into how many partitions sessions are divided.
    pub partitions: NonZeroU16,
    /// How the broker is reached; there exactly when the kind is [`QueueKind::Kafka`].
    pub kafka: Option<KafkaConfig>,
}

/// The queues there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// The outbox is drained inside the process; needs no broker.
    Local,
    /// Jobs come from Apache Kafka; several nodes share them.
    Kafka,
}

/// How the broker is reached, and what the topics are.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// Where to ask for the cluster first, each `HOST:PORT`; at least one.
    pub brokers: Vec<String>,
    /// Names of the topics; all different.
    pub topics: TopicNames,
    /// Partitions of the job topic.
    pub partitions: NonZeroU16,
    /// Copies of each partition in topics that we create.
    pub replication: NonZeroU16,
    /// Whether missing topics are created.
    pub create_topics: bool,
    /// The consumer group that shares the partitions of the job topic.
    pub group: String,
    /// The name that this process keeps in the group over restarts, if it has one.
    pub instance_id: Option<String>,
    /// How long the group waits for a sign of life before it gives a member's partitions to others.
    pub session_timeout: Duration,
    /// Further settings of the client library: encryption, credentials.
    pub client: ClientSettings,
}

/// Names of the five topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNames {
    /// Jobs in.
    pub jobs: String,
    /// Nudges between nodes.
    pub control: String,
    /// Changes of state out.
    pub events: String,
    /// What happens to sessions out.
    pub session_events: String,
    /// Records that could not be read or admitted.
    pub dead: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct QueueFile {
    kind: String,
    #[serde(deserialize_with = "list_or_commas")]
    brokers: Vec<String>,
    jobs_topic: String,
    control_topic: String,
    events_topic: String,
    session_events_topic: String,
    dead_topic: String,
    partitions: u64,
    replication: u64,
    create_topics: bool,
    group: String,
    instance_id: String,
    session_timeout_ms: u64,
    client_file: String,
}

impl Default for QueueFile {
    fn default() -> Self {
        Self {
            kind: "local".into(),
            brokers: Vec::new(),
            jobs_topic: "campaign.jobs".into(),
            control_topic: "campaign.control".into(),
            events_topic: "delivery.events".into(),
            session_events_topic: "session.events".into(),
            dead_topic: "campaign.jobs.dead".into(),
            partitions: 64,
            replication: 1,
            create_topics: true,
            group: "dispatcher".into(),
            instance_id: String::new(),
            session_timeout_ms: 45_000,
            client_file: String::new(),
        }
    }
}

impl QueueFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<QueueConfig> {
        let kinds = [("local", QueueKind::Local), ("kafka", QueueKind::Kafka)];
        let kind = problems.one_of("queue.kind", &self.kind, &kinds);
        let partitions = count(problems, "queue.partitions", self.partitions, 1_024);
        // Looked at even without a broker, so that a mistake is found before the kind is changed.
        let kafka = self.check_kafka(problems);
        let (kind, partitions, kafka) = (kind?, partitions?, kafka?);
        if kind == QueueKind::Kafka && kafka.brokers.is_empty() {
            problems.push("queue.brokers", "must be set when queue.kind is \"kafka\"");
            return None;
        }
        Some(QueueConfig { kind, partitions, kafka: (kind == QueueKind::Kafka).then_some(kafka) })
    }

    fn check_kafka(self, problems: &mut Problems) -> Option<KafkaConfig> {
        for broker in self.brokers.iter().filter(|text| !is_host_and_port(text)) {
            problems.push("queue.brokers", format!("each must be HOST:PORT such as kafka1:9092, {broker:?} is not"));
        }
        let replication = count(problems, "queue.replication", self.replication, 32);
        let session_timeout = problems.millis("queue.session_timeout_ms", self.session_timeout_ms, 1_000..=300_000);
        if !is_name(&self.group) {
            problems.push("queue.group", "must be 1 to 249 letters, digits, dots, dashes and underscores");
        }
        if !self.instance_id.is_empty() && !is_name(&self.instance_id) {
            let text = "must be empty, or up to 249 letters, digits, dots, dashes and underscores";
            problems.push("queue.instance_id", text);
        }
        let client = problems.or_push("queue.client_file", ClientSettings::read(&self.client_file));
        let topics = TopicNames {
            jobs: self.jobs_topic,
            control: self.control_topic,
            events: self.events_topic,
            session_events: self.session_events_topic,
            dead: self.dead_topic,
        };
        topics.check(problems);
        Some(KafkaConfig {
            brokers: self.brokers,
            topics,
            partitions: count(&mut Problems::default(), "queue.partitions", self.partitions, 1_024)?,
            replication: replication?,
            create_topics: self.create_topics,
            group: self.group,
            instance_id: Some(self.instance_id).filter(|id| !id.is_empty()),
            session_timeout: session_timeout?,
            client: client?,
        })
    }
}

impl TopicNames {
    fn check(&self, problems: &mut Problems) {
        let named = [
            ("queue.jobs_topic", &self.jobs),
            ("queue.control_topic", &self.control),
            ("queue.events_topic", &self.events),
            ("queue.session_events_topic", &self.session_events),
            ("queue.dead_topic", &self.dead),
        ];
        for (place, (key, name)) in named.iter().enumerate() {
            if !is_name(name) {
                problems.push(key, "must be 1 to 249 letters, digits, dots, dashes and underscores");
            }
            if let Some((other, _)) = named[..place].iter().find(|(_, earlier)| earlier == name) {
                problems.push(key, format!("must not be the topic of {other}"));
            }
        }
    }
}

fn count(problems: &mut Problems, key: &str, value: u64, most: u16) -> Option<NonZeroU16> {
    let value = problems.in_range(key, value, 1..=u64::from(most))?;
    u16::try_from(value).ok().and_then(NonZeroU16::new)
}

/// What Kafka takes as the name of a topic; groups and members are held to the same.
fn is_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=249).contains(&text.len()) && text.chars().all(is_allowed) && text != "." && text != ".."
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || ",/".contains(c));
    is_host && port.parse::<u16>().is_ok_and(|port| port != 0)
}
