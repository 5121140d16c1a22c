//! Single messages: sent, put off, taken back, and what became of them. Messages of campaigns are shown alike.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::external::with_key;
use crate::api::idempotency::once;
use crate::domain::api_key::Scope;

pub mod send;

pub mod bulk;

pub mod schedule;

pub mod control;

pub mod list;

pub mod query;

pub mod views;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(once(routes!(send::send_text)))
        .routes(once(routes!(send::send_location)))
        .routes(once(routes!(send::send_contact)))
        .routes(once(routes!(bulk::send_bulk)))
        .routes(once(routes!(schedule::schedule_message)))
        .routes(routes!(schedule::list_scheduled_messages))
        .routes(routes!(schedule::cancel_scheduled_message))
        .routes(routes!(list::list_messages))
        .routes(routes!(query::get_message, control::cancel_message))
        .routes(routes!(query::get_message_timeline))
        .routes(routes!(control::retry_message))
}

/// Returns the operations whose bodies flow for as long as they need.
pub(super) fn streams() -> OpenApiRouter<Shared> {
    OpenApiRouter::default().routes(routes!(list::export_messages))
}

/// Returns the operations for programs.
pub(super) fn external() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(with_key(Scope::MessagesSend, once(routes!(send::send_text))))
        .routes(with_key(Scope::MessagesSend, once(routes!(send::send_location))))
        .routes(with_key(Scope::MessagesSend, once(routes!(bulk::send_bulk))))
        .routes(with_key(Scope::MessagesRead, routes!(list::list_messages)))
        .routes(with_key(Scope::MessagesRead, routes!(query::get_message)))
}
