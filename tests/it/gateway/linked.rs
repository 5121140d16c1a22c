//! What goes to whoever holds linked devices, over a Unix socket, and what each of its answers means.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actiwapi_dispatcher::clock::{Clock, Deadline};
use actiwapi_dispatcher::domain::attempt::Outcome;
use actiwapi_dispatcher::domain::id::{DeliveryId, SessionId};
use actiwapi_dispatcher::domain::message::{MessageSpec, MessageTemplate, Variables};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::gateway::by_number::SendByNumber;
use actiwapi_dispatcher::gateway::cloud::{AccessToken, CloudGateway, CloudSettings};
use actiwapi_dispatcher::gateway::linked::{LinkedDevices, LinkedGateway, LinkedSettings};
use actiwapi_dispatcher::gateway::{Answer, Gateway, SendRequest, Sender};
use actiwapi_dispatcher::media::{MediaFiles, MediaPlace};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

const TOKEN: DeliveryId = DeliveryId(uuid::Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_00ab));

/// What is answered next, and what was asked.
#[derive(Debug, Clone, Default)]
struct Script {
    answer: Arc<Mutex<(u16, Value)>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

async fn send(
    State(script): State<Script>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    script.asked.lock().unwrap().push((id, body));
    let (status, answer) = script.answer.lock().unwrap().clone();
    (StatusCode::from_u16(status).unwrap(), Json(answer))
}

async fn events() -> Json<Value> {
    Json(json!({"next": 3, "events": [
        {"at": 1, "session": TOKEN.0, "kind": "receipt", "id": format!("{:X}", TOKEN.0.simple()), "status": "delivered", "atMs": 7},
        {"at": 2, "session": TOKEN.0, "kind": "incoming", "id": "3EB0", "from": "919876543210", "text": "Hi", "type": "text", "atMs": 8},
        {"at": 3, "odd": true},
    ]}))
}

struct World {
    gateway: SendByNumber,
    devices: LinkedDevices,
    script: Script,
    clock: Clock,
    folder: tempfile::TempDir,
    tasks: JoinSet<()>,
}

impl World {
    async fn start() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let (folder, script, mut tasks) = (tempfile::tempdir().unwrap(), Script::default(), JoinSet::new());
        let path = folder.path().join("web.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let routes = Router::new()
            .route("/devices/v1/{id}/send", post(send))
            .route("/devices/v1/events", get(events))
            .with_state(script.clone());
        tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let second = Duration::from_secs(1);
        let settings = LinkedSettings {
            base_url: format!("unix:{}", path.display()),
            access_token: "a token".to_owned(),
            request_timeout: second,
            connect_timeout: second,
        };
        let cloud = CloudSettings {
            base_url: "http://127.0.0.1:9".to_owned(),
            api_version: "v25.0".to_owned(),
            access_token: AccessToken::new("a token").unwrap(),
            request_timeout: second,
            connect_timeout: second,
        };
        let clock = Clock::system();
        let files = MediaFiles::open(&MediaPlace::Directory(folder.path().to_owned())).unwrap();
        let cloud = CloudGateway::new(&cloud, files, clock.clone()).unwrap();
        let linked = Some(LinkedGateway::new(&settings, clock.clone()).unwrap());
        let devices = LinkedDevices::new(&settings).unwrap();
        Self { gateway: SendByNumber { cloud, linked }, devices, script, clock, folder, tasks }
    }

    async fn send(&self, message: Value, within: Duration) -> Answer {
        let spec: MessageSpec = serde_json::from_value(message).unwrap();
        let recipient = Recipient::parse("919876543210").unwrap();
        let template = MessageTemplate::compile(&spec).unwrap();
        let content = template.render(&Variables::default(), &recipient, 7).unwrap();
        let sender = Sender::Device { session_id: SessionId(TOKEN.0), number: "919811111111".into() };
        let deadline = Deadline::at(self.clock.now() + within);
        self.gateway.send(SendRequest { sender, recipient, content, token: TOKEN, is_single: true, deadline }).await
    }

