//! Orders of plans, and what the payer's page tells of their payment.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::subscription::{OwnSubscriptionView, view};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, created, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json};
use crate::api::timestamp::Timestamp;
use crate::domain::billing::{OrderLine, OrderState, PaymentProvider};
use crate::service::BillingService;
use crate::service::billing::checkout::Chosen;
use crate::service::billing::confirm::Callback;
use crate::store::billing::orders::OrderRecord;

/// A plan to have.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CheckoutBody {
    /// The plan's slug.
    #[schema(example = "growth")]
    plan: String,
    /// The code of a coupon.
    #[schema(example = "WELCOME-20")]
    coupon: Option<String>,
}

/// What Razorpay's page gives to the payer's page, by its own names.
#[derive(Debug, ToSchema)]
pub struct VerifyPaymentBody {
    /// Its name of the order.
    #[schema(example = "order_EKwxwAgItmmXdp")]
    razorpay_order_id: String,
    /// Its name of the payment.
    #[schema(example = "pay_29QQoUBi66xm2f")]
    razorpay_payment_id: String,
    /// HMAC-SHA256 of `order|payment` with the secret of the key, in hex digits.
    #[schema(example = "9ef4dffbfd84f1318f6739a3ce19f9d85851857ae648f114332d8401e0949a3d")]
    razorpay_signature: String,
}

/// An order and how it goes on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderView {
    /// Its id.
    id: Uuid,
    /// `period`, `upgrade` or `addon`.
    #[schema(example = "period")]
    kind: &'static str,
    /// The plan's slug.
    #[schema(example = "growth")]
    plan: String,
    /// The add-on's slug; null for plans.
    addon: Option<String>,
    /// The code of the coupon, if there is one.
    coupon: Option<String>,
    /// `open` (to be paid), `replaced` (by a newer one), `lapsed` (its coupon was given back), `paid`, or `unapplied`
    /// (paid when it could get nothing any more).
    #[schema(example = "open")]
    status: &'static str,
    /// What the sum is made of.
    lines: Vec<LineView>,
    /// What is taken off.
    #[schema(example = 0)]
    discount_cents: i64,
    /// What is to be paid, in the smallest unit of the currency.
    #[schema(example = 99_900)]
    amount_cents: i64,
    /// The currency, by ISO 4217.
    #[schema(example = "INR")]
    currency: String,
    /// Who takes the money: `razorpay`, or `manual` for an operator.
    #[schema(example = "razorpay")]
    provider: &'static str,
    /// Razorpay's name of the order, for its page; null where it has no part in it.
    #[schema(example = "order_EKwxwAgItmmXdp")]
    razorpay_order_id: Option<String>,
    /// Our name at Razorpay, for its page.
    #[schema(example = "rzp_live_1DP5mmOlF5G5ag")]
    razorpay_key_id: Option<String>,
    /// How it goes on, for people.
    #[schema(example = "Pay on Razorpay's page.")]
    next_step: &'static str,
    /// When it was placed.
    created_at: Timestamp,
    /// When it was paid; null while it is not.
    paid_at: Option<Timestamp>,
}

/// One line of a sum.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineView {
    /// What it is.
    #[schema(example = "Growth, one month")]
    description: String,
    /// What it costs, in the smallest unit of the currency.
    #[schema(example = 99_900)]
    amount_cents: i64,
}

/// What came of choosing a plan: an order, or a plan that follows the present one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChosenView {
    /// The order; null where nothing is to be paid because the plan is not dearer: then it follows the present one.
    order: Option<OrderView>,
    /// The subscription as it is now; null where an order waits for its payment.
    subscription: Option<OwnSubscriptionView>,
}

impl FromFields for CheckoutBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let plan = fields.required("plan");
        let coupon = fields.optional("coupon");
        Some(Self { plan: plan?, coupon: coupon? })
    }
}

impl FromFields for VerifyPaymentBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let order = fields.required("razorpay_order_id");
        let payment = fields.required("razorpay_payment_id");
        let signature = fields.required("razorpay_signature");
        Some(Self { razorpay_order_id: order?, razorpay_payment_id: payment?, razorpay_signature: signature? })
    }
}

