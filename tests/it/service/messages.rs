//! Single messages and what can be read about deliveries.

use actiwapi_dispatcher::domain::id::{CampaignId, SessionId};
use actiwapi_dispatcher::domain::job::TrafficClass;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::messages::NewText;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::messages::{DeliveryRecord, ExportCursor, TimelineEvent, TimelineKind};

use super::front::{Front, conflict, fields, phone, silent};
use crate::support::db::store_contract;
use crate::support::seed::{NOW_MS, NOW_US, count};

store_contract!(
    a_text_is_queued_at_once,
    a_text_reads_the_same_after_admission,
    every_problem_of_a_text_is_told,
    sessions_that_cannot_send_are_refused,
    an_export_goes_through_all_sessions,
);

pub(crate) fn text(session_id: SessionId) -> NewText {
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
    front.store.admit_jobs(&[&job], NOW_US).await.unwrap();
    front.store.outbox_remove(&[row.outbox_id]).await.unwrap();
    assert_eq!(count(&front.store, "outbox").await, 0);
    let found = front.store.messages().find(tenant_id, sent.id).await.unwrap().unwrap();
    assert_ne!(found.seq, sent.seq, "its place is given on admission");
    assert_eq!(DeliveryRecord { seq: sent.seq, ..found }, sent);
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
        front.store.sessions().transition(tenant_id, own, &silent(state, next)).await.unwrap();
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
    for job in expansion.jobs.iter().filter(|job| job.session_id != unused) {
        front.store.admit_jobs(&[job], NOW_US).await.unwrap();
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
