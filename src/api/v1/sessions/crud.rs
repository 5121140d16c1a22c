//! Sessions as things: listed, made, shown, changed, removed.

use utoipa::ToSchema;

use super::views::{CreatedSessionView, RemovedSessionView, SessionDetailView, SessionView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, created, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfProvider, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::domain::id::SessionId;
use crate::error::Error;
use crate::service::sessions::{NewSession, PacingChange, SessionChange};

/// A session to make.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CreateSessionBody {
    /// What people call it; 1 to 100 characters.
    #[schema(example = "Shop")]
    name: String,
    /// The Cloud API's own name of the number, if known.
    #[schema(example = "106540352242922")]
    phone_number_id: Option<String>,
    /// Steady rate, sends per minute; the default when missing.
    #[schema(example = 20.0)]
    rate_per_minute: Option<f64>,
    /// Sends at once after a rest, 1–64; the default when missing.
    #[schema(example = 1)]
    burst: Option<u32>,
}

/// What is to change; what is missing stays.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct UpdateSessionBody {
    /// What people call it; 1 to 100 characters.
    #[schema(example = "Shop")]
    name: Option<String>,
    /// Steady rate, sends per minute.
    #[schema(example = 20.0)]
    rate_per_minute: Option<f64>,
    /// Sends at once after a rest, 1–64.
    #[schema(example = 1)]
    burst: Option<u32>,
}

/// Lists the sessions, newest first.
#[utoipa::path(get, path = "/whatsapp", tag = "sessions", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<SessionView>), Failures, Guarded))]
pub(super) async fn list_sessions(ctx: CallContext, page: Page) -> ListResult<SessionView> {
    paged(page, ctx.store.sessions().list(ctx.caller.tenant_id, page.0).await?)
}

/// Makes a session; it is disconnected.
#[utoipa::path(post, path = "/whatsapp", tag = "sessions", security(("bearer" = [])), request_body = CreateSessionBody,
    responses((status = 201, body = Envelope<CreatedSessionView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn create_session(
    ctx: CallContext,
    Json(body): Json<CreateSessionBody>,
) -> ApiResult<CreatedSessionView> {
    created(ctx.services.sessions.create(ctx.caller.tenant_id, body.into()).await?.into())
}

/// Shows a session and its pacing.
#[utoipa::path(get, path = "/whatsapp/{id}", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SessionDetailView>), Failures, Guarded, OfOne))]
pub(super) async fn get_session(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SessionDetailView> {
    let session = ctx.store.sessions().find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("session"))?;
    let pacing = ctx.services.sessions.pacing_of(&session);
    ok(SessionDetailView::new(session, pacing))
}

/// Changes the name or the pacing of a session; a new pace holds from the next send on.
#[utoipa::path(patch, path = "/whatsapp/{id}", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")), request_body = UpdateSessionBody,
    responses((status = 200, body = Envelope<SessionDetailView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn update_session(
    ctx: CallContext,
    Path(id): Path<SessionId>,
    Json(body): Json<UpdateSessionBody>,
) -> ApiResult<SessionDetailView> {
    let session = ctx.services.sessions.update(ctx.caller.tenant_id, id, body.into()).await?;
    let pacing = ctx.services.sessions.pacing_of(&session);
    ok(SessionDetailView::new(session, pacing))
}

/// Removes a session: it is unlinked and its number is free; its messages stay. Refused while anything waits for it.
#[utoipa::path(delete, path = "/whatsapp/{id}", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<RemovedSessionView>), Failures, Guarded, OfOne, OfState, OfProvider))]
pub(super) async fn delete_session(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<RemovedSessionView> {
    ctx.services.sessions.remove(ctx.caller.tenant_id, id).await?;
    ok(RemovedSessionView { id })
}

impl FromFields for CreateSessionBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name");
        let phone_number_id = fields.optional("phoneNumberId");
        let rate_per_minute = fields.optional("ratePerMinute");
        let burst = fields.optional("burst");
        Some(Self { name: name?, phone_number_id: phone_number_id?, rate_per_minute: rate_per_minute?, burst: burst? })
    }
}

impl FromFields for UpdateSessionBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name");
        let rate_per_minute = fields.optional("ratePerMinute");
        let burst = fields.optional("burst");
        Some(Self { name: name?, rate_per_minute: rate_per_minute?, burst: burst? })
    }
}

impl From<CreateSessionBody> for NewSession {
    fn from(body: CreateSessionBody) -> Self {
        let pacing = PacingChange { rate_per_minute: body.rate_per_minute, burst: body.burst };
        Self { name: body.name, phone_number_id: body.phone_number_id, pacing }
    }
}

impl From<UpdateSessionBody> for SessionChange {
    fn from(body: UpdateSessionBody) -> Self {
        let pacing = PacingChange { rate_per_minute: body.rate_per_minute, burst: body.burst };
        Self { name: body.name, pacing }
    }
}
