//! Meta's Cloud API over pooled keep-alive connections; the simulator speaks the same.
//!
//! One request, one outcome, bounded in time. Whether bytes may have left decides between a safe
//! retry and an unknown outcome. Classifying the answer is [`crate::gateway::classify`], bringing files to the provider
//! [`super::uploads`].

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request};
use serde::Serialize;

use crate::clock::Clock;
use crate::domain::attempt::Outcome;
use crate::domain::media::{MediaKey, MediaKind};
use crate::domain::message::{Content, MediaContent, MediaSource};
use crate::gateway::classify::upload::{may_be_unknown_media, outcome_while_uploading};
use crate::gateway::classify::{outcome_of_answer, outcome_of_no_connection, outcome_of_silence};
use crate::gateway::http::{HttpClient, bearer, client, is_http};
use crate::gateway::stamped::{Lapsed, Stamp, StampedBody};
use crate::gateway::uploads::Uploads;
use crate::gateway::{Answer, Gateway, SendRequest};
use crate::media::MediaFiles;

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
    pub access_token: String,
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
    authorization: HeaderValue,
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
        let authorization = bearer(&settings.access_token).ok_or(CloudProblem::Token)?;
        let client = client(settings.connect_timeout);
        let uploads = Uploads::new(prefix.clone(), settings.access_token.clone(), files, clock.clone());
        let uploads = uploads.map_err(CloudProblem::Client)?;
        Ok(Self { client, prefix, authorization, request_timeout: settings.request_timeout, clock, uploads })
    }

    /// Makes the request; `None` when its deadline passed before its bytes left.
    async fn request(&self, request: &SendRequest, media: Option<&str>, stamp: &Stamp) -> Option<Outcome> {
        let deadline = request.deadline.clone();
        let (bytes, clock) = (Some(encode(request, media)), self.clock.clone());
        let body = StampedBody { bytes, stamp: stamp.clone(), clock, deadline };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{}/messages", self.prefix, request.phone_number_id))
            .header(AUTHORIZATION, self.authorization.clone())
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

/// Tells whether a request was given up by its own body.
fn has_lapsed(error: &dyn std::error::Error) -> bool {
    std::iter::successors(error.source(), |error| error.source()).any(|error| error.is::<Lapsed>())
}

impl Gateway for CloudGateway {
    fn send(&self, request: SendRequest) -> BoxFuture<'_, Answer> {
        async move {
            let (number, is_single) = (&request.phone_number_id, request.is_single);
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
    match content {
        Content::Media(MediaContent { source: MediaSource::Stored(key), .. }) => Some(*key),
        _ => None,
    }
}

/// Writes the request's body (Meta: messages/send-messages); `media` is the provider's name of our file.
fn encode(request: &SendRequest, media: Option<&str>) -> Bytes {
    let to = request.recipient.provider_address();
    let token = request.token.0.hyphenated().to_string();
    let mut wire = WireMessage {
        messaging_product: "whatsapp",
        recipient_type: "individual",
        to: &to,
        biz_opaque_callback_data: &token,
        kind: "text",
        text: None,
        template: None,
        location: None,
        contacts: None,
        image: None,
        video: None,
        audio: None,
        document: None,
    };
    match &request.content {
        Content::Text { body } => wire.text = Some(WireText { body }),
        Content::Template { name, language, parameters } => {
            wire.kind = "template";
            let parameters: Vec<_> = parameters.iter().map(|text| WireParameter { kind: "text", text }).collect();
            let body = (!parameters.is_empty()).then_some(WireComponent { kind: "body", parameters });
            let language = WireLanguage { code: language };
            wire.template = Some(WireTemplate { name, language, components: body.into_iter().collect() });
        }
        Content::Location(location) => {
            wire.kind = "location";
            wire.location = Some(WireLocation {
                latitude: location.latitude.get().to_string(),
                longitude: location.longitude.get().to_string(),
                name: location.name.as_deref(),
                address: location.address.as_deref(),
            });
        }
        Content::Contact(card) => {
            wire.kind = "contacts";
            // Beside the whole name the provider asks for a part of it.
            let name = WireName { formatted_name: &card.name, first_name: &card.name };
            let phones =
                card.phones.iter().map(|phone| WirePhone { phone: phone.provider_address(), wa_id: phone.as_str() });
            wire.contacts = Some([WireContact { name, phones: phones.collect() }]);
        }
        Content::Media(content) => {
            let link = match &content.source {
                MediaSource::Link(url) => Some(&**url),
                MediaSource::Stored(_) => None,
            };
            let (caption, filename) = (content.caption.as_deref(), content.filename.as_deref());
            let file = Some(WireMedia { id: media, link, caption, filename });
            wire.kind = content.kind.as_str();
            match content.kind {
                MediaKind::Image => wire.image = file,
                MediaKind::Video => wire.video = file,
                MediaKind::Audio => wire.audio = file,
                MediaKind::Document => wire.document = file,
            }
        }
    }
    serde_json::to_vec(&wire).expect("strings and vectors always have a JSON form").into()
}

#[derive(Serialize)]
struct WireMessage<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    to: &'a str,
    biz_opaque_callback_data: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<WireText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<WireTemplate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<WireLocation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<[WireContact<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<WireMedia<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<WireMedia<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<WireMedia<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<WireMedia<'a>>,
}

/// The reference has the angles as texts.
#[derive(Serialize)]
struct WireLocation<'a> {
    latitude: String,
    longitude: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

#[derive(Serialize)]
struct WireContact<'a> {
    name: WireName<'a>,
    phones: Vec<WirePhone<'a>>,
}

#[derive(Serialize)]
struct WireName<'a> {
    formatted_name: &'a str,
    first_name: &'a str,
}

