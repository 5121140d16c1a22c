//! Groups of contacts: listed, made, shown, renamed, removed.

use utoipa::ToSchema;

use super::views::GroupView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, RemovedView, created, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::domain::id::GroupId;
use crate::error::Error;

/// A group to make.
#[derive(Debug, ToSchema)]
pub struct CreateGroupBody {
    /// What people call it; 1 to 100 characters, each name once.
    #[schema(example = "Regulars")]
    name: String,
}

/// What is to change; what is missing stays.
#[derive(Debug, ToSchema)]
pub struct UpdateGroupBody {
    /// What people call it; 1 to 100 characters, each name once.
    #[schema(example = "Regulars")]
    name: Option<String>,
}

/// Lists the groups, newest first.
#[utoipa::path(get, path = "/contacts/groups", tag = "contact groups", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<GroupView>), Failures, Guarded))]
pub(super) async fn list_groups(ctx: CallContext, page: Page) -> ListResult<GroupView> {
    paged(page, ctx.store.contact_groups().list(ctx.caller.tenant_id, page.0).await?)
}

/// Makes a group without contacts.
#[utoipa::path(post, path = "/contacts/groups", tag = "contact groups", security(("bearer" = [])),
    request_body = CreateGroupBody,
    responses((status = 201, body = Envelope<GroupView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn create_group(ctx: CallContext, Json(body): Json<CreateGroupBody>) -> ApiResult<GroupView> {
    created(ctx.services.contact_groups.create(ctx.caller.tenant_id, &body.name).await?.into())
}

/// Shows a group.
#[utoipa::path(get, path = "/contacts/groups/{id}", tag = "contact groups", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The group.")),
    responses((status = 200, body = Envelope<GroupView>), Failures, Guarded, OfOne))]
pub(super) async fn get_group(ctx: CallContext, Path(id): Path<GroupId>) -> ApiResult<GroupView> {
    ok(ctx.store.contact_groups().find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("group"))?.into())
}

/// Renames a group.
#[utoipa::path(patch, path = "/contacts/groups/{id}", tag = "contact groups", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The group.")), request_body = UpdateGroupBody,
    responses((status = 200, body = Envelope<GroupView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn update_group(
    ctx: CallContext,
    Path(id): Path<GroupId>,
    Json(body): Json<UpdateGroupBody>,
) -> ApiResult<GroupView> {
    ok(ctx.services.contact_groups.rename(ctx.caller.tenant_id, id, body.name).await?.into())
}

/// Removes a group; its contacts stay.
#[utoipa::path(delete, path = "/contacts/groups/{id}", tag = "contact groups", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The group.")),
    responses((status = 200, body = Envelope<RemovedView>), Failures, Guarded, OfOne))]
pub(super) async fn delete_group(ctx: CallContext, Path(id): Path<GroupId>) -> ApiResult<RemovedView> {
    ctx.services.contact_groups.remove(ctx.caller.tenant_id, id).await?;
    ok(RemovedView { id: id.0 })
}

impl FromFields for CreateGroupBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { name: fields.required("name")? })
    }
}

impl FromFields for UpdateGroupBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { name: fields.optional("name")? })
    }
}
