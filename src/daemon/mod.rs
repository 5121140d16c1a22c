//! Builds the parts of the daemon, starts them in order, and drains them in reverse.
//!
//! Order of start: database → dispatch → ownership, which brings the lanes back → services and reconcilers →
//! queue → REST front. Holds no rule of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, ApiState};
use crate::background::device_events::DeviceEvents;
use crate::background::device_news::DeviceNewsQueue;
use crate::background::key_uses::KeyUses;
use crate::background::session_news::SessionNews;
use crate::background::{Background, Nudges};
use crate::broker::Broker;
use crate::clock::{Clock, Moment};
use crate::config::{Config, QueueKind};
use crate::daemon::follower::Follower;
use crate::daemon::process::ThisProcess;
use crate::daemon::queue::KafkaQueue;
use crate::daemon::readiness::ShownReadiness;
use crate::daemon::token_file::TokenFile;
use crate::dispatch::lease::Leases;
use crate::dispatch::{Dispatch, DispatchHandle, LeaseNews, LostSessions, Parts, Settings};
use crate::domain::control::ControlMessage;
use crate::domain::partition::PartitionNo;
use crate::domain::recipient::Recipient;
use crate::gateway::by_number::{ByNumber, SendByNumber};
use crate::gateway::cloud::AccessToken;
use crate::gateway::linked::{LinkedDevices, LinkedGateway};
use crate::intake::Intake;
use crate::intake::outbox::{JobSink, Outbox};
use crate::limits::{DEVICE_NEWS_MAX, NUDGES_MAX};
use crate::mail::Mailer;
use crate::media::MediaFiles;
use crate::node::Node;
use crate::notice::{NoticeReader, Notices, notices};
use crate::ownership::{Ownership, OwnershipSettings};
use crate::service::{AuthService, Services, SessionService, Tools};
use crate::shutdown::{ReadyFile, Shutdown};
use crate::store::Store;
use crate::telemetry::admin::{self, Phase, Readiness};
use crate::telemetry::metrics::Metrics;
use crate::webhooks::Courier;

mod follower;
mod looks;
mod process;
mod queue;
mod readiness;
mod settings;
mod token_file;

/// How often the database is asked for the time at the start: one of 20 answers is quick on any machine.
const CLOCK_ANSWERS: u32 = 20;

/// What all parts share.
struct Base {
    config: Config,
    store: Store,
    files: MediaFiles,
    access_token: AccessToken,
    clock: Clock,
    node: Arc<Node>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    nudges: Nudges,
    tasks: TaskTracker,
    /// Ends intake and background work, before the lanes drain.
    stop_intake: CancellationToken,
    /// Ends the relay of events, after the lanes have drained.
    stop_events: CancellationToken,
}

