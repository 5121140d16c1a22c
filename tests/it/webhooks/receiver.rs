//! A receiver of webhooks that answers as the test wants and remembers who came.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// How requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// With a status.
    Answers(u16),
    /// With 200, and a body that never ends.
    NeverEnds,
    /// By sending the caller elsewhere.
    SendsTo(SocketAddr),
    /// Never.
    Hangs,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(super) struct Came {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) mood: Mood,
}

/// A receiver, until it is dropped.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    serving: JoinHandle<()>,
}

struct Shared {
    mood: Mood,
    came: Vec<Came>,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(super) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(super) fn timestamp_seconds(&self) -> i64 {
        self.header("webhook-timestamp").parse().unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn event(&self) -> String {
        self.json()["event"].as_str().unwrap().to_owned()
    }

    /// Asks a public library, leaving the time aside.
    pub(super) fn is_signed_with(&self, secret: &str) -> bool {
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        let expected = webhook.sign(self.id(), self.timestamp_seconds(), &self.body).unwrap();
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }

    /// Asks a public library, as a receiver does.
    pub(super) fn is_believed(&self, secret: &str) -> bool {
        standardwebhooks::Webhook::new(secret).unwrap().verify(&self.body, &self.headers).is_ok()
    }

    fn was_taken(&self) -> bool {
        matches!(self.mood, Mood::Answers(200..300))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    pub(super) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared { mood, came: Vec::new() }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let serving = TaskTracker::new().spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, serving }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hooks?from=us", self.address)
    }

    pub(super) fn set(&self, mood: Mood) {
        self.shared.lock().unwrap().mood = mood;
    }

    /// Everybody who came, in order.
    pub(super) fn came(&self) -> Vec<Came> {
        self.shared.lock().unwrap().came.clone()
    }

    /// Those who were answered with 2xx, in order.
    pub(super) fn taken(&self) -> Vec<Came> {
        self.came().into_iter().filter(Came::was_taken).collect()
    }
}

async fn answer(State(shared): State<Arc<Mutex<Shared>>>, headers: HeaderMap, body: Bytes) -> Response {
    let mood = {
        let mut shared = shared.lock().unwrap();
        let mood = shared.mood;
        shared.came.push(Came { headers, body, mood });
        mood
    };
    match mood {
        Mood::Answers(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Mood::SendsTo(address) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("http://{address}/"))]).into_response()
        }
        Mood::NeverEnds => {
            Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>()).into_response()
        }
        Mood::Hangs => std::future::pending().await,
    }
}
