//! The life of a campaign. Every action is idempotent: asking for what already holds answers 200.

use super::views::CampaignView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfOne, OfState};
use crate::api::extract::Path;
use crate::domain::id::CampaignId;

/// Starts a campaign; its recipients can not change any more.
#[utoipa::path(post, path = "/campaigns/{id}/start", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    responses((status = 200, body = Envelope<CampaignView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn start_campaign(ctx: CallContext, Path(id): Path<CampaignId>) -> ApiResult<CampaignView> {
    ok(ctx.services.campaigns.start(ctx.caller.tenant_id, id).await?.into())
}

/// Holds a campaign; attempts already under way finish.
#[utoipa::path(post, path = "/campaigns/{id}/pause", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    responses((status = 200, body = Envelope<CampaignView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn pause_campaign(ctx: CallContext, Path(id): Path<CampaignId>) -> ApiResult<CampaignView> {
    ok(ctx.services.campaigns.pause(ctx.caller.tenant_id, id).await?.into())
}

/// Lets a held campaign go on.
#[utoipa::path(post, path = "/campaigns/{id}/resume", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    responses((status = 200, body = Envelope<CampaignView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn resume_campaign(ctx: CallContext, Path(id): Path<CampaignId>) -> ApiResult<CampaignView> {
    ok(ctx.services.campaigns.resume(ctx.caller.tenant_id, id).await?.into())
}

/// Ends a campaign early; attempts already under way finish.
#[utoipa::path(post, path = "/campaigns/{id}/cancel", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    responses((status = 200, body = Envelope<CampaignView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn cancel_campaign(ctx: CallContext, Path(id): Path<CampaignId>) -> ApiResult<CampaignView> {
    ok(ctx.services.campaigns.cancel(ctx.caller.tenant_id, id).await?.into())
}
