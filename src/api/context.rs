//! What a handler is given: who calls, and what it may use.
//!
//! Handlers take a [`CallContext`] first, so that a call without credentials is refused before its body is read.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use futures::future::BoxFuture;
use ipnet::IpNet;
use secrecy::SecretString;

use super::address::client_address;
use super::audit::CallNote;
use super::error::ApiError;
use super::external::NeedsScope;
use super::layers::CountsForPlan;
use super::layers::REQUEST_ID;
use super::process::Process;
use super::rates::{RateNote, RateSettings};
use super::requests::RequestNote;
use super::roles::Needs;
use super::throttle::Visitor;
use super::{Shared, auth};
use crate::clock::Clock;
use crate::domain::ability::Ability;
use crate::domain::opt_out::OptWords;
use crate::domain::user::Role;
use crate::error::Error;
use crate::limits::{MEDIA_BYTES_MAX, UPLOAD_BYTES_MAX};
use crate::receipts::ReceiptSink;
use crate::service::Services;
use crate::service::access_token::Caller;
use crate::store::Store;
use crate::store::analytics::requests::Requester;
use crate::store::api_keys::ApiKeyRecord;
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
    /// The process behind the front, for operators.
    pub process: Arc<dyn Process>,
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
    /// Proxies whose word about the client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many requests are taken from one key, one person and one address.
    pub rates: RateSettings,
    /// How long a handler may take to answer.
    pub timeout: Duration,
    /// How long an upload may pause.
    pub upload_pause_max: Duration,
    /// Bytes of one recipient file.
    pub upload_bytes_max: usize,
    /// Bytes of the largest file that is sent along.
    pub media_bytes_max: usize,
    /// Into how many partitions the sessions are divided.
    pub n_partitions: NonZeroU16,
    /// By which words recipients opt out and in.
    pub opt_words: Arc<OptWords>,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            webhook_app_secret: None,
            webhook_verify_token: None,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            rates: RateSettings::default(),
            timeout: Duration::from_secs(30),
            upload_pause_max: Duration::from_secs(30),
            upload_bytes_max: UPLOAD_BYTES_MAX,
            media_bytes_max: MEDIA_BYTES_MAX,
            n_partitions: NonZeroU16::MIN,
            opt_words: Arc::default(),
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
    /// Who calls; everything is done in the caller's tenant. For a program this is who made its key.
    pub caller: Caller,
    /// The key of the program that calls; none for a person.
    pub key: Option<Arc<ApiKeyRecord>>,
    /// The name of the request.
    request_id: Option<String>,
    front: Shared,
}

impl CallContext {
    /// Returns who is written down as having done what this call does.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let key_id = self.key.as_ref().map(|key| key.id);
        let user_id = key_id.is_none().then_some(self.caller.user_id);
        Actor { user_id, key_id, request_id: self.request_id.clone() }
    }

    /// Returns what the front keeps for itself.
    pub(super) fn front(&self) -> &Shared {
        &self.front
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

    /// Checks that not too many requests come, the credentials, that the role or the key may do this, and that the
    /// plan has a request left.
    async fn from_request_parts(parts: &mut Parts, front: &Shared) -> Result<Self, ApiError> {
        // Whoever had to know before has left it here: a request is checked and counted once.
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let from = client_address(parts, &front.settings.trusted_proxies);
        let note = parts.extensions.get::<RateNote>().cloned().unwrap_or_default();
        let called = parts.extensions.get::<RequestNote>().cloned().unwrap_or_default();
        if let Some(address) = from.map(Visitor::new).and_then(Visitor::address) {
            front.rates.admit_address(address, &note)?;
        }
        let needed = parts.extensions.get::<NeedsScope>().copied();
        let (caller, key) = match needed {
            Some(NeedsScope(scope)) => {
                let shown = auth::api_key(&parts.headers).ok_or(Error::Unauthorized)?;
                let key = front.services.api_keys.verify(shown, from).await?;
                called.by(Requester { tenant_id: key.tenant_id, id: key.id.0, is_key: true });
                front.rates.admit_key(key.id, &note)?;
                if !key.terms.scopes.contains(&scope) {
                    return Err(Error::ScopeMissing(scope).into());
                }
                let (user_id, tenant_id) = (key.created_by, key.tenant_id);
                (Caller { user_id, tenant_id, role: Role::Agent, family_id: None }, Some(key))
            }
            None => {
                let token = auth::bearer(&parts.headers).ok_or(Error::Unauthorized)?;
                let caller = front.services.auth.verify(token).await?;
                called.by(Requester { tenant_id: caller.tenant_id, id: caller.user_id.0, is_key: false });
                front.rates.admit_user(caller.user_id, &note)?;
                (admit_role(caller, Needs::of(parts), front).await?, None)
            }
        };
        if parts.extensions.get::<CountsForPlan>().is_some() {
            front.services.plans.count_request(caller.tenant_id).await?;
            called.counted();
        }
        let request_id = parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let ctx = Self { caller, key, request_id, front: Arc::clone(front) };
        if let Some(note) = parts.extensions.get::<CallNote>() {
            note.by(caller.tenant_id, ctx.actor());
        }
        Ok(ctx)
    }
}

/// Checks that the role of whoever calls has the ability. What few may do is asked of the database: the role that this node
/// believes may be a moment old.
async fn admit_role(caller: Caller, ability: Ability, front: &Shared) -> Result<Caller, ApiError> {
    let role = match ability.is_of_few() {
        true => {
            let user = front.store.users().find(caller.tenant_id, caller.user_id).await?;
            user.ok_or(Error::Unauthorized)?.role
        }
        false => caller.role,
    };
    if role.may(ability) { Ok(Caller { role, ..caller }) } else { Err(Error::Forbidden.into()) }
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

    async fn from_request_parts(parts: &mut Parts, front: &Shared) -> Result<Self, ApiError> {
        parts.extensions.insert(Needs(Ability::Operate));
        let ctx = CallContext::from_request_parts(parts, front).await?;
        // It may have been made before for less.
        if ctx.caller.role.may(Ability::Operate) { Ok(Self(ctx)) } else { Err(Error::Forbidden.into()) }
    }
}
