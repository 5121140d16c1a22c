//! Meta's Cloud API over pooled keep-alive connections; the simulator speaks the same.
//!
//! One request, one outcome, bounded in time. Whether bytes may have left decides between a safe
//! retry and an unknown outcome. Classifying the answer is [`crate::gateway::classify`], bringing files to the provider
//! [`super::uploads`].

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request};

use crate::clock::Clock;
use crate::domain::attempt::Outcome;
use crate::domain::media::MediaKey;
use crate::domain::message::{Content, MediaSource};
use crate::gateway::classify::upload::{may_be_unknown_media, outcome_while_uploading};
use crate::gateway::classify::{outcome_of_answer, outcome_of_no_connection, outcome_of_silence};
use crate::gateway::http::{HttpClient, client, is_http};
use crate::gateway::stamped::{Stamp, StampedBody, has_lapsed};
use crate::gateway::uploads::Uploads;
use crate::gateway::{Answer, Gateway, SendRequest};
use crate::media::MediaFiles;

mod desk;
mod encode;
mod token;
mod wire;

pub use self::desk::CloudDesk;
pub use self::token::AccessToken;

/// Bytes of an answer that are read: an error with all its details has under 2 kB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How to reach the provider.
#[derive(Debug, Clone)]
pub struct CloudSettings {
    /// Scheme and host, without a path: `https://graph.facebook.com`.
    pub base_url: String,
    /// Version in the path: `v25.0`.
    pub api_version: String,
    /// Access token, sent as a bearer.
    pub access_token: AccessToken,
    /// Longest time from the first byte to the whole answer.
    pub request_timeout: Duration,
    /// Longest time to a connection.
    pub connect_timeout: Duration,
}

/// Why a gateway can not be made.
#[derive(Debug, thiserror::Error)]
pub enum CloudProblem {
    /// The address is not one.
    #[error("gateway.base_url is not an http:// or https:// address")]
    Address,
    /// The token has characters that no header may have.
    #[error("gateway.access_token has characters that no HTTP header may have")]
    Token,
    /// Files can not be brought to anybody.
    #[error("no HTTP client could be made")]
    Client(#[source] reqwest::Error),
}

/// Sends by the Cloud API.
#[derive(Debug)]
pub struct CloudGateway {
    client: HttpClient<StampedBody>,
    prefix: String,
    access_token: AccessToken,
    request_timeout: Duration,
    clock: Clock,
    uploads: Arc<Uploads>,
}

impl CloudGateway {
    /// Makes the gateway; connects to nobody yet.
    ///
    /// # Errors
    /// [`CloudProblem`] when address or token cannot be used.
    pub fn new(settings: &CloudSettings, files: MediaFiles, clock: Clock) -> Result<Self, CloudProblem> {
        let base = settings.base_url.trim_end_matches('/');
        let prefix = format!("{base}/{}/", settings.api_version);
        if !is_http(&prefix) {
            return Err(CloudProblem::Address);
        }
        let client = client(settings.connect_timeout);
        let uploads = Uploads::new(prefix.clone(), settings.access_token.clone(), files, clock.clone());
        let uploads = uploads.map_err(CloudProblem::Client)?;
        let access_token = settings.access_token.clone();
        Ok(Self { client, prefix, access_token, request_timeout: settings.request_timeout, clock, uploads })
    }

    /// Makes the request; `None` when its deadline passed before its bytes left.
    async fn request(&self, request: &SendRequest, media: Option<&str>, stamp: &Stamp) -> Option<Outcome> {
        let deadline = request.deadline.clone();
        let (bytes, clock) = (Some(encode::body(request, media)), self.clock.clone());
        let body = StampedBody { bytes, stamp: stamp.clone(), clock, deadline };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{}/messages", self.prefix, request.sender.number()))
            .header(AUTHORIZATION, self.access_token.header())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        let Ok(request) = request else {
            return Some(outcome_of_answer(400, b"", None));
        };
        let answer = match self.client.request(request).await {
            Ok(answer) => answer,
            // No connection, so no byte left: safe to try again.
            Err(error) if error.is_connect() => return Some(outcome_of_no_connection()),
            Err(error) if has_lapsed(&error) => return None,
            Err(_) => return Some(outcome_of_silence("net:reset")),
        };
        let status = answer.status().as_u16();
        let retry_after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        Some(match Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await {
            Ok(body) => outcome_of_answer(status, &body.to_bytes(), retry_after),
            // The head of a refusal is enough; the head of an acceptance is not.
            Err(_) if (200..300).contains(&status) => outcome_of_silence("net:answer"),
            Err(_) => outcome_of_answer(status, b"", retry_after),
        })
    }
}

impl Gateway for CloudGateway {
    fn send(&self, request: SendRequest) -> BoxFuture<'_, Answer> {
        async move {
            let (number, is_single) = (request.sender.number(), request.is_single);
            let ours = our_media(&request.content);
            let media = match ours.map(|key| self.uploads.ask(key, number, is_single)).transpose() {
                Ok(media) => media,
                Err(outcome) => return Answer { outcome: Some(outcome), left_at: None },
            };
            let (stamp, name) = (Stamp::default(), media.as_ref().map(|there| &*there.name));
            let sent = tokio::time::timeout(self.request_timeout, self.request(&request, name, &stamp)).await;
            let mut outcome = sent.unwrap_or_else(|_| Some(outcome_of_silence("net:timeout")));
            if let (Some(key), Some(used)) = (ours, &media)
                && outcome.as_ref().is_some_and(may_be_unknown_media)
                && self.uploads.forget(key, number, used)
            {
                outcome = Some(outcome_while_uploading(is_single));
            }
            Answer { outcome, left_at: stamp.get() }
        }
        .boxed()
    }
}

/// Returns the file that goes along, where it is one of ours.
fn our_media(content: &Content) -> Option<MediaKey> {
    match content.media()?.source {
        MediaSource::Stored(key) => Some(key),
        MediaSource::Link(_) => None,
    }
}