    /// Sends a text that is answered so; tells what came of it in words.
    async fn told(&self, status: u16, answer: Value) -> String {
        *self.script.answer.lock().unwrap() = (status, answer);
        let answer = self.send(json!({"type": "text", "text": "Hi"}), Duration::from_secs(9)).await;
        let left = if answer.left_at.is_some() { "" } else { ", nothing left" };
        match answer.outcome {
            None => format!("too late{left}"),
            Some(Outcome::Accepted { provider_message_id }) => format!("accepted {provider_message_id}{left}"),
            Some(outcome) => {
                let failure = outcome.failure().unwrap();
                let (reason, code) = (failure.reason.as_str(), failure.provider_code.as_deref().unwrap());
                format!("{} {reason} {code} {:?}{left}", outcome.as_str(), failure.handling)
            }
        }
    }
}

#[tokio::test]
async fn a_message_goes_under_the_name_of_its_delivery() {
    let world = World::start().await;
    assert_eq!(world.told(200, json!({"outcome": "accepted"})).await, "accepted 0198C0DE0000700080000000000000AB");
    let (id, mut body) = world.script.asked.lock().unwrap().pop().unwrap();
    assert_eq!(id, TOKEN.0.to_string());
    let within_ms = body["withinMs"].take().as_u64().unwrap();
    assert!((1..=9_000).contains(&within_ms), "{within_ms}");
    let expected = json!({
        "id": "0198C0DE0000700080000000000000AB", "to": "919876543210", "message": {"type": "text", "text": "Hi"},
        "withinMs": null, "typingMs": 0,
    });
    assert_eq!(body, expected);
    let late = world.send(json!({"type": "text", "text": "Hi"}), Duration::ZERO).await;
    assert_eq!(late, Answer { outcome: None, left_at: None });
    let template = world.send(json!({"type": "template", "name": "n", "language": "en"}), Duration::from_secs(9)).await;
    assert!(matches!(template.outcome, Some(Outcome::Rejected(_))) && template.left_at.is_none(), "{template:?}");
    assert!(world.script.asked.lock().unwrap().is_empty(), "neither was asked for");
}

#[tokio::test]
async fn each_answer_has_its_meaning() {
    let world = World::start().await;
    let not_sent = |reason: &str, code: Value| json!({"outcome": "not_sent", "reason": reason, "code": code});
    let refused = |code: i64| json!({"outcome": "refused", "code": code, "expiresInMs": null});
    let told = [
        world.told(200, json!({"outcome": "unknown"})).await,
        world.told(200, refused(463)).await,
        world.told(200, refused(429)).await,
        world.told(200, refused(999)).await,
        world.told(200, not_sent("deadline", json!(null))).await,
        world.told(200, not_sent("not_connected", json!(null))).await,
        world.told(200, not_sent("not_connected", json!(402))).await,
        world.told(200, not_sent("busy", json!(null))).await,
        world.told(200, not_sent("unsupported", json!(null))).await,
        world.told(404, json!({"error": "There is no such device."})).await,
        world.told(500, json!({"error": "x"})).await,
        world.told(200, json!({"outcome": "perhaps"})).await,
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    unknown OUTCOME_UNKNOWN linked:silence Reconcile
    deferred NEW_CHAT_TIMELOCK waweb-ack:463 HoldCold
    deferred SESSION_RATE_LIMIT waweb-ack:429 Throttle
    rejected PROVIDER_ERROR waweb-ack:999 FailMessage
    too late, nothing left
    deferred SESSION_DISCONNECTED waweb:1006 HoldLane, nothing left
    deferred ACCOUNT_TEMP_BANNED waweb:402 HoldLane, nothing left
    deferred SESSION_RATE_LIMIT waweb-ack:429 Throttle, nothing left
    rejected REQUEST_REJECTED linked:unsupported FailMessage, nothing left
    deferred SESSION_DISCONNECTED waweb:1006 HoldLane, nothing left
    unknown OUTCOME_UNKNOWN linked:answer Reconcile
    unknown OUTCOME_UNKNOWN linked:answer Reconcile
    ");
}

#[tokio::test]
async fn a_worker_that_is_away_is_no_answer() {
    let mut world = World::start().await;
    world.tasks.shutdown().await;
    std::fs::remove_file(world.folder.path().join("web.sock")).unwrap();
    assert_eq!(world.told(200, json!(null)).await, "deferred NETWORK net:connect HoldAccount, nothing left");
}

#[tokio::test]
async fn receipts_name_their_deliveries() {
    let world = World::start().await;
    let (next, receipts) = world.devices.events(0).await.unwrap();
    assert_eq!((next, receipts.len()), (3, 1));
    assert_eq!((receipts[0].delivery_id, receipts[0].kind, receipts[0].at_ms), (TOKEN, ReceiptKind::Delivered, 7));
}
