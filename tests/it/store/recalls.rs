//! Contracts of recalls that take several steps in one stream.

use actiwapi_dispatcher::domain::campaign::{CampaignState, Counters, OnUnknown};
use actiwapi_dispatcher::domain::failure::Reason;
use actiwapi_dispatcher::domain::id::{DeliveryId, UserId};
use actiwapi_dispatcher::domain::recall::RecallKind;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::recalls::{Asked, NewRecall, Progress};

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS};

store_contract!(what_fails_again_is_not_taken_up_again_by_the_same_recall);

async fn fail(store: &Store, entries: Entries, ids: &[DeliveryId], attempt_no: u32) {
    journal::begin(store, ids.iter().map(|id| entries.begin(*id, attempt_no)).collect()).await;
    let ends = ids.iter().map(|id| entries.end(*id, attempt_no, journal::rejected_by_limit()));
    journal::end(store, ends.collect()).await;
}

async fn what_fails_again_is_not_taken_up_again_by_the_same_recall(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    seed::recipients(&store, campaign_id, &[lane], 0).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.extend(seed::admit(&store, &seed::job(lane, campaign_id, 400)).await);
    }
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    fail(&store, entries, &ids, 1).await;
    let new = NewRecall {
        tenant_id: lane.tenant_id,
        campaign_id,
        kind: RecallKind::RetryFailed,
        reasons: vec![Reason::Throughput],
        user_id: UserId::generate(),
        request_id: None,
        at_ms: NOW_MS,
    };
    assert_eq!(store.ask_recall(&new).await.unwrap(), Asked::Begun);
    let step = async || store.step_recall(campaign_id, NOW_MS).await.unwrap();
    assert_eq!(step().await, Some(Progress { n_moved: 1_000, is_done: false }));
    fail(&store, entries, &ids[..1_000], 2).await;
    assert_eq!(step().await, Some(Progress { n_moved: 1_200, is_done: false }));
    assert_eq!(step().await, Some(Progress { n_moved: 1_200, is_done: true }));
    assert_eq!(step().await, None);
    let expected = Counters { accepted: 1_200, pending: 200, failed_limit: 1_000, ..Counters::default() };
    assert_eq!(seed::ledger(&store, campaign_id).await, expected);
}
