//! Keys of programs: made by owners and admins, shown once, taken back.

use axum::routing::put;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, RemovedView, created, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::idempotency::once_without;
use crate::api::page::{Page, PageQuery};
use crate::api::roles::needs;
use crate::api::timestamp::Timestamp;
use crate::api::{CallContext, Shared};
use crate::domain::ability::Ability;
use crate::domain::api_key::Scope;
use crate::domain::id::ApiKeyId;
use crate::error::Error;
use crate::service::api_keys::{ApiKeyChange, FreshApiKey, NewApiKey};
use crate::store::api_keys::ApiKeyRecord;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    let of_managers = OpenApiRouter::default()
        .routes(once_without("key", routes!(create_api_key)))
        .routes(routes!(update_api_key, delete_api_key))
        .route("/api-keys/{id}", put(update_api_key))
        .routes(once_without("key", routes!(rotate_api_key)));
    OpenApiRouter::default()
        .routes(routes!(list_api_keys))
        .routes(routes!(get_api_key))
        .merge(needs(Ability::ManageKeys, of_managers))
}

/// The key of a program.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyView {
    /// The key's id; not the key itself.
    #[schema(value_type = uuid::Uuid)]
    id: ApiKeyId,
    /// What people call it.
    #[schema(example = "Shop backend")]
    name: String,
    /// How the key begins, to tell it from others.
    #[schema(example = "awp_1f0e6a7d93b2c458")]
    prefix: String,
    /// What it may do.
    #[schema(example = json!(["messages:send", "messages:read"]))]
    scopes: Vec<&'static str>,
    /// From where it may be used; from everywhere when empty.
    #[schema(example = json!(["203.0.113.0/24"]))]
    allowed_ips: Vec<String>,
    /// From when on it is refused; null when it has no end.
    expires_at: Option<Timestamp>,
    /// When it was used, to about a minute; null when it never was.
    last_used_at: Option<Timestamp>,
    /// When it was made.
    created_at: Timestamp,
}

/// A key with its secret, as it is shown once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreshApiKeyView {
    /// Goes into `X-API-Key`. Never shown again: null when the request is repeated with its `Idempotency-Key`.
    #[schema(example = "awp_1f0e6a7d93b2c458…")]
    key: Option<String>,
    /// What is kept of it.
    #[serde(flatten)]
    api_key: ApiKeyView,
}

/// A key to make.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CreateApiKeyBody {
    /// What people call it; 1 to 100 characters.
    #[schema(example = "Shop backend")]
    name: String,
    /// What it may do, at least one of `account:read`, `sessions:read`, `messages:read`, `messages:send`,
    /// `contacts:read`, `contacts:write`, `campaigns:read` and `campaigns:write`.
    #[schema(value_type = Vec<String>, example = json!(["messages:send", "messages:read"]))]
    scopes: Vec<Scope>,
    /// From where it may be used, at most 100 addresses and networks; from everywhere when missing or empty.
    #[schema(example = json!(["203.0.113.0/24"]))]
    allowed_ips: Option<Vec<String>>,
    /// From when on it is refused; never when missing.
    expires_at: Option<Timestamp>,
}

/// What is to change; what is missing stays.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct UpdateApiKeyBody {
    /// What people call it; 1 to 100 characters.
    #[schema(example = "Shop backend")]
    name: Option<String>,
    /// What it may do; at least one.
    #[schema(value_type = Option<Vec<String>>, example = json!(["messages:read"]))]
    scopes: Option<Vec<Scope>>,
    /// From where it may be used; from everywhere when empty.
    #[schema(example = json!(["203.0.113.0/24"]))]
    allowed_ips: Option<Vec<String>>,
    /// From when on it is refused; null takes the end away.
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Option<Option<Timestamp>>,
}

/// Lists the keys, newest first.
#[utoipa::path(get, path = "/api-keys", tag = "api-keys", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<ApiKeyView>), Failures, Guarded))]
pub(super) async fn list_api_keys(ctx: CallContext, page: Page) -> ListResult<ApiKeyView> {
    paged(page, ctx.store.api_keys().list(ctx.caller.tenant_id, page.0).await?)
}

