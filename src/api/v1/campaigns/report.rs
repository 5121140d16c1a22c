//! The counters of a campaign.

use super::views::StatsView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfOne};
use crate::api::extract::Path;
use crate::domain::id::CampaignId;
use crate::error::Error;

/// Counts what became of a campaign's recipients, with failures by code and the ledger.
#[utoipa::path(get, path = "/campaigns/{id}/stats", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    responses((status = 200, body = Envelope<StatsView>), Failures, Guarded, OfOne))]
pub(super) async fn get_campaign_stats(ctx: CallContext, Path(id): Path<CampaignId>) -> ApiResult<StatsView> {
    let campaign = ctx.store.campaigns().find(ctx.caller.tenant_id, id).await?;
    let campaign = campaign.ok_or(Error::NotFound("campaign"))?;
    let reasons = ctx.store.campaign_reasons(ctx.caller.tenant_id, id).await?;
    ok(StatsView::new(campaign, reasons))
}
