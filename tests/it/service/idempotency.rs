//! Requests that count once: what becomes of the second, of one that never ended, and after a day.

use std::time::Duration;

use actiwapi_dispatcher::domain::id::TenantId;
use actiwapi_dispatcher::limits::{IDEMPOTENCY_KEPT, IDEMPOTENCY_UNDER_WAY_MAX};
use actiwapi_dispatcher::service::idempotency::Admission;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::idempotency::{Claim, RequestName, StoredAnswer};

use super::front::{Front, conflict, fields};
use crate::support::db::store_contract;
use crate::support::seed::count;

store_contract!(
    the_second_gets_the_answer_of_the_first,
    what_is_under_way_is_not_done_again,
    what_never_ended_is_not_done_again,
    a_key_is_free_after_a_day,
    keys_that_are_none_are_refused,
    answers_are_forgotten_after_a_day,
);

const SAME: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

fn name(key: &str) -> RequestName {
    RequestName { tenant_id: TenantId(uuid::Uuid::nil()), operation: "send_text".to_owned(), key: key.to_owned() }
}

fn answer() -> StoredAnswer {
    StoredAnswer { status: 200, text: "{}".to_owned() }
}

async fn claimed(front: &Front, key: &str) -> Claim {
    match front.services.idempotency.admit(name(key), SAME).await.unwrap() {
        Admission::Do(claim) => claim,
        Admission::Done(answer) => panic!("{answer:?}"),
    }
}

async fn the_second_gets_the_answer_of_the_first(store: Store) {
    let front = Front::new(store);
    let requests = &front.services.idempotency;
    let claim = claimed(&front, "a").await;
    requests.keep(&claim, &answer()).await.unwrap();
    assert_eq!(requests.admit(name("a"), SAME).await.unwrap(), Admission::Done(answer()));
    let refused = conflict(requests.admit(name("a"), OTHER).await);
    assert_eq!(refused, "This Idempotency-Key was used for another request: take another one.");
    claimed(&front, "b").await;
}

async fn what_is_under_way_is_not_done_again(store: Store) {
    let front = Front::new(store);
    let requests = &front.services.idempotency;
    let claim = claimed(&front, "a").await;
    front.clock.advance(IDEMPOTENCY_UNDER_WAY_MAX - Duration::from_millis(1));
    let refused = conflict(requests.admit(name("a"), SAME).await);
    assert_eq!(refused, "A request with this Idempotency-Key is under way: ask again in a moment.");
    requests.release(&claim).await.unwrap();
    claimed(&front, "a").await;
}

async fn what_never_ended_is_not_done_again(store: Store) {
    let front = Front::new(store);
    let requests = &front.services.idempotency;
    let claim = claimed(&front, "a").await;
    front.clock.advance(IDEMPOTENCY_UNDER_WAY_MAX);
    let refused = conflict(requests.admit(name("a"), SAME).await);
    assert!(refused.contains("is not known"), "{refused}");
    // It was only slow.
    requests.keep(&claim, &answer()).await.unwrap();
    assert_eq!(requests.admit(name("a"), SAME).await.unwrap(), Admission::Done(answer()));
}

async fn a_key_is_free_after_a_day(store: Store) {
    let front = Front::new(store);
    let requests = &front.services.idempotency;
    let claim = claimed(&front, "a").await;
    requests.keep(&claim, &answer()).await.unwrap();
    front.clock.advance(IDEMPOTENCY_KEPT);
    assert_eq!(requests.admit(name("a"), SAME).await.unwrap(), Admission::Done(answer()));
    front.clock.advance(Duration::from_millis(1));
    assert!(matches!(requests.admit(name("a"), OTHER).await.unwrap(), Admission::Do(_)));
}

async fn keys_that_are_none_are_refused(store: Store) {
    let front = Front::new(store);
    for bad in ["", "a b", "é", "a\u{0}"] {
        assert_eq!(fields(front.services.idempotency.admit(name(bad), SAME).await), ["Idempotency-Key"], "{bad:?}");
    }
    assert_eq!(count(&front.store, "idempotency_keys").await, 0);
}

async fn answers_are_forgotten_after_a_day(store: Store) {
    let front = Front::new(store);
    claimed(&front, "old").await;
    front.clock.advance(IDEMPOTENCY_KEPT);
    claimed(&front, "new").await;
    front.services.idempotency.forget_old().await.unwrap();
    assert_eq!(count(&front.store, "idempotency_keys").await, 2);
    front.clock.advance(Duration::from_millis(1));
    front.services.idempotency.forget_old().await.unwrap();
    assert_eq!(count(&front.store, "idempotency_keys WHERE idempotency_key = 'new'").await, 1);
    assert_eq!(count(&front.store, "idempotency_keys").await, 1);
}
