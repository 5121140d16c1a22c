//! What a coupon takes off, before anything is ordered.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfState};
use crate::api::extract::{Fields, FromFields, Json};

/// A coupon to try.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ValidateCouponBody {
    /// The code of the coupon.
    #[schema(example = "WELCOME-20")]
    coupon: String,
    /// The slug of the plan that it is for.
    #[schema(example = "growth")]
    plan: String,
}

/// What a coupon makes of a price.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CouponPriceView {
    /// The code, as it is written.
    #[schema(example = "WELCOME-20")]
    coupon: String,
    /// The price without it, in the smallest unit of the currency.
    #[schema(example = 99_900)]
    gross_cents: i64,
    /// What it takes off.
    #[schema(example = 19_980)]
    discount_cents: i64,
    /// What is to be paid.
    #[schema(example = 79_920)]
    amount_cents: i64,
    /// The currency, by ISO 4217.
    #[schema(example = "INR")]
    currency: String,
}

impl FromFields for ValidateCouponBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let coupon = fields.required("coupon");
        let plan = fields.required("plan");
        Some(Self { coupon: coupon?, plan: plan? })
    }
}

/// Shows what a plan would cost with a coupon; orders nothing. A coupon that can not be used is a problem of its field. For owners.
#[utoipa::path(post, path = "/billing/coupons/validate", tag = "billing", security(("bearer" = [])),
    request_body = ValidateCouponBody,
    responses((status = 200, body = Envelope<CouponPriceView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn validate_coupon(
    ctx: CallContext,
    Json(body): Json<ValidateCouponBody>,
) -> ApiResult<CouponPriceView> {
    let terms = ctx.services.billing.price(ctx.caller.tenant_id, &body.plan, &body.coupon).await?;
    ok(CouponPriceView {
        coupon: terms.coupon.unwrap_or_default(),
        gross_cents: terms.gross_cents,
        discount_cents: terms.discount_cents,
        amount_cents: terms.amount_cents,
        currency: terms.currency,
    })
}