/// With `wa_id` the card offers to write to the number, without it to invite it.
#[derive(Serialize)]
struct WirePhone<'a> {
    phone: Cow<'a, str>,
    wa_id: &'a str,
}

#[derive(Serialize)]
struct WireMedia<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
}

#[derive(Serialize)]
struct WireText<'a> {
    body: &'a str,
}

#[derive(Serialize)]
struct WireTemplate<'a> {
    name: &'a str,
    language: WireLanguage<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<WireComponent<'a>>,
}

#[derive(Serialize)]
struct WireLanguage<'a> {
    code: &'a str,
}

#[derive(Serialize)]
struct WireComponent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    parameters: Vec<WireParameter<'a>>,
}

#[derive(Serialize)]
struct WireParameter<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Deadline, Moment};
    use crate::domain::id::DeliveryId;
    use crate::domain::message::{MessageSpec, MessageTemplate, Variables};
    use crate::domain::recipient::Recipient;

    /// The body of a message without what all have in common.
    fn body(message: &str) -> String {
        let message: MessageSpec = serde_json::from_str(message).unwrap();
        let recipient = Recipient::parse("919876543210").unwrap();
        let template = MessageTemplate::compile(&message).unwrap();
        let content = template.render(&Variables::default(), &recipient, 7).unwrap();
        let (phone_number_id, token, is_single) = (Arc::from("1"), DeliveryId::generate(), true);
        let deadline = Deadline::at(Moment::default());
        let media = our_media(&content).map(|_| "17");
        let request = SendRequest { phone_number_id, recipient, content, token, is_single, deadline };
        let mut wire: serde_json::Value = serde_json::from_slice(&encode(&request, media)).unwrap();
        for common in ["messaging_product", "recipient_type", "to", "biz_opaque_callback_data"] {
            assert!(wire.as_object_mut().unwrap().remove(common).is_some(), "{common}");
        }
        wire.to_string()
    }

    #[test]
    fn each_kind_has_its_form() {
        insta::assert_snapshot!(body(r#"{"type":"text","text":"Hi"}"#), @r#"{"text":{"body":"Hi"},"type":"text"}"#);
        insta::assert_snapshot!(
            body(r#"{"type":"template","name":"n","language":"en","parameters":["a"]}"#),
            @r#"{"template":{"components":[{"parameters":[{"text":"a","type":"text"}],"type":"body"}],"language":{"code":"en"},"name":"n"},"type":"template"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"location","latitude":18.520430,"longitude":-73.8567439,"name":"Shop","address":"12 MG Road"}"#),
            @r#"{"location":{"address":"12 MG Road","latitude":"18.52043","longitude":"-73.856744","name":"Shop"},"type":"location"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"location","latitude":0,"longitude":180}"#),
            @r#"{"location":{"latitude":"0","longitude":"180"},"type":"location"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"contact","name":" Ana Rao ","phones":["+91 98765-43211"]}"#),
            @r#"{"contacts":[{"name":{"first_name":"Ana Rao","formatted_name":"Ana Rao"},"phones":[{"phone":"+919876543211","wa_id":"919876543211"}]}],"type":"contacts"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"image","mediaUrl":"https://a.example/x.png","caption":"Hi"}"#),
            @r#"{"image":{"caption":"Hi","link":"https://a.example/x.png"},"type":"image"}"#
        );
        insta::assert_snapshot!(
            body(r#"{"type":"document","mediaId":"0198c0de-0000-7000-8000-0000000000aa","filename":"Bill.pdf"}"#),
            @r#"{"document":{"filename":"Bill.pdf","id":"17"},"type":"document"}"#
        );
    }
}
