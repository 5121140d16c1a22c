//! Requests that count once: one claim of many wins, answers read back, names are free again after their time.

use actiwapi_dispatcher::domain::id::TenantId;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::idempotency::{Claim, EarlierRequest, RequestName, StoredAnswer};
use futures::future::join_all;
use uuid::Uuid;

use crate::support::db::store_contract;
use crate::support::seed::{NOW_MS, count};

store_contract!(
    one_of_many_claims_wins,
    an_answer_reads_back,
    names_are_those_of_a_tenant_and_an_operation,
    a_released_name_is_free,
    a_name_is_free_after_its_time,
    the_oldest_are_forgotten_first,
);

const NOW: (i64, i64) = (NOW_MS, NOW_MS - 1_000);

fn claim(key: &str) -> Claim {
    let name = RequestName { tenant_id: TenantId(Uuid::nil()), operation: "send_text".to_owned(), key: key.to_owned() };
    Claim { name, claim_id: Uuid::now_v7() }
}

fn answer() -> StoredAnswer {
    StoredAnswer { status: 201, text: "{\"name\":\"Zoë\"}".to_owned() }
}

async fn one_of_many_claims_wins(store: Store) {
    let claims: Vec<Claim> = (0..6).map(|_| claim("a")).collect();
    let taken =
        join_all(claims.iter().map(async |claim| store.idempotency().claim(claim, [1; 32], NOW).await.unwrap()));
    assert_eq!(taken.await.iter().filter(|taken| **taken).count(), 1);
    let found = store.idempotency().find(&claims[0].name).await.unwrap();
    assert_eq!(found, Some(EarlierRequest { fingerprint: [1; 32], claimed_at_ms: NOW_MS, answer: None }));
}

async fn an_answer_reads_back(store: Store) {
    let (ours, late) = (claim("a"), claim("a"));
    assert!(store.idempotency().claim(&ours, [1; 32], NOW).await.unwrap());
    assert!(!store.idempotency().claim(&late, [2; 32], NOW).await.unwrap());
    // Whoever has not the claim changes nothing.
    store.idempotency().answer(&late, &StoredAnswer { status: 200, text: String::new() }).await.unwrap();
    store.idempotency().release(&late).await.unwrap();
    assert_eq!(store.idempotency().find(&ours.name).await.unwrap().unwrap().answer, None);
    store.idempotency().answer(&ours, &answer()).await.unwrap();
    let found = store.idempotency().find(&ours.name).await.unwrap().unwrap();
    assert_eq!((found.fingerprint, found.answer), ([1; 32], Some(answer())));
}

async fn names_are_those_of_a_tenant_and_an_operation(store: Store) {
    let first = claim("a");
    let of = |change: fn(&mut RequestName)| {
        let mut other = claim("a");
        change(&mut other.name);
        other
    };
    let other_key = of(|name| name.key = "A".to_owned());
    let other_tenant = of(|name| name.tenant_id = TenantId::generate());
    let other_operation = of(|name| name.operation = "create_session".to_owned());
    for claim in [&first, &other_key, &other_tenant, &other_operation] {
        assert!(store.idempotency().claim(claim, [1; 32], NOW).await.unwrap(), "{claim:?}");
    }
}

async fn a_released_name_is_free(store: Store) {
    let first = claim("a");
    assert!(store.idempotency().claim(&first, [1; 32], NOW).await.unwrap());
    store.idempotency().release(&first).await.unwrap();
    assert_eq!(store.idempotency().find(&first.name).await.unwrap(), None);
    assert!(store.idempotency().claim(&claim("a"), [2; 32], NOW).await.unwrap());
}

async fn a_name_is_free_after_its_time(store: Store) {
    let (first, second) = (claim("a"), claim("a"));
    assert!(store.idempotency().claim(&first, [1; 32], NOW).await.unwrap());
    store.idempotency().answer(&first, &answer()).await.unwrap();
    assert!(!store.idempotency().claim(&second, [2; 32], (NOW_MS + 9, NOW_MS)).await.unwrap());
    assert!(store.idempotency().claim(&second, [2; 32], (NOW_MS + 10, NOW_MS + 1)).await.unwrap());
    // The first is late now.
    store.idempotency().answer(&first, &answer()).await.unwrap();
    let found = store.idempotency().find(&first.name).await.unwrap();
    assert_eq!(found, Some(EarlierRequest { fingerprint: [2; 32], claimed_at_ms: NOW_MS + 10, answer: None }));
}

async fn the_oldest_are_forgotten_first(store: Store) {
    for n in 0..5 {
        let taken = store.idempotency().claim(&claim(&n.to_string()), [1; 32], (NOW_MS + n, NOW_MS)).await;
        assert!(taken.unwrap());
    }
    assert_eq!(store.idempotency().forget(NOW_MS + 4, 3).await.unwrap(), 3);
    assert_eq!(store.idempotency().find(&claim("3").name).await.unwrap().unwrap().claimed_at_ms, NOW_MS + 3);
    assert_eq!(store.idempotency().forget(NOW_MS + 4, 3).await.unwrap(), 1);
    assert_eq!(store.idempotency().forget(NOW_MS + 4, 3).await.unwrap(), 0);
    assert_eq!(count(&store, "idempotency_keys").await, 1);
}
