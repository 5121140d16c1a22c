//! Confirmations by the payer's page and by the provider's server: in any order, several times, at once, and wrong ones.

use std::time::Duration;

use actiwapi_dispatcher::domain::id::{OrderId, TenantId};
use actiwapi_dispatcher::domain::plan::SubscriptionState as State;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::billing::confirm::{Callback, Taken};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::page::PageRequest;
use serde_json::json;

use super::razorpay::FakeRazorpay;
use super::{invoice_numbers, ordered, state};
use crate::service::front::{Front, conflict, fields};
use crate::support::db::store_contract;
use crate::support::seed;

store_contract!(
    page_and_server_lead_to_one_activation_in_any_order,
    all_at_once_activate_once,
    what_is_not_as_ordered_changes_nothing,
    wrong_signatures_store_nothing,
    what_comes_out_of_order_is_understood,
    checkout_twice_is_one_order,
    a_replaced_order_that_is_paid_counts,
    an_order_waits_for_a_provider_that_is_away,
    orders_of_others_are_not_there,
    invoices_have_no_gaps,
);

async fn front(store: Store) -> (Front, FakeRazorpay, TenantId) {
    let razorpay = FakeRazorpay::start().await;
    let front = Front::with_billing(store, razorpay.settings());
    let tenant_id = front.tenant().await;
    (front, razorpay, tenant_id)
}

async fn verify(front: &Front, tenant_id: TenantId, callback: &Callback) -> Result<String, Error> {
    let order = front.services.billing.verify(tenant_id, callback, &Actor::SYSTEM).await?;
    Ok(order.state.as_str().to_owned())
}

async fn tell(front: &Front, (body, signature): &(Vec<u8>, String), event: Option<&str>) -> Result<Taken, Error> {
    front.services.billing.take_webhook(body, signature, event).await
}

/// Checks that the tenant has one month of a plan, one payment that counts, and one invoice.
async fn has_one_month(front: &Front, tenant_id: TenantId, place: &str) {
    let subscription = front.services.billing.subscription(tenant_id).await.unwrap();
    assert_eq!((subscription.state, subscription.plan.as_str()), (State::Active, "growth"), "{place}");
    assert_eq!(subscription.next, None, "{place}: paid for one month");
    let page = PageRequest::default();
    let payments = front.store.billing().payments(tenant_id, page).await.unwrap();
    let captured = payments.items.iter().filter(|payment| payment.is_applied).count();
    assert_eq!(captured, 1, "{place}: {payments:?}");
    let invoices = front.store.billing().invoices(tenant_id, page).await.unwrap();
    assert_eq!(invoices.total, 1, "{place}");
    assert_eq!((invoices.items[0].total_cents, invoices.items[0].currency.as_str()), (99_900, "INR"), "{place}");
}

async fn page_and_server_lead_to_one_activation_in_any_order(store: Store) {
    let (front, razorpay, _) = front(store).await;
    let orders = ["pcow", "cpow", "ocp", "wcpo", "cccc", "pppp", "opwc"];
    for (at, order) in orders.iter().enumerate() {
        let tenant_id = front.tenant().await;
        let name = ordered(&front, tenant_id, "growth").await.provider_order_id.unwrap();
        let payment = format!("pay_{at}");
        let callback = razorpay.pay(&name, &payment, |_| {});
        let mut applied = 0;
        for (n, letter) in order.chars().enumerate() {
            let event = format!("evt_{at}_{n}");
            match letter {
                'p' => assert_eq!(verify(&front, tenant_id, &callback).await.unwrap(), "paid"),
                'c' | 'o' => {
                    let kind = if letter == 'c' { "payment.captured" } else { "order.paid" };
                    let taken = tell(&front, &razorpay.tells(kind, &payment), Some(&event)).await.unwrap();
                    applied += usize::from(taken == Taken::Applied);
                    assert!(matches!(taken, Taken::Applied | Taken::Repeated), "{order} {n}: {taken:?}");
                }
                // The same, told once more by the same name.
                _ => {
                    let told = razorpay.tells("payment.captured", &payment);
                    for _ in 0..2 {
                        tell(&front, &told, Some("evt_again")).await.unwrap();
                    }
                }
            }
        }
        assert!(applied <= 1, "{order}");
        has_one_month(&front, tenant_id, order).await;
    }
    let numbers: Vec<i64> = (1..=i64::try_from(orders.len()).unwrap()).collect();
    assert_eq!(invoice_numbers(&front).await, numbers);
}

