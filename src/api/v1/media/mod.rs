//! Files that are sent along: taken in, listed, shown, given out, removed.

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::api::idempotency::once_read_by_handler;
use crate::api::{ApiSettings, Shared};
use crate::limits::FORM_FIELDS_BYTES_MAX;

pub mod crud;

pub mod form;

pub mod views;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default().routes(routes!(crud::list_media)).routes(routes!(crud::get_media, crud::delete_media))
}

/// Returns the operations whose bodies flow for as long as they need.
pub(super) fn streams(settings: &ApiSettings) -> OpenApiRouter<Shared> {
    let limit = DefaultBodyLimit::max(settings.media_bytes_max + FORM_FIELDS_BYTES_MAX);
    OpenApiRouter::default()
        .routes(once_read_by_handler(routes!(crud::upload_media)).layer(limit))
        .routes(routes!(crud::get_media_content))
}
