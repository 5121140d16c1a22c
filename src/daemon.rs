//! Builds the parts of the daemon, starts them in order, and drains them in reverse.
//!
//! Order of start: database → limiter state and orphans → dispatch with its lanes → intake and
//! reconcilers → REST front. Holds no rule of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, ApiSettings, ApiState, PartReadiness};
use crate::background::check_ledger::{self, Ledger};
use crate::background::{Background, Nudges};
use crate::clock::{Clock, Moment};
use crate::config::{Config, GatewayKind, Secret};
use crate::dispatch::lease::Leases;
use crate::dispatch::{Dispatch, DispatchHandle, LeaseNews, Parts, Settings};
use crate::domain::id::SessionId;
use crate::domain::partition::PartitionNo;
use crate::domain::recipient::Recipient;
use crate::error::chain;
use crate::gateway::cloud::{CloudGateway, CloudSettings};
use crate::intake::Intake;
use crate::intake::outbox::drain_outbox;
use crate::node::Node;
use crate::notice::{Notice, NoticeReader, notices};
use crate::ownership::{Ownership, OwnershipSettings};
use crate::service::access_token::{JwtKey, JwtKeys};
use crate::service::auth::AuthSettings;
use crate::service::password::PasswordCost;
use crate::service::sessions::{ConnectOutcome, SessionSettings};
use crate::service::{Connector, ServiceSettings, Services, Tools};
use crate::shutdown::{ReadyFile, Shutdown};
use crate::store::sessions::SessionRecord;
use crate::store::{Store, StoreError};
use crate::telemetry::admin::{self, Phase, Readiness};
use crate::telemetry::metrics::Metrics;

/// How often the database is asked whether it is there.
const PING_BEAT: Duration = Duration::from_secs(1);

/// What all parts share.
struct Base {
    config: Config,
    store: Store,
    clock: Clock,
    node: Arc<Node>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    nudges: Nudges,
    tasks: TaskTracker,
    /// Ends intake and background work, before the lanes drain.
    stop_intake: CancellationToken,
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
    let base = Base {
        config,
        clock: Clock::starting_at(Moment::from_us(store.now_us().await?)),
        node: Arc::new(Node::of_process(None)),
        store,
        metrics: Metrics::new().context("set up the metrics")?,
        readiness: Readiness::new(),
        nudges: Nudges::default(),
        tasks: TaskTracker::new(),
        stop_intake: CancellationToken::new(),
    };
    let stop_admin = CancellationToken::new();
    let admin_routes =
        admin::router(Arc::clone(&base.metrics), base.readiness.clone()).merge(ledger_route(base.store.clone()));
    base.tasks.spawn(admin::serve(admin_listener, admin_routes, stop_admin.clone()));

    let (dispatch, news) = base.start_dispatch()?;
    // One node without a broker owns everything.
    let (_wanted, wanted) = watch::channel(BTreeSet::from([PartitionNo::FIRST]));
    let (owner, release) = base.start_ownership(&dispatch.handle(), news, wanted);
    let services = base.start_intake(&dispatch.handle());
    let state = base.api_state(services, dispatch.handle());
    base.readiness.set(Phase::Ready);
    ready.tell(api_address, admin_address).context("write the ready file")?;
    tracing::info!(api = %api_address, admin = %admin_address, "ready");
    api::serve(api_listener, state, shutdown.drain().clone()).await;

    base.readiness.set(Phase::Draining);
    tracing::info!("draining");
    base.stop_intake.cancel();
    dispatch.drain().await;
    release.cancel();
    if owner.await.is_err() {
        tracing::error!("the owner of the leases panicked");
    }
    stop_admin.cancel();
    base.store.close().await;
    tracing::info!("drained");
    Ok(())
}

