//! The ends of log-ins: of one by its refresh token, and of all.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::tokens::RefreshBody;
use crate::api::audit::CallNote;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody};
use crate::api::extract::Json;
use crate::api::throttle::Visitor;
use crate::api::{CallContext, Shared};

/// That a log-in is over.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedOutView {
    /// Always `true`.
    #[schema(example = true)]
    logged_out: bool,
}

/// Ends the log-in that a refresh token came from.
///
/// The token need not be the last one of it. Where the log-in is over already, or the token is none, nothing is done. Access
/// tokens of it are refused at once by the node that is asked, and within 2 seconds by the others.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", request_body = RefreshBody,
    responses((status = 200, body = Envelope<LoggedOutView>), Failures, OfBody))]
pub(super) async fn logout(
    State(front): State<Shared>,
    visitor: Visitor,
    note: CallNote,
    Json(body): Json<RefreshBody>,
) -> ApiResult<LoggedOutView> {
    front.throttle.admit(visitor)?;
    if let Some(owner) = front.services.auth.log_out(&body.token()).await? {
        note.by_user(owner.tenant_id, owner.user_id);
    }
    ok(LoggedOutView { logged_out: true })
}

/// Ends all log-ins of whoever is calling, this one too.
///
/// Refresh tokens are refused at once; access tokens at once by the node that is asked, and within 2 seconds by the others.
#[utoipa::path(post, path = "/auth/logout-all", tag = "auth", security(("bearer" = [])),
    responses((status = 200, body = Envelope<LoggedOutView>), Failures, Guarded))]
pub(super) async fn logout_all(ctx: CallContext) -> ApiResult<LoggedOutView> {
    ctx.services.auth.log_out_everywhere(ctx.caller, &ctx.actor()).await?;
    ok(LoggedOutView { logged_out: true })
}
