//! The connection of a session: asked for, closed, and looked at. Every action is idempotent.

use super::views::{SessionDetailView, SessionEventView, SessionStatusView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, ok, paged};
use crate::api::error::{Failures, Guarded, OfOne, OfProvider, OfState};
use crate::api::extract::Path;
use crate::api::page::{Page, PageQuery};
use crate::domain::id::SessionId;
use crate::error::Error;

/// Connects a session; one that is connected stays so, and one that is not paired waits for its code to be scanned.
#[utoipa::path(post, path = "/whatsapp/{id}/connect", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SessionDetailView>), Failures, Guarded, OfOne, OfState, OfProvider))]
pub(super) async fn connect_session(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SessionDetailView> {
    let session = ctx.services.sessions.connect(ctx.caller.tenant_id, id).await?;
    let pacing = ctx.services.sessions.pacing_of(&session);
    ok(SessionDetailView::new(session, pacing))
}

/// Closes the connection of a session and keeps its pairing; messages wait.
#[utoipa::path(post, path = "/whatsapp/{id}/disconnect", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SessionStatusView>), Failures, Guarded, OfOne, OfState, OfProvider))]
pub(super) async fn disconnect_session(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SessionStatusView> {
    ok(ctx.services.sessions.disconnect(ctx.caller.tenant_id, id).await?.into())
}

/// Unlinks a session; it must be paired anew.
#[utoipa::path(post, path = "/whatsapp/{id}/logout", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SessionStatusView>), Failures, Guarded, OfOne, OfState, OfProvider))]
pub(super) async fn logout_session(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SessionStatusView> {
    ok(ctx.services.sessions.logout(ctx.caller.tenant_id, id).await?.into())
}

/// Closes the connection of a session and makes it anew.
#[utoipa::path(post, path = "/whatsapp/{id}/restart", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SessionStatusView>), Failures, Guarded, OfOne, OfState, OfProvider))]
pub(super) async fn restart_session(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SessionStatusView> {
    ok(ctx.services.sessions.restart(ctx.caller.tenant_id, id).await?.into())
}

/// Lists what happened to the connection of a session, newest first.
#[utoipa::path(get, path = "/whatsapp/{id}/events", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session."), PageQuery),
    responses((status = 200, body = Paged<SessionEventView>), Failures, Guarded, OfOne))]
pub(super) async fn list_session_events(
    ctx: CallContext,
    Path(id): Path<SessionId>,
    page: Page,
) -> ListResult<SessionEventView> {
    let sessions = ctx.store.sessions();
    sessions.find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("session"))?;
    paged(page, sessions.events(ctx.caller.tenant_id, id, page.0).await?)
}

/// Tells whether a session can send now.
#[utoipa::path(get, path = "/whatsapp/{id}/status", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SessionStatusView>), Failures, Guarded, OfOne))]
pub(super) async fn get_session_status(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SessionStatusView> {
    let session = ctx.store.sessions().find(ctx.caller.tenant_id, id).await?;
    ok(session.ok_or(Error::NotFound("session"))?.into())
}
