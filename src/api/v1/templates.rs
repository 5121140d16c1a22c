//! Templates: messages that a tenant keeps to send them again.

use axum::routing::put;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::campaigns::message::MessageBody;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, RemovedView, created, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, MaybeJson, Path};
use crate::api::idempotency::once;
use crate::api::page::{Page, PageQuery};
use crate::api::timestamp::Timestamp;
use crate::api::{CallContext, Shared};
use crate::domain::id::TemplateId;
use crate::domain::message::{MessageTemplate, Variables};
use crate::error::Error;
use crate::service::templates::Preview;
use crate::store::templates::{TemplateChange, TemplateRecord};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(once(routes!(list_templates, create_template)))
        .routes(routes!(get_template, update_template, delete_template))
        .route("/templates/{id}", put(update_template))
        .routes(routes!(preview_template))
}

/// A message to keep.
#[derive(Debug, ToSchema)]
pub struct CreateTemplateBody {
    /// What people call it, 1 to 200 characters; each of yours once.
    #[schema(example = "Order is ready")]
    name: String,
    /// What is sent.
    message: MessageBody,
}

/// What is to change; what is missing stays.
#[derive(Debug, ToSchema)]
pub struct UpdateTemplateBody {
    /// What people call it.
    #[schema(example = "Order is ready")]
    name: Option<String>,
    /// What is sent.
    message: Option<MessageBody>,
}

/// For whom a message is shown.
#[derive(Debug, ToSchema)]
pub struct PreviewBody {
    /// Values for its variables.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>, example = json!({"name": "Ana"}))]
    variables: Option<Variables>,
    /// Whom `{{phone}}` stands for; an example when missing.
    #[schema(example = "919876543210")]
    phone: Option<String>,
}

/// A message that is kept.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateView {
    /// The template.
    #[schema(value_type = uuid::Uuid)]
    id: TemplateId,
    /// What people call it.
    #[schema(example = "Order is ready")]
    name: String,
    /// What is sent.
    message: MessageBody,
    /// The variables that it uses, in the order of the alphabet.
    #[schema(example = json!(["name"]))]
    variables: Vec<String>,
    /// When it was made.
    created_at: Timestamp,
    /// When it was changed last.
    updated_at: Timestamp,
}

/// A message as one recipient would get it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewView {
    /// The message; a variable that is missing stands as it is written.
    message: MessageBody,
    /// Variables that have neither a value nor a default; a message is not sent without them.
    #[schema(example = json!(["name"]))]
    missing: Vec<String>,
}

/// Lists the templates, newest first.
#[utoipa::path(get, path = "/templates", tag = "templates", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<TemplateView>), Failures, Guarded))]
pub(super) async fn list_templates(ctx: CallContext, page: Page) -> ListResult<TemplateView> {
    paged(page, ctx.store.templates().list(ctx.caller.tenant_id, page.0).await?)
}

/// Keeps a message.
#[utoipa::path(post, path = "/templates", tag = "templates", security(("bearer" = [])), request_body = CreateTemplateBody,
    responses((status = 201, body = Envelope<TemplateView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn create_template(ctx: CallContext, Json(body): Json<CreateTemplateBody>) -> ApiResult<TemplateView> {
    let message = body.message.resolved(&ctx).await?.into();
    created(ctx.services.templates.create(ctx.caller.tenant_id, &body.name, message).await?.into())
}

/// Shows a template.
#[utoipa::path(get, path = "/templates/{id}", tag = "templates", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The template.")),
    responses((status = 200, body = Envelope<TemplateView>), Failures, Guarded, OfOne))]
pub(super) async fn get_template(ctx: CallContext, Path(id): Path<TemplateId>) -> ApiResult<TemplateView> {
    ok(ctx.store.templates().find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("template"))?.into())
}

/// Changes a template; campaigns that were made of it stay as they are.
#[utoipa::path(patch, path = "/templates/{id}", tag = "templates", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The template.")), request_body = UpdateTemplateBody,
    responses((status = 200, body = Envelope<TemplateView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn update_template(
    ctx: CallContext,
    Path(id): Path<TemplateId>,
    Json(body): Json<UpdateTemplateBody>,
) -> ApiResult<TemplateView> {
    let message = match body.message {
        Some(message) => Some(message.resolved(&ctx).await?.into()),
        None => None,
    };
    let change = TemplateChange { name: body.name, message };
    ok(ctx.services.templates.update(ctx.caller.tenant_id, id, change).await?.into())
}

/// Removes a template; campaigns that were made of it stay as they are.
#[utoipa::path(delete, path = "/templates/{id}", tag = "templates", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The template.")),
    responses((status = 200, body = Envelope<RemovedView>), Failures, Guarded, OfOne))]
pub(super) async fn delete_template(ctx: CallContext, Path(id): Path<TemplateId>) -> ApiResult<RemovedView> {
    ctx.services.templates.remove(ctx.caller.tenant_id, id).await?;
    ok(RemovedView { id: id.0 })
}

/// Shows a template as one recipient would get it, and which variables are missing.
#[utoipa::path(post, path = "/templates/{id}/preview", tag = "templates", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The template.")), request_body = Option<PreviewBody>,
    responses((status = 200, body = Envelope<PreviewView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn preview_template(
    ctx: CallContext,
    Path(id): Path<TemplateId>,
    MaybeJson(body): MaybeJson<PreviewBody>,
) -> ApiResult<PreviewView> {
    let with = (body.variables.unwrap_or_default(), body.phone.as_deref());
    ok(ctx.services.templates.preview(ctx.caller.tenant_id, id, with).await?.into())
}

impl FromFields for CreateTemplateBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name");
        let message = fields.required("message");
        Some(Self { name: name?, message: message? })
    }
}

impl FromFields for UpdateTemplateBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name");
        let message = fields.optional("message");
        Some(Self { name: name?, message: message? })
    }
}

impl FromFields for PreviewBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let variables = fields.optional("variables");
        let phone = fields.optional("phone");
        Some(Self { variables: variables?, phone: phone? })
    }
}

impl From<TemplateRecord> for TemplateView {
    fn from(template: TemplateRecord) -> Self {
        let compiled = MessageTemplate::compile(&template.message).ok();
        let names = compiled.iter().flat_map(MessageTemplate::variables);
        Self {
            id: template.id,
            variables: names.map(str::to_owned).collect(),
            name: template.name,
            message: template.message.into(),
            created_at: Timestamp(template.created_at_ms),
            updated_at: Timestamp(template.changed_at_ms),
        }
    }
}

impl From<Preview> for PreviewView {
    fn from(preview: Preview) -> Self {
        Self { message: preview.message.into(), missing: preview.missing }
    }
}
