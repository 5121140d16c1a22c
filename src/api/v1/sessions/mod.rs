//! Sessions under `/whatsapp`: made, listed, paced, connected, paired, asked.

use axum::routing::put;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::external::{renamed, with_key};
use crate::api::idempotency::once;
use crate::domain::api_key::Scope;

pub mod crud;

pub mod connection;

pub mod pairing;

mod qr_image;

pub mod asking;

pub mod lane;

pub mod settings;

pub mod views;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(once(routes!(crud::list_sessions, crud::create_session)))
        .routes(routes!(crud::get_session, crud::update_session))
        .routes(routes!(crud::delete_session))
        .route("/whatsapp/{id}", put(crud::update_session))
        .routes(routes!(settings::get_session_settings, settings::update_session_settings))
        .route("/whatsapp/{id}/settings", put(settings::update_session_settings))
        .routes(routes!(connection::connect_session))
        .routes(routes!(connection::disconnect_session))
        .routes(routes!(connection::logout_session))
        .routes(routes!(connection::restart_session))
        .routes(routes!(connection::get_session_status))
        .routes(routes!(pairing::get_session_qr))
        .routes(routes!(pairing::make_pairing_code))
        .routes(routes!(asking::check_number))
        .routes(routes!(asking::mark_read))
        .routes(routes!(asking::list_session_groups))
        .routes(routes!(asking::get_session_stats))
        .routes(routes!(lane::get_lane))
        .routes(routes!(connection::list_session_events))
}

/// Returns the operations for programs, to which sessions are `/sessions`.
pub(super) fn external() -> OpenApiRouter<Shared> {
    let at = ("/whatsapp", "/sessions");
    OpenApiRouter::default()
        .routes(with_key(Scope::SessionsRead, renamed(at, routes!(crud::list_sessions))))
        .routes(with_key(Scope::SessionsRead, renamed(at, routes!(connection::get_session_status))))
        .routes(with_key(Scope::SessionsRead, routes!(asking::check_number_through)))
}
