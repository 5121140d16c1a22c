//! What a tenant paid.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::CallContext;
use crate::api::envelope::{ListResult, Paged, paged};
use crate::api::error::{Failures, Guarded};
use crate::api::page::{Page, PageQuery};
use crate::api::timestamp::Timestamp;
use crate::store::billing::payments::PaymentRecord;

/// A payment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentView {
    /// Its id.
    id: Uuid,
    /// The order that it is for.
    order_id: Uuid,
    /// Who took the money: `razorpay` or `manual`.
    #[schema(example = "razorpay")]
    provider: &'static str,
    /// The provider's name of it.
    #[schema(example = "pay_29QQoUBi66xm2f")]
    provider_payment_id: String,
    /// `captured` or `failed`.
    #[schema(example = "captured")]
    status: &'static str,
    /// Whether the order took effect by it; if not, a captured payment is to be given back.
    #[schema(example = true)]
    is_applied: bool,
    /// How much, in the smallest unit of the currency.
    #[schema(example = 99_900)]
    amount_cents: i64,
    /// The currency, by ISO 4217.
    #[schema(example = "INR")]
    currency: String,
    /// When it was told.
    at: Timestamp,
}

impl From<PaymentRecord> for PaymentView {
    fn from(payment: PaymentRecord) -> Self {
        Self {
            id: payment.id.0,
            order_id: payment.order_id.0,
            provider: payment.note.provider.as_str(),
            provider_payment_id: payment.note.name,
            status: payment.state.as_str(),
            is_applied: payment.is_applied,
            amount_cents: payment.note.amount_cents,
            currency: payment.note.currency,
            at: Timestamp(payment.at_ms),
        }
    }
}

/// Lists payments, newest first.
#[utoipa::path(get, path = "/billing/payments", tag = "billing", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<PaymentView>), Failures, Guarded))]
pub(super) async fn list_payments(ctx: CallContext, page: Page) -> ListResult<PaymentView> {
    paged(page, ctx.store.billing().payments(ctx.caller.tenant_id, page.0).await?)
}
