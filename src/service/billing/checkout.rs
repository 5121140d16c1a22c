//! Orders: what a plan or an add-on costs a tenant now, and the order for it, here and at the provider of payments.

use super::BillingService;
use crate::domain::billing::life_cycle::{Event, Refused, Subscription};
use crate::domain::billing::price::{charged, for_the_rest, upgrade};
use crate::domain::billing::{OrderKind, OrderLine, OrderState, PaymentState};
use crate::domain::id::TenantId;
use crate::domain::plan::SubscriptionState;
use crate::error::{Error, Result};
use crate::store::audit::Actor;
use crate::store::billing::confirm::{Confirmation, OrderName};
use crate::store::billing::coupons::CouponRecord;
use crate::store::billing::orders::{OrderRecord, OrderTerms, Placed};
use crate::store::plans::PlanRecord;

/// What came of choosing a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// An order that is to be paid, or was, where nothing is to be paid.
    Order(Box<OrderRecord>),
    /// The plan follows the present one when that is over.
    Follows(Box<Subscription>),
}

/// What a choice means for a subscription.
enum Quote {
    Order(OrderTerms),
    Follows,
}

impl BillingService {
    /// Chooses a plan: orders a period or the difference for the rest of one, or notes that it is to follow.
    ///
    /// # Errors
    /// `Validation` by the fields `plan`, `coupon`; `Conflict` when nothing can be ordered now; `Unavailable` when the
    /// provider of payments does not answer: to be tried again.
    pub async fn checkout(
        &self,
        tenant_id: TenantId,
        plan: &str,
        coupon: Option<&str>,
        actor: &Actor,
    ) -> Result<Chosen> {
        match self.quote(tenant_id, plan, coupon).await? {
            Quote::Order(terms) => Ok(Chosen::Order(Box::new(self.order(tenant_id, &terms, actor).await?))),
            Quote::Follows => {
                let event = Event::Downgraded { plan: plan.to_owned() };
                Ok(Chosen::Follows(Box::new(self.step(tenant_id, &event, actor).await??.after)))
            }
        }
    }

    /// Orders an add-on for the rest of the period.
    ///
    /// # Errors
    /// `Validation` by the field `addon`; `Conflict` when no period runs that is paid; `Unavailable` when the provider of
    /// payments does not answer: to be tried again.
    pub async fn checkout_addon(&self, tenant_id: TenantId, slug: &str, actor: &Actor) -> Result<OrderRecord> {
        let now_ms = self.tools.clock.now().as_ms();
        let addon = self.tools.store.billing().addon(slug).await?.filter(|addon| addon.is_active);
        let addon = addon.ok_or_else(|| Error::invalid("addon", "is not to be had"))?;
        let subscription = self.subscription(tenant_id).await?;
        let subscription = paid_and_running(&subscription, now_ms)?;
        let plan = self.tools.store.plans().find(&subscription.plan).await?.ok_or(Error::NotFound("plan"))?;
        if plan.currency != addon.currency {
            return Err(Error::invalid("addon", "is sold in another currency than the plan"));
        }
        let cents = for_the_rest(addon.price_cents, subscription.period, now_ms);
        let line = line(format!("{} for the rest of the period", addon.name), cents);
        let terms = terms_of((OrderKind::Addon, &plan), vec![line], None)?;
        self.order(tenant_id, &OrderTerms { addon: Some(addon.slug), ..terms }, actor).await
    }

    /// Returns what a choice of a plan would cost, without ordering it.
    ///
    /// # Errors
    /// As those of [`Self::checkout`], and `Conflict` when nothing is to be paid for it now.
    pub async fn price(&self, tenant_id: TenantId, plan: &str, coupon: &str) -> Result<OrderTerms> {
        match self.quote(tenant_id, plan, Some(coupon)).await? {
            Quote::Order(terms) => Ok(terms),
            Quote::Follows => Err(Error::conflict_of(
                "plan",
                "It is not dearer than the present one and follows it; nothing is to be paid for it now.",
            )),
        }
    }

