//! What can be had beside a plan, and what a tenant has of it.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::checkout::OrderView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, RemovedView, created, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::timestamp::Timestamp;
use crate::domain::id::TenantAddonId;
use crate::store::billing::addons::{AddonRecord, TenantAddonRecord};

/// Something that can be had beside a plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddonView {
    /// Its name in bodies.
    #[schema(example = "messages-5000")]
    slug: String,
    /// What people call it.
    #[schema(example = "5,000 messages")]
    name: String,
    /// What there is more of: `messages`, `sessions`, `api_requests`, `campaigns` or `contacts`.
    #[schema(example = "messages")]
    meter: &'static str,
    /// How much more.
    #[schema(example = 5_000)]
    amount: i64,
    /// What a month costs, in the smallest unit of the currency.
    #[schema(example = 39_900)]
    price_cents: i64,
    /// The currency, by ISO 4217.
    #[schema(example = "INR")]
    currency: String,
    /// Whether it can be bought.
    #[schema(example = true)]
    is_active: bool,
}

/// Something that a tenant has beside its plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnAddonView {
    /// Its id.
    id: Uuid,
    /// The add-on's slug.
    #[schema(example = "messages-5000")]
    slug: String,
    /// What people call it.
    #[schema(example = "5,000 messages")]
    name: String,
    /// What there is more of.
    #[schema(example = "messages")]
    meter: &'static str,
    /// How much more.
    #[schema(example = 5_000)]
    amount: i64,
    /// What a month costs, in the smallest unit of the currency.
    #[schema(example = 39_900)]
    price_cents: i64,
    /// The currency, by ISO 4217.
    #[schema(example = "INR")]
    currency: String,
    /// Whether the next period is to have it too.
    #[schema(example = true)]
    renews: bool,
    /// Until when it is paid.
    until: Timestamp,
}

/// What can be had, and what the tenant has.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddonsView {
    /// What can be had, the cheapest first.
    offered: Vec<AddonView>,
    /// What the tenant has, the oldest first.
    own: Vec<OwnAddonView>,
}

/// An add-on to have.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CheckoutAddonBody {
    /// The add-on's slug.
    #[schema(example = "messages-5000")]
    addon: String,
}

impl FromFields for CheckoutAddonBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { addon: fields.required("addon")? })
    }
}

impl From<AddonRecord> for AddonView {
    fn from(addon: AddonRecord) -> Self {
        Self {
            slug: addon.slug,
            name: addon.name,
            meter: addon.meter.as_str(),
            amount: addon.amount,
            price_cents: addon.price_cents,
            currency: addon.currency,
            is_active: addon.is_active,
        }
    }
}

impl From<TenantAddonRecord> for OwnAddonView {
    fn from(addon: TenantAddonRecord) -> Self {
        Self {
            id: addon.id.0,
            slug: addon.addon,
            name: addon.name,
            meter: addon.meter.as_str(),
            amount: addon.amount,
            price_cents: addon.price_cents,
            currency: addon.currency,
            renews: addon.renews,
            until: Timestamp(addon.until_ms),
        }
    }
}

/// Lists what can be had beside a plan, and what the tenant has of it.
#[utoipa::path(get, path = "/billing/addons", tag = "billing", security(("bearer" = [])),
    responses((status = 200, body = Envelope<AddonsView>), Failures, Guarded))]
pub(super) async fn list_addons(ctx: CallContext) -> ApiResult<AddonsView> {
    let billing = ctx.store.billing();
    let offered = billing.addons().await?.into_iter().filter(|addon| addon.is_active);
    let offered = offered.map(AddonView::from).collect();
    let own = billing.addons_of(ctx.caller.tenant_id).await?.into_iter().map(OwnAddonView::from).collect();
    ok(AddonsView { offered, own })
}

/// Orders an add-on for the rest of the period; the limit rises as soon as it is paid. For owners.
#[utoipa::path(post, path = "/billing/addons/checkout", tag = "billing", security(("bearer" = [])),
    request_body = CheckoutAddonBody,
    responses((status = 201, body = Envelope<OrderView>), Failures, Guarded, OfBody, OfOne, OfState))]
pub(super) async fn checkout_addon(ctx: CallContext, Json(body): Json<CheckoutAddonBody>) -> ApiResult<OrderView> {
    let billing = &ctx.services.billing;
    let order = billing.checkout_addon(ctx.caller.tenant_id, &body.addon, &ctx.actor()).await?;
    created(OrderView::of(order, billing))
}

/// Lets an add-on end with the period that it is paid for. For owners.
#[utoipa::path(delete, path = "/billing/addons/{id}", tag = "billing", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The add-on of the tenant.")),
    responses((status = 200, body = Envelope<RemovedView>), Failures, Guarded, OfOne))]
pub(super) async fn stop_addon(ctx: CallContext, Path(id): Path<TenantAddonId>) -> ApiResult<RemovedView> {
    ctx.services.billing.stop_addon(ctx.caller.tenant_id, id).await?;
    ok(RemovedView { id: id.0 })
}
