//! What happens to the connection of a session: noted, told, and held by.

use actiwapi_dispatcher::background::session_news::SessionNews as Queue;
use actiwapi_dispatcher::domain::failure::Reason;
use actiwapi_dispatcher::domain::id::{SessionId, TenantId};
use actiwapi_dispatcher::domain::session::{SessionEvent, SessionState};
use actiwapi_dispatcher::domain::session_change::{SESSION_CHANGE_VERSION, SessionChange, SessionNews};
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::events::{BatchBounds, EventKind};
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::session_events::SessionEventRecord;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::front::{Front, conflict};
use crate::support::db::store_contract;
use crate::support::seed::{self, NOW_MS};

store_contract!(
    what_the_provider_tells_moves_the_session,
    what_changes_nothing_is_not_told,
    people_close_unlink_and_restart,
    a_banned_session_can_only_be_looked_at,
    events_are_recorded_for_the_topic,
    news_from_dispatch_is_noted,
);

const NODE: Uuid = Uuid::from_u128(0xdd);

async fn connected(front: &Front) -> (TenantId, SessionId) {
    let tenant_id = front.tenant().await;
    (tenant_id, front.connected_session(tenant_id).await)
}

async fn events(front: &Front, (tenant_id, id): (TenantId, SessionId)) -> Vec<SessionEventRecord> {
    let page = front.store.sessions().events(tenant_id, id, PageRequest::default()).await.unwrap();
    assert_eq!(page.total, u64::try_from(page.items.len()).unwrap());
    page.items
}

async fn words(front: &Front, session: (TenantId, SessionId)) -> Vec<&'static str> {
    events(front, session).await.into_iter().map(|event| event.news.as_str()).collect()
}

async fn standing(front: &Front, (tenant_id, id): (TenantId, SessionId)) -> (SessionState, Option<String>) {
    let session = front.store.sessions().find(tenant_id, id).await.unwrap().unwrap();
    (session.state, session.state_reason)
}

async fn what_the_provider_tells_moves_the_session(store: Store) {
    let mut front = Front::new(store);
    for (event, state, word) in [
        (SessionEvent::ConnectionLost, SessionState::Reconnecting, "session.reconnecting"),
        (SessionEvent::LoggedOut, SessionState::LoggedOut, "session.logged_out"),
        (SessionEvent::Banned, SessionState::Banned, "session.banned"),
        (SessionEvent::Replaced, SessionState::Disconnected, "session.replaced"),
    ] {
        let session = connected(&front).await;
        front.notices();
        front.services.sessions.report(session.1, event, Reason::AccountLocked).await.unwrap();
        assert_eq!(standing(&front, session).await, (state, Some("ACCOUNT_LOCKED".to_owned())));
        assert_eq!(front.notices(), [Notice::SessionChanged(session.1)]);
        assert_eq!(words(&front, session).await, [word, "session.connected"]);
        let newest = events(&front, session).await.remove(0);
        assert_eq!((newest.state, newest.from, newest.at_ms), (state, SessionState::Connected, NOW_MS));
        assert_eq!(newest.reason.as_deref(), Some("ACCOUNT_LOCKED"));
        assert_eq!(front.store.lane(session.1).await.unwrap().unwrap().state, state, "its lane is held by it");
    }
}

async fn what_changes_nothing_is_not_told(store: Store) {
    let mut front = Front::new(store);
    let session = connected(&front).await;
    let report = async |event| front.services.sessions.report(session.1, event, Reason::SessionDisconnected).await;
    report(SessionEvent::ConnectionLost).await.unwrap();
    report(SessionEvent::ConnectionLost).await.unwrap();
    report(SessionEvent::Connected).await.unwrap();
    report(SessionEvent::Connected).await.unwrap();
    assert_eq!(standing(&front, session).await, (SessionState::Connected, None));
    let expected = ["session.connected", "session.reconnecting", "session.connected"];
    assert_eq!(words(&front, session).await, expected);
    front.notices();
    let nobody = SessionId::generate();
    front.services.sessions.report(nobody, SessionEvent::Banned, Reason::AccountLocked).await.unwrap();
    assert_eq!(front.notices(), []);
    let since = seed::count(&front.store, &format!("sessions WHERE connected_at_ms = {NOW_MS}")).await;
    assert_eq!(since, 1, "a lane begins slowly after that");
}

