//! Why a campaign does not go on just now.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfOne};
use crate::api::extract::Path;
use crate::api::v1::held::HeldView;
use crate::domain::id::CampaignId;

/// What a campaign waits for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignHeldView {
    /// The campaign.
    #[schema(value_type = uuid::Uuid)]
    id: CampaignId,
    /// The one constraint that binds the message that goes next; null when nothing of it waits.
    held_by: Option<HeldView>,
}

/// Says what a campaign waits for.
#[utoipa::path(get, path = "/campaigns/{id}/held-by", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    responses((status = 200, body = Envelope<CampaignHeldView>), Failures, Guarded, OfOne))]
pub(super) async fn get_held_by(ctx: CallContext, Path(id): Path<CampaignId>) -> ApiResult<CampaignHeldView> {
    let waiting = ctx.services.waiting.of_campaign(ctx.caller.tenant_id, id).await?;
    ok(CampaignHeldView { id, held_by: waiting.map(HeldView::from) })
}
