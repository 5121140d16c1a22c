//! A tenant as operators see it: its plan, what it used of it, and whether the numbers are those of the rows.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::plans::LimitsView;
use crate::api::OperatorContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::timestamp::Timestamp;
use crate::domain::id::TenantId;
use crate::domain::plan::SubscriptionState;
use crate::error::Error;
use crate::service::plans::NewSubscription;
use crate::store::plan_usage::TenantUsage;
use crate::store::tenants::TenantRecord;

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantView {
    /// The tenant.
    id: Uuid,
    /// The name of its business.
    #[schema(example = "Ana's Flowers")]
    name: String,
    /// When it registered.
    created_at: Timestamp,
    /// What it has and used; null without a subscription, and then nothing is limited.
    subscription: Option<SubscriptionView>,
    /// By how many messages the numbers differ from the rows; 0 when nothing is lost.
    #[schema(example = 0)]
    drift: i64,
}

/// A subscription, and what was used of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionView {
    /// The plan's slug.
    #[schema(example = "growth")]
    plan: String,
    /// `trialing`, `active`, `past_due`, `cancelled` or `expired`.
    #[schema(example = "active")]
    status: &'static str,
    /// When the present period began.
    current_period_start: Timestamp,
    /// When it ends.
    current_period_end: Timestamp,
    /// From when on nothing is sent; null while it renews itself.
    active_until: Option<Timestamp>,
    /// What plan and add-ons allow; null stands for no limit.
    limits: LimitsView,
    /// What was used of it.
    usage: UsageView,
}

/// What was used of a plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageView {
    /// Messages that were, or may have been, sent in this period.
    messages_used: i64,
    /// Messages that are being sent.
    messages_sending: i64,
    /// Messages kept for those that are queued.
    messages_reserved: i64,
    /// Queued messages for which none was left.
    messages_waiting: i64,
    /// Sessions.
    sessions: i64,
    /// Contacts.
    contacts: i64,
    /// Requests to the API in this period.
    api_requests: i64,
    /// Campaigns made in this period.
    campaigns: i64,
}

/// A subscription to give or to change.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SetSubscriptionBody {
    /// The plan's slug.
    #[schema(example = "growth")]
    plan: String,
    /// `trialing`, `active`, `past_due`, `cancelled` or `expired`.
    #[schema(value_type = String, example = "active")]
    status: SubscriptionState,
    /// When the present period ends. When missing: as it was, or a month from now, or a week for a trial.
    period_end: Option<Timestamp>,
}

impl FromFields for SetSubscriptionBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let plan = fields.required("plan");
        let status = fields.required("status");
        let period_end = fields.optional("periodEnd");
        Some(Self { plan: plan?, status: status?, period_end: period_end? })
    }
}

impl From<TenantUsage> for SubscriptionView {
    fn from(has: TenantUsage) -> Self {
        let (usage, period) = (has.allowance.usage, has.allowance.period);
        Self {
            plan: has.plan.slug,
            status: has.state.as_str(),
            current_period_start: Timestamp(period.start_ms),
            current_period_end: Timestamp(period.end_ms),
            active_until: has.allowance.active_until_ms.map(Timestamp),
            limits: has.limits.into(),
            usage: UsageView {
                messages_used: usage.used,
                messages_sending: usage.sending,
                messages_reserved: usage.reserved,
                messages_waiting: usage.waiting,
                sessions: has.n_sessions,
                contacts: has.n_contacts,
                api_requests: has.n_requests,
                campaigns: usage.campaigns,
            },
        }
    }
}

async fn view(ctx: &OperatorContext, tenant: TenantRecord) -> ApiResult<TenantView> {
    let subscription = ctx.services.plans.usage(tenant.id).await?.map(SubscriptionView::from);
    let counted = ctx.store.recount_usage_of(tenant.id).await?;
    ok(TenantView {
        id: tenant.id.0,
        name: tenant.name,
        created_at: Timestamp(tenant.created_at_ms),
        subscription,
        drift: counted.map_or(0, |(stored, counted)| stored.drift(&counted)),
    })
}

/// Shows a tenant: its subscription, what it used of it, and the drift of the numbers. Counts all its deliveries.
#[utoipa::path(get, path = "/ops/tenants/{id}", tag = "ops", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The tenant.")),
    responses((status = 200, body = Envelope<TenantView>), Failures, Guarded, OfOne))]
pub(super) async fn get_tenant(ctx: OperatorContext, Path(id): Path<TenantId>) -> ApiResult<TenantView> {
    let tenant = ctx.store.tenants().find(id).await?.ok_or(Error::NotFound("tenant"))?;
    view(&ctx, tenant).await
}

/// Gives a tenant a subscription, or changes it: what is held for it goes on at once if it may.
#[utoipa::path(put, path = "/ops/tenants/{id}/subscription", tag = "ops", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The tenant.")), request_body = SetSubscriptionBody,
    responses((status = 200, body = Envelope<SubscriptionView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn set_subscription(
    ctx: OperatorContext,
    Path(id): Path<TenantId>,
    Json(body): Json<SetSubscriptionBody>,
) -> ApiResult<SubscriptionView> {
    let period_end = body.period_end.map(Timestamp::moment);
    let new = NewSubscription { plan: body.plan, state: body.status, period_end };
    ok(ctx.services.plans.subscribe(id, new, ctx.actor()).await?.into())
}
