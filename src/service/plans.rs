//! Plans and subscriptions: what operators change, and what the other services ask before they send or make something.
//!
//! The limits themselves are kept by the store, in the transactions that use them up.

use crate::clock::Moment;
use crate::domain::id::TenantId;
use crate::domain::plan::{Meter, PlanLimits, SubscriptionState};
use crate::error::{Error, Problems, Result};
use crate::notice::Notice;
use crate::service::Tools;
use crate::service::check::check_name;
use crate::store::audit::Actor;
use crate::store::plan_usage::TenantUsage;
use crate::store::plans::{self, PlanRecord};

/// Characters of a plan's name, at most.
const NAME_CHARS_MAX: usize = 100;

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

/// A change of a plan; what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanChange {
    /// What people call it; 1 to 100 characters.
    pub name: Option<String>,
    /// What a period costs, in the smallest unit of the currency.
    pub price_cents: Option<i64>,
    /// New limits; an inner none takes a limit away.
    pub limits: LimitChange,
}

/// A change of limits; the inner none stands for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitChange {
    /// Messages in a period.
    pub messages: Option<Option<i64>>,
    /// Sessions at a time.
    pub sessions: Option<Option<i64>>,
    /// Requests to the API in a period.
    pub api_requests: Option<Option<i64>>,
    /// Campaigns made in a period.
    pub campaigns: Option<Option<i64>>,
    /// Contacts at a time.
    pub contacts: Option<Option<i64>>,
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
        if new.period_end.is_some_and(|at| at <= now) {
            problems.push("periodEnd", "must be in the future");
        }
        problems.check()?;
        let period_end_ms = new.period_end.map(Moment::as_ms);
        let subscription = plans::NewSubscription { plan: new.plan, state: new.state, period_end_ms, actor };
        store.plans().subscribe(tenant_id, &subscription, now.as_ms()).await?;
        self.tools.notices.tell(Notice::TenantChanged(tenant_id));
        self.usage(tenant_id).await?.ok_or(Error::NotFound("subscription"))
    }

    /// Changes a plan for everybody who has it.
    ///
    /// # Errors
    /// `Validation` by the fields `name`, `priceCents`, `maxMessages` and so on; `NotFound`.
    pub async fn change(&self, slug: &str, change: PlanChange, actor: &Actor) -> Result<PlanRecord> {
        let plans = self.tools.store.plans();
        let plan = plans.find(slug).await?.ok_or(Error::NotFound("plan"))?;
        let mut problems = Problems::default();
        let name = change.name.map(|name| check_name("name", &name, NAME_CHARS_MAX, &mut problems));
        let price_cents = change.price_cents.unwrap_or(plan.price_cents);
        if price_cents < 0 {
            problems.push("priceCents", "must not be negative");
        }
        let limits = change.limits.over(plan.limits, &mut problems);
        problems.check()?;
        let changed = PlanRecord { name: name.unwrap_or(plan.name), price_cents, limits, ..plan };
        let tenants = plans.change(&changed, actor, self.tools.clock.now().as_ms()).await?;
        for tenant_id in tenants {
            self.tools.notices.tell(Notice::TenantChanged(tenant_id));
        }
        Ok(changed)
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

impl LimitChange {
    fn over(self, limits: PlanLimits, problems: &mut Problems) -> PlanLimits {
        let mut of = |field: &'static str, change: Option<Option<i64>>, limit: Option<i64>| {
            if change.flatten().is_some_and(|limit| limit < 0) {
                problems.push(field, "must not be negative");
            }
            change.unwrap_or(limit)
        };
        PlanLimits {
            messages: of("maxMessages", self.messages, limits.messages),
            sessions: of("maxSessions", self.sessions, limits.sessions),
            api_requests: of("maxApiRequests", self.api_requests, limits.api_requests),
            campaigns: of("maxCampaigns", self.campaigns, limits.campaigns),
            contacts: of("maxContacts", self.contacts, limits.contacts),
        }
    }
}
