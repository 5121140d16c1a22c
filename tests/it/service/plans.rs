//! Changes of plans: several at once, and what is written down of them.

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::id::UserId;
use actiwapi_dispatcher::domain::plan::{LimitChange, PlanLimits, SubscriptionState};
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::plans::NewSubscription;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::plans::PlanChange;
use serde_json::{Value, json};

use super::front::{Front, fields};
use crate::support::db::store_contract;
use crate::support::seed::NOW_MS;

store_contract!(
    changes_at_once_are_all_kept_and_written_down,
    what_changes_is_written_down_before_and_after,
    a_change_that_changes_nothing_is_no_deed,
    every_problem_of_a_change_is_told,
    a_period_ends_in_the_future_and_within_ten_years,
);

const OPERATOR: UserId = UserId(uuid::Uuid::from_u128(7));

fn actor() -> Actor {
    Actor::user(OPERATOR)
}

fn limits(limits: LimitChange) -> PlanChange {
    PlanChange { limits, ..PlanChange::default() }
}

/// Details of all changes of plans, the first one first.
async fn written_down(front: &Front) -> Vec<Value> {
    let mut records = front.store.audit_log(PageRequest::default()).await.unwrap().items;
    records.reverse();
    for record in &records {
        let deed = &record.deed;
        assert_eq!((deed.action.as_str(), deed.subject.as_str(), deed.tenant_id), ("plan.changed", "starter", None));
        assert_eq!(record.actor, actor());
    }
    records.into_iter().map(|record| record.deed.details).collect()
}

async fn changes_at_once_are_all_kept_and_written_down(store: Store) {
    let front = Front::new(store);
    let (plans, by) = (&front.services.plans, &actor());
    let rounds = 5;
    for n in 1..=rounds {
        let (renamed, dearer, wider, longer) = tokio::join!(
            plans.change("starter", PlanChange { name: Some(format!("Starter {n}")), ..PlanChange::default() }, by),
            plans.change("starter", PlanChange { price_cents: Some(n), ..PlanChange::default() }, by),
            plans.change("starter", limits(LimitChange { sessions: Some(Some(n)), ..LimitChange::default() }), by),
            plans.change("starter", limits(LimitChange { messages: Some(Some(n)), ..LimitChange::default() }), by),
        );
        for changed in [renamed, dearer, wider, longer] {
            changed.unwrap();
        }
        let plan = front.store.plans().find("starter").await.unwrap().unwrap();
        assert_eq!((plan.name.as_str(), plan.price_cents), (format!("Starter {n}").as_str(), n));
        assert_eq!((plan.limits.sessions, plan.limits.messages), (Some(n), Some(n)));
    }
    let deeds = written_down(&front).await;
    // The seeded plan has one session, so the first of its changes is none.
    assert_eq!(deeds.len(), usize::try_from(rounds).unwrap() * 4 - 1);
    assert!(deeds.iter().all(|details| details.as_object().unwrap().len() == 1), "each its own: {deeds:?}");
    let prices: Vec<_> = deeds.iter().filter_map(|details| details.get("priceCents")).cloned().collect();
    let expected = (1..=rounds).map(|n| json!({"from": if n == 1 { 49_900 } else { n - 1 }, "to": n}));
    assert_eq!(prices, expected.collect::<Vec<_>>());
}

async fn what_changes_is_written_down_before_and_after(store: Store) {
    let front = Front::new(store);
    let before = front.store.plans().find("starter").await.unwrap().unwrap();
    let change = PlanChange {
        name: Some(" Starter plus ".to_owned()),
        price_cents: Some(before.price_cents),
        limits: LimitChange {
            messages: Some(None),
            sessions: Some(Some(3)),
            api_requests: Some(Some(7)),
            campaigns: Some(before.limits.campaigns),
            contacts: None,
        },
    };
    let after = front.services.plans.change("starter", change, &actor()).await.unwrap();
    let expected = PlanLimits { messages: None, sessions: Some(3), api_requests: Some(7), ..before.limits };
    assert_eq!((after.name.as_str(), after.limits), ("Starter plus", expected));
    assert_eq!(front.store.plans().find("starter").await.unwrap().unwrap(), after);
    let details = json!({
        "name": {"from": "Starter", "to": "Starter plus"},
        "maxMessages": {"from": 5_000, "to": null},
        "maxSessions": {"from": 1, "to": 3},
        "maxApiRequests": {"from": 10_000, "to": 7},
    });
    assert_eq!(written_down(&front).await, [details]);
}

async fn a_change_that_changes_nothing_is_no_deed(store: Store) {
    let mut front = Front::new(store);
    let before = front.store.plans().find("starter").await.unwrap().unwrap();
    let same = PlanChange { price_cents: Some(before.price_cents), ..PlanChange::default() };
    for change in [PlanChange::default(), same] {
        assert_eq!(front.services.plans.change("starter", change, &actor()).await.unwrap(), before);
    }
    assert_eq!((written_down(&front).await, front.notices()), (vec![], vec![]));
}

async fn every_problem_of_a_change_is_told(store: Store) {
    let front = Front::new(store);
    let negative = Some(Some(-1));
    let bad = PlanChange {
        name: Some(String::new()),
        price_cents: Some(-1),
        limits: LimitChange {
            messages: negative,
            sessions: negative,
            api_requests: negative,
            campaigns: negative,
            contacts: negative,
        },
    };
    let refused = fields(front.services.plans.change("starter", bad, &actor()).await);
    let expected =
        ["name", "priceCents", "maxMessages", "maxSessions", "maxApiRequests", "maxCampaigns", "maxContacts"];
    assert_eq!(refused, expected);
    let unknown = front.services.plans.change("gold", PlanChange::default(), &actor()).await;
    assert!(matches!(unknown, Err(Error::NotFound("plan"))), "{unknown:?}");
    assert_eq!(written_down(&front).await, Vec::<Value>::new());
}

async fn a_period_ends_in_the_future_and_within_ten_years(store: Store) {
    const YEAR_MS: i64 = 366 * 86_400_000;
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let subscribe = async |end_ms| {
        let period_end = Some(Moment::from_ms(end_ms));
        let new = NewSubscription { plan: "growth".to_owned(), state: SubscriptionState::Active, period_end };
        front.services.plans.subscribe(tenant_id, new, actor()).await
    };
    for refused_ms in [0, NOW_MS, NOW_MS + 10 * YEAR_MS + 1, i64::MAX / 1_000_000] {
        assert_eq!(fields(subscribe(refused_ms).await), ["periodEnd"], "{refused_ms}");
    }
    for taken_ms in [NOW_MS + 10 * YEAR_MS, NOW_MS + 1] {
        assert_eq!(subscribe(taken_ms).await.unwrap().allowance.period.end_ms, taken_ms);
    }
}