/// Runs the daemon until it is asked to stop and has drained.
///
/// # Errors
/// When a part can not start: database, addresses, provider's settings.
pub async fn run(config: Config, shutdown: Shutdown, ready: ReadyFile) -> anyhow::Result<()> {
    let admin_listener = listen("server.admin_listen", config.server.admin_listen).await?;
    let api_listener = listen("server.listen", config.server.listen).await?;
    let (api_address, admin_address) = (api_listener.local_addr()?, admin_listener.local_addr()?);
    let store = Store::open(config.store.url.expose(), config.store.connections_max).await?;
    store.migrate().await?;
    // The tables of all countries are read once, here, and not under the first request.
    tokio::task::spawn_blocking(Recipient::prepare).await?;
    let instance_id = config.queue.kafka.as_ref().and_then(|kafka| kafka.instance_id.as_deref());
    let node = Arc::new(Node::of_process(instance_id));
    let store = match config.queue.kind {
        QueueKind::Kafka => store.recording_events(node.id),
        QueueKind::Local => store,
    };
    let base = Base {
        files: settings::media_files(&config)?,
        access_token: settings::access_token(&config)?,
        config,
        clock: shared_clock(&store).await?,
        node,
        store,
        metrics: Metrics::new().context("set up the metrics")?,
        readiness: Readiness::new(),
        nudges: Nudges::default(),
        tasks: TaskTracker::new(),
        stop_intake: CancellationToken::new(),
        stop_events: CancellationToken::new(),
    };
    let stop_admin = CancellationToken::new();
    let admin_routes = base.admin_routes()?;
    base.tasks.spawn(admin::serve(admin_listener, admin_routes, stop_admin.clone()));

    let between = BetweenNodes::new(base.config.queue.kind);
    let (dispatch, news, lost) = base.start_dispatch(between.elsewhere.clone())?;
    let (wanted_sender, wanted) = watch::channel(BTreeSet::new());
    let (owner, release) = base.start_ownership(&dispatch.handle(), news, wanted);
    let (notices, reader) = notices();
    let services = base.start_services(&dispatch.handle(), notices, lost)?;
    let couriers = base.start_couriers(services.auth.clone())?;
    let mut queue = base.start_queue(&dispatch.handle(), reader, between, wanted_sender)?;
    let state = base.api_state(services, dispatch.handle(), shutdown.drain().clone());
    base.readiness.set(Phase::Ready);
    ready.tell(api_address, admin_address).context("write the ready file")?;
    tracing::info!(api = %api_address, admin = %admin_address, "ready");
    let stop_api = shutdown.drain().child_token();
    let serving = api::serve(api_listener, state, stop_api.clone());
    tokio::pin!(serving);
    let ended_early = tokio::select! {
        () = &mut serving => None,
        ended = &mut queue => {
            stop_api.cancel();
            serving.await;
            Some(ended)
        }
    };

    base.readiness.set(Phase::Draining);
    tracing::info!("draining");
    base.stop_intake.cancel();
    dispatch.drain().await;
    // The lanes are empty: others may have them, whatever the queue still waits for.
    release.cancel();
    ended("owner of the leases", owner).await;
    base.stop_events.cancel();
    ended("delivery to webhooks and by mail", couriers).await;
    let queue_ended = match ended_early {
        Some(ended) => ended,
        None => queue.await,
    };
    stop_admin.cancel();
    base.store.close().await;
    tracing::info!("drained");
    queue_ended.context("the queue panicked")?
}

/// Starts a clock at the database's time, which all nodes share: from the quickest of a few answers, because what it
/// is wrong by is at most half the time that the answer took.
async fn shared_clock(store: &Store) -> anyhow::Result<Clock> {
    let mut best: Option<(Duration, Clock)> = None;
    for _ in 0..CLOCK_ANSWERS {
        let asked_at = tokio::time::Instant::now();
        let then = Moment::from_us(store.now_us().await?);
        let took = asked_at.elapsed();
        if best.as_ref().is_none_or(|(quickest, _)| took < *quickest) {
            best = Some((took, Clock::starting_at(then + took / 2)));
        }
    }
    best.map(|(_, clock)| clock).context("ask the database for the time")
}

/// What nodes tell each other, on its way out; nothing where there are no other nodes.
struct BetweenNodes {
    elsewhere: Option<mpsc::Sender<ControlMessage>>,
    nudges_out: mpsc::Receiver<ControlMessage>,
}

impl BetweenNodes {
    fn new(kind: QueueKind) -> Self {
        let (sender, nudges_out) = mpsc::channel(NUDGES_MAX);
        Self { elsewhere: (kind == QueueKind::Kafka).then_some(sender), nudges_out }
    }
}

impl Base {
    /// Starts the lanes; their partitions are claimed and restored as they are wanted here.
    fn start_dispatch(
        &self,
        elsewhere: Option<mpsc::Sender<ControlMessage>>,
    ) -> anyhow::Result<(Dispatch, LeaseNews, LostSessions)> {
        let settings = Settings {
            n_shards: usize::from(self.config.dispatch.shards.get()),
            default_pacing: self.config.dispatch.default_pacing,
            drain_deadline: self.config.dispatch.drain_deadline,
        };
        let parts = Parts {
            store: self.store.clone(),
            gateway: Arc::new(self.gateway()?),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            settled: Arc::clone(&self.nudges.settled),
            leases: Leases::new(self.n_partitions()),
            elsewhere,
        };
        Ok(Dispatch::start(parts, settings, &self.tasks))
    }