async fn all_at_once_activate_once(store: Store) {
    let (front, razorpay, tenant_id) = front(store).await;
    let name = ordered(&front, tenant_id, "growth").await.provider_order_id.unwrap();
    let callback = razorpay.pay(&name, "pay_1", |_| {});
    let told = razorpay.tells("payment.captured", "pay_1");
    let (a, b, c, d) = tokio::join!(
        verify(&front, tenant_id, &callback),
        verify(&front, tenant_id, &callback),
        tell(&front, &told, Some("evt_1")),
        tell(&front, &told, Some("evt_1")),
    );
    assert_eq!((a.unwrap(), b.unwrap()), ("paid".to_owned(), "paid".to_owned()));
    assert!([c.unwrap(), d.unwrap()].iter().filter(|taken| **taken == Taken::Applied).count() <= 1);
    has_one_month(&front, tenant_id, "at once").await;
}

async fn what_is_not_as_ordered_changes_nothing(store: Store) {
    let (front, razorpay, tenant_id) = front(store).await;
    let name = ordered(&front, tenant_id, "growth").await.provider_order_id.unwrap();
    for (payment, field, value) in [
        ("pay_less", "amount", json!(100)),
        ("pay_more", "amount", json!(99_901)),
        ("pay_usd", "currency", json!("USD")),
    ] {
        let callback = razorpay.pay(&name, payment, |paid| paid[field] = value);
        assert!(conflict(verify(&front, tenant_id, &callback).await).contains("another sum"), "{payment}");
        let taken = tell(&front, &razorpay.tells("payment.captured", payment), Some(payment)).await.unwrap();
        assert_eq!(taken, Taken::Differs, "{payment}");
    }
    let callback = razorpay.pay(&name, "pay_other", |paid| paid["order_id"] = json!("order_other"));
    assert!(conflict(verify(&front, tenant_id, &callback).await).contains("another order"));
    let taken = tell(&front, &razorpay.tells("order.paid", "pay_other"), None).await.unwrap();
    assert_eq!(taken, Taken::UnknownOrder);
    let callback = razorpay.pay(&name, "pay_late", |paid| paid["status"] = json!("authorized"));
    assert!(conflict(verify(&front, tenant_id, &callback).await).contains("has not come"));
    let taken = tell(&front, &razorpay.tells("refund.created", "pay_late"), None).await.unwrap();
    assert_eq!(taken, Taken::Ignored);
    assert!(matches!(front.services.billing.subscription(tenant_id).await, Err(Error::NotFound(_))));
    assert_eq!(seed::count(&front.store, "payments").await, 0);
    assert_eq!(seed::count(&front.store, "payment_events").await, 0);
    assert!(invoice_numbers(&front).await.is_empty());
}

async fn wrong_signatures_store_nothing(store: Store) {
    let (front, razorpay, tenant_id) = front(store).await;
    let name = ordered(&front, tenant_id, "growth").await.provider_order_id.unwrap();
    let good = razorpay.pay(&name, "pay_1", |_| {});
    let wrong = |signature: &str| Callback { signature: signature.to_owned(), ..good.clone() };
    for signature in ["", "0", &good.signature[1..], &good.signature.to_uppercase(), &"0".repeat(64)] {
        let refused = verify(&front, tenant_id, &wrong(signature)).await;
        assert!(matches!(refused, Err(Error::Unauthorized)), "{signature}: {refused:?}");
    }
    let another = Callback { payment: "pay_2".to_owned(), ..good.clone() };
    assert!(matches!(verify(&front, tenant_id, &another).await, Err(Error::Unauthorized)));
    let bad = Callback { order: "a b".to_owned(), payment: "\u{0}".to_owned(), signature: String::new() };
    assert_eq!(fields(verify(&front, tenant_id, &bad).await), ["razorpay_order_id", "razorpay_payment_id"]);
    let (body, signature) = razorpay.tells("payment.captured", "pay_1");
    let changed = [body.clone(), b" ".to_vec()].concat();
    for (body, signature) in [(&changed, signature.as_str()), (&body, ""), (&body, good.signature.as_str())] {
        let refused = front.services.billing.take_webhook(body, signature, Some("evt_1")).await;
        assert!(matches!(refused, Err(Error::Unauthorized)), "{refused:?}");
    }
    for table in ["payments", "payment_events", "subscriptions"] {
        assert_eq!(seed::count(&front.store, table).await, 0, "{table}");
    }
}

