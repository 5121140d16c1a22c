//! What is old is forgotten by its kind, and only what is to be.

use std::time::Duration;

use actiwapi_dispatcher::domain::id::CampaignId;
use actiwapi_dispatcher::service::ledger;
use actiwapi_dispatcher::service::messages::NewText;
use actiwapi_dispatcher::service::request_log::AnsweredRequest;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::analytics::requests::Requester;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::front::{Front, KEPT, phone};
use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS, NOW_US};

store_contract!(what_is_old_is_forgotten_by_its_kind, a_sweep_ends_when_it_is_told_to);

async fn sent(front: &Front) {
    let tenant_id = front.tenant().await;
    let session_id = front.connected_session(tenant_id).await;
    let new = NewText { session_id, to: phone(1), text: "Hello".to_owned() };
    let id = front.services.messages.send_text(tenant_id, new).await.unwrap().id;
    for row in front.store.outbox_next(10).await.unwrap() {
        front.store.admit_jobs(&[&row.job.unwrap()], NOW_US).await.unwrap();
    }
    let entries = Entries { session_id, campaign_id: CampaignId::DIRECT, at_ms: NOW_MS };
    journal::begin(&front.store, vec![entries.begin(id, 1)]).await;
    journal::end(&front.store, vec![entries.end(id, 1, journal::accepted())]).await;
    let by = Requester { tenant_id, id: Uuid::now_v7(), is_key: true };
    let request = AnsweredRequest {
        by,
        is_counted: true,
        method: "GET",
        operation: "/api/v1/contacts",
        status: 200,
        duration_ms: 1,
        request_id: "r",
    };
    assert!(front.services.requests.note(&request));
    front.services.requests.write().await.unwrap();
}

async fn rows(front: &Front) -> [i64; 4] {
    [
        seed::count(&front.store, "deliveries").await,
        seed::count(&front.store, "attempts").await,
        seed::count(&front.store, "request_log").await,
        seed::count(&front.store, "session_events").await.min(1),
    ]
}

async fn what_is_old_is_forgotten_by_its_kind(store: Store) {
    let front = Front::new(store);
    sent(&front).await;
    let sweep = async || front.services.retention.sweep(&CancellationToken::new()).await.unwrap();
    front.clock.advance(KEPT - Duration::from_millis(1));
    sweep().await;
    assert_eq!(rows(&front).await, [1, 1, 1, 1]);
    front.clock.advance(Duration::from_millis(2));
    sweep().await;
    assert_eq!(rows(&front).await, [0, 0, 0, 1], "events of sessions are kept for ever here");
    let ledger = ledger::count(&front.store).await.unwrap();
    assert_eq!((ledger.accepted, ledger.drift, ledger.usage_drift), (1, 0, 0));
    assert_eq!(seed::count(&front.store, "request_days").await, 1, "counts stay");
}

async fn a_sweep_ends_when_it_is_told_to(store: Store) {
    let front = Front::new(store);
    sent(&front).await;
    front.clock.advance(KEPT + Duration::from_millis(1));
    let stop = CancellationToken::new();
    stop.cancel();
    front.services.retention.sweep(&stop).await.unwrap();
    // The first step is taken: of the messages of the only tenant.
    assert_eq!(rows(&front).await[0], 0);
}
