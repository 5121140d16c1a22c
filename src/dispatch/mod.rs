//! The hot path: from pending deliveries in the database to recorded outcomes.
//!
//! The way of one delivery: intake offers its campaign to the [`shard`] of its session → the
//! shard's loader reads it as a head → the [`lane`] picks it when its turn and its moment near →
//! the [`journal`] makes the attempt durable → the lane releases it when its [`pacer`] allows and
//! gives the journal its limiter state → [`lane::task`] calls the gateway → the outcome goes
//! through the lane (hold, retry) to the journal.
//!
//! Each shard is one task that owns its lanes; there are no locks. Everything between the parts
//! is a bounded queue.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::dispatch::breaker::Breakers;
use crate::dispatch::journal::{Entry, Journal, JournalSender};
use crate::dispatch::lane::task::Sender;
use crate::dispatch::lead::Lead;
use crate::dispatch::lease::{HeldLeases, Leases};
use crate::dispatch::shard::loader::Loader;
use crate::dispatch::shard::state::{Shard, ShardSettings};
use crate::dispatch::shard::task::ShardTask;
use crate::dispatch::shard::{Command, Offer};
use crate::domain::campaign::CampaignState;
use crate::domain::control::ControlMessage;
use crate::domain::failure::Reason;
use crate::domain::id::{CampaignId, SessionId};
use crate::domain::pacing::Pacing;
use crate::domain::partition::{Fence, PartitionNo};
use crate::domain::receipt::Receipt;
use crate::domain::session::SessionEvent;
use crate::gateway::Gateway;
use crate::limits::{
    CLOSED_QUEUE_MAX, COMMANDS_PER_SHARD_MAX, IN_FLIGHT_MAX, SESSION_NEWS_MAX, SHARD_QUEUE_MAX, STALE_QUEUE_MAX,
};
use crate::receipts::{ReceiptSink, SinkClosed};
use crate::store::Store;
use crate::store::lanes::{LaneRow, StreamRow};
use crate::telemetry::metrics::Metrics;

pub mod shard;

pub mod lane;

pub mod pacer;

pub mod picture;

pub mod breaker;

pub mod forecast;

pub mod journal;

pub mod lead;

pub mod lease;

pub mod limits;

/// What dispatch needs from the rest.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The provider's side.
    pub gateway: Arc<dyn Gateway>,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whom to tell that a campaign may be over.
    pub settled: Arc<Notify>,
    /// The partitions that are ours.
    pub leases: Leases,
    /// Where other nodes are told of work for their lanes; none where there are none.
    pub elsewhere: Option<mpsc::Sender<ControlMessage>>,
}

/// What running dispatch tells the owner of its leases.
#[derive(Debug)]
pub struct LeaseNews {
    /// Partitions of which a shard has no lane left; once per shard and close.
    pub closed: mpsc::Receiver<PartitionNo>,
    /// Fences that the database refused.
    pub stale: mpsc::Receiver<Fence>,
}

/// Sessions that are gone for good, by what the provider said.
pub type LostSessions = mpsc::Receiver<(SessionId, SessionEvent, Reason)>;

/// How dispatch works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Number of shards.
    pub n_shards: usize,
    /// Pace of sessions that have none of their own.
    pub default_pacing: Pacing,
    /// How long a drain may take.
    pub drain_deadline: Duration,
}

/// Running dispatch, held by the daemon.
#[derive(Debug)]
pub struct Dispatch {
    handle: DispatchHandle,
    shards: Vec<JoinHandle<()>>,
}

/// Talks to running dispatch; cheap to clone.
#[derive(Debug, Clone)]
pub struct DispatchHandle {
    commands: Arc<[mpsc::Sender<Command>]>,
    journal: JournalSender,
    leases: Leases,
    elsewhere: Option<mpsc::Sender<ControlMessage>>,
}

impl Dispatch {
    /// Starts shards, loaders and the journal; lanes appear as sessions are told.
    #[must_use]
    pub fn start(parts: Parts, settings: Settings, tasks: &TaskTracker) -> (Self, LeaseNews, LostSessions) {
        let (journal, entries) = journal::queues();
        let (closed_sender, closed) = mpsc::channel(CLOSED_QUEUE_MAX);
        let (stale_sender, stale) = mpsc::channel(STALE_QUEUE_MAX);
        let (lost_sender, lost) = mpsc::channel(SESSION_NEWS_MAX);
        let lead = Lead::default();
        let breakers = Arc::new(Breakers::default());
        let mut commands = Vec::new();
        let mut report_senders = Vec::new();
        let mut shards = Vec::new();
        for index in 0..settings.n_shards {
            let (command_sender, command_receiver) = mpsc::channel(COMMANDS_PER_SHARD_MAX);
            let (report_sender, report_receiver) = mpsc::channel(SHARD_QUEUE_MAX);
            // One round of loads at a time: the next one is collected while it is read.
            let (load_sender, load_receiver) = mpsc::channel(1);
            let loader = Loader {
                store: parts.store.clone(),
                clock: parts.clock.clone(),
                reports: report_sender.clone(),
                metrics: Arc::clone(&parts.metrics),
            };
            tasks.spawn(loader.run(load_receiver));
            let sender = Sender {
                gateway: Arc::clone(&parts.gateway),
                clock: parts.clock.clone(),
                reports: report_sender.clone(),
            };
            let n_places = (IN_FLIGHT_MAX / settings.n_shards).max(1);
            let task = ShardTask {
                index,
                shard: Shard::new(
                    ShardSettings { default_pacing: settings.default_pacing, n_places },
                    Arc::clone(&breakers),
                ),
                closings: breakers.closings(),
                clock: parts.clock.clone(),
                lead: lead.clone(),
                reports: report_receiver,
                commands: command_receiver,
                journal: journal.clone(),
                loads: load_sender,
                sender,
                sends: tasks.clone(),
                metrics: Arc::clone(&parts.metrics),
                closed: closed_sender.clone(),
                lost: lost_sender.clone(),
                drain_deadline: settings.drain_deadline,
                n_lanes_published: 0,
                held_published: BTreeMap::new(),
                published_at: tokio::time::Instant::now(),
            };
            shards.push(tasks.spawn(task.run()));
            commands.push(command_sender);
            report_senders.push(report_sender);
        }
        let writer = Journal {
            store: parts.store,
            shards: report_senders,
            settled: parts.settled,
            stale: stale_sender,
            lead,
            metrics: parts.metrics,
        };
        tasks.spawn(writer.run(entries));
        let handle =
            DispatchHandle { commands: commands.into(), journal, leases: parts.leases, elsewhere: parts.elsewhere };
        (Self { handle, shards }, LeaseNews { closed, stale }, lost)
    }

