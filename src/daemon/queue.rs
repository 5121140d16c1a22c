//! Joins the daemon to Kafka: topics prepared, jobs in, the outbox out, nudges both ways.
//!
//! While the broker is away everything here waits and tries again; lanes go on under their leases.

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{Broker, ControlReader, DeadLetters, JobConsumer, Membership, Producer, TopicProblem, publish};
use crate::domain::control::ControlMessage;
use crate::domain::partition::PartitionNo;
use crate::error::chain;
use crate::events::Relay;
use crate::intake::Intake;
use crate::intake::outbox::{JobSink, Outbox};
use crate::intake::topic::TopicIntake;
use crate::limits::{MEMBERSHIP_QUEUE_MAX, NUDGES_MAX, RECORD_BATCHES_MAX};
use crate::patience::Patience;
use crate::telemetry::admin::Readiness;

/// The daemon's side of Kafka.
pub(super) struct KafkaQueue {
    /// The way to the cluster.
    pub(super) broker: Broker,
    /// What persists jobs.
    pub(super) intake: Intake,
    /// Which partitions are to be claimed.
    pub(super) wanted: watch::Sender<BTreeSet<PartitionNo>>,
    /// Wakes whoever drains the outbox.
    pub(super) outbox: Arc<Notify>,
    /// What other nodes are to be told.
    pub(super) nudges_out: mpsc::Receiver<ControlMessage>,
    /// What other nodes tell.
    pub(super) nudges_in: mpsc::Sender<ControlMessage>,
    /// Shows whether the broker is there.
    pub(super) readiness: Readiness,
    /// Ends the relay of events, after the lanes have drained.
    pub(super) stop_events: CancellationToken,
    /// Where tasks run.
    pub(super) tasks: TaskTracker,
}

impl KafkaQueue {
    /// Runs until told to stop.
    ///
    /// # Errors
    /// When the topics are not as they must be, or the group refuses this process: it has to end then.
    pub(super) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        if !prepare_topics(&self.broker, &self.readiness, &stop).await? {
            return Ok(());
        }
        let producer = Producer::start(&self.broker).context("start the producer")?;
        let outbox = Outbox {
            store: self.intake.store.clone(),
            sink: JobSink::Topic { producer: producer.clone(), topic: self.broker.topics().jobs.clone() },
            leases: self.intake.dispatch.leases().clone(),
            clock: self.intake.clock.clone(),
            metrics: Arc::clone(&self.intake.metrics),
        };
        let draining = self.tasks.spawn(outbox.run(self.outbox, stop.clone()));
        let relay = Relay {
            store: self.intake.store.clone(),
            producer: producer.clone(),
            topic: self.broker.topics().events.clone(),
            session_topic: self.broker.topics().session_events.clone(),
            leases: self.intake.dispatch.leases().clone(),
            metrics: Arc::clone(&self.intake.metrics),
        };
        let relaying = self.tasks.spawn(relay.run(self.stop_events));
        let publishing = publish_nudges(self.broker.clone(), producer.clone(), self.nudges_out);
        self.tasks.spawn(stop.clone().run_until_cancelled_owned(publishing));
        self.tasks.spawn(read_nudges(self.broker.clone(), self.nudges_in, stop.clone()));
        let membership = Member {
            dead_letters: DeadLetters::new(self.broker.clone(), producer.clone()),
            broker: self.broker,
            intake: self.intake,
            wanted: self.wanted,
            readiness: self.readiness,
            tasks: self.tasks,
        };
        membership.run(&stop).await?;
        for task in [draining, relaying] {
            if task.await.is_err() {
                tracing::error!("a task of the queue panicked");
            }
        }
        producer.close().await;
        Ok(())
    }
}

/// This process as a member of the consumer group.
struct Member {
    broker: Broker,
    intake: Intake,
    dead_letters: DeadLetters,
    wanted: watch::Sender<BTreeSet<PartitionNo>>,
    readiness: Readiness,
    tasks: TaskTracker,
}

