//! Invitations to the team: sent by mail, taken back, accepted.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, RemovedView, created, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::api::throttle::Visitor;
use crate::api::timestamp::Timestamp;
use crate::api::v1::auth::tokens::TokensView;
use crate::api::{CallContext, Shared};
use crate::domain::id::{InvitationId, UserId};
use crate::store::invitations::InvitationRecord;

/// Somebody who may join the team.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitationView {
    /// The invitation.
    #[schema(value_type = uuid::Uuid)]
    id: InvitationId,
    /// To which address it went.
    #[schema(example = "bob@example.com")]
    email: String,
    /// What the person is to be: `owner`, `admin`, `agent` or `viewer`.
    #[schema(example = "agent")]
    role: &'static str,
    /// Who invites.
    #[schema(value_type = uuid::Uuid)]
    invited_by: UserId,
    /// Since when.
    created_at: Timestamp,
    /// Until when it can be accepted.
    expires_at: Timestamp,
}

/// Whom to invite.
#[derive(Debug, ToSchema)]
pub struct InviteBody {
    /// To which address the mail goes.
    #[schema(example = "bob@example.com", format = Email)]
    email: String,
    /// `owner`, `admin`, `agent` or `viewer`; not above your own.
    #[schema(example = "agent")]
    role: String,
}

/// Somebody who joins.
#[derive(ToSchema)]
pub struct AcceptInvitationBody {
    /// From the mail; good once, for seven days from the invitation.
    #[schema(example = "5f0c…")]
    token: String,
    /// What you are called.
    #[schema(example = "Bob Iyer")]
    name: String,
    /// 8 to 128 characters.
    #[schema(example = "staple battery horse", format = Password)]
    password: String,
}

/// Invites somebody by mail.
///
/// Good for seven days. An open invitation of the same address is replaced. Who has an account already, here or elsewhere, can
/// not be invited: an address has one account. Mails to one address are spaced; 429 says in `Retry-After` when the next
/// one may be asked for.
#[utoipa::path(post, path = "/team/invite", tag = "team", security(("bearer" = [])), request_body = InviteBody,
    responses((status = 201, body = Envelope<InvitationView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn invite_member(
    ctx: CallContext,
    State(front): State<Shared>,
    visitor: Visitor,
    Json(body): Json<InviteBody>,
) -> ApiResult<InvitationView> {
    // It sends a mail, and tells whether an address is taken.
    front.throttle.admit_mail(&body.email, visitor)?;
    created(ctx.services.team.invite(ctx.caller, &body.email, &body.role, &ctx.actor()).await?.into())
}

/// Lists open invitations, newest first; those that have expired stay for 30 days.
#[utoipa::path(get, path = "/team/invitations", tag = "team", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<InvitationView>), Failures, Guarded))]
pub(super) async fn list_invitations(ctx: CallContext, page: Page) -> ListResult<InvitationView> {
    paged(page, ctx.store.invitations().list(ctx.caller.tenant_id, page.0).await?)
}

/// Takes an open invitation back.
#[utoipa::path(delete, path = "/team/invitations/{id}", tag = "team", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The invitation.")),
    responses((status = 200, body = Envelope<RemovedView>), Failures, Guarded, OfOne))]
pub(super) async fn withdraw_invitation(ctx: CallContext, Path(id): Path<InvitationId>) -> ApiResult<RemovedView> {
    ctx.services.team.withdraw(ctx.caller.tenant_id, id, &ctx.actor()).await?;
    ok(RemovedView { id: id.0 })
}

/// Joins a team with the token of a mail, and logs in.
///
/// 409 says so when the invitation was used, taken back or replaced, when it has expired, and when the address has an account
/// meanwhile.
#[utoipa::path(post, path = "/team/accept-invite", tag = "team", request_body = AcceptInvitationBody,
    responses((status = 200, body = Envelope<TokensView>), Failures, OfBody, OfState))]
pub(super) async fn accept_invitation(
    State(front): State<Shared>,
    visitor: Visitor,
    Json(body): Json<AcceptInvitationBody>,
) -> ApiResult<TokensView> {
    front.throttle.admit(visitor)?;
    let (token, password) = (body.token.into(), body.password.into());
    ok(front.services.auth.accept_invitation(&token, &body.name, &password).await?.into())
}

impl FromFields for InviteBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let email = fields.required("email");
        let role = fields.required("role");
        Some(Self { email: email?, role: role? })
    }
}

impl FromFields for AcceptInvitationBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let token = fields.required("token");
        let name = fields.required("name");
        let password = fields.required("password");
        Some(Self { token: token?, name: name?, password: password? })
    }
}

impl From<InvitationRecord> for InvitationView {
    fn from(invitation: InvitationRecord) -> Self {
        Self {
            id: invitation.id,
            email: invitation.email,
            role: invitation.role.as_str(),
            invited_by: invitation.invited_by,
            created_at: Timestamp(invitation.created_at_ms),
            expires_at: Timestamp(invitation.expires_at_ms),
        }
    }
}
