//! Single messages: sent, put off, taken back, and what became of them. Messages of campaigns are shown alike.

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::api::external::with_key;
use crate::api::idempotency::{once, once_read_by_handler};
use crate::api::{ApiSettings, Shared};
use crate::domain::api_key::Scope;
use crate::limits::FORM_FIELDS_BYTES_MAX;

pub mod send;

pub mod bulk;

pub mod schedule;

pub mod control;

pub mod list;

pub mod media;

pub mod template;

pub mod query;

pub mod views;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(once(routes!(send::send_message)))
        .routes(once(routes!(send::send_text)))
        .routes(once(routes!(template::send_template)))
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

/// Returns the operations for programs.
pub(super) fn external() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(with_key(Scope::MessagesSend, once(routes!(send::send_message))))
        .routes(with_key(Scope::MessagesSend, once(routes!(send::send_text))))
        .routes(with_key(Scope::MessagesSend, once(routes!(send::send_location))))
        .routes(with_key(Scope::MessagesSend, once(routes!(bulk::send_bulk))))
        .routes(with_key(Scope::MessagesRead, routes!(list::list_messages)))
        .routes(with_key(Scope::MessagesSend, once(routes!(template::send_template))))
        .routes(with_key(Scope::MessagesRead, routes!(query::get_message)))
}

/// Returns the operations whose bodies flow for as long as they need.
pub(super) fn streams(settings: &ApiSettings) -> OpenApiRouter<Shared> {
    let limit = DefaultBodyLimit::max(settings.media_bytes_max + FORM_FIELDS_BYTES_MAX);
    OpenApiRouter::default()
        .routes(once_read_by_handler(routes!(media::send_image)).layer(limit))
        .routes(once_read_by_handler(routes!(media::send_video)).layer(limit))
        .routes(once_read_by_handler(routes!(media::send_audio)).layer(limit))
        .routes(once_read_by_handler(routes!(media::send_document)).layer(limit))
        .routes(routes!(list::export_messages))
}

/// Returns those of them for programs.
pub(super) fn external_streams(settings: &ApiSettings) -> OpenApiRouter<Shared> {
    let limit = DefaultBodyLimit::max(settings.media_bytes_max + FORM_FIELDS_BYTES_MAX);
    let with_key = |routes| with_key(Scope::MessagesSend, once_read_by_handler(routes)).layer(limit);
    OpenApiRouter::default()
        .routes(with_key(routes!(media::send_image)))
        .routes(with_key(routes!(media::send_video)))
        .routes(with_key(routes!(media::send_audio)))
        .routes(with_key(routes!(media::send_document)))
}
