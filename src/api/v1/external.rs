//! All operations for programs, each listed by its resource; and the one that only programs have.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api_keys::ApiKeyView;
use super::{billing, campaigns, contacts, messages, sessions};
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded};
use crate::api::external::{EXTERNAL, with_key};
use crate::api::{ApiSettings, CallContext, Shared};
use crate::domain::api_key::Scope;
use crate::domain::id::TenantId;
use crate::error::Error;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    let operations = OpenApiRouter::default()
        .routes(with_key(Scope::AccountRead, routes!(get_me)))
        .merge(billing::external())
        .merge(sessions::external())
        .merge(messages::external())
        .merge(campaigns::external())
        .merge(contacts::external());
    OpenApiRouter::default().nest(EXTERNAL, operations)
}

/// Returns the operations whose bodies flow for as long as they need.
pub(super) fn streams(settings: &ApiSettings) -> OpenApiRouter<Shared> {
    OpenApiRouter::default().nest(EXTERNAL, messages::external_streams(settings))
}

/// Whose key it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyOwnerView {
    /// The business.
    #[schema(value_type = uuid::Uuid)]
    tenant_id: TenantId,
    /// The name of the business.
    #[schema(example = "Rao Textiles")]
    tenant_name: String,
    /// The key that was shown.
    api_key: ApiKeyView,
}

/// Tells whose key it is, and what it may do.
#[utoipa::path(get, path = "/me", tag = "external",
    responses((status = 200, body = Envelope<KeyOwnerView>), Failures, Guarded))]
pub(super) async fn get_me(ctx: CallContext) -> ApiResult<KeyOwnerView> {
    let key = ctx.key.as_deref().ok_or(Error::Unauthorized)?.clone();
    let tenant = ctx.store.tenants().find(key.tenant_id).await?.ok_or(Error::Unauthorized)?;
    ok(KeyOwnerView { tenant_id: tenant.id, tenant_name: tenant.name, api_key: key.into() })
}
