//! The contacts of a group: listed, put in, taken out.

use serde::Deserialize;
use utoipa::ToSchema;

use super::views::{AddedContactsView, ContactView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, RemovedView, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::domain::id::{ContactId, GroupId};
use crate::error::Error;

/// Contacts to put into a group, all of them or none.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct GroupContactsBody {
    /// 1 to 1,000.
    #[schema(value_type = Vec<uuid::Uuid>)]
    contact_ids: Vec<ContactId>,
}

/// A group, and a contact in it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Member {
    id: GroupId,
    contact_id: ContactId,
}

/// Lists the contacts of a group, newest first.
#[utoipa::path(get, path = "/contacts/groups/{id}/contacts", tag = "contact groups", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The group."), PageQuery),
    responses((status = 200, body = Paged<ContactView>), Failures, Guarded, OfOne))]
pub(super) async fn list_group_contacts(
    ctx: CallContext,
    Path(id): Path<GroupId>,
    page: Page,
) -> ListResult<ContactView> {
    let groups = ctx.store.contact_groups();
    let group = groups.find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("group"))?;
    paged(page, groups.contacts(&group, page.0).await?)
}

/// Puts contacts into a group.
#[utoipa::path(post, path = "/contacts/groups/{id}/contacts", tag = "contact groups", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The group.")), request_body = GroupContactsBody,
    responses((status = 200, body = Envelope<AddedContactsView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn add_group_contacts(
    ctx: CallContext,
    Path(id): Path<GroupId>,
    Json(body): Json<GroupContactsBody>,
) -> ApiResult<AddedContactsView> {
    ok(ctx.services.contact_groups.add(ctx.caller.tenant_id, id, &body.contact_ids).await?.into())
}

/// Takes a contact out of a group; the contact stays.
#[utoipa::path(delete, path = "/contacts/groups/{id}/contacts/{contactId}", tag = "contact groups",
    security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The group."),
        ("contactId" = uuid::Uuid, Path, description = "The contact.")),
    responses((status = 200, body = Envelope<RemovedView>), Failures, Guarded, OfOne))]
pub(super) async fn remove_group_contact(ctx: CallContext, Path(member): Path<Member>) -> ApiResult<RemovedView> {
    ctx.services.contact_groups.take_out(ctx.caller.tenant_id, member.id, member.contact_id).await?;
    ok(RemovedView { id: member.contact_id.0 })
}

impl FromFields for GroupContactsBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { contact_ids: fields.required("contactIds")? })
    }
}