impl Member {
    /// Takes jobs until told to stop; joins again when the group refuses a member that was in it for long.
    ///
    /// The client may refuse itself: after an outage of the broker it joins anew, and a commit of before, under its
    /// former number, is answered as if another process had taken its name. (Found by restarting the broker.) Where
    /// there is such a process, both see it, and the one that came last is the one that ends.
    ///
    /// # Errors
    /// When the group refuses this process soon after it joined: another one has its `queue.instance_id`.
    async fn run(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        loop {
            let joined_at = Instant::now();
            let Some(reason) = self.take_jobs(stop).await? else { return Ok(()) };
            if joined_at.elapsed() < self.broker.session_timeout() * 2 {
                bail!("the consumer group refuses this process: {reason}");
            }
            tracing::warn!(reason, "the consumer group refused this process, it joins again");
        }
    }

    /// Joins the group and takes jobs; returns why the group refused, if it did.
    async fn take_jobs(&self, stop: &CancellationToken) -> anyhow::Result<Option<String>> {
        let (record_sender, records) = mpsc::channel(RECORD_BATCHES_MAX);
        let (member_sender, mut news) = mpsc::channel(MEMBERSHIP_QUEUE_MAX);
        let consumer = JobConsumer::start(&self.broker, record_sender, member_sender).context("join the group")?;
        let intake = TopicIntake {
            dead_letters: self.dead_letters.clone(),
            leases: self.intake.dispatch.leases().clone(),
            intake: self.intake.clone(),
            consumer,
            readiness: self.readiness.clone(),
        };
        let taking = self.tasks.spawn(intake.run(records, stop.clone()));
        let mut refused = None;
        while let Some(Some(news)) = stop.run_until_cancelled(news.recv()).await {
            match news {
                Membership::Assigned(partitions) => {
                    tracing::info!(partitions = partitions.len(), "the group assigned partitions");
                    self.wanted.send_replace(partitions);
                }
                Membership::Fatal(reason) => refused = Some(reason),
            }
        }
        taking.await.context("take jobs from the topic")?;
        if refused.is_none() && !stop.is_cancelled() {
            bail!("the consumer of jobs ended by itself");
        }
        Ok(refused)
    }
}

/// Creates or checks the topics, however long the broker is away; `false` when told to stop before.
async fn prepare_topics(broker: &Broker, readiness: &Readiness, stop: &CancellationToken) -> anyhow::Result<bool> {
    let mut patience = Patience::default();
    loop {
        match broker.prepare_topics().await {
            Ok(()) => {
                readiness.set_broker(true);
                return Ok(true);
            }
            Err(TopicProblem::Refused(sentence)) => bail!(sentence),
            Err(error) => {
                readiness.set_broker(false);
                tracing::warn!(error = chain(&error), "the broker can not be reached, will try again");
            }
        }
        if !patience.wait_unless(stop).await {
            return Ok(false);
        }
    }
}

/// Publishes nudges, those that say the same once. What the broker does not take is dropped: other nodes find
/// it at their next full look.
async fn publish_nudges(broker: Broker, producer: Producer, mut nudges: mpsc::Receiver<ControlMessage>) {
    let mut batch = Vec::new();
    while nudges.recv_many(&mut batch, NUDGES_MAX).await != 0 {
        let mut seen = HashSet::new();
        batch.retain(|message| seen.insert(message.encode()));
        if let Err(error) = publish(&broker, &producer, &batch).await {
            tracing::warn!(error = chain(&error), "nudges for other nodes were dropped");
        }
        batch.clear();
    }
}

async fn read_nudges(broker: Broker, nudges: mpsc::Sender<ControlMessage>, stop: CancellationToken) {
    let mut patience = Patience::default();
    loop {
        match ControlReader::start(&broker, nudges.clone()).await {
            Ok(_reader) => {
                stop.cancelled().await;
                return;
            }
            Err(error) => tracing::warn!(error = chain(&error), "control topic can not be read, will try again"),
        }
        if !patience.wait_unless(&stop).await {
            return;
        }
    }
}
