//! Batches of any content, worked out in memory.

use crate::domain::zone::Band;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::campaign::PassOver;
use crate::domain::failure::{Handling, Retry, Scope};
use crate::domain::recipient::Recipient;

const CAMPAIGN: CampaignId = CampaignId(Uuid::from_u128(7));
const TENANT: TenantId = TenantId(Uuid::from_u128(8));
const SESSION: SessionId = SessionId(Uuid::from_u128(9));

fn delivery(n: u8) -> DeliveryId {
    DeliveryId(Uuid::from_u128(u128::from(n)))
}

fn row(n: u8, state: DeliveryState, n_attempts: u32) -> DeliveryRow {
    DeliveryRow {
        delivery_id: delivery(n),
        tenant_id: TENANT,
        session_id: SESSION,
        campaign_id: CAMPAIGN,
        band: Band(0),
        created_at_ms: 0,
        seq: i64::from(n),
        state,
        n_attempts,
        due_at_ms: 0,
        class: (state == DeliveryState::Failed).then_some(FailureClass::LimitExceeded),
        reason: None,
        provider_code: None,
        provider_message_id: None,
        sent_at_ms: None,
        delivered_at_ms: None,
        read_at_ms: None,
        settled_at_ms: state.is_settled().then_some(1),
        quota_period_ms: None,
        ignored_message_id: None,
        is_opted_out: false,
        moved_at_ms: None,
    }
}

fn failure() -> Failure {
    Failure {
        class: FailureClass::WhatsappUnavailable,
        reason: Reason::ProviderUnavailable,
        scope: Scope::Platform,
        retry: Retry::Never,
        handling: Handling::HoldAccount,
        provider_code: None,
    }
}

fn begin(n: u8, attempt_no: u32) -> Begin {
    Begin {
        delivery_id: delivery(n),
        campaign_id: CAMPAIGN,
        session_id: SESSION,
        attempt_no,
        started_at_ms: 2,
        settings_version: 1,
        recipient: Recipient::from_stored("919876543210").unwrap(),
        pass_over: PassOver::default(),
    }
}

fn end(n: u8, attempt_no: u32, ended: Ended) -> End {
    End {
        delivery_id: delivery(n),
        campaign_id: CAMPAIGN,
        session_id: SESSION,
        attempt_no,
        ended,
        ended_at_ms: 3,
        due_at_ms: 4,
        is_try: true,
    }
}

fn receipt(n: u8, kind: ReceiptKind) -> Receipt {
    Receipt { delivery_id: delivery(n), kind, at_ms: 5, provider_message_id: None, failure: None }
}

fn rows() -> impl Strategy<Value = Vec<DeliveryRow>> {
    prop::collection::vec((prop::sample::select(&DeliveryState::ALL[..]), 0u32..3), 1..6).prop_map(|states| {
        let rows = (0u8..).zip(states);
        rows.map(|(n, (state, n_attempts))| row(n, state, n_attempts)).collect()
    })
}

fn batch() -> impl Strategy<Value = JournalBatch> {
    let kinds = [ReceiptKind::Sent, ReceiptKind::Delivered, ReceiptKind::Read, ReceiptKind::Failed];
    let ended = [
        Ended::Withdrawn,
        Ended::Outcome(Outcome::Accepted { provider_message_id: "wamid.A".to_owned() }),
        Ended::Outcome(Outcome::Deferred(failure())),
        Ended::Outcome(Outcome::Rejected(failure())),
        Ended::Outcome(Outcome::Unknown(failure())),
    ];
    let begins = prop::collection::vec((0u8..8, 0u32..4).prop_map(|(n, no)| begin(n, no)), 0..6);
    let ends = (0u8..8, 0u32..4, prop::sample::select(ended.to_vec()));
    let ends = prop::collection::vec(ends.prop_map(|(n, no, ended)| end(n, no, ended)), 0..6);
    let receipts = (0u8..8, prop::sample::select(kinds.to_vec()));
    let receipts = prop::collection::vec(receipts.prop_map(|(n, kind)| receipt(n, kind)), 0..8);
    (begins, ends, receipts).prop_map(|(begins, ends, receipts)| JournalBatch {
        begins,
        ends,
        receipts,
        ..JournalBatch::default()
    })
}

