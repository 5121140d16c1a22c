//! Payments and what follows from them: what a tenant may order, when it has it, and how its subscription goes on.
//!
//! What can happen to a subscription is [`crate::domain::billing::life_cycle`]; that it happens once is the store's.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::billing::PaymentProvider;
use crate::domain::billing::life_cycle::{Event, LaneEffect, Refused, Step, Subscription};
use crate::domain::id::{TenantAddonId, TenantId};
use crate::error::{Error, Result};
use crate::limits::{COUPON_HELD_MS_MAX, DUE_SUBSCRIPTIONS_MAX, PAYMENT_EVENTS_KEPT_MS};
use crate::notice::Notice;
use crate::service::Tools;
use crate::store::audit::Actor;

use self::razorpay::Razorpay;

pub mod checkout;
pub mod confirm;
pub mod offers;
pub mod razorpay;

/// How payments are taken.
#[derive(Debug, Clone, Default)]
pub struct BillingSettings {
    /// Who takes the money; an operator says when it has come where nobody is named.
    pub razorpay: Option<Arc<Razorpay>>,
    /// How long new tenants may try everything; without it they have no subscription, and no limits.
    pub trial: Option<Duration>,
}

/// Takes orders and payments, and moves subscriptions.
#[derive(Debug, Clone)]
pub struct BillingService {
    tools: Tools,
    razorpay: Option<Arc<Razorpay>>,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::conflict(refused.to_string())
    }
}

impl BillingService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools, settings: &BillingSettings) -> Self {
        Self { tools, razorpay: settings.razorpay.clone() }
    }

    /// Returns who takes the money.
    #[must_use]
    pub fn provider(&self) -> PaymentProvider {
        if self.razorpay.is_some() { PaymentProvider::Razorpay } else { PaymentProvider::Manual }
    }

    /// Returns what web pages name us by at Razorpay; none where that takes no money.
    #[must_use]
    pub fn razorpay_key_id(&self) -> Option<&str> {
        self.razorpay.as_deref().map(Razorpay::key_id)
    }

    /// Returns a tenant's subscription.
    ///
    /// # Errors
    /// `NotFound` when it never had one.
    pub async fn subscription(&self, tenant_id: TenantId) -> Result<Subscription> {
        self.tools.store.billing().subscription(tenant_id).await?.ok_or(Error::NotFound("subscription"))
    }

    /// Gives a tenant's subscription up: it ends with its period, and at once when a payment is missing.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is over.
    pub async fn cancel(&self, tenant_id: TenantId, actor: &Actor) -> Result<Subscription> {
        self.subscription(tenant_id).await?;
        Ok(self.step(tenant_id, &Event::Cancelled, actor).await??.after)
    }

    /// Does not give a tenant's subscription up after all.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is over.
    pub async fn resume(&self, tenant_id: TenantId, actor: &Actor) -> Result<Subscription> {
        self.subscription(tenant_id).await?;
        Ok(self.step(tenant_id, &Event::Resumed, actor).await??.after)
    }

    /// Lets an add-on of a tenant end with the period.
    ///
    /// # Errors
    /// `NotFound` when the tenant has none of that id.
    pub async fn stop_addon(&self, tenant_id: TenantId, id: TenantAddonId) -> Result<()> {
        let stopped = self.tools.store.billing().stop_addon(tenant_id, id).await?;
        if stopped { Ok(()) } else { Err(Error::NotFound("add-on")) }
    }

    /// Moves the subscriptions whose time has come, and tells their lanes.
    ///
    /// # Errors
    /// `Store` when one could not be moved; safe to repeat.
    pub async fn move_due(&self) -> Result<()> {
        let now_ms = self.tools.clock.now().as_ms();
        for tenant_id in self.tools.store.due_subscriptions(now_ms, DUE_SUBSCRIPTIONS_MAX).await? {
            // Whoever was faster, another node or a payment, has moved it on: then nothing happens.
            if let Ok(step) = self.step(tenant_id, &Event::TimeCame, &Actor::SYSTEM).await? {
                let state = step.after.state.as_str();
                tracing::info!(tenant.id = %tenant_id, state, lanes = ?step.lanes, "a subscription went on");
            }
        }
        Ok(())
    }

    /// Gives coupons back that nobody paid with, and forgets what the provider told long ago.
    ///
    /// # Errors
    /// `Store` when not all was written; safe to repeat.
    pub async fn forget_old(&self) -> Result<()> {
        let now_ms = self.tools.clock.now().as_ms();
        let billing = self.tools.store.billing();
        billing.lapse_orders(now_ms.saturating_sub(COUPON_HELD_MS_MAX)).await?;
        Ok(billing.forget_payment_events(now_ms.saturating_sub(PAYMENT_EVENTS_KEPT_MS)).await?)
    }

    async fn step(&self, tenant_id: TenantId, event: &Event, actor: &Actor) -> Result<Result<Step, Refused>> {
        let now_ms = self.tools.clock.now().as_ms();
        let step = self.tools.store.billing().step(tenant_id, event, actor, now_ms).await?;
        if step.as_ref().is_ok_and(|step| step.is_told || step.lanes != LaneEffect::Nothing) {
            self.tools.notices.tell(Notice::TenantChanged(tenant_id));
        }
        Ok(step)
    }
}