impl Base {
    /// Starts the lanes; their partitions are claimed and restored as they are wanted here.
    fn start_dispatch(&self) -> anyhow::Result<(Dispatch, LeaseNews)> {
        let settings = Settings {
            n_shards: usize::from(self.config.dispatch.shards.get()),
            default_pacing: self.config.dispatch.default_pacing,
            drain_deadline: self.config.dispatch.drain_deadline,
        };
        let parts = Parts {
            store: self.store.clone(),
            gateway: Arc::new(CloudGateway::new(&cloud_settings(&self.config), self.clock.clone())?),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            settled: Arc::clone(&self.nudges.settled),
            leases: Leases::new(self.n_partitions()),
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

    /// Into how many partitions the sessions are divided.
    fn n_partitions(&self) -> NonZeroU16 {
        NonZeroU16::MIN
    }

    /// Starts everything that brings the lanes their work.
    fn start_intake(&self, dispatch: &DispatchHandle) -> Services {
        let (notices, reader) = notices();
        let tools = Tools { store: self.store.clone(), clock: self.clock.clone(), notices };
        let services = Services::new(tools, service_settings(&self.config), Arc::new(ByNumber));
        let outbox = Arc::new(Notify::new());
        let intake = Intake {
            store: self.store.clone(),
            dispatch: dispatch.clone(),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            last_seq: 0,
        };
        self.tasks.spawn(drain_outbox(intake, Arc::clone(&outbox), self.stop_intake.clone()));
        let (store, nudges) = (self.store.clone(), self.nudges.clone());
        let follower = Follower { store, dispatch: dispatch.clone(), outbox, nudges };
        self.tasks.spawn(follower.run(reader, self.stop_intake.clone()));
        let background = Background {
            store: self.store.clone(),
            services: services.clone(),
            dispatch: dispatch.clone(),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            unknown_grace: self.config.dispatch.unknown_grace,
            nudges: self.nudges.clone(),
        };
        background.start(&self.tasks, &self.stop_intake);
        self.tasks.spawn(watch_store(self.store.clone(), self.readiness.clone(), self.stop_intake.clone()));
        services
    }

    fn api_state(&self, services: Services, dispatch: DispatchHandle) -> ApiState {
        ApiState {
            services,
            store: self.store.clone(),
            clock: self.clock.clone(),
            receipts: Arc::new(dispatch),
            metrics: Some(Arc::clone(&self.metrics)),
            readiness: Arc::new(ShownReadiness(self.readiness.clone())),
            settings: api_settings(&self.config),
        }
    }
}

async fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{key}: can not listen on {address}"))
}

async fn open_lanes(store: &Store, dispatch: &DispatchHandle) -> Result<(), StoreError> {
    let held = dispatch.leases().held();
    let mut rows = store.lanes().await?;
    rows.retain(|row| held.of_session(row.session_id).is_some());
    let sessions: Vec<SessionId> = rows.iter().map(|row| row.session_id).collect();
    for row in rows {
        dispatch.session_changed(row, &held).await;
    }
    dispatch.offer_streams(store.streams_of_sessions(&sessions).await?).await;
    Ok(())
}

/// Carries what services changed to the parts that act on it.
struct Follower {
    store: Store,
    dispatch: DispatchHandle,
    outbox: Arc<Notify>,
    nudges: Nudges,
}

impl Follower {
    async fn run(self, mut reader: NoticeReader, stop: CancellationToken) {
        while let Some(Some(notice)) = stop.run_until_cancelled(reader.next()).await {
            let mut wait = Duration::from_millis(100);
            while let Err(error) = self.follow(notice).await {
                tracing::warn!(error = chain(&error), "notice could not be followed, will try again");
                if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                    return;
                }
                wait = (wait * 2).min(Duration::from_secs(2));
            }
        }
    }

