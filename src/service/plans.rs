//! Plans and subscriptions: what operators change, and what the other services ask before they send or make something.
//!
//! The limits themselves are kept by the store, in the transactions that use them up.

use std::time::Duration;

use crate::clock::Moment;
use crate::domain::id::TenantId;
use crate::domain::plan::{LimitChange, Meter, SubscriptionState};
use crate::error::{Error, Problems, Result};
use crate::notice::Notice;
use crate::service::Tools;
use crate::service::check::check_name;
use crate::store::audit::Actor;
use crate::store::plan_usage::TenantUsage;
use crate::store::plans::{self, PlanChange, PlanRecord};

/// Characters of a plan's name, at most.
const NAME_CHARS_MAX: usize = 100;

/// Longest rest of a period: ten years, so that a slip in a year is no subscription for ever.
const PERIOD_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);

/// A subscription to give or to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSubscription {
    /// The slug of the plan.
    pub plan: String,
    /// Where it stands.
    pub state: SubscriptionState,
    /// When the present period ends; as it was, or a month from now, where none is given.
    pub period_end: Option<Moment>,
}

/// Keeps plans and subscriptions.
#[derive(Debug, Clone)]
pub struct PlanService {
    tools: Tools,
}

impl PlanService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Gives a tenant a subscription, or changes it; what is held for it goes on at once if it may.
    ///
    /// # Errors
    /// `Validation` by the fields `plan`, `periodEnd`; `NotFound`.
    pub async fn subscribe(&self, tenant_id: TenantId, new: NewSubscription, actor: Actor) -> Result<TenantUsage> {
        let now = self.tools.clock.now();
        let store = &self.tools.store;
        store.tenants().find(tenant_id).await?.ok_or(Error::NotFound("tenant"))?;
        let mut problems = Problems::default();
        if store.plans().find(&new.plan).await?.is_none() {
            problems.push("plan", "is not a known plan");
        }
        if new.period_end.is_some_and(|at| at <= now || now + PERIOD_MAX < at) {
            problems.push("periodEnd", "must be in the future, within ten years");
        }
        problems.check()?;
        let period_end_ms = new.period_end.map(Moment::as_ms);
        let subscription = plans::NewSubscription { plan: new.plan, state: new.state, period_end_ms, actor };
        store.plans().subscribe(tenant_id, &subscription, now.as_ms()).await?;
        self.tools.notices.tell(Notice::TenantChanged(tenant_id));
        self.usage(tenant_id).await?.ok_or(Error::NotFound("subscription"))
    }

    /// Changes a plan for everybody who has it; several changes at once are all kept.
    ///
    /// # Errors
    /// `Validation` by the fields `name`, `priceCents`, `maxMessages` and so on; `NotFound`.
    pub async fn change(&self, slug: &str, change: PlanChange, actor: &Actor) -> Result<PlanRecord> {
        let mut problems = Problems::default();
        let name = change.name.map(|name| check_name("name", &name, NAME_CHARS_MAX, &mut problems));
        if change.price_cents.is_some_and(|price_cents| price_cents < 0) {
            problems.push("priceCents", "must not be negative");
        }
        check_limits(change.limits, &mut problems);
        problems.check()?;
        let (change, now_ms) = (PlanChange { name, ..change }, self.tools.clock.now().as_ms());
        let changed = self.tools.store.plans().change(slug, &change, actor, now_ms).await?;
        let (plan, tenants) = changed.ok_or(Error::NotFound("plan"))?;
        for tenant_id in tenants {
            self.tools.notices.tell(Notice::TenantChanged(tenant_id));
        }
        Ok(plan)
    }

    /// Returns what a tenant has and used; `None` without a subscription.
    ///
    /// # Errors
    /// `Store` when it could not be read.
    pub async fn usage(&self, tenant_id: TenantId) -> Result<Option<TenantUsage>> {
        let now_ms = self.tools.clock.now().as_ms();
        Ok(self.tools.store.usage_of_tenant(tenant_id, now_ms).await?)
    }

    /// Counts a request of a tenant to the API.
    ///
    /// # Errors
    /// `LimitExceeded` when its plan has none left.
    pub async fn count_request(&self, tenant_id: TenantId) -> Result<()> {
        let now_ms = self.tools.clock.now().as_ms();
        if self.tools.store.count_request(tenant_id, now_ms).await? {
            Ok(())
        } else {
            Err(Error::LimitExceeded(Meter::ApiRequests))
        }
    }
}

/// Tells whether a tenant may send one more message now; whether it leaves is decided when it is begun.
pub(super) async fn check_message(tools: &Tools, tenant_id: TenantId) -> Result<()> {
    let now_ms = tools.clock.now().as_ms();
    match tools.store.usage_of_tenant(tenant_id, now_ms).await? {
        Some(usage) => Ok(usage.check(Meter::Messages, now_ms)?),
        None => Ok(()),
    }
}

/// Tells whether a tenant's subscription is active; what is beyond its messages waits, or fails by its own policy.
pub(super) async fn check_active(tools: &Tools, tenant_id: TenantId) -> Result<()> {
    match check_message(tools, tenant_id).await {
        Err(Error::LimitExceeded(_)) => Ok(()),
        other => other,
    }
}

fn check_limits(change: LimitChange, problems: &mut Problems) {
    for (field, limit) in [
        ("maxMessages", change.messages),
        ("maxSessions", change.sessions),
        ("maxApiRequests", change.api_requests),
        ("maxCampaigns", change.campaigns),
        ("maxContacts", change.contacts),
    ] {
        if limit.flatten().is_some_and(|limit| limit < 0) {
            problems.push(field, "must not be negative");
        }
    }
}