async fn what_comes_out_of_order_is_understood(store: Store) {
    let (front, razorpay, tenant_id) = front(store).await;
    let name = ordered(&front, tenant_id, "growth").await.provider_order_id.unwrap();
    let callback = razorpay.pay(&name, "pay_1", |_| {});
    let failed = razorpay.tells("payment.failed", "pay_1");
    assert_eq!(tell(&front, &failed, Some("evt_1")).await.unwrap(), Taken::Failed);
    assert!(matches!(front.services.billing.subscription(tenant_id).await, Err(Error::NotFound(_))));
    assert_eq!(verify(&front, tenant_id, &callback).await.unwrap(), "paid");
    // What failed before is told again behind what worked.
    assert_eq!(tell(&front, &failed, Some("evt_2")).await.unwrap(), Taken::Failed);
    has_one_month(&front, tenant_id, "out of order").await;
    // A second payment of the same order is money to be given back.
    razorpay.pay(&name, "pay_2", |_| {});
    let taken = tell(&front, &razorpay.tells("payment.captured", "pay_2"), Some("evt_3")).await.unwrap();
    assert_eq!(taken, Taken::Unapplied);
    has_one_month(&front, tenant_id, "paid twice").await;
}

async fn checkout_twice_is_one_order(store: Store) {
    let (front, razorpay, tenant_id) = front(store).await;
    let first = ordered(&front, tenant_id, "growth").await;
    let second = ordered(&front, tenant_id, "growth").await;
    assert_eq!((first.id, first.provider_order_id), (second.id, second.provider_order_id));
    let made = razorpay.orders();
    assert_eq!(made.len(), 1);
    assert_eq!((&made[0]["amount"], &made[0]["currency"]), (&json!(99_900), &json!("INR")));
    assert_eq!(made[0]["receipt"], first.id.to_string());
    // Later it is a new one, and the older one is replaced.
    front.clock.advance(Duration::from_secs(3_600));
    let third = ordered(&front, tenant_id, "growth").await;
    assert_ne!(third.id, first.id);
    let replaced = front.store.billing().order(first.id).await.unwrap().unwrap();
    assert_eq!(replaced.state.as_str(), "replaced");
    let (a, b) = tokio::join!(ordered(&front, tenant_id, "starter"), ordered(&front, tenant_id, "starter"));
    assert_eq!((a.id, a.provider_order_id), (b.id, b.provider_order_id), "two at once are one");
}

async fn a_replaced_order_that_is_paid_counts(store: Store) {
    let (front, razorpay, tenant_id) = front(store).await;
    let old = ordered(&front, tenant_id, "growth").await.provider_order_id.unwrap();
    let new = ordered(&front, tenant_id, "business").await.provider_order_id.unwrap();
    let callback = razorpay.pay(&old, "pay_1", |_| {});
    assert_eq!(verify(&front, tenant_id, &callback).await.unwrap(), "paid");
    has_one_month(&front, tenant_id, "the older order").await;
    // The other one, paid as well, is the month after.
    let callback = razorpay.pay(&new, "pay_2", |_| {});
    assert_eq!(verify(&front, tenant_id, &callback).await.unwrap(), "paid");
    let next = front.services.billing.subscription(tenant_id).await.unwrap().next.unwrap();
    assert_eq!(next.plan, "business");
    assert!(next.until_ms.is_some());
}

