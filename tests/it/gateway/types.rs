//! What goes to the Cloud API and what comes back, for every type of message: one golden file for each.
//!
//! A file holds the message as our users write it, the body that went out, and the simulator's answer. It changes only on
//! purpose: run with `UPDATE_GOLDEN=1` to accept, and read the difference beside Meta's reference.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actiwapi_dispatcher::clock::{Clock, Deadline, Moment};
use actiwapi_dispatcher::domain::attempt::Outcome;
use actiwapi_dispatcher::domain::id::{DeliveryId, MediaId, SessionId, TenantId};
use actiwapi_dispatcher::domain::media::{MediaKey, MediaType};
use actiwapi_dispatcher::domain::message::{MessageSpec, MessageTemplate, Variables};
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::gateway::by_number::ByNumber;
use actiwapi_dispatcher::gateway::cloud::{AccessToken, CloudDesk, CloudGateway, CloudSettings};
use actiwapi_dispatcher::gateway::connector::{Connector, Link, Refusal};
use actiwapi_dispatcher::gateway::{Gateway, SendRequest, Sender};
use actiwapi_dispatcher::media::{MediaFiles, MediaPlace};
use actiwapi_dispatcher::simulator::{self, Faults, Options};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The file that messages of ours name.
const FILE: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_00aa);
const TENANT: TenantId = TenantId(Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001));
const TOKEN: DeliveryId = DeliveryId(Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0002));
const WITHIN: Duration = Duration::from_secs(20);

/// Bodies that went through, and what was answered.
type Seen = Arc<Mutex<Vec<(Value, Value)>>>;

/// The last access token that went by.
type Token = Arc<Mutex<String>>;

#[derive(Clone)]
struct Passing {
    to: String,
    http: reqwest::Client,
    seen: Seen,
    token: Token,
}

/// Passes everything on and keeps what went by.
async fn pass(State(passing): State<Passing>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 8 << 20).await.unwrap();
    head.headers["authorization"].to_str().unwrap().clone_into(&mut passing.token.lock().unwrap());
    let url = format!("{}{}", passing.to, head.uri);
    let asked = passing.http.request(head.method, url).headers(head.headers).body(body.clone()).send().await.unwrap();
    let status = asked.status();
    let answer: Bytes = asked.bytes().await.unwrap();
    if head.uri.path().ends_with("/messages") {
        let pair = (serde_json::from_slice(&body).unwrap(), serde_json::from_slice(&answer).unwrap());
        passing.seen.lock().unwrap().push(pair);
    }
    Response::builder().status(status).body(Body::from(answer)).unwrap()
}

struct World {
    gateway: CloudGateway,
    desk: ByNumber,
    access_token: AccessToken,
    seen: Seen,
    token: Token,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    async fn start() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let (folder, stop, mut tasks) = (tempfile::tempdir().unwrap(), CancellationToken::new(), JoinSet::new());
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            callback_url: None,
            app_secret: "a secret".to_owned(),
            seed: 1,
            faults: Faults::default(),
            receipts: false,
        };
        let simulator = simulator::bind(options).await.unwrap();
        let (to, seen, token) = (format!("http://{}", simulator.address), Seen::default(), Token::default());
        let until = stop.clone();
        tasks.spawn(async move { simulator.run(until).await });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let passing = Passing { to, http, seen: Arc::clone(&seen), token: Arc::clone(&token) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let front = Router::new().fallback(pass).with_state(passing);
        tasks.spawn(async move { axum::serve(listener, front).await.unwrap() });

        let files = MediaFiles::open(&MediaPlace::Directory(folder.path().to_owned())).unwrap();
        let key = MediaKey { tenant_id: TENANT, media_id: MediaId(FILE) };
        let mut writer = files.create(key, MediaType::by_extension("png").unwrap()).await.unwrap();
        writer.write(Bytes::from_static(b"\x89PNG\r\n\x1a\n")).await.unwrap();
        writer.finish().await.unwrap();
        let access_token = AccessToken::new("a token").unwrap();
        let settings = CloudSettings {
            base_url,
            api_version: "v25.0".to_owned(),
            access_token: access_token.clone(),
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
        };
        let gateway = CloudGateway::new(&settings, files, Clock::system()).unwrap();
        let desk = ByNumber { linked: None, cloud: Some(CloudDesk::new(&settings).unwrap()) };
        Self { gateway, desk, access_token, seen, token, stop, _folder: folder, _tasks: tasks }
    }

    /// Sends a message, again while its file is on its way; returns what went out and what came back.
    async fn send(&self, message: &Value) -> (Value, Value) {
        let spec: MessageSpec = serde_json::from_value(message.clone()).unwrap();
        let template = MessageTemplate::compile_for(&spec, TENANT).unwrap();
        let recipient = Recipient::parse("919876543210").unwrap();
        let content = template.render(&Variables::default(), &recipient, 7).unwrap();
        let until = tokio::time::Instant::now() + WITHIN;
        loop {
            let request = SendRequest {
                sender: Sender::Number("1000".into()),
                recipient: recipient.clone(),
                content: content.clone(),
                token: TOKEN,
                is_single: true,
                deadline: Deadline::at(Moment(u64::MAX)),
            };
            let answer = self.gateway.send(request).await;
            if matches!(answer.outcome, Some(Outcome::Accepted { .. })) {
                return self.seen.lock().unwrap().pop().unwrap();
            }
            assert!(answer.left_at.is_none() && tokio::time::Instant::now() < until, "{message}: {answer:?}");
            tokio::task::yield_now().await;
        }
    }
}

