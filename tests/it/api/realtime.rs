//! Those who look on: streams of a campaign's events, and Socket.io with the client that others use.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::socket::{Served, client};
use super::support::Front;

/// Longest wait for what is to be told, on a machine that others use too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A front behind a socket, with a campaign of two recipients.
struct World {
    front: Front,
    served: Served,
    token: String,
    session_id: String,
    campaign_id: String,
}

impl World {
    async fn start() -> Self {
        let front = Front::start().await;
        let token = front.register("ana@example.com").await;
        let session_id = front.session(&token).await;
        let campaign_id = front.draft(&token, &session_id).await;
        let recipients = json!({"recipients": [{"phone": "919876543210"}, {"phone": "919876543211"}]});
        front.post(&format!("/api/v1/campaigns/{campaign_id}/recipients"), &token, recipients).await.data();
        let served = Served::start(&front).await;
        Self { front, served, token, session_id, campaign_id }
    }

    fn url(&self) -> String {
        format!("http://{}", self.served.address)
    }

    async fn act(&self, what: &str) {
        self.front.act(&format!("/api/v1/campaigns/{}/{what}", self.campaign_id), &self.token).await.data();
    }

    /// Opens a stream of the campaign's events.
    async fn events(&self, known: Option<&str>) -> Events {
        let url = format!("{}/api/v1/campaigns/{}/events", self.url(), self.campaign_id);
        let mut request = client().get(url).bearer_auth(&self.token);
        if let Some(id) = known {
            request = request.header("last-event-id", id);
        }
        Events { response: request.send().await.unwrap(), text: String::new() }
    }
}

/// A stream of events, read by lines.
struct Events {
    response: Response,
    text: String,
}

/// One event: its name, its id and its data.
type Event = (String, String, Value);

impl Events {
    /// Waits for the next event; none at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    lines.collect::<String>()
                };
                let (name, id, data) = (field("event"), field("id"), field("data"));
                self.text = rest.to_owned();
                if !name.is_empty() {
                    return Some((name, id, serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("it goes on");
            self.text += std::str::from_utf8(&chunk.unwrap()?).unwrap();
        }
    }
}

#[tokio::test]
async fn a_campaign_is_streamed_to_its_end() {
    let world = World::start().await;
    let mut events = world.events(None).await;
    assert_eq!(events.response.status(), 200);
    assert_eq!(events.response.headers()["content-type"], "text/event-stream");
    assert_eq!(events.response.headers()["x-accel-buffering"], "no");
    let (name, _, data) = events.next().await.unwrap();
    assert_eq!(
        (name.as_str(), data["status"].as_str(), data["counters"]["total"].as_i64()),
        ("progress", Some("draft"), Some(2))
    );
    world.act("start").await;
    let (name, _, data) = events.next().await.unwrap();
    let status = (data["status"].as_str(), data["previousStatus"].as_str());
    assert_eq!((name.as_str(), status), ("status", (Some("running"), Some("draft"))));
    let (name, running, data) = events.next().await.unwrap();
    assert_eq!((name.as_str(), data["counters"]["queued"].as_i64()), ("progress", Some(2)));

    // Whoever knows where it stands hears only what comes.
    let mut again = world.events(Some(&running)).await;
    world.act("pause").await;
    for events in [&mut events, &mut again] {
        let (name, _, data) = events.next().await.unwrap();
        assert_eq!((name.as_str(), data["status"].as_str()), ("status", Some("paused")));
        assert_eq!(events.next().await.unwrap().0, "progress");
    }
    world.act("cancel").await;
    let mut last = String::new();
    for events in [&mut events, &mut again] {
        let mut names = Vec::new();
        while let Some((name, id, _)) = events.next().await {
            names.push(name);
            last = id;
        }
        assert_eq!(names, ["status", "progress", "cancelled"]);
    }
    assert_eq!(world.events(Some(&last)).await.response.status(), 204);
    let mut whole = world.events(None).await;
    assert_eq!(whole.next().await.unwrap().0, "progress");
    assert_eq!(whole.next().await.unwrap().0, "cancelled");
    assert!(whole.next().await.is_none());
    world.served.end().await;
}

