//! Coupons and add-ons: bounds that hold whoever comes at the same time, and limits that rise at once.

use std::time::Duration;

use actiwapi_dispatcher::domain::plan::Meter;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::billing::checkout::Chosen;
use actiwapi_dispatcher::service::billing::offers::{AddonChange, CouponChange, NewCoupon};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;

use super::{lanes_were_told, ordered, paid};
use crate::service::front::{Front, conflict, fields};
use crate::support::db::store_contract;

store_contract!(
    a_coupon_is_used_as_often_as_it_may_be,
    a_coupon_nobody_paid_with_comes_back,
    coupons_are_checked,
    an_addon_raises_the_limit_at_once_and_ends_with_its_period,
    addons_that_renew_are_paid_with_the_plan,
);

const ACTOR: Actor = Actor::SYSTEM;
const DAY: Duration = Duration::from_secs(86_400);

fn percent(code: &str, percent: i64, max_uses: Option<i64>) -> NewCoupon {
    let code = code.to_owned();
    NewCoupon { code, percent: Some(percent), amount_cents: None, from_ms: None, until_ms: None, max_uses }
}

fn front(store: Store) -> Front {
    Front::with_billing(store, Default::default())
}

async fn a_coupon_is_used_as_often_as_it_may_be(store: Store) {
    let front = front(store);
    let billing = &front.services.billing;
    billing.create_coupon(percent("save-20", 20, Some(3)), &ACTOR).await.unwrap();
    let mut tenants = Vec::new();
    for _ in 0..8 {
        tenants.push(front.tenant().await);
    }
    let buys = tenants.iter().map(|id| billing.checkout(*id, "growth", Some("Save-20 "), &ACTOR));
    let bought = futures::future::join_all(buys).await;
    let mut orders = Vec::new();
    for (tenant_id, bought) in tenants.iter().zip(bought) {
        match bought {
            Ok(Chosen::Order(order)) => orders.push((*tenant_id, *order)),
            refused => assert_eq!(fields(refused), ["coupon"]),
        }
    }
    assert_eq!(orders.len(), 3);
    assert_eq!(front.store.billing().coupon("SAVE-20").await.unwrap().unwrap().n_uses, 3);
    let (tenant_id, order) = orders.remove(0);
    assert_eq!((order.terms.gross_cents, order.terms.amount_cents), (99_900, 79_920));
    // Until it is paid the tenant may order again with it; afterwards never.
    let again = billing.checkout(tenant_id, "business", Some("SAVE-20"), &ACTOR).await.unwrap();
    let Chosen::Order(again) = again else { panic!("no order: {again:?}") };
    billing.confirm_by_hand(again.id, &ACTOR).await.unwrap();
    assert_eq!(fields(billing.checkout(tenant_id, "enterprise", Some("SAVE-20"), &ACTOR).await), ["coupon"]);
    assert!(conflict(billing.confirm_by_hand(order.id, &ACTOR).await).contains("lapsed"), "one coupon, one order");
    assert_eq!(front.store.billing().coupon("SAVE-20").await.unwrap().unwrap().n_uses, 3);
}

async fn a_coupon_nobody_paid_with_comes_back(store: Store) {
    let front = front(store);
    let billing = &front.services.billing;
    billing.create_coupon(percent("ONCE", 50, Some(1)), &ACTOR).await.unwrap();
    let (first, second) = (front.tenant().await, front.tenant().await);
    let chosen = billing.checkout(first, "growth", Some("ONCE"), &ACTOR).await.unwrap();
    let Chosen::Order(order) = chosen else { panic!("no order: {chosen:?}") };
    assert_eq!(fields(billing.checkout(second, "growth", Some("ONCE"), &ACTOR).await), ["coupon"]);
    front.clock.advance(DAY + Duration::from_secs(1));
    billing.forget_old().await.unwrap();
    billing.forget_old().await.unwrap();
    assert_eq!(front.store.billing().coupon("ONCE").await.unwrap().unwrap().n_uses, 0);
    assert!(conflict(billing.confirm_by_hand(order.id, &ACTOR).await).contains("lapsed"));
    billing.checkout(second, "growth", Some("ONCE"), &ACTOR).await.unwrap();
    assert_eq!(front.store.billing().coupon("ONCE").await.unwrap().unwrap().n_uses, 1);
}