impl From<VerifyPaymentBody> for Callback {
    fn from(body: VerifyPaymentBody) -> Self {
        Self { order: body.razorpay_order_id, payment: body.razorpay_payment_id, signature: body.razorpay_signature }
    }
}

impl From<OrderLine> for LineView {
    fn from(line: OrderLine) -> Self {
        Self { description: line.description, amount_cents: line.amount_cents }
    }
}

impl OrderView {
    /// Shows an order.
    #[must_use]
    pub fn of(order: OrderRecord, billing: &BillingService) -> Self {
        let is_open = matches!(order.state, OrderState::Open | OrderState::Replaced);
        let terms = order.terms;
        let next_step = match (order.state, order.provider) {
            (OrderState::Open | OrderState::Replaced, PaymentProvider::Razorpay) => "Pay on Razorpay's page.",
            (OrderState::Open | OrderState::Replaced, PaymentProvider::Manual) => {
                "Pay as agreed; an operator confirms the order by its id, and it takes effect then."
            }
            (OrderState::Lapsed, _) => "Choose again.",
            (OrderState::Paid, _) => "Nothing; it has taken effect.",
            (OrderState::Unapplied, _) => "The money will be given back.",
        };
        Self {
            id: order.id.0,
            kind: terms.kind.as_str(),
            plan: terms.plan,
            addon: terms.addon,
            coupon: terms.coupon,
            status: order.state.as_str(),
            lines: terms.lines.into_iter().map(LineView::from).collect(),
            discount_cents: terms.discount_cents,
            amount_cents: terms.amount_cents,
            currency: terms.currency,
            provider: order.provider.as_str(),
            razorpay_key_id: billing.razorpay_key_id().filter(|_| is_open).map(str::to_owned),
            razorpay_order_id: order.provider_order_id,
            next_step,
            created_at: Timestamp(order.created_at_ms),
            paid_at: order.paid_at_ms.map(Timestamp),
        }
    }
}

/// Chooses a plan: orders a month of it, or the difference for the rest of the present period if it is dearer; a cheaper
/// one follows the present one. Asked again, the same open order is answered. For owners.
#[utoipa::path(post, path = "/billing/checkout", tag = "billing", security(("bearer" = [])), request_body = CheckoutBody,
    responses((status = 201, body = Envelope<ChosenView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn checkout(ctx: CallContext, Json(body): Json<CheckoutBody>) -> ApiResult<ChosenView> {
    let (billing, tenant_id) = (&ctx.services.billing, ctx.caller.tenant_id);
    match billing.checkout(tenant_id, &body.plan, body.coupon.as_deref(), &ctx.actor()).await? {
        Chosen::Order(order) if order.state == OrderState::Paid => {
            let subscription = view(&ctx, billing.subscription(tenant_id).await?).await?;
            created(ChosenView { order: Some(OrderView::of(*order, billing)), subscription: Some(subscription) })
        }
        Chosen::Order(order) => created(ChosenView { order: Some(OrderView::of(*order, billing)), subscription: None }),
        Chosen::Follows(subscription) => {
            created(ChosenView { order: None, subscription: Some(view(&ctx, *subscription).await?) })
        }
    }
}

/// Takes what Razorpay's page gave to the payer's page; the order has taken effect when this is answered. For owners.
#[utoipa::path(post, path = "/billing/verify", tag = "billing", security(("bearer" = [])), request_body = VerifyPaymentBody,
    responses((status = 200, body = Envelope<OrderView>), Failures, Guarded, OfBody, OfOne, OfState))]
pub(super) async fn verify_payment(ctx: CallContext, Json(body): Json<VerifyPaymentBody>) -> ApiResult<OrderView> {
    let billing = &ctx.services.billing;
    let order = billing.verify(ctx.caller.tenant_id, &body.into(), &ctx.actor()).await?;
    ok(OrderView::of(order, billing))
}
