//! Webhooks: the addresses at which a tenant is told what happens, and what was told there.

use axum::routing::put;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::idempotency::once_without;

pub mod crud;

pub mod history;

pub mod secret;

pub mod views;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(crud::list_webhook_events))
        .routes(once_without("secret", routes!(crud::list_webhooks, crud::create_webhook)))
        .routes(routes!(crud::get_webhook, crud::update_webhook, crud::delete_webhook))
        .route("/webhooks/{id}", put(crud::update_webhook))
        .routes(once_without("secret", routes!(secret::rotate_webhook_secret)))
        .routes(routes!(history::list_webhook_history))
        .routes(routes!(history::test_webhook))
        .routes(routes!(history::retry_webhook_delivery))
}