/// Makes a key. The key itself is shown once, in this answer.
#[utoipa::path(post, path = "/api-keys", tag = "api-keys", security(("bearer" = [])), request_body = CreateApiKeyBody,
    responses((status = 201, body = Envelope<FreshApiKeyView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn create_api_key(ctx: CallContext, Json(body): Json<CreateApiKeyBody>) -> ApiResult<FreshApiKeyView> {
    let caller = ctx.caller;
    let fresh = ctx.services.api_keys.create(caller.tenant_id, caller.user_id, body.into(), &ctx.actor()).await?;
    created(fresh.into())
}

/// Shows a key, without the key itself.
#[utoipa::path(get, path = "/api-keys/{id}", tag = "api-keys", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The key.")),
    responses((status = 200, body = Envelope<ApiKeyView>), Failures, Guarded, OfOne))]
pub(super) async fn get_api_key(ctx: CallContext, Path(id): Path<ApiKeyId>) -> ApiResult<ApiKeyView> {
    ok(ctx.store.api_keys().find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("API key"))?.into())
}

/// Changes what a key may do, from where and until when. Holds within two seconds.
#[utoipa::path(patch, path = "/api-keys/{id}", tag = "api-keys", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The key.")), request_body = UpdateApiKeyBody,
    responses((status = 200, body = Envelope<ApiKeyView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn update_api_key(
    ctx: CallContext,
    Path(id): Path<ApiKeyId>,
    Json(body): Json<UpdateApiKeyBody>,
) -> ApiResult<ApiKeyView> {
    ok(ctx.services.api_keys.change(ctx.caller.tenant_id, id, body.into(), &ctx.actor()).await?.into())
}

/// Deletes a key. No node takes it any more after two seconds.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "api-keys", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The key.")),
    responses((status = 200, body = Envelope<RemovedView>), Failures, Guarded, OfOne))]
pub(super) async fn delete_api_key(ctx: CallContext, Path(id): Path<ApiKeyId>) -> ApiResult<RemovedView> {
    ctx.services.api_keys.delete(ctx.caller.tenant_id, id, &ctx.actor()).await?;
    ok(RemovedView { id: id.0 })
}

/// Gives a key another secret, shown once. No node takes the one before after two seconds.
#[utoipa::path(post, path = "/api-keys/{id}/rotate", tag = "api-keys", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The key.")),
    responses((status = 200, body = Envelope<FreshApiKeyView>), Failures, Guarded, OfOne))]
pub(super) async fn rotate_api_key(ctx: CallContext, Path(id): Path<ApiKeyId>) -> ApiResult<FreshApiKeyView> {
    ok(ctx.services.api_keys.rotate(ctx.caller.tenant_id, id, &ctx.actor()).await?.into())
}

impl FromFields for CreateApiKeyBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name");
        let scopes = fields.required("scopes");
        let allowed_ips = fields.optional("allowedIps");
        let expires_at = fields.optional("expiresAt");
        Some(Self { name: name?, scopes: scopes?, allowed_ips: allowed_ips?, expires_at: expires_at? })
    }
}

impl FromFields for UpdateApiKeyBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name");
        let scopes = fields.optional("scopes");
        let allowed_ips = fields.optional("allowedIps");
        let expires_at = fields.as_written("expiresAt");
        Some(Self { name: name?, scopes: scopes?, allowed_ips: allowed_ips?, expires_at: expires_at? })
    }
}

impl From<CreateApiKeyBody> for NewApiKey {
    fn from(body: CreateApiKeyBody) -> Self {
        let (allowed_ips, expires_at) = (body.allowed_ips.unwrap_or_default(), body.expires_at.map(Timestamp::moment));
        Self { name: body.name, scopes: body.scopes, allowed_ips, expires_at }
    }
}

impl From<UpdateApiKeyBody> for ApiKeyChange {
    fn from(body: UpdateApiKeyBody) -> Self {
        let expires_at = body.expires_at.map(|at| at.map(Timestamp::moment));
        Self { name: body.name, scopes: body.scopes, allowed_ips: body.allowed_ips, expires_at }
    }
}

impl From<ApiKeyRecord> for ApiKeyView {
    fn from(key: ApiKeyRecord) -> Self {
        Self {
            id: key.id,
            name: key.terms.name,
            prefix: key.secret.prefix,
            scopes: key.terms.scopes.into_iter().map(Scope::as_str).collect(),
            allowed_ips: key.terms.allowed_ips.iter().map(ToString::to_string).collect(),
            expires_at: key.terms.expires_at_ms.map(Timestamp),
            last_used_at: key.last_used_at_ms.map(Timestamp),
            created_at: Timestamp(key.created_at_ms),
        }
    }
}

impl From<FreshApiKey> for FreshApiKeyView {
    fn from(fresh: FreshApiKey) -> Self {
        Self { key: Some(fresh.secret.expose_secret().to_owned()), api_key: fresh.record.into() }
    }
}
