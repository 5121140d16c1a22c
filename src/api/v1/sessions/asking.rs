//! What can be asked through a session, and what became of its messages.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfProvider, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::domain::id::SessionId;
use crate::error::Error;
use crate::service::pairing::{ChatGroup, CheckedNumber};
use crate::store::session_counters::SessionCounts;

/// A number to be looked for.
#[derive(Debug, ToSchema)]
pub struct CheckNumberBody {
    /// The number with country code.
    #[schema(example = "919876543210")]
    phone: String,
}

/// A number to be looked for, and who asks.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CheckNumberThroughBody {
    /// The session that asks; it must be connected.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// The number with country code.
    #[schema(example = "919876543210")]
    phone: String,
}

/// Whether a number is on WhatsApp.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckedNumberView {
    /// The number, digits with country code.
    #[schema(example = "919876543210")]
    phone: String,
    /// Whether it is on WhatsApp.
    on_whatsapp: bool,
}

/// A group chat of a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatGroupView {
    /// WhatsApp's own name of it.
    #[schema(example = "120363025246125486@g.us")]
    id: String,
    /// What its members call it.
    #[schema(example = "Customers")]
    name: String,
    /// How many they are.
    #[schema(example = 212)]
    participants: u32,
}

/// What became of the messages of a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionStatsView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// Since midnight, UTC.
    today: SessionCountsView,
    /// Ever.
    total: SessionCountsView,
}

/// Messages by what became of them; one that was tried again may have failed twice.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionCountsView {
    /// The provider took them.
    #[schema(example = 1_250)]
    sent: i64,
    /// They failed.
    #[schema(example = 3)]
    failed: i64,
    /// Whether the provider took them was not known.
    #[schema(example = 0)]
    unknown: i64,
}

impl FromFields for CheckNumberBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { phone: fields.required("phone")? })
    }
}

impl FromFields for CheckNumberThroughBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let session_id = fields.required("sessionId");
        let phone = fields.required("phone");
        Some(Self { session_id: session_id?, phone: phone? })
    }
}

impl From<CheckedNumber> for CheckedNumberView {
    fn from(checked: CheckedNumber) -> Self {
        Self { phone: checked.phone.as_str().to_owned(), on_whatsapp: checked.is_on_whatsapp }
    }
}

impl From<ChatGroup> for ChatGroupView {
    fn from(group: ChatGroup) -> Self {
        Self { id: group.id, name: group.name, participants: group.n_participants }
    }
}

impl From<SessionCounts> for SessionCountsView {
    fn from(counts: SessionCounts) -> Self {
        Self { sent: counts.sent, failed: counts.failed, unknown: counts.unknown }
    }
}

/// Tells whether a number is on WhatsApp; only linked devices can.
#[utoipa::path(post, path = "/whatsapp/{id}/check-number", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")), request_body = CheckNumberBody,
    responses((status = 200, body = Envelope<CheckedNumberView>), Failures, Guarded, OfOne, OfBody, OfState, OfProvider))]
pub(super) async fn check_number(
    ctx: CallContext,
    Path(id): Path<SessionId>,
    Json(body): Json<CheckNumberBody>,
) -> ApiResult<CheckedNumberView> {
    ok(ctx.services.sessions.check_number(ctx.caller.tenant_id, id, &body.phone).await?.into())
}

/// Tells whether a number is on WhatsApp, asked through one of the sessions; only linked devices can.
#[utoipa::path(post, path = "/check-number", tag = "external", request_body = CheckNumberThroughBody,
    responses((status = 200, body = Envelope<CheckedNumberView>), Failures, Guarded, OfOne, OfBody, OfState, OfProvider))]
pub(super) async fn check_number_through(
    ctx: CallContext,
    Json(body): Json<CheckNumberThroughBody>,
) -> ApiResult<CheckedNumberView> {
    ok(ctx.services.sessions.check_number(ctx.caller.tenant_id, body.session_id, &body.phone).await?.into())
}

/// A message that was read.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct MarkReadBody {
    /// The message as the webhook `message.received` names it.
    #[schema(example = "wamid.HBgMOTE5ODc2NTQzMjEwFQIAEhg")]
    message_id: String,
    /// Whether an answer is being written: shown until it comes, for 25 seconds at most.
    typing: Option<bool>,
}

/// What was said.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MarkedReadView {
    /// The message.
    #[schema(example = "wamid.HBgMOTE5ODc2NTQzMjEwFQIAEhg")]
    message_id: String,
    /// Always `read`.
    #[schema(example = "read")]
    status: &'static str,
}

impl FromFields for MarkReadBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let message_id = fields.required("messageId");
        let typing = fields.optional("typing");
        Some(Self { message_id: message_id?, typing: typing? })
    }
}

/// Shows whoever wrote a message that it was read, and if asked that an answer is being written; only numbers of the Cloud API
/// do.
#[utoipa::path(post, path = "/whatsapp/{id}/mark-read", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")), request_body = MarkReadBody,
    responses((status = 200, body = Envelope<MarkedReadView>), Failures, Guarded, OfOne, OfBody, OfState, OfProvider))]
pub(super) async fn mark_read(
    ctx: CallContext,
    Path(id): Path<SessionId>,
    Json(body): Json<MarkReadBody>,
) -> ApiResult<MarkedReadView> {
    let MarkReadBody { message_id, typing } = body;
    ctx.services.sessions.mark_read(ctx.caller.tenant_id, id, &message_id, typing.unwrap_or(false)).await?;
    ok(MarkedReadView { message_id, status: "read" })
}

/// Lists the group chats of a session; only linked devices have them.
#[utoipa::path(get, path = "/whatsapp/{id}/groups", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<Vec<ChatGroupView>>), Failures, Guarded, OfOne, OfState, OfProvider))]
pub(super) async fn list_session_groups(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<Vec<ChatGroupView>> {
    let groups = ctx.services.sessions.groups(ctx.caller.tenant_id, id).await?;
    ok(groups.into_iter().map(Into::into).collect())
}

/// Counts what became of the messages of a session, today and ever.
#[utoipa::path(get, path = "/whatsapp/{id}/stats", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SessionStatsView>), Failures, Guarded, OfOne))]
pub(super) async fn get_session_stats(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SessionStatsView> {
    let tenant_id = ctx.caller.tenant_id;
    ctx.store.sessions().find(tenant_id, id).await?.ok_or(Error::NotFound("session"))?;
    let (today, total) = ctx.store.session_counts(tenant_id, id, ctx.clock.now().as_ms()).await?;
    ok(SessionStatsView { id, today: today.into(), total: total.into() })
}
