//! What a tenant has of its plan, and how it pays for it: the table of contents.

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::idempotency::once;
use crate::api::roles::needs;
use crate::domain::ability::Ability;
use crate::limits::PAYMENT_EVENT_BYTES_MAX;

pub mod addons;
pub mod checkout;
pub mod coupons;
pub mod invoices;
mod page;
pub mod payments;
pub mod subscription;
pub mod usage;
pub mod webhook;

pub(super) use usage::external;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(usage::get_usage))
        .routes(routes!(subscription::list_offered_plans))
        .routes(routes!(subscription::get_subscription))
        .routes(routes!(webhook::take_payment_event).layer(DefaultBodyLimit::max(PAYMENT_EVENT_BYTES_MAX)))
        .routes(routes!(addons::list_addons))
        .routes(routes!(invoices::list_invoices))
        .routes(routes!(invoices::get_invoice))
        .routes(routes!(invoices::get_invoice_page))
        .routes(routes!(payments::list_payments))
        .merge(needs(Ability::ManageBilling, changes()))
}

/// Returns what those do who pay.
fn changes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(subscription::cancel_subscription))
        .routes(routes!(subscription::resume_subscription))
        .routes(once(routes!(checkout::checkout)))
        .routes(routes!(checkout::verify_payment))
        .routes(once(routes!(addons::checkout_addon)))
        .routes(routes!(addons::stop_addon))
        .routes(routes!(coupons::validate_coupon))
}
