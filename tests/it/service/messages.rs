//! Single messages and what can be read about deliveries.

use actiwapi_dispatcher::domain::attempt::Outcome;
use actiwapi_dispatcher::domain::delivery::{DeliveryEvent, DeliveryState};
use actiwapi_dispatcher::domain::failure::{Failure, FailureClass, Reason, Retry, Scope};
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use actiwapi_dispatcher::domain::job::TrafficClass;
use actiwapi_dispatcher::domain::receipt::{Receipt, ReceiptKind};
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::messages::NewText;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::admissions::Admission;
use actiwapi_dispatcher::store::journal::{Begin, Dismissal, End, Ended, JournalBatch};
use actiwapi_dispatcher::store::messages::{ExportCursor, TimelineEvent, TimelineKind};

use super::front::{Front, conflict, fields, phone};
use crate::support::db::store_contract;
use crate::support::seed::{NOW_MS, count};

store_contract!(
    a_text_is_queued_at_once,
    a_text_reads_the_same_after_admission,
    every_problem_of_a_text_is_told,
    sessions_that_cannot_send_are_refused,
    a_timeline_tells_every_step,
    a_timeline_ends_with_what_no_attempt_explains,
    an_export_goes_through_all_sessions,
);

fn text(session_id: SessionId) -> NewText {
    NewText { session_id, to: "+91 98000 00001".to_owned(), text: "Your {code} is {{12|3}}".to_owned() }
}

async fn a_text_is_queued_at_once(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    front.notices();
    let sent = front.services.messages.send_text(tenant_id, text(own)).await.unwrap();
    assert_eq!((sent.state.api_word(), sent.recipient.as_str()), ("queued", phone(1).as_str()));
    assert_eq!(front.notices(), [Notice::OutboxWritten]);
    assert_eq!(front.store.messages().find(tenant_id, sent.id).await.unwrap(), Some(sent.clone()));
    let rows = front.store.outbox_next(10).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].outbox_id, rows[0].campaign_id), (sent.id.0, CampaignId::DIRECT));
    let job = rows[0].job.as_ref().unwrap();
    assert_eq!((job.tenant_id, job.session_id, job.campaign_id), (tenant_id, own, None));
    assert_eq!(job.traffic_class, TrafficClass::Transactional);
    assert_eq!(job.deliveries[0].id, sent.id);
    let timeline = front.store.messages().timeline(tenant_id, sent.id).await.unwrap().unwrap();
    assert_eq!(timeline, [TimelineEvent { at_ms: NOW_MS, kind: TimelineKind::Queued }]);
}

async fn a_text_reads_the_same_after_admission(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let sent = front.services.messages.send_text(tenant_id, text(own)).await.unwrap();
    let row = front.store.outbox_next(1).await.unwrap().remove(0);
    let job = row.job.unwrap();
    front.store.admit_jobs(&[Admission { job: &job, first_seq: 0 }], NOW_MS).await.unwrap();
    front.store.outbox_remove(&[row.outbox_id]).await.unwrap();
    assert_eq!(count(&front.store, "outbox").await, 0);
    assert_eq!(front.store.messages().find(tenant_id, sent.id).await.unwrap(), Some(sent));
}

async fn every_problem_of_a_text_is_told(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    for (to, body, told) in [
        ("12", " ", vec!["text", "to"]),
        ("919800000001", &*"x".repeat(4_097), vec!["text"]),
        ("someone@g.us", "x", vec!["to"]),
    ] {
        let new = NewText { session_id: own, to: to.to_owned(), text: body.to_owned() };
        assert_eq!(fields(front.services.messages.send_text(tenant_id, new).await), told);
    }
    assert_eq!(count(&front.store, "outbox").await, 0);
}

async fn sessions_that_cannot_send_are_refused(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    front.notices();
    let mut state = SessionState::Disconnected;
    for next in SessionState::ALL {
        front.store.sessions().transition(tenant_id, own, state, next).await.unwrap();
        state = next;
        let sent = front.services.messages.send_text(tenant_id, text(own)).await;
        if state.accepts_messages() {
            sent.unwrap();
        } else {
            assert_eq!(conflict(sent), format!("The session is {}; connect it first.", state.as_str()));
        }
    }
    assert_eq!(front.notices().len(), 3);
    assert_eq!(count(&front.store, "outbox").await, 3);
    let unknown = front.services.messages.send_text(tenant_id, text(SessionId::generate())).await;
    assert!(matches!(unknown, Err(Error::NotFound("session"))), "{unknown:?}");
}

/// Sends texts and admits them.
async fn admitted(front: &Front, tenant_id: TenantId, n: usize) -> (SessionId, Vec<DeliveryId>) {
    let own = front.connected_session(tenant_id).await;
    let mut ids = vec![];
    for _ in 0..n {
        ids.push(front.services.messages.send_text(tenant_id, text(own)).await.unwrap().id);
    }
    for (first_seq, row) in (0..).zip(front.store.outbox_next(100).await.unwrap()) {
        let job = row.job.unwrap();
        front.store.admit_jobs(&[Admission { job: &job, first_seq }], NOW_MS).await.unwrap();
    }
    (own, ids)
}

fn begin(session_id: SessionId, delivery_id: DeliveryId, attempt_no: u32, started_at_ms: i64) -> JournalBatch {
    let campaign_id = CampaignId::DIRECT;
    let begin = Begin { delivery_id, campaign_id, session_id, attempt_no, started_at_ms };
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
        (10, TimelineKind::AttemptStarted { attempt_no: 1 }),
        (15, deferred),
        (20, TimelineKind::AttemptStarted { attempt_no: 2 }),
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
    assert_eq!(last[2].kind, TimelineKind::AttemptStarted { attempt_no: 1 });
}

async fn an_export_goes_through_all_sessions(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let mut sessions = vec![];
    for _ in 0..4 {
        sessions.push(front.connected_session(tenant_id).await);
    }
    let id = front.campaign(tenant_id, &sessions, 1_403).await;
    // More than one session, more than one step, and one session without any delivery.
    let unused = sessions[2];
    let messages = front.store.messages();
    let start = messages.export(tenant_id, id, ExportCursor::START).await.unwrap().unwrap();
    assert_eq!((start.deliveries.len(), start.next), (0, None));
    let expansion = front.store.expand_campaign(id, 0, 1_403).await.unwrap();
    let mut expected = vec![];
    let mut first_seq = std::collections::HashMap::new();
    for job in expansion.jobs.iter().filter(|job| job.session_id != unused) {
        let first_seq = first_seq.entry(job.session_id).or_insert(0);
        front.store.admit_jobs(&[Admission { job, first_seq: *first_seq }], NOW_MS).await.unwrap();
        *first_seq += i64::try_from(job.deliveries.len()).unwrap();
        expected.extend(job.deliveries.iter().map(|delivery| (job.session_id, delivery.id)));
    }
    assert!(500 < expected.len());
    let mut exported = vec![];
    let mut next = Some(ExportCursor::START);
    while let Some(cursor) = next {
        let step = messages.export(tenant_id, id, cursor).await.unwrap().unwrap();
        exported.extend(step.deliveries.iter().map(|delivery| (delivery.session_id, delivery.id)));
        next = step.next;
    }
    let mut order: Vec<SessionId> = exported.iter().map(|(session_id, _)| *session_id).collect();
    order.dedup();
    assert_eq!(order, [sessions[0], sessions[1], sessions[3]]);
    exported.sort_unstable();
    expected.sort_unstable();
    assert_eq!(exported, expected);
}
