//! What Razorpay's server tells, signed.
//!
//! Open to everybody who knows the secret. What can be understood is answered 200, so that it is not told for ever.

use axum::extract::{FromRequest, Request, State};
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{ApiError, Failures, OfBody, Refused};
use crate::api::extract::WholeBody;
use crate::error::Error;

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentEventView {
    /// `applied`, `repeated`, `unapplied` (the money is to be given back), `failed`, `unknown_order`, `differs` (another sum
    /// or currency than was asked for) or `ignored`.
    #[schema(example = "applied")]
    outcome: &'static str,
}

/// A body with the headers that go with it.
pub(super) struct Told {
    body: WholeBody,
    signature: String,
    event: Option<String>,
}

impl FromRequest<Shared> for Told {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, ApiError> {
        let signature = header(request.headers(), "x-razorpay-signature").ok_or(Error::Unauthorized)?;
        let event = header(request.headers(), "x-razorpay-event-id");
        Ok(Self { signature, event, body: WholeBody::read(request, state).await? })
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Takes what Razorpay's server tells of payments: the raw body with `X-Razorpay-Signature`; what is told twice counts once.
#[utoipa::path(post, path = "/billing/webhook", tag = "billing",
    params(("X-Razorpay-Signature" = String, Header, description = "HMAC-SHA256 of the body with the webhook's secret."),
        ("X-Razorpay-Event-Id" = Option<String>, Header, description = "Names what is told.")),
    request_body(content = serde_json::Value, description = "A webhook of Razorpay."),
    responses((status = 200, body = Envelope<PaymentEventView>), Failures, Refused, OfBody))]
pub(super) async fn take_payment_event(State(state): State<Shared>, told: Told) -> ApiResult<PaymentEventView> {
    let billing = &state.services.billing;
    let taken = billing.take_webhook(&told.body.bytes, &told.signature, told.event.as_deref()).await?;
    ok(PaymentEventView { outcome: taken.as_str() })
}
