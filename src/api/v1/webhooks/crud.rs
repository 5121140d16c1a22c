//! Webhooks as things: listed, made, shown, changed, removed.

use secrecy::SecretString;
use utoipa::ToSchema;

use super::views::{CreatedWebhookView, WebhookView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, RemovedView, created, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::domain::id::WebhookId;
use crate::domain::webhook::WebhookEvent;
use crate::error::Error;
use crate::service::webhooks::{WebhookForm, WebhookPatch};

/// A webhook to make.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CreateWebhookBody {
    /// Where to post: an `https://` address of the public internet.
    #[schema(example = "https://example.com/hooks/actiwapi")]
    url: String,
    /// What to tell; see `GET /webhooks/events`.
    #[schema(example = json!(["message.delivered", "message.failed"]))]
    events: Vec<String>,
    /// What signs: `whsec_` and 24 to 64 bytes in Base64, or 16 to 256 characters whose bytes are the key. One is
    /// drawn when it is missing.
    #[schema(value_type = Option<String>, example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    secret: Option<SecretString>,
}

/// What is to change; what is missing stays.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct UpdateWebhookBody {
    /// Where to post.
    #[schema(example = "https://example.com/hooks/actiwapi")]
    url: Option<String>,
    /// What to tell.
    #[schema(example = json!(["message.read"]))]
    events: Option<Vec<String>>,
    /// Whether anything is told; `true` also takes back that it was switched off because nothing arrived.
    #[schema(example = true)]
    is_active: Option<bool>,
}

/// Lists what webhooks can be told.
#[utoipa::path(get, path = "/webhooks/events", tag = "webhooks",
    responses((status = 200, body = Envelope<Vec<String>>), Failures))]
pub(super) async fn list_webhook_events() -> ApiResult<Vec<&'static str>> {
    ok(WebhookEvent::ALL.iter().map(|event| event.as_str()).collect())
}

/// Lists the webhooks, newest first.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<WebhookView>), Failures, Guarded))]
pub(super) async fn list_webhooks(ctx: CallContext, page: Page) -> ListResult<WebhookView> {
    paged(page, ctx.store.webhooks().list(ctx.caller.tenant_id, page.0).await?)
}

/// Makes a webhook; its secret is in this answer only.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", security(("bearer" = [])), request_body = CreateWebhookBody,
    responses((status = 201, body = Envelope<CreatedWebhookView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn create_webhook(
    ctx: CallContext,
    Json(body): Json<CreateWebhookBody>,
) -> ApiResult<CreatedWebhookView> {
    let form = WebhookForm { url: body.url, events: body.events, secret: body.secret };
    created(ctx.services.webhooks.create(ctx.caller.tenant_id, form).await?.into())
}

/// Shows a webhook, and why it was switched off if nobody asked for that.
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The webhook.")),
    responses((status = 200, body = Envelope<WebhookView>), Failures, Guarded, OfOne))]
pub(super) async fn get_webhook(ctx: CallContext, Path(id): Path<WebhookId>) -> ApiResult<WebhookView> {
    ok(ctx.store.webhooks().find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("webhook"))?.into())
}

/// Changes a webhook; what waits for it goes to the new address.
#[utoipa::path(patch, path = "/webhooks/{id}", tag = "webhooks", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The webhook.")), request_body = UpdateWebhookBody,
    responses((status = 200, body = Envelope<WebhookView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn update_webhook(
    ctx: CallContext,
    Path(id): Path<WebhookId>,
    Json(body): Json<UpdateWebhookBody>,
) -> ApiResult<WebhookView> {
    ok(ctx.services.webhooks.update(ctx.caller.tenant_id, id, body.into()).await?.into())
}

/// Removes a webhook, its past and what waits for it.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The webhook.")),
    responses((status = 200, body = Envelope<RemovedView>), Failures, Guarded, OfOne))]
pub(super) async fn delete_webhook(ctx: CallContext, Path(id): Path<WebhookId>) -> ApiResult<RemovedView> {
    ctx.services.webhooks.delete(ctx.caller.tenant_id, id).await?;
    ok(RemovedView { id: id.0 })
}

impl FromFields for CreateWebhookBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let url = fields.required("url");
        let events = fields.required("events");
        let secret = fields.optional::<String>("secret");
        Some(Self { url: url?, events: events?, secret: secret?.map(SecretString::from) })
    }
}

impl FromFields for UpdateWebhookBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let url = fields.optional("url");
        let events = fields.optional("events");
        let is_active = fields.optional("isActive");
        Some(Self { url: url?, events: events?, is_active: is_active? })
    }
}

impl From<UpdateWebhookBody> for WebhookPatch {
    fn from(body: UpdateWebhookBody) -> Self {
        Self { url: body.url, events: body.events, is_active: body.is_active }
    }
}
