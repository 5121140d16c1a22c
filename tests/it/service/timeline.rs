//! The history of a delivery, from what the journal wrote.

use actiwapi_dispatcher::domain::attempt::Outcome;
use actiwapi_dispatcher::domain::delivery::{DeliveryEvent, DeliveryState};
use actiwapi_dispatcher::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use actiwapi_dispatcher::domain::receipt::{Receipt, ReceiptKind};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::{Dismissal, End, Ended, JournalBatch};
use actiwapi_dispatcher::store::messages::{TimelineEvent, TimelineKind};

use super::front::Front;
use super::messages::text;
use crate::support::db::store_contract;
use crate::support::journal::Entries;
use crate::support::seed::{NOW_MS, NOW_US};

store_contract!(a_timeline_tells_every_step, a_timeline_ends_with_what_no_attempt_explains,);

/// Sends texts and admits them.
async fn admitted(front: &Front, tenant_id: TenantId, n: usize) -> (SessionId, Vec<DeliveryId>) {
    let own = front.connected_session(tenant_id).await;
    let mut ids = vec![];
    for _ in 0..n {
        ids.push(front.services.messages.send_text(tenant_id, text(own)).await.unwrap().id);
    }
    for row in front.store.outbox_next(100).await.unwrap() {
        let job = row.job.unwrap();
        front.store.admit_jobs(&[&job], NOW_US).await.unwrap();
    }
    (own, ids)
}

fn begin(session_id: SessionId, delivery_id: DeliveryId, attempt_no: u32, started_at_ms: i64) -> JournalBatch {
    let campaign_id = CampaignId::DIRECT;
    let entries = Entries { session_id, campaign_id, at_ms: started_at_ms };
    let begin = entries.begin(delivery_id, attempt_no);
    JournalBatch { begins: vec![begin], ..JournalBatch::default() }
}

fn end(session_id: SessionId, delivery_id: DeliveryId, attempt_no: u32, outcome: Outcome) -> JournalBatch {
    let end = End {
        delivery_id,
        campaign_id: CampaignId::DIRECT,
        session_id,
        attempt_no,
        ended: Ended::Outcome(outcome),
        ended_at_ms: NOW_MS + 10 * i64::from(attempt_no) + 5,
        due_at_ms: NOW_MS + 10 * i64::from(attempt_no) + 10,
        is_try: true,
    };
    JournalBatch { ends: vec![end], ..JournalBatch::default() }
}

fn receipt(delivery_id: DeliveryId, kind: ReceiptKind, at_ms: i64) -> JournalBatch {
    let receipt = Receipt { delivery_id, kind, at_ms, provider_message_id: None, failure: None };
    JournalBatch { receipts: vec![receipt], ..JournalBatch::default() }
}

fn throttled() -> Failure {
    Failure {
        class: FailureClass::LimitExceeded,
        reason: Reason::PairRateLimit,
        scope: Scope::Pair,
        retry: Retry::Never,
        handling: Handling::HoldPair,
        provider_code: Some("graph:131056".to_owned()),
    }
}

async fn a_timeline_tells_every_step(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let (session_id, ids) = admitted(&front, tenant_id, 1).await;
    let id = ids[0];
    let accepted = Outcome::Accepted { provider_message_id: "wamid.1".to_owned() };
    for batch in [
        begin(session_id, id, 1, NOW_MS + 10),
        end(session_id, id, 1, Outcome::Deferred(throttled())),
        begin(session_id, id, 2, NOW_MS + 20),
        end(session_id, id, 2, accepted),
        // The provider's clock is behind ours.
        receipt(id, ReceiptKind::Delivered, NOW_MS - 1_000),
        receipt(id, ReceiptKind::Read, NOW_MS + 2_000),
    ] {
        front.store.write_journal(&batch).await.unwrap();
    }
    let found = front.store.messages().find(tenant_id, id).await.unwrap().unwrap();
    assert_eq!((found.state, found.n_attempts), (DeliveryState::Read, 2));
    assert_eq!(found.provider_message_id.as_deref(), Some("wamid.1"));
    let timeline = front.store.messages().timeline(tenant_id, id).await.unwrap().unwrap();
    let deferred = TimelineKind::AttemptEnded {
        attempt_no: 1,
        outcome: "deferred".to_owned(),
        failure_class: Some(FailureClass::LimitExceeded),
        reason: Some(Reason::PairRateLimit),
        provider_code: Some("graph:131056".to_owned()),
    };
    let accepted = TimelineKind::AttemptEnded {
        attempt_no: 2,
        outcome: "accepted".to_owned(),
        failure_class: None,
        reason: None,
        provider_code: None,
    };
    let expected = [
        (0, TimelineKind::Queued),
        (10, TimelineKind::AttemptStarted { attempt_no: 1, settings_version: Some(1) }),
        (15, deferred),
        (20, TimelineKind::AttemptStarted { attempt_no: 2, settings_version: Some(1) }),
        (25, accepted),
        (-1_000, TimelineKind::Delivered),
        (2_000, TimelineKind::Read),
    ];
    let expected = expected.map(|(after_ms, kind)| TimelineEvent { at_ms: NOW_MS + after_ms, kind });
    assert_eq!(timeline, expected);
}

async fn a_timeline_ends_with_what_no_attempt_explains(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let (session_id, ids) = admitted(&front, tenant_id, 3).await;
    let dismissal = Dismissal {
        delivery_id: ids[0],
        campaign_id: CampaignId::DIRECT,
        event: DeliveryEvent::Skipped,
        reason: Reason::Expired,
        class: None,
        at_ms: NOW_MS + 3,
    };
    let batches = [
        JournalBatch { dismissals: vec![dismissal], ..JournalBatch::default() },
        begin(session_id, ids[1], 1, NOW_MS + 10),
        end(session_id, ids[1], 1, Outcome::Rejected(throttled())),
        begin(session_id, ids[2], 1, NOW_MS + 10),
    ];
    for batch in batches {
        front.store.write_journal(&batch).await.unwrap();
    }
    let mut last = vec![];
    for id in ids {
        last.push(front.store.messages().timeline(tenant_id, id).await.unwrap().unwrap().pop().unwrap());
    }
    let skipped = TimelineKind::Settled { state: DeliveryState::Skipped, reason: Some(Reason::Expired) };
    assert_eq!(last[0], TimelineEvent { at_ms: NOW_MS + 3, kind: skipped });
    assert!(matches!(last[1].kind, TimelineKind::AttemptEnded { attempt_no: 1, .. }), "{last:?}");
    assert_eq!(last[2].kind, TimelineKind::AttemptStarted { attempt_no: 1, settings_version: Some(1) });
}