    async fn follow(&self, notice: Notice) -> Result<(), StoreError> {
        match notice {
            Notice::OutboxWritten => self.outbox.notify_one(),
            Notice::CampaignChanged(campaign_id) => {
                if let Some(state) = self.store.campaign_state(campaign_id).await? {
                    self.dispatch.campaign_changed(campaign_id, state).await;
                }
                self.nudges.cancelled.notify_one();
                self.nudges.settled.notify_one();
            }
            Notice::SessionChanged(session_id) => {
                let held = self.dispatch.leases().held();
                if let Some(row) = self.store.lane(session_id).await?.filter(|_| held.of_session(session_id).is_some())
                {
                    self.dispatch.session_changed(row, &held).await;
                    self.dispatch.offer_streams(self.store.streams_of_sessions(&[session_id]).await?).await;
                }
            }
            Notice::Everything => {
                self.outbox.notify_one();
                self.nudges.cancelled.notify_one();
                open_lanes(&self.store, &self.dispatch).await?;
                for campaign_id in self.store.open_campaigns().await? {
                    if let Some(state) = self.store.campaign_state(campaign_id).await? {
                        self.dispatch.campaign_changed(campaign_id, state).await;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Shows when the database is away.
async fn watch_store(store: Store, readiness: Readiness, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PING_BEAT)).await.is_some() {
        let answered = tokio::time::timeout(PING_BEAT * 2, store.ping()).await;
        readiness.set(if matches!(answered, Ok(Ok(()))) { Phase::Ready } else { Phase::StoreLost });
    }
}

/// `GET /ledger` of the admin port: counts all rows now.
fn ledger_route(store: Store) -> axum::Router {
    let count = |State(store): State<Store>| async move {
        check_ledger::count(&store).await.map(Json::<Ledger>).map_err(|error| {
            tracing::warn!(error = chain(&error), "ledger could not be counted");
            StatusCode::SERVICE_UNAVAILABLE
        })
    };
    axum::Router::new().route("/ledger", get(count)).with_state(store)
}

/// Sessions of the Cloud API need no connection: a number is enough.
#[derive(Debug)]
struct ByNumber;

impl Connector for ByNumber {
    fn connect(&self, session: &SessionRecord) -> ConnectOutcome {
        if session.phone_number_id.is_some() {
            ConnectOutcome::Connected
        } else {
            ConnectOutcome::Refused(
                "The session has no phoneNumberId: set it to the number's id at the provider.".into(),
            )
        }
    }
}

struct ShownReadiness(Readiness);

impl api::Readiness for ShownReadiness {
    fn parts(&self) -> BoxFuture<'_, Vec<PartReadiness>> {
        async move {
            let phase = self.0.get();
            let database = (phase == Phase::StoreLost).then_some("The database can not be reached.");
            let dispatch = match phase {
                Phase::Starting => Some("It is starting."),
                Phase::Draining => Some("It is draining."),
                Phase::Ready | Phase::StoreLost => None,
            };
            vec![
                PartReadiness { part: "database", problem: database },
                PartReadiness { part: "dispatch", problem: dispatch },
            ]
        }
        .boxed()
    }
}

fn cloud_settings(config: &Config) -> CloudSettings {
    let gateway = &config.gateway;
    CloudSettings {
        base_url: gateway.base_url.clone(),
        api_version: gateway.api_version.clone(),
        access_token: gateway.access_token.expose().to_owned(),
        request_timeout: gateway.request_timeout,
        connect_timeout: gateway.connect_timeout,
    }
}

fn service_settings(config: &Config) -> ServiceSettings {
    let secret = config.auth.jwt_secret.as_ref().map_or_else(
        || {
            tracing::warn!("auth.jwt_secret is not set: access tokens end with this process");
            format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4())
        },
        |secret| secret.expose().to_owned(),
    );
    let current = JwtKey { kid: "1".to_owned(), secret: SecretString::from(secret) };
    ServiceSettings {
        auth: AuthSettings {
            jwt_keys: JwtKeys { current, previous: Vec::new() },
            access_token_lifetime: config.auth.token_lifetime,
            refresh_token_lifetime: config.auth.refresh_lifetime,
            password_cost: PasswordCost::default(),
        },
        sessions: SessionSettings {
            default_pacing: config.dispatch.default_pacing,
            assigns_phone_number_id: config.gateway.kind == GatewayKind::Simulator,
        },
    }
}

fn api_settings(config: &Config) -> ApiSettings {
    let secret = |secret: &Secret| (!secret.is_empty()).then(|| SecretString::from(secret.expose()));
    ApiSettings {
        webhook_app_secret: secret(&config.gateway.app_secret),
        webhook_verify_token: secret(&config.gateway.verify_token),
        cors_origins: config.server.cors_origins.clone(),
        timeout: config.server.request_timeout,
        ..ApiSettings::default()
    }
}