    /// Returns a handle.
    #[must_use]
    pub fn handle(&self) -> DispatchHandle {
        self.handle.clone()
    }

    /// Stops handing out, lets sends on the wire finish, and writes everything.
    pub async fn drain(self) {
        for commands in self.handle.commands.iter() {
            commands.send(Command::Drain).await.ok();
        }
        for shard in self.shards {
            if shard.await.is_err() {
                tracing::error!("a shard panicked");
            }
        }
        self.handle.submit_receipts(Vec::new()).await;
    }
}

impl DispatchHandle {
    /// Tells a lane that a campaign has pending deliveries, wherever the lane is.
    ///
    /// Another node is nudged; should that be lost, its owner finds the work at its next full look.
    pub async fn offer(&self, offer: Offer) {
        if self.leases.owns(offer.session_id) {
            self.offer_here(offer).await;
        } else if let Some(elsewhere) = &self.elsewhere {
            let Offer { session_id, campaign_id, band, zone, traffic_class, done_below_seq } = offer;
            let message =
                ControlMessage::WorkAdmitted { session_id, campaign_id, band, zone, traffic_class, done_below_seq };
            elsewhere.try_send(message).ok();
        }
    }

    /// Tells a lane of this node that a campaign has pending deliveries; one of another node is nothing to it.
    pub async fn offer_here(&self, offer: Offer) {
        self.tell(self.shard_of(offer.session_id), Command::Offer(offer)).await;
    }

    /// Tells every lane that a campaign's state changed.
    pub async fn campaign_changed(&self, campaign_id: CampaignId, state: CampaignState) {
        for shard in 0..self.commands.len() {
            self.tell(shard, Command::Campaign(campaign_id, state)).await;
        }
    }

    /// Tells dispatch of a session, new or changed, as read after `held` was taken; one that another node owns
    /// is nothing to it.
    pub async fn session_changed(&self, row: LaneRow, held: &HeldLeases) {
        let Some(lease) = held.of_session(row.session_id) else { return };
        let shard = self.shard_of(row.session_id);
        self.tell(shard, Command::Session(Box::new(row), lease)).await;
    }

    /// Tells every shard to close the lanes of a partition; each answers in [`LeaseNews::closed`].
    pub async fn close_partition(&self, partition: PartitionNo) {
        for shard in 0..self.commands.len() {
            self.tell(shard, Command::Close(partition)).await;
        }
    }

    /// Returns the partitions that are ours.
    #[must_use]
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Returns how many shards there are.
    #[must_use]
    pub fn n_shards(&self) -> usize {
        self.commands.len()
    }

    /// Writes receipts; returns after they are durable, `false` when that can not happen any more.
    pub async fn submit_receipts(&self, receipts: Vec<Receipt>) -> bool {
        let (done, durable) = oneshot::channel();
        self.journal.send(Entry::Receipts(receipts, done)).await && durable.await.is_ok()
    }

    /// Tells dispatch of the streams of a session, as found in the database; also of campaigns that do not run, of which
    /// nothing is read.
    pub async fn offer_streams(&self, streams: Vec<StreamRow>) {
        for row in streams {
            self.offer(Offer {
                session_id: row.session_id,
                campaign_id: row.campaign_id,
                band: row.band,
                zone: row.zone,
                traffic_class: row.traffic_class,
                done_below_seq: row.done_below_seq,
            })
            .await;
        }
    }

    async fn tell(&self, shard: usize, command: Command) {
        if self.commands[shard].send(command).await.is_err() {
            tracing::debug!("a shard has ended, the database keeps the change");
        }
    }

    fn shard_of(&self, session_id: SessionId) -> usize {
        let mut hasher = DefaultHasher::new();
        session_id.hash(&mut hasher);
        let n_shards = u64::try_from(self.commands.len()).unwrap_or(u64::MAX).max(1);
        usize::try_from(hasher.finish() % n_shards).unwrap_or(0)
    }
}

impl ReceiptSink for DispatchHandle {
    fn submit(&self, receipts: Vec<Receipt>) -> BoxFuture<'_, Result<(), SinkClosed>> {
        async move { if self.submit_receipts(receipts).await { Ok(()) } else { Err(SinkClosed) } }.boxed()
    }
}
