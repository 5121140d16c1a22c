//! The socket: HTTP, one token, and the paths of version 1.
//!
//! The socket is this user's alone (mode 0600); the token keeps out other programs of the same user.

use std::convert::Infallible;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::limits::{BODY_BYTES_MAX, CONNECTIONS_MAX, NEWS_WAIT};
use crate::sessions::{Refusal, Sessions};
use crate::wire::{PROTOCOL, Phone, SendRequest};

/// What this program calls itself. A build that trusts any server says so.
pub const VERSION: &str = if cfg!(feature = "fake-server") {
    concat!(env!("CARGO_PKG_VERSION"), "+fake-server")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Answers requests.
#[derive(Clone)]
pub struct Server {
    sessions: Sessions,
    token: Option<Arc<[u8]>>,
    stop: CancellationToken,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("has_token", &self.token.is_some()).finish_non_exhaustive()
    }
}

/// Why a request is not answered with what it asks for.
struct Refused {
    status: StatusCode,
    why: String,
    again_in_s: Option<u64>,
}

impl Refused {
    fn new(status: StatusCode, why: &str) -> Self {
        Self { status, why: why.to_owned(), again_in_s: None }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (status, again_in_s) = match refusal {
            Refusal::NotNow(_) => (StatusCode::CONFLICT, None),
            Refusal::NotThere(_) => (StatusCode::NOT_FOUND, None),
            Refusal::TooOften { again_in } => (StatusCode::TOO_MANY_REQUESTS, Some(again_in.as_secs().max(1))),
            Refusal::Failed(_) => (StatusCode::UNPROCESSABLE_ENTITY, None),
        };
        Self { status, why: refusal.to_string(), again_in_s }
    }
}

impl Server {
    /// Answers for these sessions those who know the token, until `stop`.
    #[must_use]
    pub fn new(sessions: Sessions, token: Option<Vec<u8>>, stop: CancellationToken) -> Self {
        Self { sessions, token: token.map(Into::into), stop }
    }

    /// Makes the socket, which replaces one that nobody listens at any more.
    ///
    /// # Errors
    ///
    /// Fails if somebody listens, or the path can not be used.
    pub async fn bind(path: &Path) -> std::io::Result<UnixListener> {
        if UnixStream::connect(path).await.is_ok() {
            return Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, "somebody listens at this socket"));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// Serves until it is told to stop, and then finishes what it has begun.
    pub async fn serve(self, listener: UnixListener) {
        let (tasks, room) = (TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        loop {
            let Some(Ok(room)) = self.stop.run_until_cancelled(Arc::clone(&room).acquire_owned()).await else { break };
            let Some(accepted) = self.stop.run_until_cancelled(listener.accept()).await else { break };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors, most likely: some come back.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let server = self.clone();
            tasks.spawn(async move {
                server.converse(stream).await;
                drop(room);
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn converse(self, stream: UnixStream) {
        let stop = self.stop.clone();
        let service = service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let answered = if self.is_known(&request) {
            self.act(request).await
        } else {
            Err(Refused::new(StatusCode::UNAUTHORIZED, "The token is another one."))
        };
        let (status, body, again_in_s) = match answered {
            Ok(body) => (StatusCode::OK, body, None),
            Err(refused) => (refused.status, json!({ "error": refused.why }), refused.again_in_s),
        };
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = again_in_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn is_known(&self, request: &Request<Incoming>) -> bool {
        let Some(token) = &self.token else { return true };
        let told = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let told = told.and_then(|told| told.strip_prefix(b"Bearer ")).unwrap_or_default();
        told.ct_eq(token).into()
    }

    async fn act(&self, request: Request<Incoming>) -> Result<Value, Refused> {
        let (head, body) = request.into_parts();
        let path: Vec<&str> = head.uri.path().trim_start_matches('/').split('/').collect();
        let query = head.uri.query().unwrap_or_default();
        let after = query.split('&').find_map(|part| part.strip_prefix("after=")).unwrap_or_default();
        match (&head.method, path.as_slice()) {
            (&Method::GET, ["devices", "v1", "hello"]) => {
                let (n, max) = self.sessions.count();
                let hello = json!({ "protocol": PROTOCOL, "program": "dispatcher-web", "version": VERSION });
                Ok(merged(hello, json!({ "sessionsMax": max, "sessions": n })))
            }
            (&Method::GET, ["devices", "v1", "changes"]) => {
                let news = self.stop.run_until_cancelled(self.sessions.changes(after, NEWS_WAIT)).await;
                news.map(|news| value(&news)).ok_or_else(stopping)
            }
            (&Method::GET, ["devices", "v1", "events"]) => {
                let after = if after.is_empty() { Some(0) } else { after.parse().ok() };
                let after = after.ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, "after: not a number"))?;
                let news = self.sessions.data().happened_after(after, NEWS_WAIT);
                let news = self.stop.run_until_cancelled(news).await.ok_or_else(stopping)?;
                Ok(news.map_err(Refusal::from)?)
            }
            (&Method::GET, ["devices", "v1", id, "groups"]) => Ok(self.sessions.find(session(id)?)?.groups().await?),
            (&Method::POST, ["devices", "v1", id, verb]) => self.tell(session(id)?, verb, body).await,
            _ => Err(nothing_there()),
        }
    }

    async fn tell(&self, id: Uuid, verb: &str, body: Incoming) -> Result<Value, Refused> {
        let sessions = &self.sessions;
        match verb {
            "connect" => Ok(value(&sessions.find_or_make(id)?.connect().await?)),
            "disconnect" => Ok(value(&sessions.find_or_make(id)?.disconnect().await)),
            "log-out" => Ok(value(&sessions.find_or_make(id)?.log_out().await?)),
            "pairing-code" => {
                let number = number(body).await?;
                Ok(value(&sessions.find(id)?.pairing_code(number).await?))
            }
            "check-number" => {
                let number = number(body).await?;
                Ok(json!({ "exists": sessions.find(id)?.check_number(&number).await? }))
            }
            "send" => {
                let message: SendRequest = read(body).await?;
                let is_id =
                    message.id.len() == 32 && message.id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
                if !is_id {
                    return Err(Refused::new(StatusCode::BAD_REQUEST, "id: not 32 digits, sixteen to a place"));
                }
                let Ok(session) = sessions.find(id) else {
                    return Ok(json!({ "outcome": "not_sent", "reason": "not_connected", "code": null }));
                };
                // Whoever asked may go away: what was begun is finished, so that nothing is half sent.
                let sent =
                    tokio::task::JoinSet::from_iter([async move { session.send(message).await }]).join_next().await;
                let sent = sent.and_then(Result::ok).unwrap_or(crate::wire::Outcome::Unknown);
                Ok(value(&sent))
            }
            _ => Err(nothing_there()),
        }
    }
}

fn nothing_there() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "There is nothing at this path.")
}

fn stopping() -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, "The worker is stopping.")
}

fn session(id: &str) -> Result<Uuid, Refused> {
    id.parse().map_err(|_| nothing_there())
}

fn value(body: &impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

async fn number(body: Incoming) -> Result<String, Refused> {
    let Phone { phone_number } = read(body).await?;
    let digits = phone_number.strip_prefix('+').unwrap_or(&phone_number);
    let is_number = (5..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        Ok(digits.to_owned())
    } else {
        Err(Refused::new(StatusCode::BAD_REQUEST, "phoneNumber: not a phone number"))
    }
}

async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Refused> {
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too long."))?.to_bytes();
    serde_json::from_slice(&body).map_err(|_| Refused::new(StatusCode::BAD_REQUEST, "The body can not be read."))
}
