//! Sending by linked devices: whoever holds their connections is given the message, and says what the server said.
//!
//! The name of a message on the wire is the delivery's id, so that a second attempt is no second message, and receipts name
//! their delivery. Only texts, places and cards go; files would have to be laid where the other side reads them.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use serde::{Deserialize, Serialize};

use super::{LinkedProblem, LinkedSettings, Side};
use crate::clock::Clock;
use crate::domain::attempt::Outcome;
use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};
use crate::domain::id::SessionId;
use crate::domain::message::{Content, MessageSpec};
use crate::gateway::classify::{
    DisconnectContext, failure_of_ack, failure_of_disconnect, outcome_of_failure, outcome_of_no_connection,
    outcome_of_silence,
};
use crate::gateway::stamped::{Stamp, StampedBody, has_lapsed};
use crate::gateway::{Answer, SendRequest};

/// Longest time of a send: the other side waits 20 seconds for the server's word and says then that it heard none.
const SEND_TIMEOUT: Duration = Duration::from_secs(25);

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// The code of a connection that ended without one.
const NO_CODE: i64 = 1_006;

/// The code of a session that is to slow down.
const SLOW_DOWN: i64 = 429;

/// Sends by linked devices.
#[derive(Debug)]
pub struct LinkedGateway {
    side: Side<StampedBody>,
    authorization: HeaderValue,
    clock: Clock,
}

/// A message, for the other side.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireSend<'a> {
    id: &'a str,
    to: &'a str,
    message: &'a MessageSpec,
    /// For how long it may still leave: no two machines show the same time.
    within_ms: u64,
    typing_ms: u64,
}

/// What became of it.
#[derive(Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum WireOutcome {
    Accepted,
    #[serde(rename_all = "camelCase")]
    Refused {
        code: i64,
        expires_in_ms: Option<u64>,
    },
    Unknown,
    NotSent {
        reason: WireReason,
        code: Option<i64>,
    },
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireReason {
    Deadline,
    NotConnected,
    Busy,
    Unsupported,
}

impl LinkedGateway {
    /// Makes the gateway; connects to nobody yet.
    ///
    /// # Errors
    /// [`LinkedProblem`] when address or token can not be used.
    pub fn new(settings: &LinkedSettings, clock: Clock) -> Result<Self, LinkedProblem> {
        let (side, authorization) = Side::of(settings)?;
        Ok(Self { side, authorization, clock })
    }

    pub(in crate::gateway) fn send<'a>(&'a self, id: SessionId, request: &'a SendRequest) -> BoxFuture<'a, Answer> {
        async move {
            if !is_offered(&request.content) {
                return Answer { outcome: Some(unsupported()), left_at: None };
            }
            let stamp = Stamp::default();
            let asked = tokio::time::timeout(SEND_TIMEOUT, self.ask(id, request, &stamp)).await;
            let (outcome, stayed) = asked.unwrap_or_else(|_| (Some(outcome_of_silence("linked:timeout")), false));
            Answer { outcome, left_at: stamp.get().filter(|_| !stayed) }
        }
        .boxed()
    }

    /// Asks; no outcome when the deadline passed before anything left. Also tells whether the other side has said that
    /// nothing left.
    async fn ask(&self, id: SessionId, request: &SendRequest, stamp: &Stamp) -> (Option<Outcome>, bool) {
        let name = format!("{:X}", request.token.0.simple());
        let message = MessageSpec::from(request.content.clone());
        let within = request.deadline.moment().since(self.clock.now());
        let body = WireSend {
            id: &name,
            to: request.recipient.as_str(),
            message: &message,
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            typing_ms: 0,
        };
        let Ok(body) = serde_json::to_vec(&body) else { return (Some(unsupported()), true) };
        let (bytes, clock, deadline) = (Some(Bytes::from(body)), self.clock.clone(), request.deadline.clone());
        let wire = Request::builder()
            .method(Method::POST)
            .uri(self.side.uri(&format!("{id}/send")))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(StampedBody { bytes, stamp: stamp.clone(), clock, deadline });
        let Ok(wire) = wire else { return (Some(unsupported()), true) };
        let answer = match self.side.request(wire).await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return (Some(outcome_of_no_connection()), true),
            Err(error) if has_lapsed(&error) => return (None, true),
            Err(_) => return (Some(outcome_of_silence("linked:reset")), false),
        };
        let status = answer.status();
        let body =
            Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map(http_body_util::Collected::to_bytes);
        let said = body.ok().and_then(|body| serde_json::from_slice::<WireOutcome>(&body).ok());
        match said.filter(|_| status.is_success()) {
            Some(said) => (outcome(&said, name), matches!(said, WireOutcome::NotSent { .. })),
            // Refused before it was looked at: the device is not there.
            None if status.is_client_error() => (Some(disconnected(None)), true),
            None => (Some(outcome_of_silence("linked:answer")), false),
        }
    }
}

/// Tells whether a device can send it.
fn is_offered(content: &Content) -> bool {
    matches!(content, Content::Text { .. } | Content::Location(_) | Content::Contact(_))
}

/// Returns what an answer about the message of a name means.
fn outcome(said: &WireOutcome, name: String) -> Option<Outcome> {
    Some(match *said {
        WireOutcome::Accepted => Outcome::Accepted { provider_message_id: name },
        WireOutcome::Unknown => outcome_of_silence("linked:silence"),
        WireOutcome::Refused { code, expires_in_ms } => {
            outcome_of_failure(failure_of_ack(code, expires_in_ms.map(Duration::from_millis)))
        }
        WireOutcome::NotSent { reason: WireReason::Deadline, .. } => return None,
        WireOutcome::NotSent { reason: WireReason::NotConnected, code } => disconnected(code),
        WireOutcome::NotSent { reason: WireReason::Busy, .. } => outcome_of_failure(failure_of_ack(SLOW_DOWN, None)),
        WireOutcome::NotSent { reason: WireReason::Unsupported, .. } => unsupported(),
    })
}

fn disconnected(code: Option<i64>) -> Outcome {
    outcome_of_failure(failure_of_disconnect(code.unwrap_or(NO_CODE), DisconnectContext::default()))
}

fn unsupported() -> Outcome {
    Outcome::Rejected(Failure {
        class: FailureClass::WhatsappUnavailable,
        reason: Reason::RequestRejected,
        scope: Scope::Message,
        retry: Retry::Never,
        handling: Handling::FailMessage,
        provider_code: Some("linked:unsupported".to_owned()),
    })
}
