//! The last messages of a plan, wanted by very many at once: exactly so many are accepted, and counted.

use actiwapi_dispatcher::domain::plan::{LimitChange, SubscriptionState};
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::messages::NewText;
use actiwapi_dispatcher::service::plans::NewSubscription;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::plans::PlanChange;
use futures::StreamExt;

use crate::service::front::{Front, phone};
use crate::support::db::store_contract;
use crate::support::seed::{self, NOW_US};

store_contract!(exactly_the_last_messages_are_accepted);

const N_USED: i64 = 20;
const N_LEFT: i64 = 100;

/// How many want one of them: `E2E_SENDS`.
fn n_sends() -> u64 {
    std::env::var("E2E_SENDS").map_or(500, |n| n.parse().expect("E2E_SENDS is a number"))
}

async fn exactly_the_last_messages_are_accepted(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session_id = front.connected_session(tenant_id).await;
    let limits = LimitChange { messages: Some(Some(N_USED + N_LEFT)), ..LimitChange::default() };
    let change = PlanChange { limits, ..PlanChange::default() };
    front.services.plans.change("growth", change, &Actor::SYSTEM).await.unwrap();
    let new = NewSubscription { plan: "growth".to_owned(), state: SubscriptionState::Active, period_end: None };
    front.services.plans.subscribe(tenant_id, new, Actor::SYSTEM).await.unwrap();
    let send = async |n: u64| {
        let text = NewText { session_id, to: phone(n), text: "x".to_owned() };
        front.services.messages.send_text(tenant_id, text).await
    };
    for n in 0..N_USED.unsigned_abs() {
        send(n).await.unwrap();
    }
    let admit_all = async || {
        let rows = front.store.outbox_next(50).await.unwrap();
        for row in &rows {
            front.store.admit_jobs(&[row.job.as_ref().unwrap()], NOW_US).await.unwrap();
        }
        rows.len()
    };
    // What was accepted is admitted meanwhile, so the last ones are counted here and there.
    let sending =
        futures::stream::iter(1_000..1_000 + n_sends()).map(send).buffer_unordered(10_000).collect::<Vec<_>>();
    let admitting = async {
        for _ in 0..20 {
            admit_all().await;
            tokio::task::yield_now().await;
        }
    };
    let (answers, ()) = tokio::join!(sending, admitting);
    let n_accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(i64::try_from(n_accepted).unwrap(), N_LEFT);
    let refused = answers.iter().filter(|answer| matches!(answer, Err(Error::LimitExceeded(_)))).count();
    assert_eq!(refused + n_accepted, answers.len(), "nothing else is refused");
    while admit_all().await != 0 {}
    let (stored, counted) = front.store.recount_usage_of(tenant_id).await.unwrap().unwrap();
    assert_eq!(stored, counted);
    assert_eq!((stored.reserved, stored.waiting), (N_USED + N_LEFT, 0));
    assert_eq!(seed::count(&front.store, "deliveries").await, N_USED + N_LEFT);
}