async fn coupons_are_checked(store: Store) {
    let front = front(store);
    let (billing, tenant_id, now_ms) = (&front.services.billing, front.tenant().await, front.now_ms());
    let create = async |new| billing.create_coupon(new, &ACTOR).await;
    assert_eq!(fields(create(percent("x", 5, None)).await), ["code"]);
    assert_eq!(fields(create(percent("A B C", 5, None)).await), ["code"]);
    assert_eq!(fields(create(percent("FREE", 101, Some(0))).await), ["percent", "maxUses"]);
    assert_eq!(fields(create(NewCoupon { amount_cents: Some(5), ..percent("BOTH", 5, None) }).await), ["percent"]);
    let ends = NewCoupon { from_ms: Some(now_ms), until_ms: Some(now_ms), ..percent("SHORT", 5, None) };
    assert_eq!(fields(create(ends).await), ["validUntil"]);
    let later = NewCoupon { from_ms: Some(now_ms + 1_000), ..percent("LATER", 100, None) };
    create(later.clone()).await.unwrap();
    assert!(conflict(create(later).await).contains("of this code"));
    for code in ["LATER", "NOBODY-KNOWS-IT", "x"] {
        assert_eq!(fields(billing.price(tenant_id, "growth", code).await), ["coupon"], "{code}");
    }
    front.clock.advance(Duration::from_secs(1));
    let price = billing.price(tenant_id, "growth", "later").await.unwrap();
    assert_eq!((price.discount_cents, price.amount_cents), (99_900, 0));
    for plan in ["trial", "gold", ""] {
        assert_eq!(fields(billing.checkout(tenant_id, plan, None, &ACTOR).await), ["plan"], "{plan}");
    }
    let change = CouponChange { is_active: Some(false), ..CouponChange::default() };
    billing.change_coupon("LATER", change.clone(), &ACTOR).await.unwrap();
    assert_eq!(fields(billing.price(tenant_id, "growth", "LATER").await), ["coupon"]);
    assert!(matches!(billing.change_coupon("NONE", change, &ACTOR).await, Err(Error::NotFound("coupon"))));
    // What costs nothing is not asked for, and has its invoice all the same.
    let change = CouponChange { is_active: Some(true), ..CouponChange::default() };
    billing.change_coupon("LATER", change, &ACTOR).await.unwrap();
    let chosen = billing.checkout(tenant_id, "growth", Some("LATER"), &ACTOR).await.unwrap();
    assert!(matches!(&chosen, Chosen::Order(order) if order.state.as_str() == "paid"), "{chosen:?}");
    assert_eq!(super::invoice_numbers(&front).await, [1]);
    // A cheaper plan follows, so there is no price now.
    create(percent("AGAIN", 5, None)).await.unwrap();
    assert!(conflict(billing.price(tenant_id, "starter", "AGAIN").await).contains("follows it"));
}

