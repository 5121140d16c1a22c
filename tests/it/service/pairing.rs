//! Pairing: codes that every node shows, what devices tell, and what is asked through them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::id::{SessionId, TenantId};
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::domain::webhook::WebhookEvent;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::gateway::connector::{Connection, DeviceNews, DeviceStanding, QrCode, Refusal};
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::messages::NewText;
use actiwapi_dispatcher::service::sessions::NewSession;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::webhooks::NewWebhook;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::front::{Front, conflict, fields};
use crate::support::db::store_contract;
use crate::support::seed::{self, NOW_MS};

store_contract!(
    every_node_shows_the_code_until_it_ends,
    a_scanned_session_is_connected_and_has_its_number,
    what_devices_tell_moves_their_sessions,
    news_of_the_past_changes_nothing,
    a_device_that_comes_back_can_be_unlinked,
    each_code_is_told_once,
    what_a_person_asks_holds_when_the_gateway_is_away,
    codes_are_typed_in_on_a_phone_that_is_named,
    only_connected_sessions_are_asked,
    a_session_is_removed_when_nothing_waits_for_it,
);

const PHONE: &str = "919876543210";

fn code(text: &str, left_ms: i64) -> QrCode {
    QrCode { code: text.into(), expires_at: Moment::from_ms(NOW_MS + left_ms) }
}

fn phone() -> Recipient {
    Recipient::from_stored(PHONE).expect("a stored phone number")
}

/// Makes a session that waits for its first code to be scanned, with 20 s left.
async fn pairing(front: &Front) -> (TenantId, SessionId) {
    let tenant_id = front.tenant().await;
    let id = front.session(tenant_id).await;
    front.gateway.answers(Ok(Connection::QrPending(code("2@first", 20_000))));
    assert_eq!(front.services.sessions.connect(tenant_id, id).await.unwrap().state, SessionState::QrPending);
    (tenant_id, id)
}

async fn tell(front: &Front, session_id: SessionId, standing: DeviceStanding) {
    front.services.sessions.note_device(DeviceNews { session_id, standing }).await.unwrap();
}

async fn state(front: &Front, (tenant_id, id): (TenantId, SessionId)) -> (SessionState, Option<String>) {
    let session = front.store.sessions().find(tenant_id, id).await.unwrap().unwrap();
    (session.state, session.state_reason)
}

async fn shown(front: &Front, (tenant_id, id): (TenantId, SessionId)) -> String {
    front.services.sessions.qr(tenant_id, id).await.unwrap().code.expose_secret().to_owned()
}

async fn every_node_shows_the_code_until_it_ends(store: Store) {
    let (mut front, other) = (Front::of_devices(store.clone()), Front::of_devices(store));
    let session = pairing(&front).await;
    assert!(front.notices().contains(&Notice::SessionChanged(session.1)));
    for node in [&front, &other] {
        assert_eq!(shown(node, session).await, "2@first");
    }
    let qr = other.services.sessions.qr(session.0, session.1).await.unwrap();
    assert_eq!((qr.issued_at_ms, qr.expires_at_ms), (NOW_MS, NOW_MS + 20_000));
    other.clock.advance(Duration::from_secs(20));
    let expired = "The last QR code has expired; the next one comes within seconds.";
    assert_eq!(conflict(other.services.sessions.qr(session.0, session.1).await), expired);
    tell(&other, session.1, DeviceStanding::QrPending(code("2@second", 40_000))).await;
    assert_eq!(shown(&front, session).await, "2@second");
    tell(&front, session.1, DeviceStanding::QrPending(code("2@first", 20_000))).await;
    assert_eq!(shown(&other, session).await, "2@second", "the other node was late");
    let stranger = front.tenant().await;
    assert!(matches!(front.services.sessions.qr(stranger, session.1).await, Err(Error::NotFound("session"))));
}

