//! Plans that can be had, and the subscription that a tenant has.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{ApiError, Failures, Guarded, OfOne, OfState};
use crate::api::timestamp::Timestamp;
use crate::api::v1::ops::plans::{LimitsView, PlanView};
use crate::api::{CallContext, Shared};
use crate::domain::billing::life_cycle::Subscription;
use crate::error::Error;

/// What a tenant has.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnSubscriptionView {
    /// `trialing`, `active`, `past_due`, `cancelled` or `expired`.
    #[schema(example = "active")]
    status: &'static str,
    /// Its plan.
    plan: PlanNameView,
    /// When the present period began.
    current_period_start: Timestamp,
    /// When it ends.
    current_period_end: Timestamp,
    /// When this part of its life ends: the trial, the period, or the time in which a payment may be late. Null while an
    /// operator looks after it, and when it is over for good.
    ends_at: Option<Timestamp>,
    /// Whether it was given up: it is over then.
    #[schema(example = false)]
    cancel_at_period_end: bool,
    /// What follows the present period; null for the same again.
    next: Option<NextPeriodView>,
    /// What plan and add-ons allow; null stands for no limit.
    limits: LimitsView,
}

/// A plan by its names.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanNameView {
    /// Its name in addresses and bodies.
    #[schema(example = "growth")]
    slug: String,
    /// What people call it.
    #[schema(example = "Growth")]
    name: String,
}

/// What follows a period.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextPeriodView {
    /// The plan's slug.
    #[schema(example = "starter")]
    plan: String,
    /// Until when it is paid; null while it is not.
    paid_until: Option<Timestamp>,
}

/// Lists the plans that can be had, the cheapest first.
#[utoipa::path(get, path = "/billing/plans", tag = "billing",
    responses((status = 200, body = Envelope<Vec<PlanView>>), Failures))]
pub(super) async fn list_offered_plans(State(state): State<Shared>) -> ApiResult<Vec<PlanView>> {
    let plans = state.store.plans().list().await.map_err(Error::Store)?;
    ok(plans.into_iter().map(PlanView::from).collect())
}

/// Shows the subscription.
#[utoipa::path(get, path = "/billing/subscription", tag = "billing", security(("bearer" = [])),
    responses((status = 200, body = Envelope<OwnSubscriptionView>), Failures, Guarded, OfOne))]
pub(super) async fn get_subscription(ctx: CallContext) -> ApiResult<OwnSubscriptionView> {
    let subscription = ctx.services.billing.subscription(ctx.caller.tenant_id).await?;
    ok(view(&ctx, subscription).await?)
}

/// Gives the subscription up: it ends with its period, or at once where a payment is missing. For owners.
#[utoipa::path(post, path = "/billing/subscription/cancel", tag = "billing", security(("bearer" = [])),
    responses((status = 200, body = Envelope<OwnSubscriptionView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn cancel_subscription(ctx: CallContext) -> ApiResult<OwnSubscriptionView> {
    let subscription = ctx.services.billing.cancel(ctx.caller.tenant_id, &ctx.actor()).await?;
    ok(view(&ctx, subscription).await?)
}

/// Does not give the subscription up after all, as long as it is not over. For owners.
#[utoipa::path(post, path = "/billing/subscription/resume", tag = "billing", security(("bearer" = [])),
    responses((status = 200, body = Envelope<OwnSubscriptionView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn resume_subscription(ctx: CallContext) -> ApiResult<OwnSubscriptionView> {
    let subscription = ctx.services.billing.resume(ctx.caller.tenant_id, &ctx.actor()).await?;
    ok(view(&ctx, subscription).await?)
}

pub(super) async fn view(ctx: &CallContext, subscription: Subscription) -> Result<OwnSubscriptionView, ApiError> {
    let has = ctx.services.plans.usage(ctx.caller.tenant_id).await?.ok_or(Error::NotFound("subscription"))?;
    let period = has.allowance.period;
    Ok(OwnSubscriptionView {
        status: subscription.state.as_str(),
        plan: PlanNameView { slug: has.plan.slug, name: has.plan.name },
        current_period_start: Timestamp(period.start_ms),
        current_period_end: Timestamp(period.end_ms),
        ends_at: subscription.due_at_ms().map(Timestamp),
        cancel_at_period_end: subscription.cancels,
        next: subscription
            .next
            .map(|next| NextPeriodView { plan: next.plan, paid_until: next.until_ms.map(Timestamp) }),
        limits: has.limits.into(),
    })
}
