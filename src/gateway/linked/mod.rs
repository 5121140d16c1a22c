//! The way to linked devices: somebody else holds their connections and is asked over HTTP; the simulator is one.
//!
//! Each call is bounded in time, and [`LinkedDevices::follow`] tells what happens to them. Messages go by
//! [`LinkedGateway`].

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded::byte_serialize;

use self::wire::{OfPhone, WireChanges, WireCheck, WireCode, WireDevice, WireEvents, WireGroups, WireRefusal};
use super::connector::{ChatGroup, Connection, DeviceNews, Link, PairingCode, Refusal};
use crate::domain::receipt::Receipt;
use crate::domain::recipient::Recipient;
use crate::limits::DEVICE_ANSWER_BYTES_MAX;

mod send;
mod side;
mod wire;

pub use self::send::LinkedGateway;
use self::side::Side;

/// Longest time that a question for changes may be held open on the other side, and some for the way.
const CHANGES_TIMEOUT: Duration = Duration::from_secs(30);

/// Rest after a question for changes that was not answered.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Characters of a refusal that are told on, at most.
const REFUSAL_CHARS_MAX: usize = 200;

const AWAY: &str = "The gateway of linked devices does not answer now; try again.";
const NOT_UNDERSTOOD: &str = "The gateway of linked devices gave an answer that can not be understood.";

/// How to reach whoever holds the devices.
#[derive(Debug, Clone)]
pub struct LinkedSettings {
    /// Scheme and host, without a path: `http://127.0.0.1:8090`; or `unix:` and the path of a socket.
    pub base_url: String,
    /// Access token, sent as a bearer.
    pub access_token: String,
    /// Longest time of one call.
    pub request_timeout: Duration,
    /// Longest time to a connection.
    pub connect_timeout: Duration,
}

/// Why the way can not be made.
#[derive(Debug, thiserror::Error)]
pub enum LinkedProblem {
    /// The address is not one.
    #[error("gateway.linked_url is not an http:// or https:// address, nor unix: and the path of a socket")]
    Address,
    /// The token has characters that no header may have.
    #[error("gateway.linked_token has characters that no HTTP header may have")]
    Token,
}

/// Asks whoever holds the devices; cheap to clone.
#[derive(Debug, Clone)]
pub struct LinkedDevices {
    side: Side<Full<Bytes>>,
    authorization: HeaderValue,
    request_timeout: Duration,
}

impl LinkedDevices {
    /// Makes the way; connects to nobody yet.
    ///
    /// # Errors
    /// [`LinkedProblem`] when address or token can not be used.
    pub fn new(settings: &LinkedSettings) -> Result<Self, LinkedProblem> {
        let (side, authorization) = Side::of(settings)?;
        Ok(Self { side, authorization, request_timeout: settings.request_timeout })
    }

    pub(super) fn connect<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<Connection, Refusal>> {
        async move {
            let device: WireDevice = self.act(link, "connect", &()).await?;
            device.connection().ok_or(Refusal::Refused("The device can not be connected now.".into()))
        }
        .boxed()
    }