async fn a_scanned_session_is_connected_and_has_its_number(store: Store) {
    let front = Front::of_devices(store);
    let session = pairing(&front).await;
    let none = "No pairing is under way: connect the session first.";
    let idle = front.session(session.0).await;
    assert_eq!(conflict(front.services.sessions.qr(session.0, idle).await), none);
    tell(&front, session.1, DeviceStanding::Connected { phone_number: phone() }).await;
    assert_eq!(state(&front, session).await, (SessionState::Connected, None));
    let paired = "The session is paired: there is nothing to scan.";
    assert_eq!(conflict(front.services.sessions.qr(session.0, session.1).await), paired);
    assert_eq!(seed::count(&front.store, "session_qrs").await, 0, "the code is gone");
    let found = front.store.sessions().find(session.0, session.1).await.unwrap().unwrap();
    assert_eq!((found.phone_number.as_deref(), found.phone_number_id), (Some(PHONE), None));
    let lane = front.store.lane(session.1).await.unwrap().unwrap();
    assert_eq!(lane.phone_number_id.as_deref(), Some(PHONE), "messages go under its number");
    assert_eq!(lane.first_linked_at_ms, Some(NOW_MS));
}

async fn what_devices_tell_moves_their_sessions(store: Store) {
    use DeviceStanding as D;
    use SessionState as S;
    let front = Front::of_devices(store);
    let connected = || D::Connected { phone_number: phone() };
    for (standing, to, reason) in [
        (D::Reconnecting, S::Reconnecting, Some("SESSION_DISCONNECTED")),
        (D::LoggedOut, S::LoggedOut, Some("SESSION_LOGGED_OUT")),
        (D::Banned, S::Banned, Some("ACCOUNT_BANNED")),
        (D::Replaced, S::Disconnected, Some("SESSION_REPLACED")),
    ] {
        let session = pairing(&front).await;
        for _ in 0..2 {
            tell(&front, session.1, connected()).await;
        }
        tell(&front, session.1, standing).await;
        assert_eq!(state(&front, session).await, (to, reason.map(str::to_owned)));
    }
    let session = pairing(&front).await;
    front.clock.advance(Duration::from_secs(20));
    tell(&front, session.1, D::Disconnected).await;
    let given_up = (S::Disconnected, Some("SESSION_DISCONNECTED".to_owned()));
    assert_eq!(state(&front, session).await, given_up, "nobody came in time");
    tell(&front, SessionId::generate(), D::Banned).await;
}

async fn news_of_the_past_changes_nothing(store: Store) {
    use DeviceStanding as D;
    let front = Front::of_devices(store);
    let session = pairing(&front).await;
    for past in [D::Disconnected, D::LoggedOut, D::Reconnecting] {
        tell(&front, session.1, past).await;
        assert_eq!(state(&front, session).await.0, SessionState::QrPending);
    }
    front.services.sessions.disconnect(session.0, session.1).await.unwrap();
    for past in [D::QrPending(code("2@late", 60_000)), D::Connected { phone_number: phone() }, D::Disconnected] {
        tell(&front, session.1, past).await;
        assert_eq!(state(&front, session).await, (SessionState::Disconnected, None));
    }
    let found = front.store.sessions().find(session.0, session.1).await.unwrap().unwrap();
    assert_eq!(found.phone_number, None, "nobody paired it");
    assert_eq!(seed::count(&front.store, "session_qrs").await, 0);
}

/// A device that was paired before and connects again can be unlinked on the phone meanwhile.
async fn a_device_that_comes_back_can_be_unlinked(store: Store) {
    let front = Front::of_devices(store);
    let session = pairing(&front).await;
    tell(&front, session.1, DeviceStanding::Connected { phone_number: phone() }).await;
    front.services.sessions.disconnect(session.0, session.1).await.unwrap();
    front.gateway.answers(Ok(Connection::Connecting));
    front.services.sessions.connect(session.0, session.1).await.unwrap();
    assert_eq!(state(&front, session).await.0, SessionState::Connecting);
    tell(&front, session.1, DeviceStanding::Reconnecting).await;
    assert_eq!(state(&front, session).await.0, SessionState::Connecting);
    tell(&front, session.1, DeviceStanding::LoggedOut).await;
    assert_eq!(state(&front, session).await.0, SessionState::LoggedOut);
}

