//! Single messages: sent, and what became of them. Messages of campaigns are shown alike.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::external::with_key;
use crate::api::idempotency::once;
use crate::domain::api_key::Scope;

pub mod send;

pub mod query;

pub mod views;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(once(routes!(send::send_text)))
        .routes(routes!(query::get_message))
        .routes(routes!(query::get_message_timeline))
}

/// Returns the operations for programs.
pub(super) fn external() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(with_key(Scope::MessagesSend, once(routes!(send::send_text))))
        .routes(with_key(Scope::MessagesRead, routes!(query::get_message)))
}