    /// Starts to own the partitions that are wanted here; returns what ends it.
    fn start_ownership(
        &self,
        dispatch: &DispatchHandle,
        news: LeaseNews,
        wanted: watch::Receiver<BTreeSet<PartitionNo>>,
    ) -> (JoinHandle<()>, CancellationToken) {
        let release = CancellationToken::new();
        let ownership = Ownership {
            store: self.store.clone(),
            dispatch: dispatch.clone(),
            clock: self.clock.clone(),
            node: Arc::clone(&self.node),
            settings: OwnershipSettings {
                lease: self.config.dispatch.lease,
                patience: self.config.dispatch.lease + self.config.dispatch.drain_deadline,
                default_pacing: self.config.dispatch.default_pacing,
            },
            metrics: Arc::clone(&self.metrics),
            tasks: self.tasks.clone(),
        };
        let task = self.tasks.spawn(ownership.run(wanted, news, (self.stop_intake.clone(), release.clone())));
        (task, release)
    }

    /// Into how many partitions the sessions are divided; without a broker there is one node with all of them.
    fn n_partitions(&self) -> NonZeroU16 {
        self.config.queue.kafka.as_ref().map_or(NonZeroU16::MIN, |kafka| kafka.partitions)
    }

    /// Starts the services and the reconcilers.
    fn start_services(
        &self,
        dispatch: &DispatchHandle,
        notices: Notices,
        lost: LostSessions,
    ) -> anyhow::Result<Services> {
        let tools = Tools { store: self.store.clone(), clock: self.clock.clone(), notices: notices.clone() };
        let linked = settings::linked_settings(&self.config).map(|linked| LinkedDevices::new(&linked)).transpose()?;
        let connector = Arc::new(ByNumber {
            linked: linked.clone(),
            cloud: Some(settings::cloud_desk(&self.config, &self.access_token)?),
        });
        let services = Services::new(tools, settings::service_settings(&self.config, self.files.clone())?, connector);
        if let Some(linked) = linked {
            self.follow_devices(linked, services.sessions.clone(), dispatch);
        }
        let background = Background {
            store: self.store.clone(),
            services: services.clone(),
            dispatch: dispatch.clone(),
            notices,
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            unknown_grace: self.config.dispatch.unknown_grace,
            no_receipt_after: self.config.dispatch.no_receipt_after,
            nudges: self.nudges.clone(),
        };
        background.start(&self.tasks, &self.stop_intake);
        let session_news = SessionNews { sessions: services.sessions.clone(), receiver: lost };
        self.tasks.spawn(session_news.run(self.stop_intake.clone()));
        let key_uses = KeyUses { api_keys: services.api_keys.clone() };
        self.tasks.spawn(key_uses.run(self.stop_intake.clone()));
        Ok(services)
    }

    /// Makes the gateways, and starts to look whether its token was replaced.
    fn gateway(&self) -> anyhow::Result<SendByNumber> {
        if let Some(file) = self.config.gateway.access_token_file.clone() {
            let follower = TokenFile { file, access_token: self.access_token.clone() };
            self.tasks.spawn(follower.follow(self.stop_intake.clone()));
        }
        let linked = settings::linked_settings(&self.config);
        let linked = linked.map(|linked| LinkedGateway::new(&linked, self.clock.clone())).transpose()?;
        let files = self.files.clone();
        let cloud = settings::cloud_gateway(&self.config, &self.access_token, files, self.clock.clone())?;
        Ok(SendByNumber { cloud, linked })
    }

