//! Sessions under `/whatsapp`: made, listed, paced, connected.

use axum::routing::put;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;

pub mod crud;

pub mod connection;

pub mod lane;

pub mod settings;

pub mod views;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(crud::list_sessions, crud::create_session))
        .routes(routes!(crud::get_session, crud::update_session))
        .route("/whatsapp/{id}", put(crud::update_session))
        .routes(routes!(settings::get_session_settings, settings::update_session_settings))
        .route("/whatsapp/{id}/settings", put(settings::update_session_settings))
        .routes(routes!(connection::connect_session))
        .routes(routes!(connection::disconnect_session))
        .routes(routes!(connection::logout_session))
        .routes(routes!(connection::restart_session))
        .routes(routes!(connection::get_session_status))
        .routes(routes!(lane::get_lane))
        .routes(routes!(connection::list_session_events))
}
