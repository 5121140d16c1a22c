//! Who is calling, and what people change about their own account.

use axum::extract::State;
use secrecy::SecretString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfState};
use crate::api::extract::{Fields, FromFields, Json};
use crate::api::throttle::Visitor;
use crate::api::{CallContext, Shared};
use crate::domain::id::{TenantId, UserId};
use crate::error::Error;
use crate::store::users::{ProfileChange, UserRecord};

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

/// Whoever is calling.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileView {
    #[serde(flatten)]
    user: UserView,
    /// Whether it was proved that mail to that address arrives.
    #[schema(example = true)]
    email_verified: bool,
}

/// What is to change; what is missing stays.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct UpdateProfileBody {
    /// What the person is called.
    #[schema(example = "Ana Maria Rao")]
    name: Option<String>,
    /// Address to log in with.
    #[schema(example = "ana.rao@example.com", format = Email)]
    email: Option<String>,
    /// The password of now; asked for another address.
    #[schema(example = "correct horse battery", format = Password)]
    current_password: Option<String>,
}

/// Another password.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ChangePasswordBody {
    /// The password of now.
    #[schema(example = "correct horse battery", format = Password)]
    current_password: String,
    /// The one from now on; 8 to 128 characters.
    #[schema(example = "staple battery horse", format = Password)]
    new_password: String,
}

/// That the password is another one now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordChangedView {
    /// Always `true`.
    #[schema(example = true)]
    pub(super) password_changed: bool,
}

/// Tells who is calling.
#[utoipa::path(get, path = "/auth/me", tag = "auth", security(("bearer" = [])),
    responses((status = 200, body = Envelope<ProfileView>), Failures, Guarded))]
pub(super) async fn get_me(ctx: CallContext) -> ApiResult<ProfileView> {
    let user = ctx.store.users().find(ctx.caller.tenant_id, ctx.caller.user_id).await?;
    ok(user.ok_or(Error::Unauthorized)?.into())
}

/// Changes name and address of whoever is calling.
///
/// Another address takes the password of now, tried no more often than a log-in. It is not verified: a mail that says how to do that follows, and what was sent to the one before is no longer
/// good. `PUT` does the same.
#[utoipa::path(patch, path = "/auth/me", tag = "auth", security(("bearer" = [])), request_body = UpdateProfileBody,
    responses((status = 200, body = Envelope<ProfileView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn update_me(
    ctx: CallContext,
    State(front): State<Shared>,
    visitor: Visitor,
    Json(body): Json<UpdateProfileBody>,
) -> ApiResult<ProfileView> {
    if let Some(email) = &body.email {
        // It may send a mail, and tells whether an address is taken.
        front.throttle.admit_mail(&ctx.caller.user_id.to_string(), visitor)?;
        front.throttle.admit_mail(email, visitor)?;
    }
    let current = body.current_password.map(SecretString::from);
    let account = ctx.caller.user_id.to_string();
    if current.is_some() {
        front.throttle.admit_login(&account, visitor)?;
    }
    let change = ProfileChange { name: body.name, email: body.email };
    let user = ctx.services.auth.change_profile(ctx.caller, change, current.as_ref(), &ctx.actor()).await?;
    ok(user.into())
}

/// Changes the password of whoever is calling.
///
/// All other log-ins of this person end, and mails that would set a password are no longer good. Tries are spaced as those
/// to log in are.
#[utoipa::path(post, path = "/auth/change-password", tag = "auth", security(("bearer" = [])),
    request_body = ChangePasswordBody,
    responses((status = 200, body = Envelope<PasswordChangedView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn change_password(
    ctx: CallContext,
    State(front): State<Shared>,
    visitor: Visitor,
    Json(body): Json<ChangePasswordBody>,
) -> ApiResult<PasswordChangedView> {
    let account = ctx.caller.user_id.to_string();
    front.throttle.admit_login(&account, visitor)?;
    let (current, new) = (body.current_password.into(), body.new_password.into());
    ctx.services.auth.change_password(ctx.caller, (&current, &new), &ctx.actor()).await?;
    front.throttle.logged_in(&account, visitor);
    ok(PasswordChangedView { password_changed: true })
}

impl FromFields for UpdateProfileBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name");
        let email = fields.optional("email");
        let current_password = fields.optional("currentPassword");
        Some(Self { name: name?, email: email?, current_password: current_password? })
    }
}

impl FromFields for ChangePasswordBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let current_password = fields.required("currentPassword");
        let new_password = fields.required("newPassword");
        Some(Self { current_password: current_password?, new_password: new_password? })
    }
}

impl From<UserRecord> for ProfileView {
    fn from(user: UserRecord) -> Self {
        Self { email_verified: user.email_verified_at_ms.is_some(), user: user.into() }
    }
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
