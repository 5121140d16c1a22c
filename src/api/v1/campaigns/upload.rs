//! Bodies that carry recipients: a JSON list, a raw CSV file, or a CSV file in a form.
//!
//! A file is poured into the import chunk by chunk and never held; what a row means is the import's business.

use std::time::Duration;

use axum::RequestExt;
use axum::body::{BodyDataStream, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::StatusCode;
use futures::{Stream, StreamExt};

use super::recipients::AddRecipientsBody;
use crate::api::Shared;
use crate::api::error::ApiError;
use crate::api::extract::{Fields, WholeBody, broken, content_type};
use crate::limits::BODY_BYTES_MAX;
use crate::service::campaigns::RecipientInput;
use crate::service::file_import::{FileImport, ImportReport, Rows};

/// The name of the form's only field.
const FILE_FIELD: &str = "file";
/// The types that are taken, for the refusal of others.
const TAKEN: &str = "application/json, text/csv or multipart/form-data";

/// Recipients in one of the forms that are taken.
pub enum RecipientsBody {
    /// All of them, read.
    List(Vec<RecipientInput>),
    /// A file, not yet read.
    File(RecipientUpload),
}

/// A file on its way.
pub enum RecipientUpload {
    /// The body is the file.
    Raw(BodyDataStream),
    /// The body is a form with the file.
    Form(Multipart),
}

impl FromRequest<Shared> for RecipientsBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, ApiError> {
        match content_type(request.headers()).as_deref() {
            Some("text/csv" | "multipart/form-data") => {
                RecipientUpload::from_request(request, state).await.map(Self::File)
            }
            None | Some("application/json") => {
                let mut request = request;
                DefaultBodyLimit::max(BODY_BYTES_MAX).apply(&mut request);
                let read = WholeBody::read(request, state);
                let body =
                    tokio::time::timeout(state.settings.timeout, read).await.map_err(|_| ApiError::TimedOut)??;
                let list = Fields::read::<AddRecipientsBody>(&body.bytes)?.recipients;
                Ok(Self::List(list.into_iter().map(Into::into).collect()))
            }
            Some(_) => Err(ApiError::UnsupportedMediaType(TAKEN)),
        }
    }
}

impl FromRequest<Shared> for RecipientUpload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, ApiError> {
        match content_type(request.headers()).as_deref() {
            Some("text/csv") => Ok(Self::Raw(request.with_limited_body().into_body().into_data_stream())),
            Some("multipart/form-data") => {
                let form = Multipart::from_request(request, state).await;
                form.map(Self::Form).map_err(|_| ApiError::Malformed("The form has no boundary."))
            }
            _ => Err(ApiError::UnsupportedMediaType("text/csv or multipart/form-data")),
        }
    }
}

impl RecipientUpload {
    /// Gives every byte to the import as it arrives; ends when the client pauses longer than `pause_max`.
    ///
    /// # Errors
    /// What the import refuses; `TooLarge`; `Malformed` when the client breaks off. Rows added until then stay, and a
    /// second upload counts them as duplicates.
    pub(in crate::api::v1) async fn pour_into(
        self,
        import: FileImport<impl Rows>,
        pause_max: Duration,
    ) -> Result<ImportReport, ApiError> {
        match self {
            Self::Raw(stream) => pour_raw(stream, import, pause_max).await,
            Self::Form(form) => pour_form(form, import, pause_max).await,
        }
    }
}

async fn pour_raw(
    stream: BodyDataStream,
    mut import: FileImport<impl Rows>,
    pause_max: Duration,
) -> Result<ImportReport, ApiError> {
    let mut stream = stream.map(|chunk| chunk.map_err(|error| broken(&error)));
    while let Some(chunk) = next(&mut stream, pause_max).await? {
        import.feed(&chunk).await?;
    }
    Ok(import.finish().await?)
}

async fn pour_form(
    mut form: Multipart,
    mut import: FileImport<impl Rows>,
    pause_max: Duration,
) -> Result<ImportReport, ApiError> {
    let mut n_files = 0;
    while let Some(field) = next_field(&mut form, pause_max).await? {
        if field.name() != Some(FILE_FIELD) {
            let name: String = field.name().unwrap_or_default().chars().take(64).collect();
            return Err(ApiError::invalid(name, "is not a known field"));
        }
        n_files += 1;
        if n_files > 1 {
            return Err(ApiError::invalid(FILE_FIELD, "must be given once"));
        }
        let mut field = field.map(|chunk| chunk.map_err(|error| broken_form(&error)));
        while let Some(chunk) = next(&mut field, pause_max).await? {
            import.feed(&chunk).await?;
        }
    }
    if n_files == 0 {
        return Err(ApiError::invalid(FILE_FIELD, "is required"));
    }
    Ok(import.finish().await?)
}

async fn next(
    stream: &mut (impl Stream<Item = Result<Bytes, ApiError>> + Unpin),
    pause_max: Duration,
) -> Result<Option<Bytes>, ApiError> {
    match tokio::time::timeout(pause_max, stream.next()).await {
        Ok(chunk) => chunk.transpose(),
        Err(_) => Err(ApiError::TimedOut),
    }
}

async fn next_field(form: &mut Multipart, pause_max: Duration) -> Result<Option<Field<'_>>, ApiError> {
    match tokio::time::timeout(pause_max, form.next_field()).await {
        Ok(field) => field.map_err(|error| broken_form(&error)),
        Err(_) => Err(ApiError::TimedOut),
    }
}

fn broken_form(error: &MultipartError) -> ApiError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
        _ => ApiError::Malformed("The form can not be read to its end."),
    }
}
