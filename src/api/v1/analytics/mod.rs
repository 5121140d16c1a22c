//! What happened, day by day: messages, campaigns, requests and usage.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;

pub mod campaigns;

pub mod messages;

pub mod overview;

pub mod query;

pub mod requests;

pub mod usage;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(overview::get_overview))
        .routes(routes!(messages::get_message_report))
        .routes(routes!(campaigns::list_campaign_outcomes))
        .routes(routes!(requests::get_api_usage))
        .routes(routes!(usage::get_usage_history))
}
