//! A look at the cluster for people: who answers, what the topics are like, who reads them.
//!
//! Changes nothing and joins no group. Each question has its own time limit, so that one that hangs does not
//! hide the others.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, metadata::MetadataTopic};

use super::connection::Connection;
use super::control::{partitions_of, plain_consumer};
use super::{Broker, BrokerError};

/// Longest time of one question to the cluster.
const ANSWER_MAX: Duration = Duration::from_secs(4);

/// What the cluster says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Brokers that are up.
    pub n_brokers: usize,
    /// The five topics: jobs, control, events, dead, session events.
    pub topics: [TopicSurvey; 5],
}

/// What a topic is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSurvey {
    /// Its name.
    pub name: String,
    /// How many partitions; 0 when it is not there.
    pub n_partitions: usize,
    /// Copies of the partition with the fewest.
    pub replication: usize,
    /// Partitions that nobody leads just now.
    pub n_without_leader: usize,
    /// Bytes of its largest record batch, when the cluster tells.
    pub n_record_bytes_max: Option<usize>,
}

/// What the consumer group is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSurvey {
    /// Its state in Kafka's word; empty when there is no such group.
    pub state: String,
    /// Its members.
    pub n_members: usize,
    /// Records of the job topic that it has not taken in.
    pub lag: i64,
}

impl Broker {
    /// Asks for brokers and topics.
    ///
    /// # Errors
    /// When nobody answers within 4 s.
    pub async fn survey(&self) -> Result<Survey, BrokerError> {
        let admin: AdminClient<Connection> = self.client_config().create_with_context(Connection::default())?;
        let names = self.topics();
        let names = [&names.jobs, &names.control, &names.events, &names.dead, &names.session_events].map(Clone::clone);
        let ask = move || {
            // All topics, since asking for one by name may create it.
            let metadata = admin.inner().fetch_metadata(None, ANSWER_MAX)?;
            let topics = names.map(|name| {
                let found = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
                TopicSurvey::of(name, found)
            });
            Ok::<_, BrokerError>((admin, Survey { n_brokers: metadata.brokers().len(), topics }))
        };
        let asked = tokio::task::spawn_blocking(ask).await;
        let (admin, mut survey) = asked.map_err(|_| BrokerError::Stopped)??;
        let there: Vec<String> =
            survey.topics.iter().filter(|topic| 0 < topic.n_partitions).map(|topic| topic.name.clone()).collect();
        let sizes = record_sizes(&admin, &there).await;
        for topic in &mut survey.topics {
            let size = sizes.iter().find(|(name, _)| *name == topic.name);
            topic.n_record_bytes_max = size.and_then(|(_, n_bytes)| *n_bytes);
        }
        Ok(survey)
    }

    /// Asks for the consumer group and how far behind it is.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub async fn survey_group(&self) -> Result<GroupSurvey, BrokerError> {
        let broker = self.clone();
        let asked = tokio::task::spawn_blocking(move || broker.ask_for_group()).await;
        asked.map_err(|_| BrokerError::Stopped)?
    }

    fn ask_for_group(&self) -> Result<GroupSurvey, BrokerError> {
        let consumer = plain_consumer(self)?;
        let (group, topic) = (&self.config.group, &self.topics().jobs);
        let groups = consumer.fetch_group_list(Some(group), ANSWER_MAX)?;
        let found = groups.groups().iter().find(|found| found.name() == group);
        let mut positions = TopicPartitionList::new();
        for partition in partitions_of(&consumer, topic)? {
            positions.add_partition(topic, partition);
        }
        let committed = consumer.committed_offsets(positions, ANSWER_MAX)?;
        let mut lag = 0;
        for position in committed.elements() {
            let (beginning, end) = consumer.fetch_watermarks(topic, position.partition(), ANSWER_MAX)?;
            let taken_below = match position.offset() {
                Offset::Offset(offset) => offset.max(beginning),
                _ => beginning,
            };
            lag += (end - taken_below).max(0);
        }
        Ok(GroupSurvey {
            state: found.map(|group| group.state().to_owned()).unwrap_or_default(),
            n_members: found.map_or(0, |group| group.members().len()),
            lag,
        })
    }
}

impl TopicSurvey {
    fn of(name: String, found: Option<&MetadataTopic>) -> Self {
        let partitions = found.map(MetadataTopic::partitions).unwrap_or_default();
        Self {
            name,
            n_partitions: partitions.len(),
            replication: partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
            n_without_leader: partitions.iter().filter(|partition| partition.leader() < 0).count(),
            n_record_bytes_max: None,
        }
    }
}

/// Asks for the largest record of each topic; a cluster that does not tell is asked no further.
async fn record_sizes(admin: &AdminClient<Connection>, names: &[String]) -> Vec<(String, Option<usize>)> {
    let topics: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX));
    let answers = if topics.is_empty() { Ok(Vec::new()) } else { admin.describe_configs(&topics, &options).await };
    let size = |config: &ConfigResource| config.get("max.message.bytes")?.value.as_ref()?.parse().ok();
    let sizes = answers.unwrap_or_default().into_iter().zip(names);
    sizes.map(|(answer, name)| (name.clone(), answer.ok().as_ref().and_then(size))).collect()
}