async fn an_addon_raises_the_limit_at_once_and_ends_with_its_period(store: Store) {
    let mut front = front(store);
    let (billing, tenant_id) = (front.services.billing.clone(), front.tenant().await);
    let early = billing.checkout_addon(tenant_id, "messages-5000", &ACTOR).await;
    assert!(matches!(early, Err(Error::NotFound(_))), "{early:?}");
    paid(&front, tenant_id, "starter").await;
    let limits = async |front: &Front| front.services.plans.usage(tenant_id).await.unwrap().unwrap();
    for slug in ["messages-5000", "session", "requests-50000", "contacts-10000"] {
        front.notices();
        let order = billing.checkout_addon(tenant_id, slug, &ACTOR).await.unwrap();
        billing.confirm_by_hand(order.id, &ACTOR).await.unwrap();
        assert!(lanes_were_told(&mut front, tenant_id), "{slug}");
    }
    let usage = limits(&front).await;
    assert_eq!(
        (usage.allowance.limit, usage.limits.messages, usage.limits.sessions),
        (Some(10_000), Some(10_000), Some(2))
    );
    assert_eq!((usage.limits.api_requests, usage.limits.contacts), (Some(60_000), Some(15_000)));
    front.session(tenant_id).await;
    front.session(tenant_id).await;
    let third = front.services.sessions.create(tenant_id, Default::default()).await;
    assert!(third.is_err(), "{third:?}");
    // A change of the plan keeps what was bought beside it.
    let change = actiwapi_dispatcher::store::plans::PlanChange {
        limits: actiwapi_dispatcher::domain::plan::LimitChange { messages: Some(Some(7)), ..Default::default() },
        ..Default::default()
    };
    front.services.plans.change("starter", change, &ACTOR).await.unwrap();
    assert_eq!(limits(&front).await.allowance.limit, Some(5_007));
    let own = front.store.billing().addons_of(tenant_id).await.unwrap();
    assert_eq!(own.len(), 4);
    let stranger = front.tenant().await;
    assert!(matches!(billing.stop_addon(stranger, own[0].id).await, Err(Error::NotFound("add-on"))));
    billing.stop_addon(tenant_id, own[0].id).await.unwrap();
    assert_eq!(limits(&front).await.allowance.limit, Some(5_007), "until the period ends");
    front.clock.advance(DAY * 31);
    billing.move_due().await.unwrap();
    assert_eq!(limits(&front).await.allowance.limit, Some(7));
    assert!(front.store.billing().addons_of(tenant_id).await.unwrap().is_empty());
    let bad = AddonChange { name: Some(String::new()), amount: Some(0), price_cents: Some(-1), ..Default::default() };
    assert_eq!(fields(billing.create_addon("more", bad.clone(), &ACTOR).await), ["name", "amount", "priceCents"]);
    assert_eq!(fields(billing.create_addon("A!", bad, &ACTOR).await), ["slug"]);
    let closed = AddonChange { is_active: Some(false), ..Default::default() };
    assert_eq!(billing.change_addon("session", closed, &ACTOR).await.unwrap().meter, Meter::Sessions);
    assert_eq!(fields(billing.checkout_addon(tenant_id, "session", &ACTOR).await), ["addon"]);
}

async fn addons_that_renew_are_paid_with_the_plan(store: Store) {
    let front = front(store);
    let (billing, tenant_id) = (front.services.billing.clone(), front.tenant().await);
    paid(&front, tenant_id, "starter").await;
    let order = billing.checkout_addon(tenant_id, "messages-5000", &ACTOR).await.unwrap();
    assert_eq!(order.terms.amount_cents, 39_900, "the whole of a period that has just begun");
    billing.confirm_by_hand(order.id, &ACTOR).await.unwrap();
    let next = ordered(&front, tenant_id, "starter").await;
    assert_eq!(next.terms.amount_cents, 49_900 + 39_900);
    let limit = async || front.services.plans.usage(tenant_id).await.unwrap().unwrap().allowance.limit;
    // Paid late, it is had again with what it was ordered with.
    front.clock.advance(DAY * 33);
    billing.move_due().await.unwrap();
    assert_eq!(limit().await, Some(5_000));
    billing.confirm_by_hand(next.id, &ACTOR).await.unwrap();
    assert_eq!(limit().await, Some(10_000));
    front.clock.advance(DAY * 31);
    billing.move_due().await.unwrap();
    assert_eq!(limit().await, Some(5_000));
}
