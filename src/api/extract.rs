//! Extractors whose refusals are ours: `Path`, `Json`, and the reading of a body field by field.
//!
//! Axum's own refusals are plain text and stop at the first problem. [`Fields`] names every problem of a body at
//! once, unknown fields among them. Rules of the business are the services'.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::RequestExt;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::error::ApiError;
use crate::error::Problems;
use crate::limits::SMALL_BODY_BYTES_MAX;

/// The parameters of the path.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(ApiError::invalid("id", "must be a UUID")),
        }
    }
}

/// A body of JSON, read field by field.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// What can be read from a body of JSON.
pub trait FromFields: Sized {
    /// Takes every known field; `None` when one is missing or wrong, which `fields` has noted.
    fn from_fields(fields: &mut Fields) -> Option<Self>;
}

impl<T: FromFields> FromRequest<Shared> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, front: &Shared) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType("application/json"));
        }
        let body = WholeBody::read(request, front).await?;
        Fields::read(&body.bytes).map(Self)
    }
}

/// A body of JSON that may be missing, as if it had no fields.
#[derive(Debug)]
pub struct MaybeJson<T>(pub T);

impl<T: FromFields> FromRequest<Shared> for MaybeJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, front: &Shared) -> Result<Self, ApiError> {
        let says_json = is_json(request.headers());
        let body = WholeBody::read(request, front).await?;
        if body.bytes.is_empty() {
            return Fields::read(b"{}").map(Self);
        }
        if !says_json {
            return Err(ApiError::UnsupportedMediaType("application/json"));
        }
        Fields::read(&body.bytes).map(Self)
    }
}

/// A body read to its end; a large one holds one of the places for large bodies while it lives.
#[derive(Debug, Clone)]
pub struct WholeBody {
    /// What was read.
    pub bytes: Bytes,
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

impl WholeBody {
    /// Reads a body, up to the limit of its route.
    ///
    /// # Errors
    /// [`ApiError::TooLarge`] past the limit, [`ApiError::Malformed`] when the client broke off.
    pub(super) async fn read(mut request: Request, front: &Shared) -> Result<Self, ApiError> {
        // Whoever had to look at it before has left it here.
        if let Some(read) = request.extensions_mut().remove::<Self>() {
            return Ok(read);
        }
        Self::collect(request.with_limited_body().into_body(), front).await
    }

    /// Reads a body that is limited already.
    ///
    /// # Errors
    /// As those of [`Self::read`].
    pub(super) async fn collect(body: Body, front: &Shared) -> Result<Self, ApiError> {
        let mut stream = body.into_data_stream();
        let (mut bytes, mut place) = (BytesMut::new(), None);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| broken(&error))?;
            if place.is_none() && SMALL_BODY_BYTES_MAX < bytes.len() + chunk.len() {
                place = Arc::clone(&front.large_bodies).acquire_owned().await.ok().map(Arc::new);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Self { bytes: bytes.freeze(), _place: place })
    }
}

/// Tells a body over the limit of its route from one that broke off.
#[must_use]
pub fn broken(error: &axum::Error) -> ApiError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return ApiError::TooLarge;
        }
        cause = error.source();
    }
    ApiError::Malformed("The body ended early.")
}

/// Tells whether the body says that it is JSON, or says nothing.
fn is_json(headers: &HeaderMap) -> bool {
    content_type(headers).is_none_or(|kind| kind == "application/json" || kind.ends_with("+json"))
}

/// Returns the type of the body without its parameters, in lower case.
#[must_use]
pub fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or("unreadable");
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The fields of one JSON object, taken one by one; what is left over is unknown.
#[derive(Debug)]
pub struct Fields {
    fields: BTreeMap<String, Box<RawValue>>,
    problems: Problems,
}