async fn each_code_is_told_once(store: Store) {
    let front = Front::of_devices(store);
    let tenant_id = front.tenant().await;
    let hook = NewWebhook {
        id: actiwapi_dispatcher::domain::id::WebhookId::generate(),
        tenant_id,
        url: "https://hooks.example/in".to_owned(),
        events: WebhookEvent::ALL.to_vec(),
        secret: "secret".into(),
        created_at_ms: NOW_MS,
    };
    assert!(front.store.webhooks().insert(&hook, 100).await.unwrap());
    let id = front.session(tenant_id).await;
    front.gateway.answers(Ok(Connection::QrPending(code("2@first", 20_000))));
    front.services.sessions.connect(tenant_id, id).await.unwrap();
    for news in [code("2@first", 20_000), code("2@second", 40_000), code("2@second", 40_000)] {
        tell(&front, id, DeviceStanding::QrPending(news)).await;
    }
    tell(&front, id, DeviceStanding::Connected { phone_number: phone() }).await;
    tell(&front, id, DeviceStanding::LoggedOut).await;
    let told = front.store.webhooks().history(tenant_id, hook.id, PageRequest::default()).await.unwrap().items;
    let told: Vec<(&str, Value)> =
        told.iter().rev().map(|told| (told.event.as_str(), serde_json::from_str(&told.data).unwrap())).collect();
    let words: Vec<&str> = told.iter().map(|(event, _)| *event).collect();
    assert_eq!(words, ["session.qr", "session.qr", "session.connected", "session.logged_out"]);
    let expected = json!({
        "sessionId": id, "status": "qr_pending", "previousStatus": "disconnected", "reason": null, "qr": "2@first",
        "expiresAt": "2027-01-15T08:00:20.000Z",
    });
    assert_eq!(told[0].1, expected);
    assert_eq!((&told[1].1["qr"], &told[1].1["previousStatus"]), (&json!("2@second"), &json!("qr_pending")));
}

async fn what_a_person_asks_holds_when_the_gateway_is_away(store: Store) {
    let front = Front::of_devices(store);
    let sessions = &front.services.sessions;
    for (state_after, asked) in [(SessionState::Disconnected, "disconnect"), (SessionState::LoggedOut, "log out")] {
        let session = pairing(&front).await;
        tell(&front, session.1, DeviceStanding::Connected { phone_number: phone() }).await;
        front.gateway.is_away.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            let refused = match state_after {
                SessionState::LoggedOut => sessions.logout(session.0, session.1).await,
                _ => sessions.disconnect(session.0, session.1).await,
            };
            assert!(matches!(refused, Err(Error::WhatsappUnavailable(_))), "{refused:?}");
            assert_eq!(state(&front, session).await.0, state_after, "nothing is sent any more");
        }
        front.gateway.is_away.store(false, Ordering::Relaxed);
        let again = match state_after {
            SessionState::LoggedOut => sessions.logout(session.0, session.1).await,
            _ => sessions.disconnect(session.0, session.1).await,
        };
        assert_eq!(again.unwrap().state, state_after);
        assert_eq!(front.gateway.asked.lock().unwrap().iter().filter(|word| **word == asked).count(), 3);
    }
}

async fn codes_are_typed_in_on_a_phone_that_is_named(store: Store) {
    let front = Front::of_devices(store.clone());
    let session = pairing(&front).await;
    let sessions = &front.services.sessions;
    let idle = front.session(session.0).await;
    let (named, given) = sessions.pairing_code(session.0, idle, "+91 98765-43210").await.unwrap();
    assert_eq!((named.as_str(), given.code.expose_secret()), (PHONE, "ABCD-2345"));
    assert_eq!(state(&front, (session.0, idle)).await.0, SessionState::QrPending, "pairing has begun");
    for bad in ["", "12", "x\0y", "1".repeat(5_000).as_str(), "12345@lid"] {
        assert_eq!(fields(sessions.pairing_code(session.0, idle, bad).await), ["phoneNumber"], "{bad:?}");
    }
    tell(&front, session.1, DeviceStanding::Connected { phone_number: phone() }).await;
    front.gateway.answers(Err(Refusal::Refused("not asked".into())));
    let paired = sessions.pairing_code(session.0, session.1, PHONE).await;
    assert_eq!(conflict(paired), "The session is paired already; log it out first.");
    let stranger = front.tenant().await;
    assert!(matches!(sessions.pairing_code(stranger, session.1, PHONE).await, Err(Error::NotFound("session"))));
}