async fn an_order_waits_for_a_provider_that_is_away(store: Store) {
    let (front, razorpay, tenant_id) = front(store).await;
    razorpay.is_away(true);
    let refused = front.services.billing.checkout(tenant_id, "growth", None, &Actor::SYSTEM).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    razorpay.is_away(false);
    let order = ordered(&front, tenant_id, "growth").await;
    let callback = razorpay.pay(&order.provider_order_id.unwrap(), "pay_1", |_| {});
    razorpay.is_away(true);
    assert!(matches!(verify(&front, tenant_id, &callback).await, Err(Error::Unavailable(_))));
    razorpay.is_away(false);
    assert_eq!(verify(&front, tenant_id, &callback).await.unwrap(), "paid");
    // Whoever has not our secret gets no order.
    let stranger = Front::with_billing(front.store.clone(), razorpay.settings_with("another secret"));
    let refused = stranger.services.billing.checkout(stranger.tenant().await, "growth", None, &Actor::SYSTEM).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

async fn orders_of_others_are_not_there(store: Store) {
    let (front, razorpay, owner) = front(store).await;
    let thief = front.tenant().await;
    let order = ordered(&front, owner, "growth").await;
    let callback = razorpay.pay(&order.provider_order_id.unwrap(), "pay_1", |_| {});
    assert!(matches!(verify(&front, thief, &callback).await, Err(Error::NotFound("order"))));
    assert_eq!(verify(&front, owner, &callback).await.unwrap(), "paid");
    let (billing, page) = (front.store.billing(), PageRequest::default());
    let invoice = billing.invoices(owner, page).await.unwrap().items.remove(0);
    assert_eq!(billing.invoice(thief, invoice.id).await.unwrap(), None);
    assert!(billing.invoice(owner, invoice.id).await.unwrap().is_some());
    assert_eq!(billing.invoices(thief, page).await.unwrap().total, 0);
    assert_eq!(billing.payments(thief, page).await.unwrap().total, 0);
    assert_eq!(billing.orders(Some(thief), None, page).await.unwrap().total, 0);
    let unknown = front.services.billing.confirm_by_hand(OrderId::generate(), &Actor::SYSTEM).await;
    assert!(matches!(unknown, Err(Error::NotFound("order"))), "{unknown:?}");
    assert_eq!(state(&front, owner).await, State::Active);
}

async fn invoices_have_no_gaps(store: Store) {
    let front = Front::with_billing(store, Default::default());
    let n_tenants = 12;
    let mut orders = Vec::new();
    for _ in 0..n_tenants {
        let tenant_id = front.tenant().await;
        orders.push(ordered(&front, tenant_id, "growth").await.id);
    }
    // A third of the transactions is broken off just before its end, as by a crash, again and again.
    let trouble = async {
        for _ in 0..n_tenants {
            match front.store.pool() {
                actiwapi_dispatcher::store::Pool::Postgres(pool) => {
                    let mut tx = pool.begin().await.unwrap();
                    sqlx::query("UPDATE invoice_numbers SET last_no = last_no + 1").execute(&mut *tx).await.unwrap();
                    tx.rollback().await.unwrap();
                }
                actiwapi_dispatcher::store::Pool::Sqlite { writer, .. } => {
                    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
                    sqlx::query("UPDATE invoice_numbers SET last_no = last_no + 1").execute(&mut *tx).await.unwrap();
                    tx.rollback().await.unwrap();
                }
            }
        }
    };
    let actor = Actor::SYSTEM;
    let confirms = orders.iter().map(|id| front.services.billing.confirm_by_hand(*id, &actor));
    let (confirmed, ()) = tokio::join!(futures::future::join_all(confirms), trouble);
    for order in confirmed {
        order.unwrap();
    }
    assert_eq!(invoice_numbers(&front).await, (1..=n_tenants).collect::<Vec<i64>>());
    let sql = "UPDATE invoices SET total_cents = 0";
    let changed =
        actiwapi_dispatcher::with_writer!(front.store.pool(), |db| { sqlx::query(sql).execute(db).await.map(drop) });
    assert!(changed.is_err(), "an invoice is never changed");
}