impl Fields {
    /// Reads a body.
    ///
    /// # Errors
    /// [`ApiError::NotJson`], or every problem of the fields at once.
    pub fn read<T: FromFields>(body: &[u8]) -> Result<T, ApiError> {
        let fields = serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => ApiError::Malformed("The body must be a JSON object."),
            _ => ApiError::NotJson { line: error.line(), column: error.column() },
        })?;
        let mut fields = Self { fields, problems: Problems::default() };
        let value = T::from_fields(&mut fields);
        for name in std::mem::take(&mut fields.fields).into_keys() {
            let shown: String = name.chars().take(64).collect();
            fields.problems.push(shown, "is not a known field");
        }
        fields.problems.check()?;
        value.ok_or(ApiError::Malformed("The body can not be read."))
    }

    /// Takes a field that must be there.
    pub fn required<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        match self.take(name) {
            Some(raw) => self.parse(name, &raw),
            None => {
                self.problems.push(name, "is required");
                None
            }
        }
    }

    /// Takes a field that may be missing or `null`; the outer `None` says that it is wrong.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<Option<T>> {
        match self.take(name) {
            Some(raw) => self.parse(name, &raw),
            None => Some(None),
        }
    }

    /// Takes a field as it is written, `null` too; the outer `None` says that it is wrong.
    pub fn as_written<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<Option<T>> {
        match self.take(name) {
            Some(raw) => self.parse(name, &raw).map(Some),
            None => Some(None),
        }
    }

    /// Notes a problem with a field.
    pub fn refuse(&mut self, name: &'static str, problem: &'static str) {
        self.problems.push(name, problem);
    }

    fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.fields.remove(name)
    }

    fn parse<T: DeserializeOwned>(&mut self, name: &'static str, raw: &RawValue) -> Option<T> {
        if has_nul(raw.get()) {
            self.problems.push(name, "must not contain the character U+0000");
            return None;
        }
        let mut reader = serde_json::Deserializer::from_str(raw.get());
        match serde_path_to_error::deserialize(&mut reader) {
            Ok(value) => Some(value),
            Err(error) => {
                let (field, problem) = describe(name, &error);
                self.problems.push(field, problem);
                None
            }
        }
    }
}

/// Names the place of an error inside a field, and the problem without its position in the text.
fn describe(name: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> (String, String) {
    let field = match error.path().to_string() {
        path if path == "." => name.to_owned(),
        path if path.starts_with('[') => format!("{name}{path}"),
        path => format!("{name}.{path}"),
    };
    let text = error.inner().to_string();
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem);
    (field, problem.to_owned())
}

/// Tells whether a JSON text holds the one character that PostgreSQL's text can not hold.
fn has_nul(json: &str) -> bool {
    let mut rest = json.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with(b"u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Given {
        name: String,
        count: Option<u32>,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        #[serde(rename = "text")]
        _text: String,
    }

    impl FromFields for Given {
        fn from_fields(fields: &mut Fields) -> Option<Self> {
            let name = fields.required("name");
            let count = fields.optional("count");
            let inner = fields.optional::<Vec<Inner>>("inner");
            inner?;
            Some(Self { name: name?, count: count? })
        }
    }

    fn check(body: &str) -> String {
        match Fields::read::<Given>(body.as_bytes()) {
            Ok(body) => format!("{} {:?}", body.name, body.count),
            Err(ApiError::Service(crate::error::Error::Validation(problems))) => {
                problems.iter().map(|p| format!("{}: {}\n", p.field, p.problem)).collect()
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn good_bodies_are_read() {
        assert_eq!(check(r#"{"name":"a"}"#), "a None");
        assert_eq!(check(r#"{"name":"a","count":null}"#), "a None");
        assert_eq!(check(r#"{"name":"\\u0000","count":3}"#), r"\u0000 Some(3)");
    }

    #[test]
    fn every_problem_is_named_at_once() {
        insta::assert_snapshot!(check(r#"{"count":-1,"inner":[{"text":"a"},{"text":5}],"extra":1,"other":2}"#), @r"
        name: is required
        count: invalid value: integer `-1`, expected u32
        inner[1].text: invalid type: integer `5`, expected a string
        extra: is not a known field
        other: is not a known field
        ");
        insta::assert_snapshot!(check(r#"{"name":"a\u0000b"}"#), @"name: must not contain the character U+0000");
        insta::assert_snapshot!(check(r#"{"name":null}"#), @"name: invalid type: null, expected a string");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        insta::assert_snapshot!(check("{\n\"name\":"), @"The body is not valid JSON (line 2, column 7).");
        insta::assert_snapshot!(check(""), @"The body is not valid JSON (line 1, column 0).");
        insta::assert_snapshot!(check("[1]"), @"The body must be a JSON object.");
        insta::assert_snapshot!(check("{\"name\":\"\u{0}\"}"), @"The body is not valid JSON (line 1, column 9).");
        insta::assert_snapshot!(check("{\"name\":\"a\"} x"), @"The body is not valid JSON (line 1, column 14).");
    }

    proptest::proptest! {
        /// The search of the text agrees with reading it.
        #[test]
        fn nul_is_found_exactly(text in "[a\\\\\u{0}u0\"]{0,12}") {
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(has_nul(&json), text.contains('\0'));
        }
    }
}
