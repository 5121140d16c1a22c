//! Contracts of [`Store::write_journal`] about receipts: any order, any number, any time.

use actiwapi_dispatcher::domain::campaign::Counters;
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId};
use actiwapi_dispatcher::domain::receipt::{Receipt, ReceiptKind};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::{JournalBatch, Written};

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS};

store_contract!(
    receipts_lift_deliveries,
    receipts_in_any_order_end_alike,
    doubled_receipts_change_nothing,
    receipts_of_strangers_are_ignored,
    a_receipt_before_the_outcome_stays,
    a_receipt_keeps_the_next_attempt_from_being_made,
    failures_are_counted_by_class,
);

/// A lane with `n` deliveries whose first attempt is under way.
async fn sending(store: &Store, n: u64) -> (Entries, Vec<DeliveryId>) {
    let lane = seed::lane(store).await;
    let campaign_id = CampaignId::generate();
    let ids = seed::admit(store, &seed::job(lane, campaign_id, n)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
    (entries, ids)
}

async fn receipts_lift_deliveries(store: Store) {
    let (entries, ids) = sending(&store, 1).await;
    journal::end(&store, vec![entries.end(ids[0], 1, journal::accepted())]).await;
    let steps = [(ReceiptKind::Sent, 1), (ReceiptKind::Delivered, 2), (ReceiptKind::Read, 3)];
    for (kind, after_ms) in steps {
        let receipt = Receipt { at_ms: NOW_MS + after_ms, ..entries.receipt(ids[0], kind) };
        journal::receive(&store, vec![receipt]).await;
    }
    let row = seed::row(&store, ids[0]).await;
    assert_eq!(row.state, "read");
    assert_eq!(
        (row.sent_at_ms, row.delivered_at_ms, row.read_at_ms),
        (Some(NOW_MS), Some(NOW_MS + 2), Some(NOW_MS + 3))
    );
    assert_eq!(row.provider_message_id.as_deref(), Some("wamid.A"), "the provider's first word stays");
    let expected = Counters { accepted: 1, read: 1, ..Counters::default() };
    assert_eq!(seed::ledger(&store, entries.campaign_id).await, expected);
}

async fn receipts_in_any_order_end_alike(store: Store) {
    use ReceiptKind::{Delivered, Failed, Read, Sent};
    let orders = [
        [Sent, Delivered, Read, Failed],
        [Read, Delivered, Sent, Failed],
        [Failed, Read, Sent, Delivered],
        [Delivered, Failed, Read, Sent],
    ];
    let (entries, ids) = sending(&store, 8).await;
    for (order, pair) in orders.iter().zip(ids.chunks(2)) {
        // One delivery gets all reports in one batch, the other one by one.
        let receipts: Vec<_> = order.iter().map(|kind| entries.receipt(pair[0], *kind)).collect();
        journal::receive(&store, receipts).await;
        for kind in order {
            journal::receive(&store, vec![entries.receipt(pair[1], *kind)]).await;
        }
    }
    let expected = seed::row(&store, ids[0]).await;
    assert_eq!((expected.state.as_str(), &expected.reason), ("read", &None));
    for id in &ids[1..] {
        assert_eq!(seed::row(&store, *id).await, expected);
    }
    assert_eq!(seed::ledger(&store, entries.campaign_id).await.read, 8);
}

async fn doubled_receipts_change_nothing(store: Store) {
    let (entries, ids) = sending(&store, 1).await;
    let receipt = entries.receipt(ids[0], ReceiptKind::Delivered);
    let later = Receipt { at_ms: NOW_MS + 60_000, ..receipt.clone() };
    let written = journal::receive(&store, vec![later.clone(), receipt.clone(), receipt]).await;
    assert_eq!(written.n_receipts_applied, 1);
    assert_eq!(journal::receive(&store, vec![later]).await, Written::default());
    assert_eq!(seed::row(&store, ids[0]).await.delivered_at_ms, Some(NOW_MS));
    assert_eq!(seed::ledger(&store, entries.campaign_id).await.delivered, 1);
}

async fn receipts_of_strangers_are_ignored(store: Store) {
    let (entries, ids) = sending(&store, 1).await;
    let receipts = vec![
        entries.receipt(DeliveryId::generate(), ReceiptKind::Read),
        entries.receipt(ids[0], ReceiptKind::Sent),
        entries.receipt(CampaignId::DIRECT.0.to_string().parse().unwrap(), ReceiptKind::Failed),
    ];
    assert_eq!(journal::receive(&store, receipts).await.n_receipts_applied, 1);
    assert_eq!(seed::ledger(&store, entries.campaign_id).await.sent, 1);
}

async fn a_receipt_before_the_outcome_stays(store: Store) {
    let ended = [journal::accepted(), journal::deferred(), journal::rejected(), journal::unknown()];
    let (entries, ids) = sending(&store, 8).await;
    let (early, together) = ids.split_at(4);
    journal::receive(&store, early.iter().map(|id| entries.receipt(*id, ReceiptKind::Delivered)).collect()).await;
    let ends =
        |ids: &[DeliveryId]| ids.iter().zip(ended.clone()).map(|(id, ended)| entries.end(*id, 1, ended)).collect();
    journal::end(&store, ends(early)).await;
    let receipts = together.iter().map(|id| entries.receipt(*id, ReceiptKind::Delivered)).collect();
    journal::write(&store, JournalBatch { ends: ends(together), receipts, ..JournalBatch::default() }).await;
    for id in &ids {
        let row = seed::row(&store, *id).await;
        assert_eq!((row.state.as_str(), row.reason, row.due_at_ms), ("delivered", None, 0));
        assert_eq!(seed::outcomes(&store, *id).await.len(), 1, "the outcome is kept all the same");
    }
    assert_eq!(seed::ledger(&store, entries.campaign_id).await.delivered, 8);
}

async fn a_receipt_keeps_the_next_attempt_from_being_made(store: Store) {
    let (entries, ids) = sending(&store, 2).await;
    journal::end(&store, ids.iter().map(|id| entries.end(*id, 1, journal::deferred())).collect()).await;
    let batch = JournalBatch {
        begins: ids.iter().map(|id| entries.begin(*id, 2)).collect(),
        receipts: vec![entries.receipt(ids[0], ReceiptKind::Sent)],
        ..JournalBatch::default()
    };
    assert_eq!(journal::write(&store, batch).await.begun, [ids[1]]);
    assert_eq!(seed::state(&store, ids[0]).await, DeliveryState::Sent);
    seed::ledger(&store, entries.campaign_id).await;
}

async fn failures_are_counted_by_class(store: Store) {
    let (entries, ids) = sending(&store, 3).await;
    journal::receive(&store, vec![entries.receipt(ids[0], ReceiptKind::Failed)]).await;
    let silent = Receipt { failure: None, ..entries.receipt(ids[1], ReceiptKind::Failed) };
    journal::receive(&store, vec![silent]).await;
    journal::end(&store, vec![entries.end(ids[2], 1, journal::rejected())]).await;
    let failed = Counters { accepted: 3, failed_limit: 1, failed_unavailable: 2, ..Counters::default() };
    assert_eq!(seed::ledger(&store, entries.campaign_id).await, failed);
    // A delivery that arrives after all leaves the counter that it was in.
    journal::receive(&store, ids.iter().map(|id| entries.receipt(*id, ReceiptKind::Delivered)).collect()).await;
    let delivered = Counters { accepted: 3, delivered: 3, ..Counters::default() };
    assert_eq!(seed::ledger(&store, entries.campaign_id).await, delivered);
}