/// One message of every type, by the name of its file.
fn messages() -> Vec<(&'static str, Value)> {
    let ours = FILE.to_string();
    let link = "https://shop.example/sale";
    vec![
        ("text", json!({"type": "text", "text": "Hello {{phone}}"})),
        ("image", json!({"type": "image", "mediaId": ours, "caption": "Sale"})),
        ("image-link", json!({"type": "image", "mediaUrl": link})),
        ("video", json!({"type": "video", "mediaUrl": link, "caption": "Sale"})),
        ("audio", json!({"type": "audio", "mediaUrl": link})),
        ("document", json!({"type": "document", "mediaUrl": link, "caption": "Sale", "filename": "Prices.pdf"})),
        ("sticker", json!({"type": "sticker", "mediaUrl": link})),
        (
            "location",
            json!({"type": "location", "latitude": 18.5204, "longitude": 73.8567, "name": "Shop", "address": "12 MG Road"}),
        ),
        ("contacts", json!({"type": "contact", "name": "Ana Rao", "phones": ["919876543211"]})),
        (
            "interactive-button",
            json!({
                "type": "buttons", "header": {"type": "image", "mediaId": ours}, "text": "Shall we come today?",
                "footer": "Rao Textiles", "buttons": [{"id": "yes", "title": "Yes"}, {"id": "no", "title": "No"}],
            }),
        ),
        (
            "interactive-list",
            json!({
                "type": "list", "header": {"type": "text", "text": "Menu"}, "text": "What would you like?", "button": "Choose",
                "sections": [
                    {"title": "Hot", "rows": [{"id": "tea", "title": "Tea", "description": "With milk"}]},
                    {"title": "Cold", "rows": [{"id": "lassi", "title": "Lassi"}]},
                ],
            }),
        ),
        (
            "interactive-link",
            json!({
                "type": "link", "text": "Your order is on its way.", "button": "Follow it", "url": "https://shop.example/orders/{{phone}}",
            }),
        ),
        ("reaction", json!({"type": "reaction", "messageId": "wamid.HBgMOTE5ODc2NTQzMjEw", "emoji": "👍"})),
        (
            "template",
            json!({"type": "template", "name": "order_ready", "language": "en_US", "parameters": ["Ana", "17"]}),
        ),
        (
            "template-components",
            json!({
                "type": "template", "name": "order_ready", "language": "en_US", "namedParameters": {"name": "Ana"},
                "header": {"type": "document", "mediaUrl": link, "filename": "Bill.pdf"},
                "buttons": [
                    {"index": 0, "type": "url", "value": "orders/17"},
                    {"index": 1, "type": "quick_reply", "value": "later"},
                    {"index": 2, "type": "copy_code", "value": "SALE17"},
                ],
            }),
        ),
    ]
}

#[tokio::test]
async fn every_type_goes_out_as_the_reference_says() {
    let world = World::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cloud");
    for (name, message) in messages() {
        let (request, mut response) = world.send(&message).await;
        let id = response["messages"][0]["id"].as_str().unwrap();
        assert!(id.starts_with("wamid."), "{response}");
        response["messages"][0]["id"] = "wamid.…".into();
        let now = json!({"message": message, "request": request, "response": response});
        let path = folder.join(format!("{name}.json"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, format!("{now:#}\n")).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let kept: Value = serde_json::from_str(&kept).unwrap_or_default();
        assert_eq!(kept, now, "{}; run with UPDATE_GOLDEN=1 to accept", path.display());
    }
}

#[tokio::test]
async fn a_message_is_marked_as_read_and_an_answer_is_announced() {
    let world = World::start().await;
    let link = Link { session_id: SessionId::generate(), phone_number_id: Some("1000".to_owned()) };
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"});
    let mut typing = read.clone();
    typing["typing_indicator"] = json!({"type": "text"});
    for (types, body) in [(false, read), (true, typing)] {
        world.desk.mark_read(&link, "wamid.1", types).await.unwrap();
        assert_eq!(world.seen.lock().unwrap().pop().unwrap(), (body, json!({"success": true})));
    }
    world.stop.cancel();
    let linked = Link { phone_number_id: None, ..link };
    assert!(matches!(world.desk.mark_read(&linked, "wamid.1", false).await, Err(Refusal::NotOffered(_))));
}

#[tokio::test]
async fn a_token_that_was_replaced_goes_with_every_request_from_then_on() {
    let world = World::start().await;
    let (text, picture) =
        (json!({"type": "text", "text": "Hi"}), json!({"type": "image", "mediaId": FILE.to_string()}));
    world.send(&text).await;
    assert_eq!(*world.token.lock().unwrap(), "Bearer a token");
    assert!(world.access_token.replace("another"));
    for message in [text, picture] {
        world.send(&message).await;
        assert_eq!(*world.token.lock().unwrap(), "Bearer another");
    }
}
