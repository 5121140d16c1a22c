//! Messages of a campaign that came to an end, taken up again by a person.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, MaybeJson, Path};
use crate::domain::id::CampaignId;
use crate::service::campaign_recall::Resolution;
use crate::store::recalls::Progress;

/// Which failed messages are tried again.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RetryFailedBody {
    /// Only those that failed for one of these reasons, each named once at most; without it, all whose reason is not final for the recipient.
    #[schema(example = json!(["ATTEMPTS_EXHAUSTED"]))]
    reasons: Option<Vec<String>>,
}

/// What becomes of messages whose outcome is unknown.
#[derive(Debug, ToSchema)]
pub struct ResolveUnknownBody {
    /// `sent`: they were sent; `retry`: they go back in line, and may arrive twice.
    #[schema(value_type = String, example = "sent")]
    to: To,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum To {
    Sent,
    Retry,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecallView {
    /// Messages moved so far.
    #[schema(example = 17)]
    moved: i64,
    /// Whether that were all; the rest follows by itself.
    #[schema(example = true)]
    done: bool,
}

impl From<Progress> for RecallView {
    fn from(progress: Progress) -> Self {
        Self { moved: progress.n_moved, done: progress.is_done }
    }
}

impl FromFields for RetryFailedBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { reasons: fields.optional("reasons")? })
    }
}

impl FromFields for ResolveUnknownBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { to: fields.required("to")? })
    }
}

/// Puts failed messages back in line, with as many attempts as new ones; a completed campaign runs again.
#[utoipa::path(post, path = "/campaigns/{id}/retry-failed", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    request_body(content = Option<RetryFailedBody>, description = "Nothing for all that can be retried."),
    responses((status = 200, body = Envelope<RecallView>), Failures, Guarded, OfOne, OfState, OfBody))]
pub(super) async fn retry_failed(
    ctx: CallContext,
    Path(id): Path<CampaignId>,
    MaybeJson(body): MaybeJson<RetryFailedBody>,
) -> ApiResult<RecallView> {
    let by = (ctx.caller.user_id, &ctx.actor());
    ok(ctx.services.campaigns.retry_failed(ctx.caller.tenant_id, id, body.reasons, by).await?.into())
}

/// Settles messages whose outcome is unknown: they were sent, or they go back in line.
#[utoipa::path(post, path = "/campaigns/{id}/resolve-unknown", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")), request_body = ResolveUnknownBody,
    responses((status = 200, body = Envelope<RecallView>), Failures, Guarded, OfOne, OfState, OfBody))]
pub(super) async fn resolve_unknown(
    ctx: CallContext,
    Path(id): Path<CampaignId>,
    Json(body): Json<ResolveUnknownBody>,
) -> ApiResult<RecallView> {
    let by = (ctx.caller.user_id, &ctx.actor());
    let to = match body.to {
        To::Sent => Resolution::Sent,
        To::Retry => Resolution::Retry,
    };
    ok(ctx.services.campaigns.resolve_unknown(ctx.caller.tenant_id, id, to, by).await?.into())
}