    /// Starts to note what happens to linked devices. Every node does: what is noted twice changes nothing.
    fn follow_devices(&self, linked: LinkedDevices, sessions: SessionService, dispatch: &DispatchHandle) {
        let events = DeviceEvents { devices: linked.clone(), sink: Arc::new(dispatch.clone()) };
        self.tasks.spawn(events.run(self.stop_intake.clone()));
        let (sender, receiver) = mpsc::channel(DEVICE_NEWS_MAX);
        self.tasks.spawn(linked.follow(sender, self.stop_intake.clone()));
        let noting = DeviceNewsQueue { sessions, receiver };
        self.tasks.spawn(noting.run(self.stop_intake.clone()));
    }

    /// Starts what brings the lanes their work; returns what ends with the queue, and fails when the process must
    /// end.
    fn start_queue(
        &self,
        dispatch: &DispatchHandle,
        reader: NoticeReader,
        between: BetweenNodes,
        wanted: watch::Sender<BTreeSet<PartitionNo>>,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        let outbox = Arc::new(Notify::new());
        let BetweenNodes { elsewhere, nudges_out } = between;
        let (nudges_in, from_nodes) = mpsc::channel(NUDGES_MAX);
        let follower = Follower {
            store: self.store.clone(),
            dispatch: dispatch.clone(),
            outbox: Arc::clone(&outbox),
            nudges: self.nudges.clone(),
            elsewhere,
        };
        self.tasks.spawn(follower.run(reader, from_nodes, self.stop_intake.clone()));
        let intake = Intake {
            store: self.store.clone(),
            dispatch: dispatch.clone(),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        let stop = self.stop_intake.clone();
        let Some(kafka) = &self.config.queue.kafka else {
            // One node without a broker owns everything.
            wanted.send_replace(BTreeSet::from([PartitionNo::FIRST]));
            let drain = Outbox {
                store: self.store.clone(),
                sink: JobSink::Intake(intake),
                leases: dispatch.leases().clone(),
                clock: self.clock.clone(),
                metrics: Arc::clone(&self.metrics),
            };
            return Ok(self.tasks.spawn(async move {
                drain.run(outbox, stop).await;
                drop(wanted);
                Ok(())
            }));
        };
        let queue = KafkaQueue {
            broker: Broker::new(kafka.clone())?,
            intake,
            wanted,
            outbox,
            nudges_out,
            nudges_in,
            readiness: self.readiness.clone(),
            stop_events: self.stop_events.clone(),
            tasks: self.tasks.clone(),
        };
        self.readiness.set_broker(false);
        Ok(self.tasks.spawn(queue.run(stop)))
    }

    /// Starts to tell tenants what happens, and to send mails; ends with intake, when what is on the wire has its answer.
    fn start_couriers(&self, auth: AuthService) -> anyhow::Result<JoinHandle<()>> {
        let settings = settings::courier_settings(&self.config);
        let metrics = Arc::clone(&self.metrics);
        let courier = Courier::new(self.store.clone(), self.clock.clone(), metrics, self.node.id, settings);
        let mailer = Mailer::new(self.store.clone(), self.clock.clone(), auth, settings::mail_settings(&self.config))?;
        let (courier, mailer) = (courier.run(self.stop_intake.clone()), mailer.run(self.stop_intake.clone()));
        Ok(self.tasks.spawn(async { ((), ()) = tokio::join!(courier, mailer) }))
    }

    fn api_state(&self, services: Services, dispatch: DispatchHandle, drain: CancellationToken) -> ApiState {
        ApiState {
            services,
            store: self.store.clone(),
            clock: self.clock.clone(),
            receipts: Arc::new(dispatch),
            metrics: Some(Arc::clone(&self.metrics)),
            readiness: Arc::new(ShownReadiness(self.readiness.clone())),
            process: Arc::new(ThisProcess::of(self, drain)),
            settings: settings::api_settings(&self.config, self.n_partitions()),
        }
    }
}

/// Waits for the end of a part.
async fn ended(part: &'static str, task: JoinHandle<()>) {
    if task.await.is_err() {
        tracing::error!(part, "a part of the daemon panicked");
    }
}

async fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{key}: can not listen on {address}"))
}
