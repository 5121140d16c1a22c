//! The calls of the provider: verification of the callback's address, and signed receipts and messages.
//!
//! Both are open to everybody who knows the secret. A callback is answered only after what it tells is durable; until
//! then the answer makes the provider send it again.

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::auth::{equals_secret, is_signed};
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{ApiError, Failures, Guarded, OfBody};
use crate::api::extract::WholeBody;
use crate::error::Error;
use crate::limits::CALLBACK_BYTES_MAX;
use crate::receipts::{Callback, parse_callback};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(verify_callback_address))
        .routes(routes!(take_receipts).layer(DefaultBodyLimit::max(CALLBACK_BYTES_MAX)))
}

/// What the provider asks with when the callback's address is set.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Verification {
    /// Always `subscribe`.
    #[serde(rename = "hub.mode")]
    mode: String,
    /// The word that was set at the provider.
    #[serde(rename = "hub.verify_token")]
    verify_token: String,
    /// What is to be answered.
    #[serde(rename = "hub.challenge")]
    challenge: String,
}

/// What a callback carried.
#[derive(Debug, Serialize, ToSchema)]
pub struct TakenView {
    /// Receipts that are durable now.
    #[schema(example = 1)]
    receipts: usize,
    /// Messages of recipients that are durable now.
    #[schema(example = 0)]
    inbound: usize,
}

/// Answers the provider's question whether the callback's address is ours.
#[utoipa::path(get, path = "/provider/cloud/webhook", tag = "provider", params(Verification),
    responses((status = 200, description = "The challenge.", body = String, content_type = "text/plain"), Failures, Guarded))]
async fn verify_callback_address(
    State(state): State<Shared>,
    query: Result<Query<Verification>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(asked) =
        query.map_err(|_| ApiError::Malformed("The query must carry hub.mode, hub.verify_token and hub.challenge."))?;
    let token = state.settings.webhook_verify_token.as_ref();
    let known = token.is_some_and(|token| equals_secret(&asked.verify_token, token));
    if !known || asked.mode != "subscribe" {
        return Err(Error::Forbidden.into());
    }
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], asked.challenge).into_response())
}

/// Takes receipts, and notes who wrote and who opts out; answers 200 when that is durable, and 503 when the provider has to send them again.
#[utoipa::path(post, path = "/provider/cloud/webhook", tag = "provider",
    params(("X-Hub-Signature-256" = String, Header, description = "HMAC-SHA256 of the body with the app secret.")),
    request_body(content = serde_json::Value, description = "A callback of the Cloud API."),
    responses((status = 200, body = Envelope<TakenView>), Failures, Guarded, OfBody))]
async fn take_receipts(
    State(state): State<Shared>,
    callback: Result<SignedCallback, ApiError>,
) -> ApiResult<TakenView> {
    let taken = match callback {
        Ok(callback) => take(&state, &callback).await,
        Err(refused) => Err(refused),
    };
    let result = match &taken {
        Ok(_) => "taken",
        Err(ApiError::Service(Error::Unauthorized)) => "unsigned",
        Err(ApiError::Malformed(_)) => "malformed",
        Err(_) => "not_taken",
    };
    if let Some(metrics) = &state.metrics {
        metrics.api.callbacks.of(result).inc();
    }
    taken
}

/// Takes what a callback tells; returns when it is durable.
async fn take(state: &Shared, callback: &SignedCallback) -> ApiResult<TakenView> {
    let Callback { receipts, inbound } = parse_callback(&callback.0.bytes, &state.settings.opt_words)
        .map_err(|_| ApiError::Malformed("The body is not a callback."))?;
    let taken = TakenView { receipts: receipts.len(), inbound: inbound.len() };
    if !receipts.is_empty() {
        state.receipts.submit(receipts).await.map_err(|_| Error::Unavailable("the journal of receipts"))?;
    }
    state.store.note_inbound(&inbound).await.map_err(Error::Store)?;
    state.store.tell_inbound(&inbound).await.map_err(Error::Store)?;
    state.store.note_opt_outs(&inbound).await.map_err(Error::Store)?;
    ok(taken)
}

/// A body whose signature was checked over its raw bytes.
struct SignedCallback(WholeBody);

impl axum::extract::FromRequest<Shared> for SignedCallback {
    type Rejection = ApiError;

    async fn from_request(request: axum::extract::Request, state: &Shared) -> Result<Self, ApiError> {
        let secret = state.settings.webhook_app_secret.as_ref().ok_or(Error::Unauthorized)?;
        let signature = signature(request.headers()).ok_or(Error::Unauthorized)?.to_owned();
        let body = WholeBody::read(request, state).await?;
        if !is_signed(&body.bytes, &signature, secret) {
            return Err(Error::Unauthorized.into());
        }
        Ok(Self(body))
    }
}

fn signature(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-hub-signature-256")?.to_str().ok()
}
