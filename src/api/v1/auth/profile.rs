//! Who is calling.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded};
use crate::domain::id::{TenantId, UserId};
use crate::error::Error;
use crate::store::users::UserRecord;

/// A person who logs in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// The person.
    #[schema(value_type = uuid::Uuid)]
    id: UserId,
    /// Address to log in with.
    #[schema(example = "ana@example.com")]
    email: String,
    /// What the person is called.
    #[schema(example = "Ana Rao")]
    name: String,
    /// `owner`, `admin`, `agent`, `viewer` or `operator`.
    #[schema(example = "owner")]
    role: &'static str,
    /// The business.
    #[schema(value_type = uuid::Uuid)]
    tenant_id: TenantId,
    /// The name of the business.
    #[schema(example = "Rao Textiles")]
    tenant_name: String,
}

/// Tells who is calling.
#[utoipa::path(get, path = "/auth/me", tag = "auth", security(("bearer" = [])),
    responses((status = 200, body = Envelope<UserView>), Failures, Guarded))]
pub(super) async fn get_me(ctx: CallContext) -> ApiResult<UserView> {
    let user = ctx.store.users().find(ctx.caller.tenant_id, ctx.caller.user_id).await?;
    ok(user.ok_or(Error::Unauthorized)?.into())
}

impl From<UserRecord> for UserView {
    fn from(user: UserRecord) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            role: user.role.as_str(),
            tenant_id: user.tenant_id,
            tenant_name: user.tenant_name,
        }
    }
}
