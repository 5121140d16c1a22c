//! Invoices, as data and as a page to print.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::checkout::LineView;
use super::page::invoice_page;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, ok, paged};
use crate::api::error::{ApiError, Failures, Guarded, OfOne};
use crate::api::extract::Path;
use crate::api::page::{Page, PageQuery};
use crate::api::timestamp::Timestamp;
use crate::domain::billing::invoice_number;
use crate::domain::id::InvoiceId;
use crate::error::Error;
use crate::store::billing::invoices::InvoiceRecord;

/// An invoice.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvoiceView {
    /// Its id.
    id: Uuid,
    /// Its number; all of them follow each other without a gap.
    #[schema(example = "INV-000042")]
    number: String,
    /// The order that was paid.
    order_id: Uuid,
    /// What the tenant was called then.
    #[schema(example = "Ana's Flowers")]
    buyer: String,
    /// What the sum is made of.
    lines: Vec<LineView>,
    /// The sum, in the smallest unit of the currency.
    #[schema(example = 99_900)]
    gross_cents: i64,
    /// What was taken off.
    #[schema(example = 0)]
    discount_cents: i64,
    /// What was paid.
    #[schema(example = 99_900)]
    total_cents: i64,
    /// The currency, by ISO 4217.
    #[schema(example = "INR")]
    currency: String,
    /// When it was written.
    issued_at: Timestamp,
}

impl From<InvoiceRecord> for InvoiceView {
    fn from(invoice: InvoiceRecord) -> Self {
        Self {
            id: invoice.id.0,
            number: invoice_number(invoice.invoice_no),
            order_id: invoice.order_id.0,
            buyer: invoice.buyer,
            lines: invoice.lines.into_iter().map(LineView::from).collect(),
            gross_cents: invoice.gross_cents,
            discount_cents: invoice.discount_cents,
            total_cents: invoice.total_cents,
            currency: invoice.currency,
            issued_at: Timestamp(invoice.issued_at_ms),
        }
    }
}

/// Lists invoices, newest first.
#[utoipa::path(get, path = "/billing/invoices", tag = "billing", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<InvoiceView>), Failures, Guarded))]
pub(super) async fn list_invoices(ctx: CallContext, page: Page) -> ListResult<InvoiceView> {
    paged(page, ctx.store.billing().invoices(ctx.caller.tenant_id, page.0).await?)
}

/// Shows an invoice.
#[utoipa::path(get, path = "/billing/invoices/{id}", tag = "billing", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The invoice.")),
    responses((status = 200, body = Envelope<InvoiceView>), Failures, Guarded, OfOne))]
pub(super) async fn get_invoice(ctx: CallContext, Path(id): Path<InvoiceId>) -> ApiResult<InvoiceView> {
    ok(find(&ctx, id).await?.into())
}

/// Shows an invoice as a page of HTML to print.
#[utoipa::path(get, path = "/billing/invoices/{id}/page", tag = "billing", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The invoice.")),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html"), Failures, Guarded, OfOne))]
pub(super) async fn get_invoice_page(ctx: CallContext, Path(id): Path<InvoiceId>) -> Result<Response, ApiError> {
    let page = invoice_page(&find(&ctx, id).await?);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ];
    Ok((StatusCode::OK, headers, page).into_response())
}

async fn find(ctx: &CallContext, id: InvoiceId) -> Result<InvoiceRecord, ApiError> {
    let invoice = ctx.store.billing().invoice(ctx.caller.tenant_id, id).await?;
    Ok(invoice.ok_or(Error::NotFound("invoice"))?)
}