    async fn quote(&self, tenant_id: TenantId, plan: &str, coupon: Option<&str>) -> Result<Quote> {
        let now_ms = self.tools.clock.now().as_ms();
        let (plans, billing) = (self.tools.store.plans(), self.tools.store.billing());
        let plan = plans.find(plan).await?.filter(|plan| 0 < plan.price_cents);
        let plan = plan.ok_or_else(|| Error::invalid("plan", "is not to be had"))?;
        let coupon = match coupon {
            Some(code) => Some(self.good_coupon(tenant_id, code, now_ms).await?),
            None => None,
        };
        let period = |extra| {
            let mut lines = vec![line(format!("{}, one month", plan.name), plan.price_cents)];
            lines.extend(extra);
            terms_of((OrderKind::Period, &plan), lines, coupon.as_ref()).map(Quote::Order)
        };
        let subscription = billing.subscription(tenant_id).await?;
        let Some(subscription) = subscription.filter(|it| it.state == SubscriptionState::Active && it.sends(now_ms))
        else {
            return period(Vec::new());
        };
        paid_and_running(&subscription, now_ms)?;
        let next = subscription.next.as_ref();
        if next.is_some_and(|next| next.until_ms.is_some()) && plan.slug == subscription.plan {
            return Err(Refused::PaidAhead.into());
        }
        if plan.slug == subscription.plan || next.is_some_and(|next| next.plan == plan.slug && next.until_ms.is_none())
        {
            let kept = billing.addons_of(tenant_id).await?.into_iter();
            let kept = kept.filter(|addon| addon.renews && addon.currency == plan.currency);
            let renewed = |addon: crate::store::billing::addons::TenantAddonRecord| OrderLine {
                renewed_addon_id: Some(addon.id.0),
                ..line(format!("{}, one month", addon.name), addon.price_cents)
            };
            return period(kept.map(renewed).collect());
        }
        let present = plans.find(&subscription.plan).await?.ok_or(Error::NotFound("plan"))?;
        if plan.price_cents <= present.price_cents || plan.currency != present.currency {
            return Ok(Quote::Follows);
        }
        let cents = upgrade(present.price_cents, plan.price_cents, subscription.period, now_ms);
        let lines = vec![line(format!("{} instead of {} for the rest of the period", plan.name, present.name), cents)];
        terms_of((OrderKind::Upgrade, &plan), lines, coupon.as_ref()).map(Quote::Order)
    }

    async fn good_coupon(&self, tenant_id: TenantId, code: &str, now_ms: i64) -> Result<CouponRecord> {
        let code = super::offers::coupon_code("coupon", code)?;
        let billing = self.tools.store.billing();
        let coupon = billing.coupon(&code).await?;
        // One that the tenant has for an order that waits is used up for others only.
        let held = billing.has_coupon(tenant_id, &code).await?;
        if held == Some(true) {
            return Err(Error::invalid("coupon", "was used by you before"));
        }
        let good = |coupon: &CouponRecord| {
            let n_uses = coupon.n_uses - i64::from(held.is_some());
            CouponRecord { n_uses, ..coupon.clone() }.is_good(now_ms)
        };
        coupon.filter(good).ok_or_else(coupon_gone)
    }

    async fn order(&self, tenant_id: TenantId, terms: &OrderTerms, actor: &Actor) -> Result<OrderRecord> {
        let now_ms = self.tools.clock.now().as_ms();
        let billing = self.tools.store.billing();
        let mut order = match billing.place(tenant_id, terms, self.provider(), now_ms).await? {
            Placed::Order(order) => *order,
            Placed::CouponUsed => return Err(Error::invalid("coupon", "was used by you before")),
            Placed::CouponGone => return Err(coupon_gone()),
        };
        if order.terms.amount_cents == 0 {
            let confirmation = Confirmation {
                order: OrderName::Own(order.id),
                payment: None,
                state: PaymentState::Captured,
                event: None,
            };
            let settled = self.confirm(&confirmation, actor).await?;
            return settled.filter(|order| order.state == OrderState::Paid).ok_or_else(order_overtaken);
        }
        if let Some(razorpay) = self.razorpay.as_deref()
            && order.provider_order_id.is_none()
        {
            // Two that ask at once make two there, and the first one counts.
            let name = razorpay.make_order(&order).await?;
            order.provider_order_id = Some(billing.attach(&order, &name).await?);
        }
        Ok(order)
    }
}

fn order_overtaken() -> Error {
    Error::conflict("The subscription has changed meanwhile; look at it and choose again.")
}

fn coupon_gone() -> Error {
    Error::invalid("coupon", "is not to be had")
}

fn paid_and_running(subscription: &Subscription, now_ms: i64) -> Result<&Subscription> {
    match (subscription.state, subscription.ends_at_ms) {
        (SubscriptionState::Active, None) => Err(Refused::RenewsItself.into()),
        (SubscriptionState::Active, Some(ends_at_ms)) if now_ms < ends_at_ms => Ok(subscription),
        _ => Err(Error::conflict("There is no period that is paid; choose a plan first.")),
    }
}

fn line(description: String, amount_cents: i64) -> OrderLine {
    OrderLine { description, amount_cents, renewed_addon_id: None }
}

fn terms_of(
    (kind, plan): (OrderKind, &PlanRecord),
    lines: Vec<OrderLine>,
    coupon: Option<&CouponRecord>,
) -> Result<OrderTerms> {
    let gross_cents = lines.iter().fold(0_i64, |sum, line| sum.saturating_add(line.amount_cents));
    let discount_cents = coupon.map_or(Some(0), |coupon| coupon.discount.of(gross_cents, &plan.currency));
    let discount_cents = discount_cents.ok_or_else(|| Error::invalid("coupon", "is for another currency"))?;
    let amount_cents = charged(gross_cents, discount_cents);
    Ok(OrderTerms {
        kind,
        plan: plan.slug.clone(),
        addon: None,
        coupon: coupon.map(|coupon| coupon.code.clone()),
        lines,
        gross_cents,
        discount_cents: gross_cents - amount_cents,
        amount_cents,
        currency: plan.currency.clone(),
    })
}
