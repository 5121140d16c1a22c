//! Orders, payments and the life of a subscription, against a provider of payments that checks what it is asked.

use actiwapi_dispatcher::domain::id::TenantId;
use actiwapi_dispatcher::domain::plan::SubscriptionState;
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::billing::checkout::Chosen;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::billing::orders::OrderRecord;

use super::front::Front;

mod last_messages;
mod life;
mod offers;
mod payments;
pub(crate) mod razorpay;

/// Chooses a plan, and expects an order.
async fn ordered(front: &Front, tenant_id: TenantId, plan: &str) -> OrderRecord {
    match front.services.billing.checkout(tenant_id, plan, None, &Actor::SYSTEM).await.unwrap() {
        Chosen::Order(order) => *order,
        Chosen::Follows(subscription) => panic!("no order: {subscription:?}"),
    }
}

/// Lets a tenant have a plan for a month, paid by hand.
async fn paid(front: &Front, tenant_id: TenantId, plan: &str) -> OrderRecord {
    let order = ordered(front, tenant_id, plan).await;
    front.services.billing.confirm_by_hand(order.id, &Actor::SYSTEM).await.unwrap()
}

async fn state(front: &Front, tenant_id: TenantId) -> SubscriptionState {
    front.services.billing.subscription(tenant_id).await.unwrap().state
}

/// Tells whether the lanes of a tenant were told to look, since this was asked last.
fn lanes_were_told(front: &mut Front, tenant_id: TenantId) -> bool {
    front.notices().contains(&Notice::TenantChanged(tenant_id))
}

/// Returns the numbers of all invoices, in order.
async fn invoice_numbers(front: &Front) -> Vec<i64> {
    actiwapi_dispatcher::with_reader!(front.store.pool(), |db| {
        sqlx::query_scalar("SELECT invoice_no FROM invoices ORDER BY invoice_no").fetch_all(db).await
    })
    .unwrap()
}
