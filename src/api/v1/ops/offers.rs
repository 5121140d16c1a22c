//! What is offered beside plans, and orders whose money came some other way.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::OperatorContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, created, ok};
use crate::api::error::{ApiError, Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::api::timestamp::Timestamp;
use crate::api::v1::billing::addons::AddonView;
use crate::api::v1::billing::checkout::OrderView;
use crate::domain::billing::OrderState;
use crate::domain::billing::price::Discount;
use crate::domain::id::OrderId;
use crate::domain::plan::Meter;
use crate::service::billing::offers::{AddonChange, CouponChange, NewCoupon};
use crate::store::billing::coupons::CouponRecord;

/// A coupon.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CouponView {
    /// What people type.
    #[schema(example = "WELCOME-20")]
    code: String,
    /// Hundredths that it takes off; null where it takes off a sum.
    #[schema(example = 20)]
    percent: Option<i64>,
    /// What it takes off, in the smallest unit of the currency; null where it takes off hundredths.
    amount_cents: Option<i64>,
    /// The currency of that, by ISO 4217.
    currency: Option<String>,
    /// Not good before; null for at once.
    valid_from: Option<Timestamp>,
    /// Not good from then on; null for ever.
    valid_until: Option<Timestamp>,
    /// How many tenants may use it, each once; null for any number.
    #[schema(example = 100)]
    max_uses: Option<i64>,
    /// How many have it.
    #[schema(example = 3)]
    uses: i64,
    /// Whether it is to be had.
    #[schema(example = true)]
    is_active: bool,
    /// When it was made.
    created_at: Timestamp,
}

/// A coupon to make: it takes off hundredths or a sum.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CreateCouponBody {
    /// What people type; 3 to 40 letters, digits and dashes.
    #[schema(example = "WELCOME-20")]
    code: String,
    /// Hundredths that it takes off, 1 to 100.
    #[schema(example = 20)]
    percent: Option<i64>,
    /// What it takes off, in the smallest unit of rupees.
    amount_cents: Option<i64>,
    /// Not good before; at once when missing.
    valid_from: Option<Timestamp>,
    /// Not good from then on; for ever when missing.
    valid_until: Option<Timestamp>,
    /// How many tenants may use it, each once; any number when missing.
    #[schema(example = 100)]
    max_uses: Option<i64>,
}

/// What is to change; what is missing stays, and a bound of null is taken away.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct UpdateCouponBody {
    /// Not good from then on.
    #[schema(value_type = Option<Timestamp>)]
    valid_until: Option<Option<Timestamp>>,
    /// How many tenants may use it, each once.
    #[schema(value_type = Option<i64>, example = 100)]
    max_uses: Option<Option<i64>>,
    /// Whether it is to be had.
    #[schema(example = false)]
    is_active: Option<bool>,
}

/// An add-on to make.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CreateAddonBody {
    /// Its name in bodies; 3 to 40 small letters, digits and dashes.
    #[schema(example = "messages-5000")]
    slug: String,
    /// What people call it; 1 to 100 characters.
    #[schema(example = "5,000 messages")]
    name: String,
    /// What there is more of: `messages`, `sessions`, `api_requests`, `campaigns` or `contacts`.
    #[schema(value_type = String, example = "messages")]
    meter: Meter,
    /// How much more.
    #[schema(example = 5_000)]
    amount: i64,
    /// What a month costs, in the smallest unit of rupees.
    #[schema(example = 39_900)]
    price_cents: i64,
}

/// What is to change for those who buy it from now on; what is missing stays.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct UpdateAddonBody {
    /// What people call it; 1 to 100 characters.
    #[schema(example = "5,000 messages")]
    name: Option<String>,
    /// How much more.
    #[schema(example = 5_000)]
    amount: Option<i64>,
    /// What a month costs, in the smallest unit of rupees.
    #[schema(example = 39_900)]
    price_cents: Option<i64>,
    /// Whether it can be bought.
    #[schema(example = true)]
    is_active: Option<bool>,
}

