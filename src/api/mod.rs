//! The REST front, outside in: layers, mounts, then one operation per handler under [`v1`].
//!
//! A call passes the layers (request id, log, panics, size, time), is routed by its path, gets a [`CallContext`] from
//! its credentials, its body from our own extractors, and one handler that calls one service or store. Handlers hold
//! no rules; the outside form of answers stands in [`envelope`], [`error`], [`page`] and [`mounts`] only.

use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn;
use axum::{Extension, Router};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use self::audit::{Calls, Trail};
pub use self::context::{ApiSettings, ApiState, CallContext, OperatorContext, PartReadiness, Readiness};
use self::error::ApiError;
use self::rates::Rates;
use self::requests::Recorder;
pub use self::server::serve;
use self::throttle::Throttle;
use crate::error::Error;
use crate::limits::LARGE_BODIES_MAX;
use crate::realtime::Hub;
use crate::service::access_token::Caller;

pub mod v1;

pub mod context;

pub mod envelope;

pub mod error;

pub mod page;

pub mod timestamp;

pub mod csv;

pub mod process;

pub mod extract;

pub mod auth;

pub mod roles;

pub mod audit;

pub mod address;

pub mod rates;

mod requests;

pub mod external;

pub mod idempotency;

pub mod throttle;

pub mod server;

pub mod layers;

pub mod mounts;

pub mod openapi;

mod socket;

/// How often it is looked whether those who go on listening still may.
const TOKEN_BEAT: Duration = Duration::from_secs(5);

/// What handlers are given: what the daemon made, and what the front keeps for itself.
pub struct Front {
    state: ApiState,
    throttle: Throttle,
    rates: Rates,
    /// Work that goes on when its client has hung up.
    tasks: TaskTracker,
    /// What was called, on its way into the audit log.
    trail: Trail,
    /// Who looks on.
    realtime: Hub,
    /// Ends what would go on for ever.
    stop: CancellationToken,
    large_bodies: Arc<Semaphore>,
}

pub(crate) type Shared = Arc<Front>;

impl Front {
    /// Tells whose token it is.
    async fn caller_of(&self, token: &SecretString) -> Result<Caller, Error> {
        self.services.auth.verify(token.expose_secret()).await
    }

    /// Tells whether a token that was good when a client came still is, as far as that can be known now.
    async fn still_admits(&self, token: &SecretString) -> bool {
        !matches!(self.caller_of(token).await, Err(Error::Unauthorized))
    }
}

impl std::ops::Deref for Front {
    type Target = ApiState;

    fn deref(&self) -> &ApiState {
        &self.state
    }
}

/// Makes the whole front: operations, Swagger UI, layers, and our own answers to unknown paths and methods.
pub fn router(state: ApiState) -> Router {
    router_with(state, TaskTracker::new(), CancellationToken::new())
}

/// Makes the same; `tasks` tells when all has ended that goes on without its client, `stop` ends what would go on for ever.
fn router_with(state: ApiState, tasks: TaskTracker, stop: CancellationToken) -> Router {
    let recorder = Recorder { requests: state.services.requests.clone(), metrics: state.metrics.clone() };
    let cors_origins = state.settings.cors_origins.clone();
    let (operations, document) = mounts::mount(v1::routes(&state.settings), openapi::Frame::openapi());
    let calls = Arc::new(Calls::of(&document));
    let operations = operations
        .layer(from_fn(move |front, request, next| audit::write_down(Arc::clone(&calls), front, request, next)));
    let front = Arc::new(Front {
        trail: Trail::new(state.store.clone(), tasks.clone()),
        throttle: Throttle::new(state.clock.clone()),
        rates: Rates::new(&state.settings.rates, &state.clock),
        realtime: Hub::new(state.store.clone(), state.clock.clone()),
        stop,
        tasks,
        large_bodies: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
        state,
    });
    front.tasks.spawn(front.realtime.clone().run(front.stop.clone()));
    let router = operations
        .merge(pages())
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async || ApiError::NoRoute)
        .with_state(Arc::clone(&front));
    let router = socket::mount(router, &front).layer(Extension(front));
    layers::surround(router, &cors_origins, recorder)
}

/// Returns the description of all operations.
#[must_use]
pub fn document() -> OpenApi {
    let (_, mut document) = mounts::mount(v1::routes(&ApiSettings::default()), openapi::Frame::openapi());
    openapi::describe_answers(&mut document);
    roles::describe(&mut document);
    openapi::describe_operations(&mut document);
    openapi::document_puts(&mut document);
    openapi::close_bodies(&mut document);
    openapi::refer_to_data(&mut document);
    document
}

/// Swagger UI, at both prefixes.
fn pages() -> Router<Shared> {
    let ui = |prefix: &str| {
        let config = Config::from(format!("{prefix}/openapi.json"));
        Router::from(SwaggerUi::new(format!("{prefix}/docs")).config(config))
    };
    ui(mounts::ALIAS).merge(ui(mounts::V1)).layer(from_fn(layers::page_headers))
}
