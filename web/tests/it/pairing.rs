//! Pairing, coming back after a restart, and who may ask.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fake::FakeServer;
use crate::worker::Worker;

const NUMBER: &str = "919876543210";

#[tokio::test]
async fn a_session_is_paired_and_comes_back_without_a_code() {
    let server = FakeServer::start().await;
    let mut worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    worker.pair(&server, session, NUMBER).await;
    assert_eq!(server.world().n_codes, 1);
    worker.stop().await;
    worker.start_again().await;
    let back = worker.until(session, "connected").await;
    assert_eq!(back["phoneNumber"], NUMBER);
    assert_eq!(server.world().n_codes, 1, "no other code was given out");
    assert_eq!(server.world().handshakes.last(), Some(&"IK"), "the server's key was kept");
    worker.kill().await;
    worker.start_again().await;
    worker.until(session, "connected").await;
    assert_eq!(server.world().n_codes, 1, "no other code was given out after a kill");
    let log = worker.log();
    assert!(!log.contains(NUMBER) && !log.contains("2@fake"), "the log tells a number or a code: {log}");
}

#[tokio::test]
async fn two_who_connect_at_once_get_one_client() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    let connect = || worker.post(session, "connect", json!({}));
    tokio::join!(connect(), connect(), connect());
    worker.until(session, "qr_pending").await;
    assert_eq!(server.world().n_codes, 1);
    let hello = worker.get("hello").await;
    assert_eq!(
        (&hello["protocol"], &hello["program"], &hello["sessions"]),
        (&json!(1), &json!("dispatcher-web"), &json!(1))
    );
}

#[tokio::test]
async fn a_pairing_that_is_given_up_begins_anew() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    worker.post(session, "connect", json!({})).await;
    let first = worker.until(session, "qr_pending").await;
    let closed = worker.post(session, "disconnect", json!({})).await;
    assert_eq!((&closed["state"], &closed["qr"]), (&json!("disconnected"), &Value::Null));
    worker.post(session, "connect", json!({})).await;
    let second = worker.until(session, "qr_pending").await;
    assert_ne!(first["qr"]["code"], second["qr"]["code"]);
}

#[tokio::test]
async fn only_the_token_is_answered() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    for token in ["", "a-token-of-test", "a-token-of-tests2", "A-token-of-tests"] {
        let (status, _) = worker.ask_as(token, Method::GET, "/devices/v1/hello", Value::Null).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{token:?}");
    }
    let (status, _) = worker.ask(Method::GET, "hello", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let mode = |name: &str| std::fs::metadata(worker.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("socket"), mode("data"), mode("data/worker.db")), (0o600, 0o700, 0o600));
}

#[tokio::test]
async fn a_second_worker_does_not_get_the_folder() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let second = worker.command(&worker.path("other-socket")).output();
    let ended = tokio::time::timeout(Duration::from_secs(20), second).await.expect("it gives up").unwrap();
    assert!(!ended.status.success());
    assert!(String::from_utf8_lossy(&ended.stderr).contains("another worker"));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    for (method, path, body, wanted) in [
        (Method::POST, "not-a-session/connect".to_owned(), json!({}), 404),
        (Method::POST, format!("{session}/dance"), json!({}), 404),
        (Method::POST, format!("{session}/send"), json!({ "id": "abc" }), 400),
        (Method::POST, format!("{session}/check-number"), json!({ "phoneNumber": "nobody" }), 400),
        (Method::POST, format!("{session}/check-number"), json!({ "phoneNumber": NUMBER }), 404),
        (Method::POST, format!("{session}/pairing-code"), json!({ "phoneNumber": NUMBER }), 404),
        (Method::GET, format!("{session}/groups"), Value::Null, 404),
        (Method::GET, "events?after=x".to_owned(), Value::Null, 400),
        (Method::POST, format!("{session}/send"), json!({ "id": "A".repeat(200_000) }), 413),
    ] {
        let (status, _) = worker.ask(method, &path, body).await;
        assert_eq!(status.as_u16(), wanted, "{path}");
    }
}

#[tokio::test]
async fn a_code_that_nobody_scans_ends_the_pairing_until_it_is_asked_for_again() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    server.world().has_no_codes = true;
    worker.post(session, "connect", json!({})).await;
    let ended = worker.until(session, "disconnected").await;
    assert_eq!((&ended["code"], &ended["qr"]), (&json!(408), &Value::Null));
    assert_eq!(server.world().n_codes, 1, "nobody asked for more");
    server.world().has_no_codes = false;
    worker.pair(&server, session, NUMBER).await;
}

#[tokio::test]
async fn no_more_sessions_than_there_may_be() {
    let server = FakeServer::start().await;
    let worker = Worker::start_with(&server, 2).await;
    let sessions = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    worker.post(sessions[0], "connect", json!({})).await;
    worker.post(sessions[1], "connect", json!({})).await;
    let (status, _) = worker.ask(Method::POST, &format!("{}/connect", sessions[2]), json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    worker.post(sessions[0], "log-out", json!({})).await;
    worker.post(sessions[2], "connect", json!({})).await;
    worker.until(sessions[2], "qr_pending").await;
}
