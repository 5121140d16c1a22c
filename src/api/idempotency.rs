//! Requests done once, by `Idempotency-Key`: what is sent again is answered again and not done again.
//!
//! What counts as the same and what becomes of it is decided by the service; here it is read, run and shown. An
//! operation takes the key by `.routes(once(routes!(…)))`.

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Extension, RequestExt};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::Instrument;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required};
use utoipa_axum::router::UtoipaMethodRouter;

use super::error::{ApiError, NothingChanged};
use super::extract::{WholeBody, content_type};
use super::{CallContext, Shared};
use crate::error::{Error, chain};
use crate::limits::{BODY_BYTES_MAX, IDEMPOTENCY_KEY_CHARS_MAX};
use crate::patience::Patience;
use crate::service::idempotency::Admission;
use crate::store::idempotency::{Claim, RequestName, StoredAnswer};

/// The header of the client's own key.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is one that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Tries to give a key back, behind the first: about half a minute.
const RELEASE_TRIES_MAX: u32 = 16;

/// How an operation takes the key.
#[derive(Debug, Clone)]
struct Once {
    operation: String,
    /// A field of `data` that is shown once and never kept.
    secret: Option<&'static str>,
}

/// Lets the `POST` among operations take an `Idempotency-Key`.
pub(super) fn once(routes: UtoipaMethodRouter<Shared>) -> UtoipaMethodRouter<Shared> {
    once_but(None, routes)
}

/// Does the same for an operation whose `data` has a secret that is shown once: it is null when answered again.
pub(super) fn once_without(secret: &'static str, routes: UtoipaMethodRouter<Shared>) -> UtoipaMethodRouter<Shared> {
    once_but(Some(secret), routes)
}

/// Documents the key for operations that read large bodies themselves; their handlers take it by [`Asked`].
pub(super) fn once_read_by_handler(
    (schemas, mut paths, router): UtoipaMethodRouter<Shared>,
) -> UtoipaMethodRouter<Shared> {
    for operation in paths.paths.values_mut().filter_map(|item| item.post.as_mut()) {
        describe(operation);
    }
    (schemas, paths, router)
}

/// A request whose handler reads the body, and knows only then what is the same.
#[derive(Debug)]
pub struct Asked(Option<RequestName>);

impl Asked {
    /// Takes the key, if there is one.
    ///
    /// # Errors
    /// `Validation` by the field `Idempotency-Key` when it is given twice.
    pub(super) fn new(ctx: &CallContext, operation: &'static str, headers: &HeaderMap) -> Result<Self, ApiError> {
        if !headers.contains_key(IDEMPOTENCY_KEY) {
            return Ok(Self(None));
        }
        let (tenant_id, operation) = (ctx.caller.tenant_id, operation.to_owned());
        Ok(Self(Some(RequestName { tenant_id, operation, key: key_of(headers)? })))
    }

    /// Does the work, once for the key; to its end, also when the client hangs up.
    ///
    /// # Errors
    /// [`ApiError::Panicked`] when the work did.
    pub(super) async fn answer_once(
        self,
        front: &Shared,
        fingerprint: [u8; 32],
        work: impl Future<Output = Response> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let front = front.clone();
        let tasks = front.tasks.clone();
        let work = async move {
            let Some(name) = self.0 else { return work.await };
            match front.services.idempotency.admit(name, fingerprint).await {
                Ok(Admission::Do(claim)) => keep(&front, claim, None, work.await).await,
                Ok(Admission::Done(answer)) => replayed(answer),
                Err(error) => ApiError::from(error).into_response(),
            }
        };
        tasks.spawn(work.in_current_span()).await.map_err(|_| ApiError::Panicked)
    }
}

fn once_but(
    secret: Option<&'static str>,
    (schemas, mut paths, router): UtoipaMethodRouter<Shared>,
) -> UtoipaMethodRouter<Shared> {
    let posts = paths.paths.values_mut().filter_map(|item| item.post.as_mut());
    let operation = posts.map(describe).last().unwrap_or_default();
    let once = Once { operation, secret };
    let layer = from_fn(move |front, request, next| take_key(once.clone(), front, request, next));
    (schemas, paths, router.layer(layer))
}

/// Documents the header, and returns the name of the operation.
fn describe(operation: &mut Operation) -> String {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    let text = text.max_length(Some(IDEMPOTENCY_KEY_CHARS_MAX)).pattern(Some("^[!-~]+$"));
    let parameter = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Your own name of this request. Sent again within 24 hours, it is answered as before (with \
             `Idempotent-Replayed: true`) and not done again; with another body it is refused.",
        ))
        .schema(Some(text))
        .example(Some("order-17".into()))
        .build();
    operation.parameters.get_or_insert_default().push(parameter.into());
    let answers = &mut operation.responses.responses;
    if !answers.contains_key("409")
        && let Some(RefOr::T(mut conflict)) = answers.get("400").cloned()
    {
        "The key was used for another request, or its request is under way.".clone_into(&mut conflict.description);
        answers.insert("409".to_owned(), conflict.into());
    }
    operation.operation_id.clone().unwrap_or_default()
}