/// Which orders are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OrderQuery {
    /// `open`, `replaced`, `lapsed`, `paid` or `unapplied`; all when missing.
    status: Option<String>,
}

impl From<CouponRecord> for CouponView {
    fn from(coupon: CouponRecord) -> Self {
        let (percent, amount) = match coupon.discount {
            Discount::Percent(percent) => (Some(percent), None),
            Discount::Amount(cents, currency) => (None, Some((cents, currency))),
        };
        let (amount_cents, currency) = amount.unzip();
        Self {
            code: coupon.code,
            percent,
            amount_cents,
            currency,
            valid_from: coupon.from_ms.map(Timestamp),
            valid_until: coupon.until_ms.map(Timestamp),
            max_uses: coupon.max_uses,
            uses: coupon.n_uses,
            is_active: coupon.is_active,
            created_at: Timestamp(coupon.created_at_ms),
        }
    }
}

impl FromFields for CreateCouponBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let code = fields.required("code");
        let percent = fields.optional("percent");
        let amount_cents = fields.optional("amountCents");
        let valid_from = fields.optional("validFrom");
        let valid_until = fields.optional("validUntil");
        let max_uses = fields.optional("maxUses");
        Some(Self {
            code: code?,
            percent: percent?,
            amount_cents: amount_cents?,
            valid_from: valid_from?,
            valid_until: valid_until?,
            max_uses: max_uses?,
        })
    }
}

impl FromFields for UpdateCouponBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let valid_until = fields.as_written("validUntil");
        let max_uses = fields.as_written("maxUses");
        let is_active = fields.optional("isActive");
        Some(Self { valid_until: valid_until?, max_uses: max_uses?, is_active: is_active? })
    }
}

impl FromFields for CreateAddonBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let slug = fields.required("slug");
        let name = fields.required("name");
        let meter = fields.required("meter");
        let amount = fields.required("amount");
        let price_cents = fields.required("priceCents");
        Some(Self { slug: slug?, name: name?, meter: meter?, amount: amount?, price_cents: price_cents? })
    }
}

impl FromFields for UpdateAddonBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name");
        let amount = fields.optional("amount");
        let price_cents = fields.optional("priceCents");
        let is_active = fields.optional("isActive");
        Some(Self { name: name?, amount: amount?, price_cents: price_cents?, is_active: is_active? })
    }
}

/// Lists coupons by their codes, at most 1,000.
#[utoipa::path(get, path = "/ops/coupons", tag = "ops", security(("bearer" = [])),
    responses((status = 200, body = Envelope<Vec<CouponView>>), Failures, Guarded))]
pub(super) async fn list_coupons(ctx: OperatorContext) -> ApiResult<Vec<CouponView>> {
    ok(ctx
        .store
        .billing()
        .coupons()
        .await
        .map_err(crate::error::Error::Store)?
        .into_iter()
        .map(CouponView::from)
        .collect())
}

