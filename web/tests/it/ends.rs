//! How sessions end: bans, locks, unlinked devices, places taken, and connections that only break.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;
use whatsapp_rust::wacore_binary::builder::NodeBuilder;

use crate::fake::{FakeServer, Login};
use crate::worker::Worker;

const NUMBER: &str = "919876543210";

async fn paired() -> (FakeServer, Worker, Uuid) {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    worker.pair(&server, session, NUMBER).await;
    (server, worker, session)
}

/// Breaks the connection and lets the next login end so.
async fn ends_at_login(login: Login, state: &str, code: i64) -> (FakeServer, Worker, Uuid, Value) {
    let (server, mut worker, session) = paired().await;
    server.world().logins.insert(NUMBER.into(), login);
    server.hang_up(NUMBER);
    let ended = worker.until(session, state).await;
    // What ended stays so: nobody knocks again after a restart.
    if ended["code"] == json!(null) {
        // Between the break and the refusal it may stand as broken only.
        panic!("no code: {ended}");
    }
    assert_eq!(ended["code"], code);
    let n_handshakes = server.world().handshakes.len();
    worker.stop().await;
    worker.start_again().await;
    assert_eq!(worker.until(session, state).await["code"], code);
    assert_eq!(server.world().handshakes.len(), n_handshakes);
    (server, worker, session, ended)
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again() {
    let (server, worker, session) = paired().await;
    server.hang_up(NUMBER);
    worker.until(session, "reconnecting").await;
    worker.until(session, "connected").await;
    assert_eq!(server.world().n_codes, 1);
}

#[tokio::test]
async fn a_ban_is_told_with_its_end_and_not_knocked_at() {
    let (_server, worker, session, ended) = ends_at_login(Login::Banned(3_600), "banned", 402).await;
    let left_ms = ended["expiresAtMs"].as_i64().unwrap() - dispatcher_web::clock::now_ms();
    assert!((3_500_000..=3_600_000).contains(&left_ms), "{left_ms}");
    let (status, _) = worker.ask(Method::POST, &format!("{session}/connect"), json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn an_account_that_is_locked_is_told() {
    ends_at_login(Login::Refused(403), "banned", 403).await;
}

#[tokio::test]
async fn a_client_that_is_outdated_is_told() {
    ends_at_login(Login::Refused(405), "disconnected", 405).await;
}

#[tokio::test]
async fn a_device_that_was_unlinked_is_paired_anew() {
    let (server, worker, session, _) = ends_at_login(Login::Refused(401), "logged_out", 401).await;
    server.world().logins.clear();
    worker.pair(&server, session, NUMBER).await;
    assert_eq!(server.world().n_codes, 2);
}

#[tokio::test]
async fn a_client_whose_place_was_taken_does_not_take_it_back() {
    let (server, worker, session) = paired().await;
    let n_handshakes = server.world().handshakes.len();
    let conflict = NodeBuilder::new("conflict").attr("type", "replaced").build();
    server.say_last(NUMBER, NodeBuilder::new("stream:error").children([conflict]).build());
    let replaced = worker.until(session, "replaced").await;
    assert_eq!(replaced["code"], 440);
    let not_sent = json!({ "outcome": "not_sent", "reason": "not_connected", "code": 440 });
    assert_eq!(worker.send(session, 1, "919800000001").await, not_sent);
    assert_eq!(server.world().handshakes.len(), n_handshakes);
    // Only who asks for it gets it back.
    worker.post(session, "connect", json!({})).await;
    worker.until(session, "connected").await;
    assert_eq!(server.world().n_codes, 1);
}

#[tokio::test]
async fn a_device_that_is_logged_out_leaves_no_keys() {
    let (server, worker, session) = paired().await;
    let out = worker.post(session, "log-out", json!({})).await;
    assert_eq!(out["state"], "logged_out");
    assert_eq!(worker.post(session, "log-out", json!({})).await["state"], "logged_out");
    worker.post(session, "connect", json!({})).await;
    worker.until(session, "qr_pending").await;
    assert_eq!(server.world().n_codes, 2);
}