#[tokio::test]
async fn streams_end_with_the_server_and_are_not_too_many() {
    let world = World::start().await;
    let mut streams = Vec::new();
    for _ in 0..actiwapi_dispatcher::limits::EVENT_STREAMS_PER_TENANT_MAX {
        let mut events = world.events(None).await;
        assert_eq!(events.next().await.unwrap().0, "progress");
        streams.push(events);
    }
    let refused = world.events(None).await.response;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let other = world.front.register("other@example.com").await;
    let path = format!("/api/v1/campaigns/{}/events", world.campaign_id);
    assert_eq!(world.front.get(&path, &other).await.status, 404);
    world.served.stop.cancel();
    for events in &mut streams {
        let (name, _, data) = events.next().await.unwrap();
        assert_eq!((name.as_str(), data["reason"].as_str()), ("closing", Some("shutdown")));
        assert!(events.next().await.is_none());
    }
    world.served.end().await;
}

/// The client of `python-socketio`, as a process.
struct Python {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Python {
    fn start(world: &World, auth: &str, transports: &[&str]) -> Self {
        let folder = std::env::var_os("PYTHON_TOOLS").expect("PYTHON_TOOLS names the folder that scripts/test makes");
        let mut child = Command::new(Path::new(&folder).join("python"))
            .args(["-c", include_str!("listen.py"), &world.url(), auth])
            .args(transports)
            .env("NO_PROXY", "127.0.0.1")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("scripts/test installs what scripts/python/requirements.txt lists");
        Self { lines: BufReader::new(child.stdout.take().unwrap()).lines(), _child: child }
    }

    async fn next(&mut self) -> Option<(String, Value)> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("it goes on").unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Waits for something to be told; whatever else is told before does not matter.
    async fn told(&mut self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (told, data) = self.next().await.unwrap_or_else(|| panic!("never told: {name}"));
            if told == name && is_it(&data) {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn the_python_client_is_told_what_happens() {
    let world = World::start().await;
    let other = world.front.register("other@example.com").await;
    let mut clients = [
        Python::start(&world, &world.token, &[]),
        Python::start(&world, &world.token, &["websocket"]),
        Python::start(&world, &world.token, &["polling"]),
    ];
    let mut foreign = Python::start(&world, &other, &[]);
    for client in clients.iter_mut().chain([&mut foreign]) {
        assert_eq!(client.next().await.unwrap().0, "connect");
    }
    let noted = async || crate::support::seed::count(&world.front.store, "realtime_listeners").await == 2;
    crate::support::wait::until_so("it is noted who listens", noted).await;
    let session = format!("/api/v1/whatsapp/{}", world.session_id);
    world.front.act(&format!("{session}/disconnect"), &world.token).await.data();
    for client in &mut clients {
        let data = client.told("session:status", |data| data["status"] == "disconnected").await;
        assert_eq!(
            (data["sessionId"].as_str(), data["previousStatus"].as_str()),
            (Some(world.session_id.as_str()), Some("connected"))
        );
    }
    world.front.act(&format!("{session}/connect"), &world.token).await.data();
    world.act("start").await;
    for client in &mut clients {
        let data = client.told("campaign:progress", |data| data["status"] == "running").await;
        assert_eq!(
            (data["campaignId"].as_str(), data["counters"]["queued"].as_i64()),
            (Some(world.campaign_id.as_str()), Some(2))
        );
    }
    // What the lanes do otherwise: both messages are settled.
    let id = world.campaign_id.parse().unwrap();
    let store = &world.front.store;
    for job in &store.expand_campaign(actiwapi_dispatcher::domain::id::CampaignId(id), 0, 10).await.unwrap().jobs {
        store.admit_jobs(&[job], actiwapi_dispatcher::clock::Clock::system().now().as_ms() * 1_000).await.unwrap();
    }
    world.act("cancel").await;
    world.front.state.services.campaigns.settle_cancelled().await.unwrap();
    for client in &mut clients {
        client
            .told("message:status", |data| data["status"] == "cancelled" && data["campaignId"] == world.campaign_id)
            .await;
        client.told("campaign:progress", |data| data["counters"]["cancelled"] == 2).await;
    }
    world.served.stop.cancel();
    for client in clients.iter_mut().chain([&mut foreign]) {
        client.told("disconnect", |_| true).await;
    }
    world.served.end().await;
}

#[tokio::test]
async fn a_refused_client_is_told_why() {
    let world = World::start().await;
    for (auth, why) in [
        ("{}", "UNAUTHORIZED: the handshake must have `auth: { token }`"),
        ("x.y.z", "UNAUTHORIZED: the token is wrong or expired"),
        (r#"{"token": 5}"#, "UNAUTHORIZED: the handshake must have `auth: { token }`"),
    ] {
        let mut client = Python::start(&world, auth, &["websocket"]);
        let data = client.told("connect_error", |_| true).await;
        assert_eq!(data["message"], why);
    }
    world.served.end().await;
}
