//! What a tenant used of its plan.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded};
use crate::api::external::{renamed, with_key};
use crate::api::timestamp::Timestamp;
use crate::api::{CallContext, Shared};
use crate::domain::api_key::Scope;
use crate::store::page::PageRequest;
use crate::store::plan_usage::TenantUsage;

/// Returns the operations for programs.
pub(in crate::api::v1) fn external() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(with_key(Scope::AccountRead, renamed(("/billing/usage", "/usage"), routes!(get_usage))))
}

/// What was used of a plan, and what it allows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanUsageView {
    /// Sessions at a time.
    sessions: MeterView,
    /// Messages sent in this period, those that are queued or being sent included.
    messages: MeterView,
    /// Requests to the API in this period.
    api_requests: MeterView,
    /// Campaigns made in this period.
    campaigns: MeterView,
    /// Contacts at a time.
    contacts: MeterView,
    /// When the period ends and the numbers begin anew; null without a subscription.
    period_end: Option<Timestamp>,
}

/// One thing that a plan limits.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct MeterView {
    /// What was used; always 0 for what is only counted under a subscription.
    #[schema(example = 3)]
    used: i64,
    /// What the plan allows; null stands for no limit.
    #[schema(example = 5)]
    limit: Option<i64>,
}

/// Shows what was used of the plan in this period.
#[utoipa::path(get, path = "/billing/usage", tag = "billing", security(("bearer" = [])),
    responses((status = 200, body = Envelope<PlanUsageView>), Failures, Guarded))]
pub(super) async fn get_usage(ctx: CallContext) -> ApiResult<PlanUsageView> {
    if let Some(usage) = ctx.services.plans.usage(ctx.caller.tenant_id).await? {
        return ok(usage.into());
    }
    let n_sessions = ctx.store.sessions().list(ctx.caller.tenant_id, PageRequest::default()).await?.total;
    let none = MeterView::default;
    let sessions = MeterView { used: i64::try_from(n_sessions).unwrap_or(i64::MAX), limit: None };
    let n_contacts = ctx.store.contacts().list(ctx.caller.tenant_id, None, PageRequest::default()).await?.total;
    let contacts = MeterView { used: i64::try_from(n_contacts).unwrap_or(i64::MAX), limit: None };
    ok(PlanUsageView {
        sessions,
        messages: none(),
        api_requests: none(),
        campaigns: none(),
        contacts,
        period_end: None,
    })
}

impl From<TenantUsage> for PlanUsageView {
    fn from(has: TenantUsage) -> Self {
        let (usage, limits) = (has.allowance.usage, has.limits);
        let meter = |used, limit| MeterView { used, limit };
        Self {
            sessions: meter(has.n_sessions, limits.sessions),
            messages: meter(usage.used + usage.sending + usage.reserved, limits.messages),
            api_requests: meter(has.n_requests, limits.api_requests),
            campaigns: meter(usage.campaigns, limits.campaigns),
            contacts: meter(has.n_contacts, limits.contacts),
            period_end: Some(Timestamp(has.allowance.period.end_ms)),
        }
    }
}
