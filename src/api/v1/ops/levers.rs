//! What operators hold back: lanes, sessions, tenants, everything. Every action is idempotent, and written down.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::OperatorContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::api::timestamp::Timestamp;
use crate::domain::id::{SessionId, TenantId};
use crate::domain::lever::Lever;
use crate::service::levers::NewSuspension;
use crate::store::suspensions::Suspension;

/// Why and for how long.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SuspendBody {
    /// Why; 1 to 200 characters. It is kept in the audit log, so it must not hold anybody's data.
    #[schema(example = "The provider asked us to wait.")]
    reason: String,
    /// Until when; without it and `forSeconds`, until it is resumed.
    until: Option<Timestamp>,
    /// For how long from now, instead of `until`; at most a year.
    #[schema(example = 3600)]
    for_seconds: Option<u64>,
}

/// Something that is held back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuspensionView {
    /// `everything`, `tenant`, `session` or `lane`.
    #[schema(example = "lane")]
    scope: &'static str,
    /// The tenant or the session; null for everything.
    subject: Option<Uuid>,
    /// Why, in the operator's words.
    #[schema(example = "The provider asked us to wait.")]
    reason: String,
    /// Who did it.
    suspended_by: Uuid,
    /// Since when.
    since: Timestamp,
    /// Until when; null until it is resumed.
    until: Option<Timestamp>,
}

/// Something that may go on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResumedView {
    /// `everything`, `tenant`, `session` or `lane`.
    #[schema(example = "lane")]
    scope: &'static str,
    /// The tenant or the session; null for everything.
    subject: Option<Uuid>,
    /// Always `false`; something wider may still hold it.
    #[schema(example = false)]
    suspended: bool,
}

impl From<Suspension> for SuspensionView {
    fn from(suspension: Suspension) -> Self {
        Self {
            scope: suspension.lever.word(),
            subject: subject_of(suspension.lever),
            reason: suspension.reason,
            suspended_by: suspension.suspended_by.0,
            since: Timestamp(suspension.since_ms),
            until: suspension.until_ms.map(Timestamp),
        }
    }
}

impl FromFields for SuspendBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let reason = fields.required("reason");
        let until = fields.optional("until");
        let for_seconds = fields.optional("forSeconds");
        Some(Self { reason: reason?, until: until?, for_seconds: for_seconds? })
    }
}

fn subject_of(lever: Lever) -> Option<Uuid> {
    (lever != Lever::Everything).then(|| lever.subject())
}

async fn suspend(ctx: &OperatorContext, lever: Lever, body: SuspendBody) -> ApiResult<SuspensionView> {
    let new =
        NewSuspension { reason: body.reason, until: body.until.map(Timestamp::moment), for_seconds: body.for_seconds };
    ok(ctx.services.levers.suspend(lever, new, (ctx.caller().user_id, &ctx.actor())).await?.into())
}

async fn resume(ctx: &OperatorContext, lever: Lever) -> ApiResult<ResumedView> {
    ctx.services.levers.resume(lever, &ctx.actor()).await?;
    ok(ResumedView { scope: lever.word(), subject: subject_of(lever), suspended: false })
}

/// Holds a lane: what is prepared is taken back, what is on the wire finishes, what comes is still taken.
#[utoipa::path(post, path = "/ops/lanes/{id}/suspend", tag = "ops", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session of the lane.")), request_body = SuspendBody,
    responses((status = 200, body = Envelope<SuspensionView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn suspend_lane(
    ctx: OperatorContext,
    Path(id): Path<SessionId>,
    Json(body): Json<SuspendBody>,
) -> ApiResult<SuspensionView> {
    suspend(&ctx, Lever::Lane(id), body).await
}

/// Lets a lane go on.
#[utoipa::path(post, path = "/ops/lanes/{id}/resume", tag = "ops", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session of the lane.")),
    responses((status = 200, body = Envelope<ResumedView>), Failures, Guarded, OfOne))]
pub(super) async fn resume_lane(ctx: OperatorContext, Path(id): Path<SessionId>) -> ApiResult<ResumedView> {
    resume(&ctx, Lever::Lane(id)).await
}

/// Holds a session: its lane stands, and new messages for it are taken and wait.
#[utoipa::path(post, path = "/ops/sessions/{id}/suspend", tag = "ops", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")), request_body = SuspendBody,
    responses((status = 200, body = Envelope<SuspensionView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn suspend_session(
    ctx: OperatorContext,
    Path(id): Path<SessionId>,
    Json(body): Json<SuspendBody>,
) -> ApiResult<SuspensionView> {
    suspend(&ctx, Lever::Session(id), body).await
}

/// Lets a session go on.
#[utoipa::path(post, path = "/ops/sessions/{id}/resume", tag = "ops", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<ResumedView>), Failures, Guarded, OfOne))]
pub(super) async fn resume_session(ctx: OperatorContext, Path(id): Path<SessionId>) -> ApiResult<ResumedView> {
    resume(&ctx, Lever::Session(id)).await
}

/// Holds a tenant: all its lanes stand, and its new messages are taken and wait.
#[utoipa::path(post, path = "/ops/tenants/{id}/suspend", tag = "ops", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The tenant.")), request_body = SuspendBody,
    responses((status = 200, body = Envelope<SuspensionView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn suspend_tenant(
    ctx: OperatorContext,
    Path(id): Path<TenantId>,
    Json(body): Json<SuspendBody>,
) -> ApiResult<SuspensionView> {
    suspend(&ctx, Lever::Tenant(id), body).await
}

/// Lets a tenant go on.
#[utoipa::path(post, path = "/ops/tenants/{id}/resume", tag = "ops", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The tenant.")),
    responses((status = 200, body = Envelope<ResumedView>), Failures, Guarded, OfOne))]
pub(super) async fn resume_tenant(ctx: OperatorContext, Path(id): Path<TenantId>) -> ApiResult<ResumedView> {
    resume(&ctx, Lever::Tenant(id)).await
}

/// Stops everything: all lanes of all tenants stand.
#[utoipa::path(post, path = "/ops/stop", tag = "ops", security(("bearer" = [])), request_body = SuspendBody,
    responses((status = 200, body = Envelope<SuspensionView>), Failures, Guarded, OfBody))]
pub(super) async fn stop_everything(ctx: OperatorContext, Json(body): Json<SuspendBody>) -> ApiResult<SuspensionView> {
    suspend(&ctx, Lever::Everything, body).await
}

/// Lets everything go on that is not held back by itself.
#[utoipa::path(post, path = "/ops/start", tag = "ops", security(("bearer" = [])),
    responses((status = 200, body = Envelope<ResumedView>), Failures, Guarded))]
pub(super) async fn start_everything(ctx: OperatorContext) -> ApiResult<ResumedView> {
    resume(&ctx, Lever::Everything).await
}

/// Lists what is held back now, the latest first.
#[utoipa::path(get, path = "/ops/suspensions", tag = "ops", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<SuspensionView>), Failures, Guarded))]
pub(super) async fn list_suspensions(ctx: OperatorContext, page: Page) -> ListResult<SuspensionView> {
    paged(page, ctx.store.suspensions(page.0).await?)
}
