//! The lane of a session: how much waits in it, and what the next message waits for.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfOne};
use crate::api::extract::Path;
use crate::api::timestamp::Timestamp;
use crate::api::v1::held::HeldView;
use crate::domain::id::SessionId;
use crate::error::Error;

/// The lane of a session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionLaneView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// Where the session stands, as in the list.
    #[schema(example = "connected")]
    status: &'static str,
    /// What the next message waits for; null when nothing waits.
    held_by: Option<HeldView>,
    /// Campaigns with messages that wait, counted once for each kind of their recipients; single messages together
    /// count as one.
    #[schema(example = 1)]
    open_streams: usize,
    /// Messages in the lane's lines that wait or are being sent; too many by those that were settled out of turn.
    #[schema(example = 1_250)]
    backlog: u64,
    /// Nothing goes before this moment; null when nothing waits, and when time alone does not lift what holds it.
    next_send_not_before: Option<Timestamp>,
}

/// Shows how much waits in a session's lane, and what the next message waits for.
#[utoipa::path(get, path = "/whatsapp/{id}/lane", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SessionLaneView>), Failures, Guarded, OfOne))]
pub(super) async fn get_lane(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SessionLaneView> {
    let session = ctx.store.sessions().find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("session"))?;
    let backlog = ctx.store.lane_summaries(&[id]).await?.first().map_or(0, |lane| lane.n_backlog);
    let lane = ctx.services.waiting.of_lanes(&[id]).await?.remove(&id);
    let held_by = lane.as_ref().and_then(|lane| lane.held).map(HeldView::from);
    let open_streams = lane.map_or(0, |lane| lane.n_streams);
    let next_send_not_before = held_by.as_ref().filter(|_| open_streams != 0).and_then(HeldView::until);
    ok(SessionLaneView { id, status: session.state.as_str(), held_by, open_streams, backlog, next_send_not_before })
}