async fn people_close_unlink_and_restart(store: Store) {
    let front = Front::new(store);
    let session = connected(&front).await;
    let (tenant_id, id) = session;
    let sessions = &front.services.sessions;
    for _ in 0..2 {
        let closed = sessions.disconnect(tenant_id, id).await.unwrap();
        assert_eq!((closed.state, closed.state_reason), (SessionState::Disconnected, None));
    }
    assert_eq!(sessions.restart(tenant_id, id).await.unwrap().state, SessionState::Connected);
    assert_eq!(sessions.restart(tenant_id, id).await.unwrap().state, SessionState::Connected);
    for _ in 0..2 {
        assert_eq!(sessions.logout(tenant_id, id).await.unwrap().state, SessionState::LoggedOut);
    }
    assert_eq!(sessions.disconnect(tenant_id, id).await.unwrap().state, SessionState::LoggedOut, "it is unlinked");
    let mut told = words(&front, session).await;
    told.reverse();
    let c = "session.connected";
    let d = "session.disconnected";
    assert_eq!(told, [c, d, c, d, c, "session.logged_out"]);
}

async fn a_banned_session_can_only_be_looked_at(store: Store) {
    let front = Front::new(store);
    let (tenant_id, id) = connected(&front).await;
    let sessions = &front.services.sessions;
    sessions.report(id, SessionEvent::Banned, Reason::AccountRestricted).await.unwrap();
    assert_eq!(conflict(sessions.disconnect(tenant_id, id).await), "The session is banned.");
    assert_eq!(conflict(sessions.logout(tenant_id, id).await), "The session is banned.");
    assert_eq!(conflict(sessions.restart(tenant_id, id).await), "The session is banned.");
}

async fn events_are_recorded_for_the_topic(store: Store) {
    let front = Front::new(store.recording_events(NODE));
    let session = connected(&front).await;
    front.services.sessions.report(session.1, SessionEvent::LoggedOut, Reason::AuthInvalid).await.unwrap();
    let bounds = BatchBounds { n_rows: 10, n_bytes: u32::MAX };
    let batches = front.store.event_batches_of(NODE, bounds).await.unwrap();
    assert!(batches.iter().all(|batch| batch.kind == EventKind::Session));
    let told: Vec<SessionChange> =
        batches.iter().flat_map(|batch| serde_json::from_str::<Vec<_>>(&batch.events).unwrap()).collect();
    assert_eq!(told.len(), 2);
    let newest = &events(&front, session).await[0];
    let expected = SessionChange {
        v: SESSION_CHANGE_VERSION,
        event_id: newest.id,
        event: SessionNews::LoggedOut,
        tenant_id: session.0,
        session_id: session.1,
        state: SessionState::LoggedOut,
        from: SessionState::Connected,
        reason: Some("AUTH_INVALID".to_owned()),
        at: told[1].at,
    };
    assert_eq!(told[1], expected);
    assert_eq!(told[1].at.unix_timestamp_nanos() / 1_000_000, i128::from(NOW_MS));
}

async fn news_from_dispatch_is_noted(store: Store) {
    let front = Front::new(store);
    let session = connected(&front).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let news = Queue { sessions: front.services.sessions.clone(), receiver };
    for event in [SessionEvent::ConnectionLost, SessionEvent::LoggedOut] {
        sender.send((session.1, event, Reason::NumberGone)).await.unwrap();
    }
    drop(sender);
    news.run(CancellationToken::new()).await;
    assert_eq!(standing(&front, session).await, (SessionState::LoggedOut, Some("NUMBER_GONE".to_owned())));
}
