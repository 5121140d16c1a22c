//! Single messages: sent, and what became of them. Messages of campaigns are shown alike.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;

pub mod send;

pub mod query;

pub mod views;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(send::send_text))
        .routes(routes!(query::get_message))
        .routes(routes!(query::get_message_timeline))
}
