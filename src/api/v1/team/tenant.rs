//! The tenant that whoever calls works for.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody};
use crate::api::extract::{Fields, FromFields, Json};
use crate::api::timestamp::Timestamp;
use crate::domain::id::TenantId;
use crate::store::tenants::TenantRecord;

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnTenantView {
    /// The tenant.
    #[schema(value_type = uuid::Uuid)]
    id: TenantId,
    /// The name of its business.
    #[schema(example = "Rao Textiles")]
    name: String,
    /// When it registered.
    created_at: Timestamp,
}

/// What is to change; what is missing stays.
#[derive(Debug, ToSchema)]
pub struct UpdateTenantBody {
    /// The name of the business; 1 to 100 characters.
    #[schema(example = "Rao & Daughters Textiles")]
    name: Option<String>,
}

/// Shows the tenant that whoever calls works for.
#[utoipa::path(get, path = "/tenant", tag = "team", security(("bearer" = [])),
    responses((status = 200, body = Envelope<OwnTenantView>), Failures, Guarded))]
pub(super) async fn get_own_tenant(ctx: CallContext) -> ApiResult<OwnTenantView> {
    ok(ctx.services.team.tenant(ctx.caller.tenant_id).await?.into())
}

/// Changes the tenant. `PUT` does the same.
#[utoipa::path(patch, path = "/tenant", tag = "team", security(("bearer" = [])), request_body = UpdateTenantBody,
    responses((status = 200, body = Envelope<OwnTenantView>), Failures, Guarded, OfBody))]
pub(super) async fn update_tenant(ctx: CallContext, Json(body): Json<UpdateTenantBody>) -> ApiResult<OwnTenantView> {
    let name = body.name.as_deref();
    ok(ctx.services.team.rename_tenant(ctx.caller.tenant_id, name, &ctx.actor()).await?.into())
}

impl FromFields for UpdateTenantBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { name: fields.optional("name")? })
    }
}

impl From<TenantRecord> for OwnTenantView {
    fn from(tenant: TenantRecord) -> Self {
        Self { id: tenant.id, name: tenant.name, created_at: Timestamp(tenant.created_at_ms) }
    }
}