/// Makes a coupon, which each tenant can use once.
#[utoipa::path(post, path = "/ops/coupons", tag = "ops", security(("bearer" = [])), request_body = CreateCouponBody,
    responses((status = 201, body = Envelope<CouponView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn create_coupon(ctx: OperatorContext, Json(body): Json<CreateCouponBody>) -> ApiResult<CouponView> {
    let new = NewCoupon {
        code: body.code,
        percent: body.percent,
        amount_cents: body.amount_cents,
        from_ms: body.valid_from.map(|at| at.0),
        until_ms: body.valid_until.map(|at| at.0),
        max_uses: body.max_uses,
    };
    created(ctx.services.billing.create_coupon(new, &ctx.actor()).await?.into())
}

/// Changes until when, how often and whether a coupon can be used.
#[utoipa::path(patch, path = "/ops/coupons/{code}", tag = "ops", security(("bearer" = [])),
    params(("code" = String, Path, description = "The coupon.")), request_body = UpdateCouponBody,
    responses((status = 200, body = Envelope<CouponView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn update_coupon(
    ctx: OperatorContext,
    Path(code): Path<String>,
    Json(body): Json<UpdateCouponBody>,
) -> ApiResult<CouponView> {
    let until_ms = body.valid_until.map(|until| until.map(|at| at.0));
    let change = CouponChange { until_ms, max_uses: body.max_uses, is_active: body.is_active };
    ok(ctx.services.billing.change_coupon(&code, change, &ctx.actor()).await?.into())
}

/// Lists all add-ons, also those that can not be bought, the cheapest first.
#[utoipa::path(get, path = "/ops/addons", tag = "ops", security(("bearer" = [])),
    responses((status = 200, body = Envelope<Vec<AddonView>>), Failures, Guarded))]
pub(super) async fn list_all_addons(ctx: OperatorContext) -> ApiResult<Vec<AddonView>> {
    ok(ctx.store.billing().addons().await?.into_iter().map(AddonView::from).collect())
}

/// Makes an add-on.
#[utoipa::path(post, path = "/ops/addons", tag = "ops", security(("bearer" = [])), request_body = CreateAddonBody,
    responses((status = 201, body = Envelope<AddonView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn create_addon(ctx: OperatorContext, Json(body): Json<CreateAddonBody>) -> ApiResult<AddonView> {
    let change = AddonChange {
        name: Some(body.name),
        meter: Some(body.meter),
        amount: Some(body.amount),
        price_cents: Some(body.price_cents),
        is_active: None,
    };
    created(ctx.services.billing.create_addon(&body.slug, change, &ctx.actor()).await?.into())
}

/// Changes an add-on for those who buy it from now on; what tenants have stays.
#[utoipa::path(patch, path = "/ops/addons/{slug}", tag = "ops", security(("bearer" = [])),
    params(("slug" = String, Path, description = "The add-on.")), request_body = UpdateAddonBody,
    responses((status = 200, body = Envelope<AddonView>), Failures, Guarded, OfOne, OfBody))]
pub(super) async fn update_addon(
    ctx: OperatorContext,
    Path(slug): Path<String>,
    Json(body): Json<UpdateAddonBody>,
) -> ApiResult<AddonView> {
    let UpdateAddonBody { name, amount, price_cents, is_active } = body;
    let change = AddonChange { name, meter: None, amount, price_cents, is_active };
    ok(ctx.services.billing.change_addon(&slug, change, &ctx.actor()).await?.into())
}

/// Lists orders of all tenants, newest first.
#[utoipa::path(get, path = "/ops/orders", tag = "ops", security(("bearer" = [])), params(PageQuery, OrderQuery),
    responses((status = 200, body = Paged<OperatedOrderView>), Failures, Guarded))]
pub(super) async fn list_orders(
    ctx: OperatorContext,
    page: Page,
    query: Result<Query<OrderQuery>, QueryRejection>,
) -> ListResult<OperatedOrderView> {
    let Query(query) = query.map_err(|_| ApiError::Malformed("The query can not be read."))?;
    let parse =
        |word: String| OrderState::parse(&word).ok_or_else(|| ApiError::invalid("status", "is not a known status"));
    let state = query.status.map(parse).transpose()?;
    let orders = ctx.store.billing().orders(None, state, page.0).await?;
    let billing = &ctx.services.billing;
    let view = |order: crate::store::billing::orders::OrderRecord| OperatedOrderView {
        tenant_id: order.tenant_id.0,
        order: OrderView::of(order, billing),
    };
    let items = orders.items.into_iter().map(view).collect();
    crate::api::envelope::paged(page, crate::store::page::Page { items, total: orders.total })
}

/// An order, and whose it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperatedOrderView {
    /// The tenant.
    tenant_id: Uuid,
    /// The order.
    #[serde(flatten)]
    order: OrderView,
}

/// Says that the money for an order has come some other way: it takes effect now, once.
#[utoipa::path(post, path = "/ops/orders/{id}/confirm", tag = "ops", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The order.")),
    responses((status = 200, body = Envelope<OrderView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn confirm_order(ctx: OperatorContext, Path(id): Path<OrderId>) -> ApiResult<OrderView> {
    let billing = &ctx.services.billing;
    ok(OrderView::of(billing.confirm_by_hand(id, &ctx.actor()).await?, billing))
}
