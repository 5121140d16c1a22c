//! Messages with a file: as a form with the file, or as JSON that names one.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::api::envelope::{Envelope, ok};
use crate::api::error::{ApiError, Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, WholeBody, content_type};
use crate::api::idempotency::Asked;
use crate::api::v1::media::form::{MediaForm, without_file};
use crate::api::{CallContext, Shared};
use crate::domain::id::{DeliveryId, MediaId, SessionId};
use crate::domain::media::MediaKind;
use crate::limits::SMALL_BODY_BYTES_MAX;
use crate::service::made_messages::{NewMediaMessage, SingleTo};
use crate::service::media::MediaWish;
use crate::store::messages::DeliveryRecord;

/// A file to send that is there already: one of yours, or one that the provider loads.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SendMediaBody {
    /// Which session sends.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "919876543210")]
    to: String,
    /// A file that was uploaded; either this or `mediaUrl`.
    #[schema(value_type = Option<uuid::Uuid>)]
    media_id: Option<MediaId>,
    /// From where the provider loads the file, `https://`.
    #[schema(example = "https://example.com/sale.png")]
    media_url: Option<String>,
    /// What stands below it, at most 1,024 characters, sent as they are; not of recordings.
    #[schema(example = "Our sale begins today.")]
    caption: Option<String>,
    /// What a document is called; only of documents.
    #[schema(example = "Invoice 17.pdf")]
    filename: Option<String>,
}

/// A file to send that comes along.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "exists for the document only")]
pub struct SendMediaForm {
    /// Which session sends.
    session_id: uuid::Uuid,
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "919876543210")]
    to: String,
    /// What stands below it, at most 1,024 characters, sent as they are; not of recordings.
    #[schema(example = "Our sale begins today.")]
    caption: Option<String>,
    /// What a document is called; as the file when missing, and only of documents.
    #[schema(example = "Invoice 17.pdf")]
    filename: Option<String>,
    /// The file.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A message that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct SentMediaView {
    /// The message.
    #[schema(value_type = uuid::Uuid)]
    id: DeliveryId,
    /// Always `queued`.
    #[schema(example = "queued")]
    status: &'static str,
}

/// Queues an image; it overtakes the campaigns of its session.
#[utoipa::path(post, path = "/messages/send-image", tag = "messages", security(("bearer" = [])),
    request_body(content((SendMediaForm = "multipart/form-data"), (SendMediaBody = "application/json"))),
    responses((status = 200, body = Envelope<SentMediaView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_image(ctx: CallContext, State(front): State<Shared>, request: Request) -> Answer {
    send((ctx, front), request, (MediaKind::Image, "send_image")).await
}

/// Queues a video; it overtakes the campaigns of its session.
#[utoipa::path(post, path = "/messages/send-video", tag = "messages", security(("bearer" = [])),
    request_body(content((SendMediaForm = "multipart/form-data"), (SendMediaBody = "application/json"))),
    responses((status = 200, body = Envelope<SentMediaView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_video(ctx: CallContext, State(front): State<Shared>, request: Request) -> Answer {
    send((ctx, front), request, (MediaKind::Video, "send_video")).await
}

/// Queues a recording; it overtakes the campaigns of its session.
#[utoipa::path(post, path = "/messages/send-audio", tag = "messages", security(("bearer" = [])),
    request_body(content((SendMediaForm = "multipart/form-data"), (SendMediaBody = "application/json"))),
    responses((status = 200, body = Envelope<SentMediaView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_audio(ctx: CallContext, State(front): State<Shared>, request: Request) -> Answer {
    send((ctx, front), request, (MediaKind::Audio, "send_audio")).await
}

/// Queues a document; it overtakes the campaigns of its session.
#[utoipa::path(post, path = "/messages/send-document", tag = "messages", security(("bearer" = [])),
    request_body(content((SendMediaForm = "multipart/form-data"), (SendMediaBody = "application/json"))),
    responses((status = 200, body = Envelope<SentMediaView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_document(ctx: CallContext, State(front): State<Shared>, request: Request) -> Answer {
    send((ctx, front), request, (MediaKind::Document, "send_document")).await
}

type Answer = Result<Response, ApiError>;

async fn send(
    (ctx, front): (CallContext, Shared),
    request: Request,
    (kind, operation): (MediaKind, &'static str),
) -> Answer {
    let asked = Asked::new(&ctx, operation, request.headers())?;
    let (body, fingerprint) = match content_type(request.headers()).as_deref() {
        Some("multipart/form-data") => read_form(&ctx, &front, request, kind).await?,
        None | Some("application/json") => read_json(&front, request).await?,
        Some(_) => return Err(ApiError::UnsupportedMediaType("multipart/form-data or application/json")),
    };
    let work = async move {
        match ctx.services.messages.send_media(ctx.caller.tenant_id, body.of_kind(kind)).await {
            Ok(message) => ok(SentMediaView::from(message)).into_response(),
            Err(error) => ApiError::from(error).into_response(),
        }
    };
    asked.answer_once(&front, fingerprint, work).await
}

async fn read_form(
    ctx: &CallContext,
    front: &Shared,
    request: Request,
    kind: MediaKind,
) -> Result<(SendMediaBody, [u8; 32]), ApiError> {
    let form = MediaForm::read(ctx, front, request, MediaWish { kind: Some(kind), is_kept: false }).await?;
    let body = Fields::read::<SendMediaBody>(&form.to_json());
    let Some(media) = &form.media else {
        return Err(without_file(body.map(drop)));
    };
    let mut body = body?;
    if body.media_id.is_some() || body.media_url.is_some() {
        return Err(ApiError::invalid("file", "must not be given beside mediaId or mediaUrl"));
    }
    body.media_id = Some(media.id);
    Ok((body, form.fingerprint()))
}

async fn read_json(front: &Shared, mut request: Request) -> Result<(SendMediaBody, [u8; 32]), ApiError> {
    axum::extract::DefaultBodyLimit::max(SMALL_BODY_BYTES_MAX).apply(&mut request);
    let read = tokio::time::timeout(front.settings.timeout, WholeBody::read(request, front)).await;
    let body = read.map_err(|_| ApiError::TimedOut)??;
    let mut hash = Sha256::new();
    hash.update(b"json");
    hash.update(&body.bytes);
    Ok((Fields::read(&body.bytes)?, hash.finalize().into()))
}

impl FromFields for SendMediaBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let session_id = fields.required("sessionId");
        let to = fields.required("to");
        let media_id = fields.optional("mediaId");
        let media_url = fields.optional("mediaUrl");
        let caption = fields.optional("caption");
        let filename = fields.optional("filename");
        Some(Self {
            session_id: session_id?,
            to: to?,
            media_id: media_id?,
            media_url: media_url?,
            caption: caption?,
            filename: filename?,
        })
    }
}

impl SendMediaBody {
    fn of_kind(self, kind: MediaKind) -> NewMediaMessage {
        NewMediaMessage {
            single: SingleTo { session_id: self.session_id, to: self.to },
            kind,
            media_id: self.media_id,
            media_url: self.media_url,
            caption: self.caption,
            filename: self.filename,
        }
    }
}

impl From<DeliveryRecord> for SentMediaView {
    fn from(delivery: DeliveryRecord) -> Self {
        Self { id: delivery.id, status: delivery.state.api_word() }
    }
}
