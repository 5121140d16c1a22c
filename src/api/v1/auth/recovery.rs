//! Ways back in by mail: a new password, and proofs that mail arrives.
//!
//! What is answered, and when, does not tell whether an address has an account.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::profile::PasswordChangedView;
use crate::api::audit::CallNote;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody};
use crate::api::extract::{Fields, FromFields, Json};
use crate::api::throttle::Visitor;
use crate::api::{CallContext, Shared};

/// Whose password is forgotten.
#[derive(ToSchema)]
pub struct ForgotPasswordBody {
    /// Address to log in with.
    #[schema(example = "ana@example.com", format = Email)]
    email: String,
}

/// A new password, and the right to set it.
#[derive(ToSchema)]
pub struct ResetPasswordBody {
    /// From the mail; good once, for an hour.
    #[schema(example = "5f0c…")]
    token: String,
    /// The password from now on; 8 to 128 characters.
    #[schema(example = "staple battery horse", format = Password)]
    password: String,
}

/// A proof that mail arrives.
#[derive(ToSchema)]
pub struct VerifyEmailBody {
    /// From the mail; good once, for three days.
    #[schema(example = "5f0c…")]
    token: String,
}

/// That something was taken on.
#[derive(Debug, Serialize, ToSchema)]
pub struct AcceptedView {
    /// Always `true`.
    #[schema(example = true)]
    accepted: bool,
}

/// Whether mail to an address is known to arrive.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedView {
    /// Whether that was proved.
    #[schema(example = true)]
    email_verified: bool,
}

/// Sends a mail by which a new password can be set, if the address has an account.
///
/// The answer is the same either way. The mail goes out in a moment, and later if the mail server is away. Mails to one
/// address are spaced; 429 says in `Retry-After` when the next one may be asked for.
#[utoipa::path(post, path = "/auth/forgot-password", tag = "auth", request_body = ForgotPasswordBody,
    responses((status = 200, body = Envelope<AcceptedView>), Failures, OfBody))]
pub(super) async fn forgot_password(
    State(front): State<Shared>,
    visitor: Visitor,
    Json(body): Json<ForgotPasswordBody>,
) -> ApiResult<AcceptedView> {
    front.throttle.admit_mail(&body.email, visitor)?;
    front.services.auth.forgot_password(&body.email).await?;
    ok(AcceptedView { accepted: true })
}

/// Sets a new password with the token of a mail.
///
/// All log-ins of the person end; log in with the new password.
#[utoipa::path(post, path = "/auth/reset-password", tag = "auth", request_body = ResetPasswordBody,
    responses((status = 200, body = Envelope<PasswordChangedView>), Failures, OfBody))]
pub(super) async fn reset_password(
    State(front): State<Shared>,
    visitor: Visitor,
    Json(body): Json<ResetPasswordBody>,
) -> ApiResult<PasswordChangedView> {
    front.throttle.admit(visitor)?;
    front.services.auth.reset_password(&body.token.into(), &body.password.into()).await?;
    ok(PasswordChangedView { password_changed: true })
}

/// Proves with the token of a mail that mail arrives.
#[utoipa::path(post, path = "/auth/verify-email", tag = "auth", request_body = VerifyEmailBody,
    responses((status = 200, body = Envelope<VerifiedView>), Failures, OfBody))]
pub(super) async fn verify_email(
    State(front): State<Shared>,
    visitor: Visitor,
    note: CallNote,
    Json(body): Json<VerifyEmailBody>,
) -> ApiResult<VerifiedView> {
    front.throttle.admit(visitor)?;
    let (tenant_id, user_id) = front.services.auth.verify_email(&body.token.into()).await?;
    note.by_user(tenant_id, user_id);
    ok(VerifiedView { email_verified: true })
}

/// Sends another mail to verify the address of whoever is calling.
///
/// None is sent when that was done before; then `emailVerified` is `true`.
#[utoipa::path(post, path = "/auth/resend-verification", tag = "auth", security(("bearer" = [])),
    responses((status = 200, body = Envelope<VerifiedView>), Failures, Guarded))]
pub(super) async fn resend_verification(
    ctx: CallContext,
    State(front): State<Shared>,
    visitor: Visitor,
) -> ApiResult<VerifiedView> {
    front.throttle.admit_mail(&ctx.caller.user_id.to_string(), visitor)?;
    ok(VerifiedView { email_verified: ctx.services.auth.resend_verification(ctx.caller).await? })
}

impl FromFields for ForgotPasswordBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { email: fields.required("email")? })
    }
}

impl FromFields for ResetPasswordBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let token = fields.required("token");
        let password = fields.required("password");
        Some(Self { token: token?, password: password? })
    }
}

impl FromFields for VerifyEmailBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { token: fields.required("token")? })
    }
}