    pub(super) fn disconnect<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), Refusal>> {
        async move { self.act::<_, WireDevice>(link, "disconnect", &()).await.map(drop) }.boxed()
    }

    pub(super) fn log_out<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), Refusal>> {
        async move { self.act::<_, WireDevice>(link, "log-out", &()).await.map(drop) }.boxed()
    }

    pub(super) fn pairing_code<'a>(
        &'a self,
        link: &'a Link,
        phone: &'a Recipient,
    ) -> BoxFuture<'a, Result<PairingCode, Refusal>> {
        async move {
            let of_phone = OfPhone { phone_number: phone.as_str() };
            self.act::<_, WireCode>(link, "pairing-code", &of_phone).await.map(WireCode::pairing_code)
        }
        .boxed()
    }

    pub(super) fn check_number<'a>(
        &'a self,
        link: &'a Link,
        phone: &'a Recipient,
    ) -> BoxFuture<'a, Result<bool, Refusal>> {
        async move {
            let of_phone = OfPhone { phone_number: phone.as_str() };
            self.act::<_, WireCheck>(link, "check-number", &of_phone).await.map(|check| check.exists)
        }
        .boxed()
    }

    pub(super) fn groups<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<Vec<ChatGroup>, Refusal>> {
        async move {
            let path = format!("{}/groups", link.session_id);
            self.ask::<WireGroups>(Method::GET, &path, Bytes::new(), self.request_timeout).await.map(WireGroups::groups)
        }
        .boxed()
    }

    /// Tells what happens to devices, and first how each stands, until `stop` or until nobody listens any more.
    pub async fn follow(self, news: mpsc::Sender<DeviceNews>, stop: CancellationToken) {
        let mut after = String::new();
        let mut is_away = false;
        loop {
            let path = format!("changes?after={}", byte_serialize(after.as_bytes()).collect::<String>());
            let asked_at = Instant::now();
            let asked = self.ask::<WireChanges>(Method::GET, &path, Bytes::new(), CHANGES_TIMEOUT);
            match stop.run_until_cancelled(asked).await {
                None => return,
                Some(Ok(changes)) => {
                    is_away = false;
                    after = changes.next;
                    // Nothing to tell is told after a while; whoever says so at once is not asked at once.
                    let rests = changes.devices.is_empty() && asked_at.elapsed() < ASK_AGAIN_AFTER;
                    for change in changes.devices.into_iter().filter_map(wire::news) {
                        if news.send(change).await.is_err() {
                            return;
                        }
                    }
                    if rests && stop.run_until_cancelled(tokio::time::sleep(ASK_AGAIN_AFTER)).await.is_none() {
                        return;
                    }
                }
                Some(Err(refusal)) => {
                    if !is_away {
                        tracing::warn!(error = %refusal, "changes of linked devices are not told");
                    }
                    is_away = true;
                    if stop.run_until_cancelled(tokio::time::sleep(ASK_AGAIN_AFTER)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for what happens to messages after a number; returns the next number and the receipts among it.
    ///
    /// # Errors
    /// [`Refusal`] when nobody answers.
    pub async fn events(&self, after: u64) -> Result<(u64, Vec<Receipt>), Refusal> {
        let path = format!("events?after={after}");
        let events: WireEvents = self.ask(Method::GET, &path, Bytes::new(), CHANGES_TIMEOUT).await?;
        Ok((events.next, events.events.into_iter().filter_map(wire::receipt).collect()))
    }

    async fn act<B: Serialize, T: DeserializeOwned>(&self, link: &Link, verb: &str, body: &B) -> Result<T, Refusal> {
        let body = serde_json::to_vec(body).map_err(|_| Refusal::Refused(NOT_UNDERSTOOD.into()))?;
        let path = format!("{}/{verb}", link.session_id);
        self.ask(Method::POST, &path, body.into(), self.request_timeout).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<T, Refusal> {
        let request = Request::builder()
            .method(method)
            .uri(self.side.uri(path))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(body))
            .map_err(|_| Refusal::Refused(NOT_UNDERSTOOD.into()))?;
        let answered = async {
            let answer = self.side.request(request).await.ok()?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), DEVICE_ANSWER_BYTES_MAX).collect().await.ok()?;
            Some((status, body.to_bytes()))
        };
        let answered = tokio::time::timeout(timeout, answered).await.ok().flatten();
        let (status, body) = answered.ok_or(Refusal::Refused(AWAY.into()))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| Refusal::Refused(NOT_UNDERSTOOD.into()));
        }
        Err(refusal(status, &body))
    }
}

/// Reads why something was not done: a refusal of what was asked is told on, anything else means that nobody is there.
fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    if !status.is_client_error() {
        return Refusal::Refused(AWAY.into());
    }
    match serde_json::from_slice::<WireRefusal>(body) {
        Ok(refusal) => {
            let sentence: String = refusal.error.chars().filter(|c| !c.is_control()).take(REFUSAL_CHARS_MAX).collect();
            match status {
                StatusCode::CONFLICT => Refusal::NotOffered(sentence.into()),
                _ => Refusal::Refused(sentence.into()),
            }
        }
        Err(_) => Refusal::Refused(NOT_UNDERSTOOD.into()),
    }
}

#[cfg(test)]
mod tests;
