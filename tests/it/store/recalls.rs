//! Contracts of recalls that take several steps in one stream.

use actiwapi_dispatcher::domain::campaign::{CampaignState, Counters, OnUnknown};
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::failure::Reason;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, UserId};
use actiwapi_dispatcher::domain::recall::RecallKind;
use actiwapi_dispatcher::domain::receipt::{Receipt, ReceiptKind};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::JournalBatch;
use actiwapi_dispatcher::store::recalls::{Asked, NewRecall, Progress};

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    what_fails_again_is_not_taken_up_again_by_the_same_recall,
    receipts_of_the_failed_attempt_say_nothing_about_the_next,
    receipts_of_every_failed_attempt_are_passed_over,
    receipts_of_the_unknown_attempt_still_count,
    a_repeated_batch_does_not_undo_a_recall,
);

async fn fail(store: &Store, entries: Entries, ids: &[DeliveryId], attempt_no: u32) {
    journal::begin(store, ids.iter().map(|id| entries.begin(*id, attempt_no)).collect()).await;
    let ends = ids.iter().map(|id| entries.end(*id, attempt_no, journal::rejected_by_limit()));
    journal::end(store, ends.collect()).await;
}

async fn ask(store: &Store, lane: Lane, campaign_id: CampaignId, kind: RecallKind) {
    let new = NewRecall {
        tenant_id: lane.tenant_id,
        campaign_id,
        kind,
        reasons: vec![Reason::Throughput],
        user_id: UserId::generate(),
        request_id: None,
        at_ms: NOW_MS,
    };
    assert_eq!(store.ask_recall(&new).await.unwrap(), Asked::Begun);
}

/// A running campaign with one delivery of which an attempt has begun.
async fn begun(store: &Store) -> (Lane, Entries, DeliveryId) {
    let lane = seed::lane(store).await;
    let campaign_id = seed::campaign(store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    seed::recipients(store, campaign_id, &[lane], 0).await;
    let id = seed::admit(store, &seed::job(lane, campaign_id, 1)).await[0];
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(store, vec![entries.begin(id, 1)]).await;
    (lane, entries, id)
}

async fn recall(store: &Store, lane: Lane, entries: Entries, kind: RecallKind) {
    ask(store, lane, entries.campaign_id, kind).await;
    while !store.step_recall(entries.campaign_id, NOW_MS).await.unwrap().unwrap().is_done {}
}

/// A provider may tell the same several times, also after a person had the delivery tried again.
async fn receipts_of_the_failed_attempt_say_nothing_about_the_next(store: Store) {
    let (lane, entries, id) = begun(&store).await;
    let of =
        |message: &str, kind| Receipt { provider_message_id: Some(message.to_owned()), ..entries.receipt(id, kind) };
    journal::end(&store, vec![entries.end(id, 1, journal::accepted())]).await;
    journal::receive(&store, vec![of("wamid.A", ReceiptKind::Failed)]).await;
    recall(&store, lane, entries, RecallKind::RetryFailed).await;
    let again = [ReceiptKind::Failed, ReceiptKind::Sent, ReceiptKind::Delivered].map(|kind| of("wamid.A", kind));
    journal::receive(&store, again.to_vec()).await;
    let row = seed::row(&store, id).await;
    assert_eq!((row.state.as_str(), row.provider_message_id, row.delivered_at_ms), ("pending", None, None));
    journal::begin(&store, vec![entries.begin(id, 2)]).await;
    journal::receive(&store, again.to_vec()).await;
    assert_eq!(seed::state(&store, id).await, DeliveryState::Sending);
    journal::receive(&store, vec![of("wamid.B", ReceiptKind::Delivered)]).await;
    let row = seed::row(&store, id).await;
    assert_eq!((row.state.as_str(), row.provider_message_id.as_deref()), ("delivered", Some("wamid.B")));
}

/// However often it is tried again, none of the earlier attempts settles the latest.
async fn receipts_of_every_failed_attempt_are_passed_over(store: Store) {
    let (lane, entries, id) = begun(&store).await;
    let of =
        |message: &str, kind| Receipt { provider_message_id: Some(message.to_owned()), ..entries.receipt(id, kind) };
    for (attempt_no, message) in [(1, "wamid.A"), (2, "wamid.B"), (3, "wamid.C")] {
        journal::receive(&store, vec![of(message, ReceiptKind::Failed)]).await;
        assert_eq!(seed::state(&store, id).await, DeliveryState::Failed);
        recall(&store, lane, entries, RecallKind::RetryFailed).await;
        journal::begin(&store, vec![entries.begin(id, attempt_no + 1)]).await;
    }
    for message in ["wamid.A", "wamid.B", "wamid.C"] {
        journal::receive(&store, vec![of(message, ReceiptKind::Failed), of(message, ReceiptKind::Delivered)]).await;
        assert_eq!(seed::state(&store, id).await, DeliveryState::Sending, "{message}");
    }
    journal::receive(&store, vec![of("wamid.D", ReceiptKind::Delivered)]).await;
    assert_eq!(seed::state(&store, id).await, DeliveryState::Delivered);
}

/// Nobody knows whether it went: a receipt is the first word of it.
async fn receipts_of_the_unknown_attempt_still_count(store: Store) {
    let (lane, entries, id) = begun(&store).await;
    journal::end(&store, vec![entries.end(id, 1, journal::unknown())]).await;
    recall(&store, lane, entries, RecallKind::ResolveRetry).await;
    assert_eq!(seed::state(&store, id).await, DeliveryState::Pending);
    journal::receive(&store, vec![entries.receipt(id, ReceiptKind::Delivered)]).await;
    assert_eq!(seed::state(&store, id).await, DeliveryState::Delivered);
}

/// Its first commit was not confirmed, and a person was faster than its second.
async fn a_repeated_batch_does_not_undo_a_recall(store: Store) {
    let (lane, entries, id) = begun(&store).await;
    let ends = vec![entries.end(id, 1, journal::rejected_by_limit())];
    journal::end(&store, ends.clone()).await;
    recall(&store, lane, entries, RecallKind::RetryFailed).await;
    journal::write(&store, JournalBatch { repeated: true, ends, ..JournalBatch::default() }).await;
    assert_eq!(seed::state(&store, id).await, DeliveryState::Pending);
    let row = seed::row(&store, id).await;
    assert_eq!((row.reason, row.provider_message_id), (None, None));
    seed::ledger(&store, entries.campaign_id).await;
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
    ask(&store, lane, campaign_id, RecallKind::RetryFailed).await;
    let step = async || store.step_recall(campaign_id, NOW_MS).await.unwrap();
    assert_eq!(step().await, Some(Progress { n_moved: 1_000, is_done: false }));
    fail(&store, entries, &ids[..1_000], 2).await;
    assert_eq!(step().await, Some(Progress { n_moved: 1_200, is_done: false }));
    assert_eq!(step().await, Some(Progress { n_moved: 1_200, is_done: true }));
    assert_eq!(step().await, None);
    let expected = Counters { accepted: 1_200, pending: 200, failed_limit: 1_000, ..Counters::default() };
    assert_eq!(seed::ledger(&store, campaign_id).await, expected);
}
