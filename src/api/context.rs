//! What a handler is given: who calls, and what it may use.
//!
//! Handlers take a [`CallContext`] first, so that a call without credentials is refused before its body is read.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use futures::future::BoxFuture;
use secrecy::SecretString;

use super::error::ApiError;
use super::layers::CountsForPlan;
use super::layers::REQUEST_ID;
use super::{Shared, auth};
use crate::clock::Clock;
use crate::domain::user::Role;
use crate::error::Error;
use crate::limits::UPLOAD_BYTES_MAX;
use crate::receipts::ReceiptSink;
use crate::service::Services;
use crate::service::access_token::Caller;
use crate::store::Store;
use crate::store::audit::Actor;
use crate::telemetry::metrics::Metrics;

/// Everything that handlers use; made by the daemon.
#[derive(Clone)]
pub struct ApiState {
    /// Rules and transactions.
    pub services: Services,
    /// Reads.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Where receipts of the provider go.
    pub receipts: Arc<dyn ReceiptSink>,
    /// Tells whether the daemon can work.
    pub readiness: Arc<dyn Readiness>,
    /// Counts of requests; none where nobody looks.
    pub metrics: Option<Arc<Metrics>>,
    /// What an operator may set.
    pub settings: ApiSettings,
}

/// What an operator may set about the front.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Key of the provider's signatures; without it no callback is taken.
    pub webhook_app_secret: Option<SecretString>,
    /// The word by which the provider verifies the callback's address; without it none is verified.
    pub webhook_verify_token: Option<SecretString>,
    /// Pages of which origins may call the front; `*` stands for all.
    pub cors_origins: Vec<axum::http::HeaderValue>,
    /// How long a handler may take to answer.
    pub timeout: Duration,
    /// How long an upload may pause.
    pub upload_pause_max: Duration,
    /// Bytes of one recipient file.
    pub upload_bytes_max: usize,
    /// Into how many partitions the sessions are divided.
    pub n_partitions: NonZeroU16,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            webhook_app_secret: None,
            webhook_verify_token: None,
            cors_origins: Vec::new(),
            timeout: Duration::from_secs(30),
            upload_pause_max: Duration::from_secs(30),
            upload_bytes_max: UPLOAD_BYTES_MAX,
            n_partitions: NonZeroU16::MIN,
        }
    }
}

/// Tells which part of the daemon can not work now.
pub trait Readiness: Send + Sync {
    /// Looks at every part; the answer comes within a second or two.
    fn parts(&self) -> BoxFuture<'_, Vec<PartReadiness>>;
}

/// One part of the daemon, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartReadiness {
    /// Name of the part: `database`, `dispatch`.
    pub part: &'static str,
    /// What is wrong with it, for people; `None` when it works.
    pub problem: Option<&'static str>,
}

/// One call: who makes it and what it may use.
#[derive(Clone)]
pub struct CallContext {
    /// Who calls; everything is done in the caller's tenant.
    pub caller: Caller,
    /// The name of the request.
    request_id: Option<String>,
    front: Shared,
}

impl CallContext {
    /// Returns who is written down as having done what this call does.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { user_id: Some(self.caller.user_id), request_id: self.request_id.clone() }
    }
}

impl std::ops::Deref for CallContext {
    type Target = ApiState;

    fn deref(&self) -> &ApiState {
        &self.front
    }
}

impl FromRequestParts<Shared> for CallContext {
    type Rejection = ApiError;

    /// Checks the credentials, that the role may change things if the method says that it will, and that the plan has
    /// a request left.
    async fn from_request_parts(parts: &mut Parts, front: &Shared) -> Result<Self, ApiError> {
        let token = auth::bearer(&parts.headers).ok_or(Error::Unauthorized)?;
        let caller = front.services.auth.verify(token)?;
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        if !reads && !caller.role.may_write() {
            return Err(Error::Forbidden.into());
        }
        if parts.extensions.get::<CountsForPlan>().is_some() {
            front.services.plans.count_request(caller.tenant_id).await?;
        }
        let request_id = parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        Ok(Self { caller, request_id, front: Arc::clone(front) })
    }
}

/// One call of somebody who runs the platform; what it reads may belong to any tenant.
#[derive(Clone)]
pub struct OperatorContext(CallContext);

impl OperatorContext {
    /// Returns who calls.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.0.caller
    }

    /// Returns who is written down as having done what this call does.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.0.actor()
    }
}

impl std::ops::Deref for OperatorContext {
    type Target = ApiState;

    fn deref(&self) -> &ApiState {
        &self.0
    }
}

impl FromRequestParts<Shared> for OperatorContext {
    type Rejection = ApiError;

    /// Asks the database for the role: the one in the token may be days old.
    async fn from_request_parts(parts: &mut Parts, front: &Shared) -> Result<Self, ApiError> {
        let ctx = CallContext::from_request_parts(parts, front).await?;
        let user = ctx.store.users().find(ctx.caller.tenant_id, ctx.caller.user_id).await?;
        if !user.is_some_and(|user| user.role == Role::Operator) {
            return Err(Error::Forbidden.into());
        }
        Ok(Self(ctx))
    }
}
