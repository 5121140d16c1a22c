//! What a tenant has of its plan, and how it pays for it: the table of contents.

use axum::extract::DefaultBodyLimit;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::api::error::ApiError;
use crate::api::idempotency::once;
use crate::api::{CallContext, Shared};
use crate::domain::user::Role;
use crate::error::Error;
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
        .routes(routes!(subscription::cancel_subscription))
        .routes(routes!(subscription::resume_subscription))
        .routes(once(routes!(checkout::checkout)))
        .routes(routes!(checkout::verify_payment))
        .routes(routes!(webhook::take_payment_event).layer(DefaultBodyLimit::max(PAYMENT_EVENT_BYTES_MAX)))
        .routes(routes!(addons::list_addons))
        .routes(once(routes!(addons::checkout_addon)))
        .routes(routes!(addons::stop_addon))
        .routes(routes!(coupons::validate_coupon))
        .routes(routes!(invoices::list_invoices))
        .routes(routes!(invoices::get_invoice))
        .routes(routes!(invoices::get_invoice_page))
        .routes(routes!(payments::list_payments))
}

/// One call of the owner of a tenant, who pays for it.
#[derive(Clone)]
pub struct OwnerContext(CallContext);

impl std::ops::Deref for OwnerContext {
    type Target = CallContext;

    fn deref(&self) -> &CallContext {
        &self.0
    }
}

impl FromRequestParts<Shared> for OwnerContext {
    type Rejection = ApiError;

    /// Asks the database for the role: the one in the token may be days old.
    async fn from_request_parts(parts: &mut Parts, front: &Shared) -> Result<Self, ApiError> {
        let ctx = CallContext::from_request_parts(parts, front).await?;
        let user = ctx.store.users().find(ctx.caller.tenant_id, ctx.caller.user_id).await.map_err(Error::Store)?;
        if user.is_some_and(|user| user.role == Role::Owner) {
            return Ok(Self(ctx));
        }
        Err(Error::Forbidden.into())
    }
}
