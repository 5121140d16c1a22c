//! The worker as a process of its own, and what is asked of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use uuid::Uuid;

use crate::fake::FakeServer;

pub(crate) const TOKEN: &str = "a-token-of-tests";
/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Worker {
    child: Option<Child>,
    folder: TempDir,
    url: String,
    sessions_max: usize,
}

impl Worker {
    pub(crate) async fn start(server: &FakeServer) -> Self {
        Self::start_with(server, 20).await
    }

    pub(crate) async fn start_with(server: &FakeServer, sessions_max: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        std::fs::write(folder.path().join("key"), "0123456789abcdef".repeat(4)).unwrap();
        let mut worker = Self { child: None, folder, url: server.url.clone(), sessions_max };
        worker.run().await;
        worker
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command that starts another one over the same folder of data.
    pub(crate) fn command(&self, socket: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dispatcher-web"));
        command.arg("--socket").arg(socket).arg("--data").arg(self.path("data")).arg("--server-url").arg(&self.url);
        command.arg("--token-file").arg(self.path("token")).arg("--key-file").arg(self.path("key"));
        command.arg("--sessions-max").arg(self.sessions_max.to_string()).kill_on_drop(true).stdin(Stdio::null());
        command
    }

    async fn run(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        self.child = Some(self.command(&self.path("socket")).stderr(log).spawn().unwrap());
        let until = Instant::now() + PATIENCE;
        while UnixStream::connect(self.path("socket")).await.is_err() {
            assert!(Instant::now() < until, "the worker does not listen: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("a process")
    }

    /// Ends it as systemd would, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let id = child.id().unwrap().to_string();
        assert!(Command::new("kill").arg("-TERM").arg(id).status().await.unwrap().success());
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
        assert!(ended.success(), "{}", self.log());
    }

    /// Ends it without a word.
    pub(crate) async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        self.run().await;
    }

    pub(crate) async fn ask_as(&self, token: &str, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let stream = UnixStream::connect(self.path("socket")).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "worker")
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let asked = async move {
            let answer = sender.send_request(request).await.unwrap();
            let status = answer.status();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice(&body).unwrap())
        };
        let (answer, _) =
            tokio::time::timeout(PATIENCE + PATIENCE, async { tokio::join!(asked, connection) }).await.unwrap();
        answer
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask_as(TOKEN, method, &format!("/devices/v1/{path}"), body).await
    }

    pub(crate) async fn post(&self, session: Uuid, verb: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Method::POST, &format!("{session}/{verb}"), body).await;
        assert_eq!(status, StatusCode::OK, "{verb}: {answer}; {}", self.log());
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask(Method::GET, path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// Follows the changes until a session stands as is wanted.
    pub(crate) async fn until(&self, session: Uuid, state: &str) -> Value {
        let (until, mut after) = (Instant::now() + PATIENCE, String::new());
        let mut last = Value::Null;
        while Instant::now() < until {
            let asked = tokio::time::timeout_at(until, self.get_changes(&after)).await;
            let Ok(changes) = asked else { break };
            after = changes["next"].as_str().unwrap().to_owned();
            let of_session = changes["devices"].as_array().unwrap().iter().find(|one| one["session"] == json!(session));
            if let Some(device) = of_session {
                last = device.clone();
                if device["state"] == state {
                    return last;
                }
            }
        }
        panic!("never {state}, last {}: {}", last["state"], self.log());
    }

    async fn get_changes(&self, after: &str) -> Value {
        self.get(&format!("changes?after={after}")).await
    }

    /// Pairs a session with the phone of a number.
    pub(crate) async fn pair(&self, server: &FakeServer, session: Uuid, number: &str) {
        self.post(session, "connect", json!({})).await;
        let waits = self.until(session, "qr_pending").await;
        server.scan(waits["qr"]["code"].as_str().unwrap(), number);
        let connected = self.until(session, "connected").await;
        assert_eq!(connected["phoneNumber"], number);
    }

    /// Sends a text; in time, unless told otherwise.
    pub(crate) async fn send(&self, session: Uuid, id: u128, to: &str) -> Value {
        let message = json!({ "type": "text", "text": "words nobody else reads" });
        self.send_message(session, id, to, message).await
    }

    pub(crate) async fn send_message(&self, session: Uuid, id: u128, to: &str, message: Value) -> Value {
        let body =
            json!({ "id": format!("{id:032X}"), "to": to, "message": message, "withinMs": 60_000, "typingMs": 0 });
        self.post(session, "send", body).await
    }

    /// Collects events until there are so many.
    pub(crate) async fn events(&self, n: usize) -> Vec<Value> {
        let (until, mut after, mut events) = (Instant::now() + PATIENCE, 0, Vec::new());
        while events.len() < n {
            let told = tokio::time::timeout_at(until, self.get(&format!("events?after={after}"))).await;
            let told = told.unwrap_or_else(|_| panic!("only {} of {n} events", events.len()));
            after = told["next"].as_i64().unwrap();
            events.extend(told["events"].as_array().unwrap().iter().cloned());
        }
        events
    }
}