fn after(rows: &[DeliveryRow], batch: &JournalBatch) -> Vec<DeliveryRow> {
    let mut moves = Moves::of(rows.to_vec(), HashSet::new());
    moves.apply_batch(batch);
    moves.rows.into_iter().map(|moving| moving.now).collect()
}

proptest! {
    #[test]
    fn deltas_add_up_to_nothing(rows in rows(), batch in batch()) {
        let mut moves = Moves::of(rows, HashSet::new());
        moves.apply_batch(&batch);
        let deltas = moves.deltas();
        for delta in deltas.values() {
            prop_assert_eq!((delta.accepted, delta.sum()), (0, 0));
        }
        if moves.changed().is_empty() {
            prop_assert!(deltas.is_empty());
        }
    }

    #[test]
    fn what_begins_is_under_way_or_ended_in_the_batch(rows in rows(), batch in batch()) {
        let mut moves = Moves::of(rows, HashSet::new());
        for id in moves.apply_batch(&batch).begun {
            let row = find(&mut moves.rows, id).unwrap().clone();
            let has_ended = batch.ends.iter().any(|end| end.delivery_id == id);
            prop_assert!(row.state == DeliveryState::Sending || has_ended, "{:?}", row);
        }
    }

    #[test]
    fn the_order_within_a_batch_does_not_matter(rows in rows(), batch in batch()) {
        let mut reversed = batch.clone();
        reversed.begins.reverse();
        reversed.receipts.reverse();
        prop_assert_eq!(after(&rows, &batch), after(&rows, &reversed));
    }

    #[test]
    fn receipts_again_change_nothing(rows in rows(), batch in batch()) {
        let receipts = JournalBatch { receipts: batch.receipts, ..JournalBatch::default() };
        let once = after(&rows, &receipts);
        prop_assert_eq!(after(&once, &receipts), once);
    }

    #[test]
    fn a_settled_delivery_has_the_time_it_was_settled(rows in rows(), batch in batch()) {
        for row in after(&rows, &batch) {
            prop_assert_eq!(row.state.is_settled(), row.settled_at_ms.is_some(), "{:?}", row);
        }
    }

    #[test]
    fn nothing_becomes_pending_in_a_cancelled_campaign(rows in rows(), batch in batch()) {
        let mut moves = Moves::of(rows, HashSet::from([CAMPAIGN]));
        moves.apply_batch(&batch);
        prop_assert!(moves.requeue_all().is_empty());
        for Moving { was, now } in moves.rows {
            prop_assert!(now.state != DeliveryState::Pending || was.state == DeliveryState::Pending);
        }
    }
}

#[test]
fn a_begin_that_was_withdrawn_in_the_same_batch_is_over() {
    let batch =
        JournalBatch { begins: vec![begin(0, 1)], ends: vec![end(0, 1, Ended::Withdrawn)], ..JournalBatch::default() };
    let rows = after(&[row(0, DeliveryState::Pending, 0)], &batch);
    assert_eq!((rows[0].state, rows[0].n_attempts, rows[0].due_at_ms), (DeliveryState::Pending, 1, 4));
}

#[test]
fn only_rows_that_differ_are_written() {
    let rows = vec![row(0, DeliveryState::Read, 1), row(1, DeliveryState::Sending, 1)];
    let receipts = vec![receipt(0, ReceiptKind::Failed), receipt(1, ReceiptKind::Sent)];
    let batch = JournalBatch { receipts, ..JournalBatch::default() };
    let mut moves = Moves::of(rows, HashSet::new());
    moves.apply_batch(&batch);
    let changed: Vec<_> = moves.changed().iter().map(|moving| moving.was.delivery_id).collect();
    assert_eq!((changed, moves.n_receipts_applied()), (vec![delivery(1)], 1));
}
