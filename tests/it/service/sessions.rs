//! Sessions: made, connected, paced.

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::gateway::connector::{Connection, QrCode, Refusal};
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::sessions::{NewSession, PacingChange, SessionChange};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::page::PageRequest;

use super::front::{Front, conflict, fields, silent};
use crate::support::db::store_contract;
use crate::support::seed::NOW_MS;

store_contract!(
    a_new_session_is_disconnected,
    every_problem_of_a_session_is_told,
    a_number_belongs_to_one_session_of_a_tenant,
    connecting_gives_a_number_and_tells,
    connecting_twice_changes_nothing,
    the_gateway_decides_what_connecting_does,
    a_banned_session_stays_banned,
    pacing_is_its_own_or_the_default,
    sessions_are_listed_by_page,
);

fn named(name: &str) -> NewSession {
    NewSession { name: name.to_owned(), ..NewSession::default() }
}

async fn a_new_session_is_disconnected(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let made = front.services.sessions.create(tenant_id, named(" Shop ")).await.unwrap();
    assert_eq!((made.name.as_str(), made.state), ("Shop", SessionState::Disconnected));
    assert_eq!(front.store.sessions().find(tenant_id, made.id).await.unwrap(), Some(made));
}

async fn every_problem_of_a_session_is_told(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let bad = NewSession {
        name: "x\0".to_owned(),
        phone_number_id: Some("+12".to_owned()),
        pacing: PacingChange { rate_per_minute: Some(f64::NAN), burst: Some(65) },
    };
    let told = fields(front.services.sessions.create(tenant_id, bad).await);
    assert_eq!(told, ["name", "phoneNumberId", "ratePerMinute", "burst"]);
}

async fn a_number_belongs_to_one_session_of_a_tenant(store: Store) {
    let front = Front::new(store);
    let (tenant_id, other) = (front.tenant().await, front.tenant().await);
    let with_number = || NewSession { phone_number_id: Some("106540352242922".to_owned()), ..named("Shop") };
    front.services.sessions.create(tenant_id, with_number()).await.unwrap();
    let second = front.services.sessions.create(tenant_id, with_number()).await;
    assert!(matches!(second, Err(Error::Conflict { field: Some("phoneNumberId"), .. })), "{second:?}");
    front.services.sessions.create(other, with_number()).await.unwrap();
}

async fn connecting_gives_a_number_and_tells(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = front.session(tenant_id).await;
    front.notices();
    let session = front.services.sessions.connect(tenant_id, id).await.unwrap();
    assert_eq!(session.state, SessionState::Connected);
    assert_eq!(session.phone_number_id.as_ref().map(String::len), Some(15));
    assert_eq!(front.notices(), [Notice::SessionChanged(id)]);
}

async fn connecting_twice_changes_nothing(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = front.session(tenant_id).await;
    let sessions = front.services.sessions.clone();
    let (a, b) = tokio::join!(sessions.connect(tenant_id, id), sessions.connect(tenant_id, id));
    assert_eq!(a.unwrap(), b.unwrap());
    front.notices();
    front.gateway.answers(Err(Refusal::Refused("not asked".into())));
    let again = sessions.connect(tenant_id, id).await.unwrap();
    assert_eq!(again.state, SessionState::Connected);
    assert_eq!(front.notices(), []);
}

async fn the_gateway_decides_what_connecting_does(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let qr = QrCode { code: "2@a".into(), expires_at: Moment::from_ms(NOW_MS + 20_000) };
    for (outcome, state) in [
        (Connection::Connecting, SessionState::Connecting),
        (Connection::QrPending(qr), SessionState::QrPending),
        (Connection::Connected { phone_number: None }, SessionState::Connected),
    ] {
        let id = front.session(tenant_id).await;
        front.gateway.answers(Ok(outcome));
        let session = front.services.sessions.connect(tenant_id, id).await.unwrap();
        assert_eq!(session.state, state);
    }
    let id = front.session(tenant_id).await;
    front.gateway.answers(Err(Refusal::Refused("There is no such number.".into())));
    let refused = front.services.sessions.connect(tenant_id, id).await;
    assert!(matches!(refused, Err(Error::WhatsappUnavailable(_))), "{refused:?}");
    let session = front.store.sessions().find(tenant_id, id).await.unwrap().unwrap();
    assert_eq!(session.state, SessionState::Disconnected);
}

async fn a_banned_session_stays_banned(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = front.session(tenant_id).await;
    let step = silent(SessionState::Disconnected, SessionState::Banned);
    assert!(front.store.sessions().transition(tenant_id, id, &step).await.unwrap());
    assert!(!front.store.sessions().transition(tenant_id, id, &step).await.unwrap(), "not in that state any more");
    assert_eq!(conflict(front.services.sessions.connect(tenant_id, id).await), "The session is banned.");
}

async fn pacing_is_its_own_or_the_default(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = front.session(tenant_id).await;
    front.notices();
    let sessions = front.services.sessions.clone();
    let change = |rate_per_minute, burst| SessionChange { name: None, pacing: PacingChange { rate_per_minute, burst } };

    let session = sessions.update(tenant_id, id, change(Some(600.0), None)).await.unwrap();
    assert_eq!(front.notices(), [Notice::SessionChanged(id)]);
    let pacing = sessions.pacing_of(&session);
    assert_eq!((pacing.rate_per_minute().round(), pacing.burst().get()), (600.0, 2));

    let session = sessions.update(tenant_id, id, change(None, Some(9))).await.unwrap();
    let pacing = sessions.pacing_of(&session);
    assert_eq!((pacing.rate_per_minute().round(), pacing.burst().get()), (600.0, 9));
    front.notices();

    let told = fields(sessions.update(tenant_id, id, change(Some(-1.0), Some(0))).await);
    assert_eq!(told, ["ratePerMinute", "burst"]);
    assert_eq!(front.store.sessions().find(tenant_id, id).await.unwrap(), Some(session));
    assert_eq!(front.notices(), []);

    let renamed = SessionChange { name: Some(" Till ".to_owned()), ..SessionChange::default() };
    let session = sessions.update(tenant_id, id, renamed).await.unwrap();
    assert_eq!((session.name.as_str(), session.burst), ("Till", Some(9)));
}

async fn sessions_are_listed_by_page(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let mut ids = vec![];
    for _ in 0..5 {
        ids.push(front.session(tenant_id).await);
    }
    ids.reverse();
    let mut listed = vec![];
    for page in 1..=3 {
        let page = front.store.sessions().list(tenant_id, PageRequest::new(page, 2).unwrap()).await.unwrap();
        assert_eq!(page.total, 5);
        listed.extend(page.items.into_iter().map(|session| session.id));
    }
    assert_eq!(listed, ids);
}
