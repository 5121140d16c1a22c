//! Members of the team: listed, given roles, removed, made the owner.

use axum::extract::State;
use secrecy::SecretString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, RemovedView, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::api::throttle::Visitor;
use crate::api::timestamp::Timestamp;
use crate::api::{CallContext, Shared};
use crate::domain::id::UserId;
use crate::store::team::MemberRecord;

/// Somebody who works for the tenant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// The person.
    #[schema(value_type = uuid::Uuid)]
    id: UserId,
    /// What the person is called.
    #[schema(example = "Ana Rao")]
    name: String,
    /// Address to log in with.
    #[schema(example = "ana@example.com")]
    email: String,
    /// Whether it was proved that mail to that address arrives.
    email_verified: bool,
    /// `owner`, `admin`, `agent` or `viewer`.
    #[schema(example = "agent")]
    role: &'static str,
    /// Since when the person is a member.
    created_at: Timestamp,
}

/// What is to change.
#[derive(Debug, ToSchema)]
pub struct UpdateMemberBody {
    /// `owner`, `admin`, `agent` or `viewer`; not above your own.
    #[schema(example = "admin")]
    role: String,
}

/// A proof that it is really you.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct MakeOwnerBody {
    /// Your password of now.
    #[schema(example = "correct horse battery", format = Password)]
    current_password: String,
}

/// Lists the members of the team, who joined first first.
#[utoipa::path(get, path = "/team", tag = "team", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<MemberView>), Failures, Guarded))]
pub(super) async fn list_members(ctx: CallContext, page: Page) -> ListResult<MemberView> {
    paged(page, ctx.store.team().list(ctx.caller.tenant_id, page.0).await?)
}

/// Gives a member another role.
///
/// It holds within two seconds. Nobody gives a role above their own, or changes somebody whose role is above their own; the
/// last owner stays one. Invitations by somebody who gets a lesser role are taken back. `PUT` does the same.
#[utoipa::path(patch, path = "/team/{userId}", tag = "team", security(("bearer" = [])),
    params(("userId" = uuid::Uuid, Path, description = "The member.")), request_body = UpdateMemberBody,
    responses((status = 200, body = Envelope<MemberView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn update_member(
    ctx: CallContext,
    Path(id): Path<UserId>,
    Json(body): Json<UpdateMemberBody>,
) -> ApiResult<MemberView> {
    ok(ctx.services.team.change_role(ctx.caller, id, &body.role, &ctx.actor()).await?.into())
}

/// Removes a member, with the account.
///
/// Refresh tokens are refused at once; access tokens at once by the node that is asked, and within 2 seconds by the others.
/// What the person made stays, API keys too. The last owner can not be removed.
#[utoipa::path(delete, path = "/team/{userId}", tag = "team", security(("bearer" = [])),
    params(("userId" = uuid::Uuid, Path, description = "The member.")),
    responses((status = 200, body = Envelope<RemovedView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn remove_member(ctx: CallContext, Path(id): Path<UserId>) -> ApiResult<RemovedView> {
    ctx.services.team.remove(ctx.caller, id, &ctx.actor()).await?;
    ok(RemovedView { id: id.0 })
}

/// Hands the tenant over: the member becomes the owner, and you become an admin.
///
/// Takes your password, tried no more often than a log-in.
#[utoipa::path(post, path = "/team/{userId}/make-owner", tag = "team", security(("bearer" = [])),
    params(("userId" = uuid::Uuid, Path, description = "The member.")), request_body = MakeOwnerBody,
    responses((status = 200, body = Envelope<MemberView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn make_owner(
    ctx: CallContext,
    State(front): State<Shared>,
    visitor: Visitor,
    Path(id): Path<UserId>,
    Json(body): Json<MakeOwnerBody>,
) -> ApiResult<MemberView> {
    let account = ctx.caller.user_id.to_string();
    front.throttle.admit_login(&account, visitor)?;
    let current = SecretString::from(body.current_password);
    let member = ctx.services.team.make_owner(ctx.caller, id, &current, &ctx.actor()).await?;
    front.throttle.logged_in(&account, visitor);
    ok(member.into())
}

impl FromFields for UpdateMemberBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { role: fields.required("role")? })
    }
}

impl FromFields for MakeOwnerBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { current_password: fields.required("currentPassword")? })
    }
}

impl From<MemberRecord> for MemberView {
    fn from(member: MemberRecord) -> Self {
        Self {
            id: member.id,
            name: member.name,
            email: member.email,
            email_verified: member.is_email_verified,
            role: member.role.as_str(),
            created_at: Timestamp(member.created_at_ms),
        }
    }
}
