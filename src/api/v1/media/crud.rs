//! Files as things: taken in, listed, shown, given out, removed.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use super::form::{MediaForm, without_file};
use super::views::MediaView;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, RemovedView, created, ok, paged};
use crate::api::error::{ApiError, Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Path, content_type};
use crate::api::idempotency::Asked;
use crate::api::page::{Page, PageQuery};
use crate::api::{CallContext, Shared};
use crate::domain::id::MediaId;
use crate::error::Error;
use crate::service::media::MediaWish;

/// A file to upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "exists for the document only")]
pub struct MediaUploadForm {
    /// A JPEG or PNG image (5 MiB), an MP4 or 3GPP video (16 MiB), an AAC, AMR, MP3, MP4 or Ogg recording (16 MiB), a PDF,
    /// an Office document or plain text (100 MiB). What it is, its bytes say.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Uploads a file to be sent any number of times. The same bytes are kept once: uploaded again they have the same id.
#[utoipa::path(post, path = "/media", tag = "media", security(("bearer" = [])),
    request_body(content = MediaUploadForm, content_type = "multipart/form-data"),
    responses((status = 201, body = Envelope<MediaView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn upload_media(
    ctx: CallContext,
    State(front): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    if content_type(request.headers()).as_deref() != Some("multipart/form-data") {
        return Err(ApiError::UnsupportedMediaType("multipart/form-data"));
    }
    let asked = Asked::new(&ctx, "upload_media", request.headers())?;
    let form = MediaForm::read(&ctx, &front, request, MediaWish { kind: None, is_kept: true }).await?;
    if let Some(name) = form.fields.keys().next() {
        return Err(ApiError::invalid(name.clone(), "is not a known field"));
    }
    let fingerprint = form.fingerprint();
    let media = form.media.ok_or_else(|| without_file(Ok(())))?;
    asked.answer_once(&front, fingerprint, async move { created(MediaView::from(media)).into_response() }).await
}

/// Lists the files, newest first; those that came with single messages among them.
#[utoipa::path(get, path = "/media", tag = "media", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<MediaView>), Failures, Guarded))]
pub(super) async fn list_media(ctx: CallContext, page: Page) -> ListResult<MediaView> {
    paged(page, ctx.store.media().list(ctx.caller.tenant_id, page.0).await?)
}

/// Shows a file, without its bytes.
#[utoipa::path(get, path = "/media/{id}", tag = "media", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The file.")),
    responses((status = 200, body = Envelope<MediaView>), Failures, Guarded, OfOne))]
pub(super) async fn get_media(ctx: CallContext, Path(id): Path<MediaId>) -> ApiResult<MediaView> {
    ok(ctx.store.media().find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("media"))?.into())
}

/// Gives out the bytes of a file.
#[utoipa::path(get, path = "/media/{id}/content", tag = "media", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The file.")),
    responses((status = 200, description = "The bytes.", body = String, content_type = "*/*"),
        Failures, Guarded, OfOne))]
pub(super) async fn get_media_content(ctx: CallContext, Path(id): Path<MediaId>) -> Result<Response, ApiError> {
    let (media, reader) = ctx.services.media.read(ctx.caller.tenant_id, id).await?;
    let headers = [
        (header::CONTENT_TYPE, media.media_type.mime.to_owned()),
        (header::CONTENT_LENGTH, reader.n_bytes.to_string()),
        (header::CONTENT_DISPOSITION, disposition(&media.filename)),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, Body::from_stream(reader.stream)).into_response())
}

/// Removes a file that no waiting message and no live campaign needs.
#[utoipa::path(delete, path = "/media/{id}", tag = "media", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The file.")),
    responses((status = 200, body = Envelope<RemovedView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn delete_media(ctx: CallContext, Path(id): Path<MediaId>) -> ApiResult<RemovedView> {
    ctx.services.media.remove(ctx.caller.tenant_id, id).await?;
    ok(RemovedView { id: id.0 })
}

/// Names a file for whoever saves it: in plain ASCII for old clients, and as it is for the others (RFC 6266).
fn disposition(filename: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " ._-()".contains(c);
    let plain: String = filename.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut escaped = String::with_capacity(filename.len());
    for byte in filename.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{escaped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_not_break_out_of_the_header() {
        assert_eq!(disposition("a b.pdf"), "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf");
        let odd = disposition("für\r\n\"x\".pdf");
        assert_eq!(odd, "attachment; filename=\"f_r___x_.pdf\"; filename*=UTF-8''f%C3%BCr%0D%0A%22x%22.pdf");
        assert!(axum::http::HeaderValue::from_str(&odd).is_ok());
    }
}
