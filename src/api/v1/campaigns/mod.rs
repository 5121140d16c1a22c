//! Campaigns: put together, given recipients, started and stopped, counted, exported.

use axum::extract::DefaultBodyLimit;
use axum::routing::put;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::api::external::with_key;
use crate::api::idempotency::once;
use crate::api::{ApiSettings, Shared};
use crate::domain::api_key::Scope;
use crate::limits::BODY_BYTES_MAX;

pub mod crud;

pub mod recipients;

pub mod upload;

pub mod change;

pub mod control;

pub mod recall;

pub mod safeguards;

pub mod report;

pub mod held;

pub mod forecast;

pub mod export;

pub mod events;

pub mod progress;

pub mod message;

pub mod interactive;

pub mod views;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(crud::list_campaigns))
        .routes(once(routes!(crud::create_campaign)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
        .routes(routes!(crud::get_campaign))
        .routes(routes!(change::update_campaign).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
        .route("/campaigns/{id}", put(change::update_campaign).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
        .routes(routes!(change::delete_campaign))
        .routes(routes!(change::schedule_campaign))
        .routes(once(routes!(change::duplicate_campaign)))
        .routes(routes!(change::remove_recipient))
        .routes(routes!(recipients::list_recipients))
        .routes(routes!(control::start_campaign))
        .routes(routes!(control::pause_campaign))
        .routes(routes!(control::resume_campaign))
        .routes(routes!(control::cancel_campaign))
        .routes(routes!(recall::retry_failed))
        .routes(routes!(recall::resolve_unknown))
        .routes(routes!(report::get_campaign_stats))
        .routes(routes!(held::get_held_by))
        .routes(routes!(forecast::forecast_campaign))
}

/// Returns the operations for programs.
pub(super) fn external() -> OpenApiRouter<Shared> {
    let create = once(routes!(crud::create_campaign)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    OpenApiRouter::default()
        .routes(with_key(Scope::CampaignsRead, routes!(crud::list_campaigns)))
        .routes(with_key(Scope::CampaignsWrite, create))
        .routes(with_key(Scope::CampaignsRead, routes!(crud::get_campaign)))
        .routes(with_key(Scope::CampaignsWrite, routes!(control::start_campaign)))
        .routes(with_key(Scope::CampaignsWrite, routes!(control::pause_campaign)))
        .routes(with_key(Scope::CampaignsWrite, routes!(control::resume_campaign)))
        .routes(with_key(Scope::CampaignsWrite, routes!(control::cancel_campaign)))
}

/// Returns the operations whose bodies flow for as long as they need.
pub(super) fn streams(settings: &ApiSettings) -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(recipients::add_recipients).layer(DefaultBodyLimit::max(settings.upload_bytes_max)))
        .routes(routes!(export::export_campaign))
        .routes(routes!(events::stream_campaign_events))
}