async fn only_connected_sessions_are_asked(store: Store) {
    let front = Front::of_devices(store);
    let session = pairing(&front).await;
    let (sessions, (tenant_id, id)) = (&front.services.sessions, session);
    let waits = "The session is qr_pending; connect it first.";
    assert_eq!(conflict(sessions.check_number(tenant_id, id, PHONE).await), waits);
    assert_eq!(conflict(sessions.groups(tenant_id, id).await), waits);
    tell(&front, id, DeviceStanding::Connected { phone_number: phone() }).await;
    let checked = sessions.check_number(tenant_id, id, "+91 98765 43210").await.unwrap();
    assert_eq!((checked.phone.as_str(), checked.is_on_whatsapp), (PHONE, true));
    assert!(!sessions.check_number(tenant_id, id, "919876543000").await.unwrap().is_on_whatsapp);
    assert_eq!(sessions.groups(tenant_id, id).await.unwrap().len(), 1);
    assert_eq!(fields(sessions.check_number(tenant_id, id, "nobody").await), ["phone"]);
    front.gateway.is_away.store(true, Ordering::Relaxed);
    assert!(matches!(sessions.groups(tenant_id, id).await, Err(Error::WhatsappUnavailable(_))));
    tell(&front, id, DeviceStanding::Reconnecting).await;
    assert!(matches!(sessions.check_number(tenant_id, id, PHONE).await, Err(Error::WhatsappUnavailable(_))));
    let stranger = front.tenant().await;
    assert!(matches!(sessions.groups(stranger, id).await, Err(Error::NotFound("session"))));
}

async fn a_session_is_removed_when_nothing_waits_for_it(store: Store) {
    let front = Front::new(store);
    let (tenant_id, thief) = (front.tenant().await, front.tenant().await);
    let new = || NewSession {
        name: "Shop".to_owned(),
        phone_number_id: Some("106540352242922".to_owned()),
        ..NewSession::default()
    };
    let sessions = &front.services.sessions;
    let id = sessions.create(tenant_id, new()).await.unwrap().id;
    sessions.connect(tenant_id, id).await.unwrap();
    let campaign = front.campaign(tenant_id, &[id], 1).await;
    assert!(matches!(sessions.remove(thief, id).await, Err(Error::NotFound("session"))));
    front.services.campaigns.start(tenant_id, campaign).await.unwrap();
    let by_campaign = "A campaign that is not over writes through the session: cancel it first.";
    assert_eq!(conflict(sessions.remove(tenant_id, id).await), by_campaign);
    front.services.campaigns.cancel(tenant_id, campaign).await.unwrap();
    let text = || NewText { session_id: id, to: PHONE.to_owned(), text: "Hi".to_owned() };
    let by_messages = "Messages wait for the session: cancel them or let them go first.";
    let tomorrow = Moment::from_ms(NOW_MS + 86_400_000);
    let kept = front.services.messages.schedule(tenant_id, text().into(), tomorrow).await.unwrap().id;
    assert_eq!(conflict(sessions.remove(tenant_id, id).await), by_messages, "one waits for its time");
    assert!(!front.store.sessions().remove(tenant_id, id, NOW_MS).await.unwrap());
    front.services.messages.cancel(tenant_id, kept).await.unwrap();
    front.services.messages.send_text(tenant_id, text()).await.unwrap();
    assert_eq!(conflict(sessions.remove(tenant_id, id).await), by_messages, "one is on the way to the lane");
    for row in front.store.outbox_next(10).await.unwrap() {
        let job = row.job.unwrap();
        front.store.admit_jobs(&[&job], NOW_MS * 1_000).await.unwrap();
    }
    assert_eq!(conflict(sessions.remove(tenant_id, id).await), by_messages);
    assert_eq!(state(&front, (tenant_id, id)).await.0, SessionState::Connected, "nothing was done");
    let fresh = front.connected_session(tenant_id).await;
    sessions.remove(tenant_id, fresh).await.unwrap();
    assert!(matches!(sessions.remove(tenant_id, fresh).await, Err(Error::NotFound("session"))));
    assert!(matches!(sessions.connect(tenant_id, fresh).await, Err(Error::NotFound("session"))));
    assert_eq!(front.store.sessions().find(tenant_id, fresh).await.unwrap(), None);
    assert_eq!(front.store.sessions().known(tenant_id, &[fresh]).await.unwrap(), []);
    assert_eq!(front.store.sessions().list(tenant_id, PageRequest::default()).await.unwrap().total, 1);
    let lane = front.store.lane(fresh).await.unwrap().unwrap();
    assert_eq!((lane.state, lane.phone_number_id), (SessionState::LoggedOut, None), "nothing is sent through it");
    assert!(front.gateway.asked.lock().unwrap().contains(&"log out"));
}
