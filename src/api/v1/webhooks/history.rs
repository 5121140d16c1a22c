//! What a webhook was told: listed, tried again, tested.

use serde::Deserialize;

use super::views::{QueuedTestView, WebhookDeliveryView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, ok, paged};
use crate::api::error::{Failures, Guarded, OfOne, OfState};
use crate::api::extract::Path;
use crate::api::page::{Page, PageQuery};
use crate::domain::id::{WebhookDeliveryId, WebhookId};
use crate::error::Error;

/// Where a delivery is found.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryPath {
    id: WebhookId,
    delivery_id: WebhookDeliveryId,
}

/// Lists what a webhook was told and is still to be told, newest first; at most 50,000 of the last 30 days.
#[utoipa::path(get, path = "/webhooks/{id}/history", tag = "webhooks", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The webhook."), PageQuery),
    responses((status = 200, body = Paged<WebhookDeliveryView>), Failures, Guarded, OfOne))]
pub(super) async fn list_webhook_history(
    ctx: CallContext,
    Path(id): Path<WebhookId>,
    page: Page,
) -> ListResult<WebhookDeliveryView> {
    let webhooks = ctx.store.webhooks();
    webhooks.find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("webhook"))?;
    paged(page, webhooks.history(ctx.caller.tenant_id, id, page.0).await?)
}

/// Queues a `webhook.test`, whatever the webhook is told otherwise; the history shows what came of it.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "webhooks", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The webhook.")),
    responses((status = 200, body = Envelope<QueuedTestView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn test_webhook(ctx: CallContext, Path(id): Path<WebhookId>) -> ApiResult<QueuedTestView> {
    ok(ctx.services.webhooks.test(ctx.caller.tenant_id, id).await?.into())
}

/// Has something told again, under the same name and with all its attempts.
#[utoipa::path(post, path = "/webhooks/{id}/history/{deliveryId}/retry", tag = "webhooks", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The webhook."),
        ("deliveryId" = uuid::Uuid, Path, description = "What was told.")),
    responses((status = 200, body = Envelope<WebhookDeliveryView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn retry_webhook_delivery(
    ctx: CallContext,
    Path(path): Path<DeliveryPath>,
) -> ApiResult<WebhookDeliveryView> {
    ok(ctx.services.webhooks.retry(ctx.caller.tenant_id, path.id, path.delivery_id).await?.into())
}
