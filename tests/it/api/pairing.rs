//! Linked devices over the API: a real pairing with the simulator's phones, seen by two nodes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actiwapi_dispatcher::api::ApiSettings;
use actiwapi_dispatcher::background::device_news::DeviceNewsQueue;
use actiwapi_dispatcher::gateway::by_number::ByNumber;
use actiwapi_dispatcher::gateway::linked::{LinkedDevices, LinkedSettings};
use actiwapi_dispatcher::simulator::{self, Faults, Options};
use axum::Router;
use axum::body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::support::{Answer, Front, request};
use crate::support::wait::until_so;

const PHONE: &str = "919876543210";

/// A front whose sessions are devices of the simulator.
struct World {
    front: Front,
    token: String,
    phones: Phones,
    stop: CancellationToken,
    simulator: Option<JoinHandle<()>>,
}

/// The simulator as whoever holds the phones asks it.
struct Phones {
    client: Client<HttpConnector, Full<bytes::Bytes>>,
    address: SocketAddr,
}

impl Phones {
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = hyper::Request::post(format!("http://{}{path}", self.address));
        let answer = self.client.request(request.body(Full::new(body.to_string().into())).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

impl World {
    async fn start() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let (app_secret, faults) = ("secret".to_owned(), Faults::default());
        let options = Options { listen, callback_url: None, app_secret, seed: 7, faults, receipts: false };
        let running = simulator::bind(options).await.unwrap();
        let (address, stop) = (running.address, CancellationToken::new());
        let tasks = TaskTracker::new();
        let simulator = tasks.spawn(running.run(stop.clone()));
        let linked = LinkedDevices::new(&LinkedSettings {
            base_url: format!("http://{address}"),
            access_token: "token".to_owned(),
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
        })
        .unwrap();
        let connector = Arc::new(ByNumber { linked: Some(linked.clone()), cloud: None });
        let front = Front::start_on(ApiSettings::default(), connector, false).await;
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        tasks.spawn(linked.follow(sender, stop.clone()));
        let queue = DeviceNewsQueue { sessions: front.state.services.sessions.clone(), receiver };
        tasks.spawn(queue.run(stop.clone()));
        let token = front.register("ana@example.com").await;
        let phones = Phones { client: Client::builder(TokioExecutor::new()).build_http(), address };
        Self { front, token, phones, stop, simulator: Some(simulator) }
    }

    async fn session(&self) -> String {
        let made = self.front.post("/api/v1/whatsapp", &self.token, json!({"name": "Shop"})).await;
        format!("/api/v1/whatsapp/{}", made.data()["id"].as_str().unwrap())
    }

    async fn get(&self, path: &str) -> Answer {
        self.front.get(path, &self.token).await
    }

    async fn until(&self, path: &str, status: &str) {
        until_so(status, async || self.get(&format!("{path}/status")).await.data()["status"] == status).await;
    }

    /// Makes a session and pairs it by scanning its code.
    async fn paired(&self) -> String {
        let path = self.session().await;
        assert_eq!(self.front.act(&format!("{path}/connect"), &self.token).await.data()["status"], "qr_pending");
        let qr = self.get(&format!("{path}/qr")).await.data()["qr"].clone();
        assert_eq!(self.phones.post("/phones/scan", json!({"qr": qr, "phoneNumber": PHONE})).await.0, 200);
        self.until(&path, "connected").await;
        path
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Asks another node: another router over the same database.
async fn on_another_node(world: &World, path: &str) -> (u16, Value) {
    let router: Router = actiwapi_dispatcher::api::router(world.front.state.clone());
    let answer = router.oneshot(request("GET", path, &world.token).body(Body::empty()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_session_is_paired_by_its_code() {
    let world = World::start().await;
    let path = world.session().await;
    let refused = world.get(&format!("{path}/qr")).await.refusal();
    assert_eq!(refused, "409 CONFLICT: No pairing is under way: connect the session first.");
    let connected = world.front.act(&format!("{path}/connect"), &world.token).await.data();
    assert_eq!((&connected["status"], &connected["connected"]), (&json!("qr_pending"), &json!(false)));
    let qr = world.get(&format!("{path}/qr")).await.data();
    assert!(qr["qr"].as_str().unwrap().starts_with("2@"), "{qr}");
    assert!(qr["image"].as_str().unwrap().starts_with("data:image/png;base64,iVBOR"), "{qr}");
    assert!(qr["expiresAt"].as_str().unwrap().ends_with('Z'), "{qr}");
    assert_eq!(on_another_node(&world, &format!("{path}/qr")).await.1["data"], qr);
    let again = world.front.act(&format!("{path}/connect"), &world.token).await.data();
    assert_eq!(again["status"], "qr_pending", "asked again, it goes on");
    let scanned = world.phones.post("/phones/scan", json!({"qr": qr["qr"], "phoneNumber": PHONE})).await;
    assert_eq!(scanned.0, 200, "{scanned:?}");
    world.until(&path, "connected").await;
    let session = world.get(&path).await.data();
    assert_eq!((&session["phoneNumber"], &session["phoneNumberId"]), (&json!(PHONE), &Value::Null));
    let refused = world.get(&format!("{path}/qr")).await.refusal();
    assert_eq!(refused, "409 CONFLICT: The session is paired: there is nothing to scan.");
}

#[tokio::test]
async fn a_session_is_paired_by_a_code_that_is_typed_in() {
    let world = World::start().await;
    let path = world.session().await;
    let ask = async |body: Value| world.front.post(&format!("{path}/pairing-code"), &world.token, body).await;
    let given = ask(json!({"phoneNumber": "+91 98765 43210"})).await.data();
    assert_eq!((&given["phoneNumber"], given["code"].as_str().map(str::len)), (&json!(PHONE), Some(9)));
    let typed = json!({"code": given["code"], "phoneNumber": PHONE});
    assert_eq!(world.phones.post("/phones/type-in", typed).await.0, 200);
    world.until(&path, "connected").await;
    let refused = ask(json!({"phoneNumber": PHONE})).await.refusal();
    assert_eq!(refused, "409 CONFLICT: The session is paired already; log it out first.");
    let refused = ask(json!({"phoneNumber": "12"})).await.refusal();
    assert!(refused.starts_with("400 VALIDATION_ERROR: Some fields are not valid.\nphoneNumber: "), "{refused}");
}

#[tokio::test]
async fn what_happens_to_the_phone_is_shown() {
    let world = World::start().await;
    let path = world.paired().await;
    let id = path.rsplit('/').next().unwrap();
    for (word, status) in [("lost", "reconnecting"), ("back", "connected"), ("logged-out", "logged_out")] {
        assert_eq!(world.phones.post(&format!("/phones/{id}/{word}"), json!({})).await.0, 200);
        world.until(&path, status).await;
    }
    let again = world.front.act(&format!("{path}/connect"), &world.token).await.data();
    assert_eq!(again["status"], "qr_pending", "it must be paired anew");
    assert_eq!(world.front.act(&format!("{path}/disconnect"), &world.token).await.data()["status"], "disconnected");
    assert_eq!(world.get(&format!("{path}/qr")).await.status, 409);
}

#[tokio::test]
async fn a_paired_session_survives_a_disconnect() {
    let world = World::start().await;
    let path = world.paired().await;
    for (verb, status) in [("disconnect", "disconnected"), ("connect", "connected"), ("restart", "connected")] {
        let answer = world.front.act(&format!("{path}/{verb}"), &world.token).await.data();
        assert_eq!(answer["status"], status, "{verb}");
    }
    assert_eq!(world.front.act(&format!("{path}/logout"), &world.token).await.data()["status"], "logged_out");
    let deleted = world.front.send("DELETE", &path, &world.token, "").await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert_eq!(world.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_device_is_asked_about_numbers_and_groups() {
    let world = World::start().await;
    let path = world.paired().await;
    let check = async |phone: &str| {
        world.front.post(&format!("{path}/check-number"), &world.token, json!({"phone": phone})).await
    };
    assert_eq!(check("+91 98765-43210").await.data(), json!({"phone": PHONE, "onWhatsapp": true}));
    assert_eq!(check("919876543000").await.data(), json!({"phone": "919876543000", "onWhatsapp": false}));
    let groups = world.get(&format!("{path}/groups")).await.data();
    assert_eq!((&groups[1]["name"], &groups[1]["participants"]), (&json!("Customers"), &json!(212)));
    let key = world.front.mighty_key(&world.token).await;
    let id = path.rsplit('/').next().unwrap();
    let body = json!({"sessionId": id, "phone": PHONE}).to_string();
    let checked = world.front.with_key("POST", "/api/external/check-number", &key, &body).await;
    assert_eq!(checked.data(), json!({"phone": PHONE, "onWhatsapp": true}));
    let foreign = json!({"sessionId": uuid::Uuid::now_v7(), "phone": PHONE}).to_string();
    let foreign = world.front.with_key("POST", "/api/external/check-number", &key, &foreign).await;
    assert_eq!(foreign.refusal(), "404 NOT_FOUND: There is no such session.");
}

#[tokio::test]
async fn a_gateway_that_is_away_is_said() {
    let mut world = World::start().await;
    let path = world.paired().await;
    world.stop.cancel();
    world.simulator.take().unwrap().await.unwrap();
    let away = "502 WHATSAPP_UNAVAILABLE: The gateway of linked devices does not answer now; try again.";
    assert_eq!(world.get(&format!("{path}/groups")).await.refusal(), away);
    assert_eq!(world.front.act(&format!("{path}/logout"), &world.token).await.refusal(), away);
    assert_eq!(world.get(&format!("{path}/status")).await.data()["status"], "logged_out", "nothing is sent any more");
    assert_eq!(world.front.act(&format!("{path}/connect"), &world.token).await.refusal(), away);
}

#[tokio::test]
async fn a_number_of_the_cloud_api_says_what_it_can_not_do() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let path = format!("/api/v1/whatsapp/{}", front.session(&token).await);
    let (phone, number) = (json!({"phone": PHONE}), json!({"phoneNumber": PHONE}));
    insta::assert_snapshot!(
        front.post(&format!("{path}/check-number"), &token, phone).await.refusal(),
        @"409 CONFLICT: The Cloud API can not tell whether a number is on WhatsApp; a linked device can."
    );
    insta::assert_snapshot!(
        front.post(&format!("{path}/pairing-code"), &token, number).await.refusal(),
        @"409 CONFLICT: The session is a number of the Cloud API, which needs no pairing: connect it."
    );
    insta::assert_snapshot!(
        front.get(&format!("{path}/groups"), &token).await.refusal(),
        @"409 CONFLICT: A number of the Cloud API has no list of group chats; a linked device has."
    );
    insta::assert_snapshot!(
        front.get(&format!("{path}/qr"), &token).await.refusal(),
        @"409 CONFLICT: The session is paired: there is nothing to scan."
    );
}

#[tokio::test]
async fn counts_are_shown_and_a_session_is_removed_once() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let path = format!("/api/v1/whatsapp/{}", front.session(&token).await);
    insta::assert_snapshot!(front.get(&format!("{path}/stats"), &token).await.golden(), @r#"
    200
    {
      "data": {
        "id": "[id]",
        "today": {
          "failed": 0,
          "sent": 0,
          "unknown": 0
        },
        "total": {
          "failed": 0,
          "sent": 0,
          "unknown": 0
        }
      },
      "success": true
    }
    "#);
    assert_eq!(front.send("DELETE", &path, &token, "").await.status, 200);
    for (method, path) in [("DELETE", path.clone()), ("GET", format!("{path}/stats")), ("GET", format!("{path}/qr"))] {
        assert_eq!(front.send(method, &path, &token, "").await.status, 404, "{method} {path}");
    }
    assert_eq!(front.get("/api/v1/whatsapp", &token).await.json()["pagination"]["total"], 0);
}