async fn take_key(once: Once, Extension(front): Extension<Shared>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    match do_once(once, front, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn do_once(once: Once, front: Shared, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let ctx = CallContext::from_request_parts(&mut parts, &front).await?;
    let key = key_of(&parts.headers)?;
    let name = RequestName { tenant_id: ctx.caller.tenant_id, operation: once.operation, key };
    parts.extensions.insert(ctx);
    let (mut parts, body) = Request::from_parts(parts, body).with_limited_body().into_parts();
    let body = WholeBody::collect(body, &front).await?;
    let fingerprint = fingerprint(&parts.uri, &parts.headers, &body.bytes);
    let again = Body::from(body.bytes.clone());
    parts.extensions.insert(body);
    let request = Request::from_parts(parts, again);
    // From taking the key on it is done to its end, also when the client hangs up: whoever asks again is to be told what
    // became of it, and a key that was taken for nothing would be taken for a day.
    let tasks = front.tasks.clone();
    let work = async move {
        match front.services.idempotency.admit(name, fingerprint).await {
            Ok(Admission::Do(claim)) => keep(&front, claim, once.secret, next.run(request).await).await,
            Ok(Admission::Done(answer)) => replayed(answer),
            Err(error) => ApiError::from(error).into_response(),
        }
    };
    tasks.spawn(work.in_current_span()).await.map_err(|_| ApiError::Panicked)
}

fn key_of(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let first = values.next().filter(|_| values.next().is_none());
    let text = first.ok_or_else(|| Error::invalid("Idempotency-Key", "must be given once"))?;
    // What is not ASCII is refused with all the rest that is not plain.
    Ok(String::from_utf8_lossy(text.as_bytes()).into_owned())
}

/// Makes what is the same for the same request only: path behind the mount, query, type and bytes of the body.
fn fingerprint(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> [u8; 32] {
    let kind = content_type(headers).unwrap_or_default();
    let mut hash = Sha256::new();
    for part in [uri.path(), uri.query().unwrap_or_default(), &kind] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(body);
    hash.finalize().into()
}

/// Keeps an answer of success and gives the key back when nothing was changed; after a failure of ours that is not
/// known, and the key stays taken.
async fn keep(front: &Shared, claim: Claim, secret: Option<&'static str>, response: Response) -> Response {
    let requests = &front.services.idempotency;
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        if !parts.status.is_server_error() || parts.extensions.get::<NothingChanged>().is_some() {
            give_back(front, claim).await;
        }
        return Response::from_parts(parts, body);
    }
    let largest = u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX);
    if body.size_hint().upper().is_none_or(|n_bytes| largest < n_bytes) {
        return Response::from_parts(parts, body);
    }
    let Ok(bytes) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return ApiError::Panicked.into_response();
    };
    let text = kept_text(&bytes, secret);
    if let Err(error) = requests.keep(&claim, &StoredAnswer { status: parts.status.as_u16(), text }).await {
        tracing::warn!(error = chain(&error), "an answer was not kept");
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Gives a key back; what does not work at once is tried again behind the answer, or the key would be taken for a day.
async fn give_back(front: &Shared, claim: Claim) {
    let Err(error) = front.services.idempotency.release(&claim).await else { return };
    tracing::warn!(error = chain(&error), "an idempotency key is given back later");
    let requests = front.services.idempotency.clone();
    let again = async move {
        let mut patience = Patience::default();
        for _ in 0..RELEASE_TRIES_MAX {
            patience.wait().await;
            if requests.release(&claim).await.is_ok() {
                return;
            }
        }
        tracing::warn!("an idempotency key was not given back");
    };
    front.tasks.spawn(again.in_current_span());
}

/// Returns the body that is kept: without what is shown only once.
fn kept_text(bytes: &[u8], secret: Option<&'static str>) -> String {
    let Some(field) = secret else {
        return String::from_utf8_lossy(bytes).into_owned();
    };
    let mut answer: Value = serde_json::from_slice(bytes).unwrap_or_default();
    if let Some(shown) = answer.get_mut("data").and_then(|data| data.get_mut(field)) {
        *shown = Value::Null;
    }
    answer.to_string()
}

fn replayed(answer: StoredAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (REPLAYED, HeaderValue::from_static("true")),
    ];
    (status, headers, answer.text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &'static str, kind: &'static str, body: &str) -> [u8; 32] {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        fingerprint(&Uri::from_static(path), &headers, body.as_bytes())
    }

    #[test]
    fn the_same_request_has_the_same_fingerprint() {
        let json = of("/whatsapp", "application/json", "{}");
        assert_eq!(json, of("/whatsapp", "application/JSON; charset=utf-8", "{}"));
        assert_ne!(json, of("/whatsapp", "application/json", "{ }"));
        assert_ne!(json, of("/campaigns", "application/json", "{}"));
        assert_ne!(json, of("/whatsapp?x=1", "application/json", "{}"));
        assert_ne!(json, of("/whatsapp", "text/csv", "{}"));
    }

    #[test]
    fn a_secret_is_not_kept() {
        let body = br#"{"data":{"id":1,"key":"awp_1"},"success":true}"#;
        assert_eq!(kept_text(body, Some("key")), r#"{"data":{"id":1,"key":null},"success":true}"#);
        assert_eq!(kept_text(body, None).as_bytes(), body);
    }
}
