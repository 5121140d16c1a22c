//! Forms with a file: the file is taken in as it arrives and never held, the other fields are few and short.
//!
//! What the fields mean is the business of whoever reads the form; what the file is, the service's.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use bytes::BytesMut;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::error::ApiError;
use crate::api::{CallContext, Shared};
use crate::error::{Error, Problems};
use crate::limits::{FORM_FIELD_BYTES_MAX, FORM_FIELDS_MAX, MEDIA_UPLOAD_TIME_MAX};
use crate::service::media::{MediaUpload, MediaWish};
use crate::store::media::MediaRecord;

/// The name of the field with the file.
pub const FILE_FIELD: &str = "file";

/// A form that was read.
#[derive(Debug)]
pub struct MediaForm {
    /// Its file.
    pub media: Option<MediaRecord>,
    /// Its other fields.
    pub fields: BTreeMap<String, String>,
}

impl MediaForm {
    /// Reads a form and keeps its file, also when the client hangs up: then everything is taken back.
    ///
    /// # Errors
    /// What the service refuses of the file; `Validation` by the names of fields; `Malformed`, `TooLarge` and `TimedOut` by
    /// the form as a whole.
    pub async fn read(ctx: &CallContext, front: &Shared, request: Request, wish: MediaWish) -> Result<Self, ApiError> {
        let form = Multipart::from_request(request, front).await;
        let form = form.map_err(|_| ApiError::Malformed("The form has no boundary."))?;
        let reading = read(ctx.clone(), form, wish);
        let task = front.tasks.spawn(async move { tokio::time::timeout(MEDIA_UPLOAD_TIME_MAX, reading).await });
        task.await.map_err(|_| ApiError::Panicked)?.map_err(|_| ApiError::TimedOut)?
    }

    /// Returns the fields as the text of a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let fields = self.fields.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str())));
        Value::Object(fields.collect()).to_string().into_bytes()
    }

    /// Returns what is the same for the same fields and the same file only.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"form");
        hash.update(self.media.as_ref().map_or([0; 32], |media| media.sha256));
        hash.update(self.to_json());
        hash.finalize().into()
    }
}

async fn read(ctx: CallContext, mut form: Multipart, wish: MediaWish) -> Result<MediaForm, ApiError> {
    let pause_max = ctx.settings.upload_pause_max;
    let mut read = MediaForm { media: None, fields: BTreeMap::new() };
    let mut problems = Problems::default();
    let mut n_fields = 0;
    while let Some(field) = in_time(pause_max, form.next_field()).await? {
        n_fields += 1;
        let name: String = field.name().unwrap_or_default().chars().take(64).collect();
        if FORM_FIELDS_MAX < n_fields {
            return Err(ApiError::Malformed("The form has too many fields."));
        }
        let is_double = read.fields.contains_key(&name) || (name == FILE_FIELD && read.media.is_some());
        if is_double {
            return Err(ApiError::invalid(name, "must be given once"));
        }
        if name == FILE_FIELD {
            let upload = ctx.services.media.begin(ctx.caller.tenant_id, field.file_name(), wish).await?;
            read.media = Some(pour(field, upload, pause_max).await?);
            continue;
        }
        match text(field, pause_max).await? {
            Ok(text) => {
                read.fields.insert(name, text);
            }
            Err(problem) => problems.push(name, problem),
        }
    }
    problems.check()?;
    Ok(read)
}

/// Gives every byte of a file to the service as it arrives.
async fn pour(mut field: Field<'_>, mut upload: MediaUpload, pause_max: Duration) -> Result<MediaRecord, ApiError> {
    loop {
        let fed = match in_time(pause_max, field.chunk()).await {
            Ok(Some(chunk)) => upload.feed(chunk).await.map_err(ApiError::from),
            Ok(None) => return Ok(upload.finish().await?),
            Err(error) => Err(error),
        };
        if let Err(error) = fed {
            upload.abort().await;
            return Err(error);
        }
    }
}

/// Reads a short field, or says what is wrong with it.
async fn text(mut field: Field<'_>, pause_max: Duration) -> Result<Result<String, &'static str>, ApiError> {
    let mut bytes = BytesMut::new();
    let mut is_long = false;
    while let Some(chunk) = in_time(pause_max, field.chunk()).await? {
        is_long |= FORM_FIELD_BYTES_MAX < bytes.len() + chunk.len();
        if !is_long {
            bytes.extend_from_slice(&chunk);
        }
    }
    if is_long {
        return Ok(Err("is too long"));
    }
    Ok(String::from_utf8(bytes.to_vec()).map_err(|_| "must be text in UTF-8"))
}

async fn in_time<T>(pause_max: Duration, read: impl Future<Output = Result<T, MultipartError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(pause_max, read).await {
        Ok(read) => read.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
            _ => ApiError::Malformed("The form can not be read to its end."),
        }),
        Err(_) => Err(ApiError::TimedOut),
    }
}

/// Adds to what is wrong with the fields of a form that its file is missing.
#[must_use]
pub fn without_file(fields: Result<(), ApiError>) -> ApiError {
    let mut problems = match fields {
        Err(ApiError::Service(Error::Validation(problems))) => problems,
        Err(other) => return other,
        Ok(()) => Vec::new(),
    };
    problems.push(crate::error::Problem { field: FILE_FIELD.into(), problem: "is required".into() });
    ApiError::Service(Error::Validation(problems))
}
