//! The consumer of the job topic: records and changes of membership out, finished offsets in.
//!
//! ```text
//! broker ──► poll thread ──► records ──► intake ──► store_offsets ──► poll thread ──► committed each second
//!                 └────────► membership ──► ownership
//! ```
//!
//! One thread of its own polls; callbacks run on it and only take notes. An offset is committed once intake
//! has said that everything up to it is durable, and not before. Decides nothing about ownership.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::{mpsc, oneshot};

use super::record::Record;
use super::{Broker, BrokerError};
use crate::domain::partition::PartitionNo;
use crate::limits::FETCH_AHEAD_KBYTES_MAX;
use poll::Poller;
use shared::{Callbacks, Shared};

mod poll;
mod shared;

/// How long [`JobConsumer::stop`] waits for the group to be left; the session times out by itself later.
const STOP_MAX: Duration = Duration::from_secs(20);

/// What a rebalance may take longer than the group waits for a sign of life.
const REBALANCE_SPARE: Duration = Duration::from_secs(5);

/// What the group says about this member.
///
/// When an assignment is *lost* (the session timed out, the broker is away) nothing is said: ownership is a
/// lease in the database, which goes on until the group's next assignment says otherwise or another node
/// claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// The whole set of partitions that are now assigned: after every assign and every revoke. Only the latest
    /// counts; an older one may be left out.
    Assigned(BTreeSet<PartitionNo>),
    /// The group refuses this member for good, such as when another process has its instance id; the process
    /// must end. Nothing comes after it.
    Fatal(String),
}

/// Reads the job topic as a member of the group until it is stopped.
#[derive(Debug)]
pub struct JobConsumer {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
    done: oneshot::Receiver<()>,
}

impl JobConsumer {
    /// Joins the group and reads what it is assigned; returns at once, whether the broker is there or not.
    ///
    /// Batches go to `records`: when it stays full for more than a second the partitions are paused, and
    /// resumed when it is at most 60 % full. Ends by itself when the receiver of `records` is gone, and after
    /// [`Membership::Fatal`].
    ///
    /// # Errors
    /// When the client or the thread can not be made.
    pub fn start(
        broker: &Broker,
        records: mpsc::Sender<Vec<Record>>,
        membership: mpsc::Sender<Membership>,
    ) -> Result<Self, BrokerError> {
        let shared = Arc::new(Shared::default());
        let topic = broker.topics().jobs.clone();
        let callbacks = Callbacks::new(topic.clone(), Arc::clone(&shared));
        let consumer: BaseConsumer<Callbacks> = consumer_config(broker).create_with_context(callbacks)?;
        consumer.subscribe(&[&topic])?;
        let (tell_done, done) = oneshot::channel();
        let poller = Poller::new(consumer, records, membership);
        let run = move || {
            poller.run();
            // Nobody listens when the consumer was dropped without being stopped.
            tell_done.send(()).ok();
        };
        let thread = thread::Builder::new().name("job-consumer".into()).spawn(run).map_err(BrokerError::Thread)?;
        shared.set_thread(thread.thread().clone());
        Ok(Self { shared, thread: Some(thread), done })
    }

    /// Notes that everything up to these offsets is durable; committed within about a second.
    ///
    /// Each pair is a partition and its last finished offset. A partition that is no longer ours is left out:
    /// its next owner reads the records again, which changes nothing.
    pub fn store_offsets(&self, finished: &[(PartitionNo, i64)]) {
        self.shared.finish(finished);
    }

    /// Returns, for each assigned partition that is known well enough, how many records are not finished yet.
    ///
    /// From the client's own figures, which are up to five seconds old; asks nobody.
    #[must_use]
    pub fn lag(&self) -> Vec<(PartitionNo, i64)> {
        self.shared.lag()
    }

    /// Returns how many partitions are assigned.
    #[must_use]
    pub fn n_assigned(&self) -> usize {
        self.shared.n_assigned()
    }

    /// Returns how many rebalances gave partitions, and how many took some, since this was asked last.
    #[must_use]
    pub fn take_rebalances(&self) -> [u64; 2] {
        self.shared.take_rebalances()
    }

    /// Tells whether a broker was heard from lately, for readiness.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.connection().is_up()
    }

    /// Tells whether the partitions are paused because intake is full.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.shared.is_paused()
    }

    /// Commits what is stored and leaves the group; a member with an instance id keeps its partitions until its
    /// session times out. Posts no further membership. Waits at most 20 s.
    pub async fn stop(mut self) {
        self.shared.stop();
        if tokio::time::timeout(STOP_MAX, &mut self.done).await.is_err() {
            tracing::warn!("the group could not be left in time and will notice by itself");
            return;
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that polls the job topic panicked");
        }
    }
}

impl Drop for JobConsumer {
    fn drop(&mut self) {
        // The thread leaves the group and ends by itself; waiting here could block a worker.
        self.shared.stop();
    }
}

pub(super) fn consumer_config(broker: &Broker) -> ClientConfig {
    let mut config = broker.client_config();
    config
        .set("group.id", &broker.config.group)
        .set("session.timeout.ms", broker.config.session_timeout.as_millis().to_string())
        .set("heartbeat.interval.ms", (broker.config.session_timeout / 15).as_millis().max(100).to_string())
        // Also how long the group waits in a rebalance for members that do not come: five minutes unless it is said.
        // (Found by restarting nodes right after the broker.) The thread polls every second, whatever happens.
        .set("max.poll.interval.ms", (broker.config.session_timeout + REBALANCE_SPARE).as_millis().to_string())
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", FETCH_AHEAD_KBYTES_MAX.to_string())
        .set("allow.auto.create.topics", "false")
        .set("statistics.interval.ms", "5000");
    if let Some(instance_id) = &broker.config.instance_id {
        config.set("group.instance.id", instance_id);
    }
    config
}
