//! What is asked of the Cloud API besides sending: that a message was read.
//!
//! Each call is bounded in time. Not on the message path.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use serde::{Deserialize, Serialize};

use super::{ANSWER_BYTES_MAX, AccessToken, CloudProblem, CloudSettings};
use crate::gateway::connector::Refusal;
use crate::gateway::http::{HttpClient, client, is_http};

/// Characters of a refusal that are told on, at most.
const REFUSAL_CHARS_MAX: usize = 200;

/// Asks the Cloud API; cheap to clone.
#[derive(Debug, Clone)]
pub struct CloudDesk {
    client: HttpClient<Full<Bytes>>,
    prefix: String,
    access_token: AccessToken,
    request_timeout: Duration,
}

/// That a message was read (Meta: messages, mark as read; typing indicators).
#[derive(Serialize)]
struct MarkRead<'a> {
    messaging_product: &'static str,
    status: &'static str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    typing_indicator: Option<Typing>,
}

#[derive(Serialize)]
struct Typing {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Deserialize)]
struct WireError {
    error: WireDetails,
}

#[derive(Deserialize)]
struct WireDetails {
    message: String,
}

impl CloudDesk {
    /// Makes the desk; connects to nobody yet.
    ///
    /// # Errors
    /// [`CloudProblem::Address`].
    pub fn new(settings: &CloudSettings) -> Result<Self, CloudProblem> {
        let prefix = format!("{}/{}/", settings.base_url.trim_end_matches('/'), settings.api_version);
        if !is_http(&prefix) {
            return Err(CloudProblem::Address);
        }
        Ok(Self {
            client: client(settings.connect_timeout),
            prefix,
            access_token: settings.access_token.clone(),
            request_timeout: settings.request_timeout,
        })
    }

    /// Says that a message was read, and with `types` that an answer is being written: shown until it comes, for 25 seconds
    /// at most.
    pub(in crate::gateway) async fn mark_read(
        &self,
        number: &str,
        message_id: &str,
        types: bool,
    ) -> Result<(), Refusal> {
        let typing_indicator = types.then_some(Typing { kind: "text" });
        let body = MarkRead { messaging_product: "whatsapp", status: "read", message_id, typing_indicator };
        let body = serde_json::to_vec(&body).map_err(|_| not_answered())?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{number}/messages", self.prefix))
            .header(AUTHORIZATION, self.access_token.header())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| not_answered())?;
        let answered = async {
            let answer = self.client.request(request).await.ok()?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.ok()?;
            Some((status, body.to_bytes()))
        };
        let answered = tokio::time::timeout(self.request_timeout, answered).await.ok().flatten();
        let (status, body) = answered.ok_or_else(not_answered)?;
        if status.is_success() { Ok(()) } else { Err(refusal(&body)) }
    }
}

fn not_answered() -> Refusal {
    Refusal::Refused("The provider does not answer now; try again.".into())
}

/// Reads why something was not done.
fn refusal(body: &[u8]) -> Refusal {
    let Ok(WireError { error }) = serde_json::from_slice(body) else { return not_answered() };
    let said: String = error.message.chars().filter(|c| !c.is_control()).take(REFUSAL_CHARS_MAX).collect();
    Refusal::Refused(format!("The provider says: {said}").into())
}
