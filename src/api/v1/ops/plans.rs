//! Plans: rows that operators change, for everybody who has them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::OperatorContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::domain::plan::{LimitChange, PlanLimits};
use crate::store::plans::{PlanChange, PlanRecord};

/// A plan; a limit of null stands for none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// Its name in addresses and bodies.
    #[schema(example = "growth")]
    slug: String,
    /// What people call it.
    #[schema(example = "Growth")]
    name: String,
    /// What a period costs, in the smallest unit of the currency.
    #[schema(example = 99_900)]
    price_cents: i64,
    /// The currency, by ISO 4217.
    #[schema(example = "INR")]
    currency: String,
    /// What it allows.
    #[serde(flatten)]
    limits: LimitsView,
}

/// What a plan allows; null stands for no limit.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitsView {
    /// Messages in a period.
    #[schema(example = 25_000)]
    max_messages: Option<i64>,
    /// Sessions at a time.
    #[schema(example = 5)]
    max_sessions: Option<i64>,
    /// Requests to the API in a period.
    #[schema(example = 100_000)]
    max_api_requests: Option<i64>,
    /// Campaigns made in a period.
    #[schema(example = 250)]
    max_campaigns: Option<i64>,
    /// Contacts at a time.
    #[schema(example = 25_000)]
    max_contacts: Option<i64>,
}

/// What is to change; what is missing stays, and a limit of null is taken away.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct UpdatePlanBody {
    /// What people call it; 1 to 100 characters.
    #[schema(example = "Growth")]
    name: Option<String>,
    /// What a period costs, in the smallest unit of the currency.
    #[schema(example = 99_900)]
    price_cents: Option<i64>,
    /// Messages in a period.
    #[schema(value_type = Option<i64>, example = 25_000)]
    max_messages: Option<Option<i64>>,
    /// Sessions at a time.
    #[schema(value_type = Option<i64>, example = 5)]
    max_sessions: Option<Option<i64>>,
    /// Requests to the API in a period.
    #[schema(value_type = Option<i64>, example = 100_000)]
    max_api_requests: Option<Option<i64>>,
    /// Campaigns made in a period.
    #[schema(value_type = Option<i64>, example = 250)]
    max_campaigns: Option<Option<i64>>,
    /// Contacts at a time.
    #[schema(value_type = Option<i64>, example = 25_000)]
    max_contacts: Option<Option<i64>>,
}

impl From<PlanLimits> for LimitsView {
    fn from(limits: PlanLimits) -> Self {
        Self {
            max_messages: limits.messages,
            max_sessions: limits.sessions,
            max_api_requests: limits.api_requests,
            max_campaigns: limits.campaigns,
            max_contacts: limits.contacts,
        }
    }
}

impl From<PlanRecord> for PlanView {
    fn from(plan: PlanRecord) -> Self {
        Self {
            slug: plan.slug,
            name: plan.name,
            price_cents: plan.price_cents,
            currency: plan.currency,
            limits: plan.limits.into(),
        }
    }
}

impl FromFields for UpdatePlanBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name");
        let price_cents = fields.optional("priceCents");
        let max_messages = fields.as_written("maxMessages");
        let max_sessions = fields.as_written("maxSessions");
        let max_api_requests = fields.as_written("maxApiRequests");
        let max_campaigns = fields.as_written("maxCampaigns");
        let max_contacts = fields.as_written("maxContacts");
        Some(Self {
            name: name?,
            price_cents: price_cents?,
            max_messages: max_messages?,
            max_sessions: max_sessions?,
            max_api_requests: max_api_requests?,
            max_campaigns: max_campaigns?,
            max_contacts: max_contacts?,
        })
    }
}

impl From<UpdatePlanBody> for PlanChange {
    fn from(body: UpdatePlanBody) -> Self {
        let limits = LimitChange {
            messages: body.max_messages,
            sessions: body.max_sessions,
            api_requests: body.max_api_requests,
            campaigns: body.max_campaigns,
            contacts: body.max_contacts,
        };
        Self { name: body.name, price_cents: body.price_cents, limits }
    }
}

/// Lists all plans, the cheapest first.
#[utoipa::path(get, path = "/ops/plans", tag = "ops", security(("bearer" = [])),
    responses((status = 200, body = Envelope<Vec<PlanView>>), Failures, Guarded))]
pub(super) async fn list_plans(ctx: OperatorContext) -> ApiResult<Vec<PlanView>> {
    ok(ctx.store.plans().list().await?.into_iter().map(PlanView::from).collect())
}

/// Changes a plan for everybody who has it, at once: what is held for a limit that was raised goes on.
#[utoipa::path(patch, path = "/ops/plans/{slug}", tag = "ops", security(("bearer" = [])),
    params(("slug" = String, Path, description = "The plan.")), request_body = UpdatePlanBody,
    responses((status = 200, body = Envelope<PlanView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn update_plan(
    ctx: OperatorContext,
    Path(slug): Path<String>,
    Json(body): Json<UpdatePlanBody>,
) -> ApiResult<PlanView> {
    ok(ctx.services.plans.change(&slug, body.into(), &ctx.actor()).await?.into())
}
