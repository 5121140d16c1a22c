//! The connection of a session: asked for, and looked at.

use super::views::{SessionDetailView, SessionStatusView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfOne, OfProvider, OfState};
use crate::api::extract::Path;
use crate::domain::id::SessionId;
use crate::error::Error;

/// Connects a session; one that is connected stays so.
#[utoipa::path(post, path = "/whatsapp/{id}/connect", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SessionDetailView>), Failures, Guarded, OfOne, OfState, OfProvider))]
pub(super) async fn connect_session(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SessionDetailView> {
    let session = ctx.services.sessions.connect(ctx.caller.tenant_id, id).await?;
    let pacing = ctx.services.sessions.pacing_of(&session);
    ok(SessionDetailView::new(session, pacing))
}

/// Tells whether a session can send now.
#[utoipa::path(get, path = "/whatsapp/{id}/status", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SessionStatusView>), Failures, Guarded, OfOne))]
pub(super) async fn get_session_status(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SessionStatusView> {
    let session = ctx.store.sessions().find(ctx.caller.tenant_id, id).await?;
    ok(session.ok_or(Error::NotFound("session"))?.into())
}
