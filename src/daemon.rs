//! Builds the parts of the daemon, starts them in order, and drains them in reverse.
//!
//! Order of start: database → limiter state and orphans → dispatch with its lanes → intake and
//! reconcilers → REST front. Holds no rule of its own.

use std::net::SocketAddr;
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
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, ApiSettings, ApiState, PartReadiness};
use crate::background::check_ledger::{self, Ledger};
use crate::background::{Background, Nudges};
use crate::clock::Clock;
use crate::config::{Config, GatewayKind, Secret};
use crate::dispatch::pacer::state_after_full_burst;
use crate::dispatch::{Dispatch, DispatchHandle, Parts, Settings};
use crate::domain::pacing::Pacing;
use crate::domain::recipient::Recipient;
use crate::error::chain;
use crate::gateway::cloud::{CloudGateway, CloudSettings};
use crate::intake::Intake;
use crate::intake::outbox::drain_outbox;
use crate::kill_point;
use crate::notice::{Notice, NoticeReader, notices};
use crate::service::access_token::{JwtKey, JwtKeys};
use crate::service::auth::AuthSettings;
use crate::service::password::PasswordCost;
use crate::service::sessions::{ConnectOutcome, SessionSettings};
use crate::service::{Connector, ServiceSettings, Services, Tools};
use crate::shutdown::{ReadyFile, Shutdown};
use crate::store::journal::{JournalBatch, LaneSave};
use crate::store::lanes::LaneRow;
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
        store,
        clock: Clock::system(),
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

    let dispatch = base.start_dispatch().await?;
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
    stop_admin.cancel();
    base.store.close().await;
    tracing::info!("drained");
    Ok(())
}

impl Base {
    /// Starts the lanes where the last process left them.
    async fn start_dispatch(&self) -> anyhow::Result<Dispatch> {
        let settings = Settings {
            n_shards: usize::from(self.config.dispatch.shards.get()),
            default_pacing: self.config.dispatch.default_pacing,
            drain_deadline: self.config.dispatch.drain_deadline,
        };
        let lanes = restore_lanes(&self.store, &self.clock, settings.default_pacing).await?;
        let parts = Parts {
            store: self.store.clone(),
            gateway: Arc::new(CloudGateway::new(&cloud_settings(&self.config), self.clock.clone())?),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            settled: Arc::clone(&self.nudges.settled),
        };
        let dispatch = Dispatch::start(parts, settings, &self.tasks);
        open_lanes(&self.store, &dispatch.handle(), lanes).await?;
        Ok(dispatch)
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

/// Reads all lanes, after declaring unknown what was on the wire when the process died.
///
/// The pace of those lanes is saved as just used up before their deliveries are moved: a second
/// crash right after would find no trace of the first.
async fn restore_lanes(store: &Store, clock: &Clock, default_pacing: Pacing) -> Result<Vec<LaneRow>, StoreError> {
    let now = clock.now();
    let in_flight = store.sessions_in_flight().await?;
    if !in_flight.is_empty() {
        let mut saves = JournalBatch::default();
        for row in store.lanes().await? {
            if in_flight.contains(&row.session_id) {
                let tat = state_after_full_burst(row.pacing(default_pacing), now);
                saves.lanes.push(LaneSave { session_id: row.session_id, tat_us: tat.as_us() });
            }
        }
        store.write_journal(&saves).await?;
        kill_point!("start: before attempts under way are orphaned");
        let orphaned = store.orphan_in_flight(now.as_ms()).await?;
        tracing::warn!(lanes = orphaned.len(), "attempts were under way when the process ended, now unknown");
    }
    store.lanes().await
}

async fn open_lanes(store: &Store, dispatch: &DispatchHandle, lanes: Vec<LaneRow>) -> Result<(), StoreError> {
    for row in lanes {
        dispatch.session_changed(row).await;
    }
    dispatch.offer_streams(store.streams().await?).await;
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
                if let Some(row) = self.store.lane(session_id).await? {
                    self.dispatch.session_changed(row).await;
                    self.dispatch.offer_streams(self.store.streams_of_session(session_id).await?).await;
                }
            }
            Notice::Everything => {
                self.outbox.notify_one();
                self.nudges.cancelled.notify_one();
                open_lanes(&self.store, &self.dispatch, self.store.lanes().await?).await?;
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
