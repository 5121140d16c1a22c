//! A new secret for a webhook.

use secrecy::SecretString;
use utoipa::ToSchema;

use super::views::RotatedSecretView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne};
use crate::api::extract::{Fields, FromFields, MaybeJson, Path};
use crate::domain::id::WebhookId;

/// The new secret, if it is to be a certain one.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RotateSecretBody {
    /// What signs from now on; one is drawn when it is missing.
    #[schema(value_type = Option<String>, example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    secret: Option<SecretString>,
}

/// Gives a webhook a new secret, shown in this answer only; for 24 hours the one before signs too.
#[utoipa::path(post, path = "/webhooks/{id}/rotate-secret", tag = "webhooks", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The webhook.")), request_body = Option<RotateSecretBody>,
    responses((status = 200, body = Envelope<RotatedSecretView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn rotate_webhook_secret(
    ctx: CallContext,
    Path(id): Path<WebhookId>,
    MaybeJson(body): MaybeJson<RotateSecretBody>,
) -> ApiResult<RotatedSecretView> {
    ok(ctx.services.webhooks.rotate_secret(ctx.caller.tenant_id, id, body.secret).await?.into())
}

impl FromFields for RotateSecretBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { secret: fields.optional::<String>("secret")?.map(SecretString::from) })
    }
}
