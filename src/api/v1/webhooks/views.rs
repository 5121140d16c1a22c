//! Webhooks and what they were told, as clients see them.

use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::timestamp::Timestamp;
use crate::domain::id::{WebhookDeliveryId, WebhookId};
use crate::domain::webhook::{DisabledReason, WebhookProblem};
use crate::service::webhooks::WithSecret;
use crate::store::webhook_history::WebhookDeliveryRecord;
use crate::store::webhooks::WebhookRecord;

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookView {
    /// The webhook.
    #[schema(value_type = uuid::Uuid)]
    id: WebhookId,
    /// Where is posted.
    #[schema(example = "https://example.com/hooks/actiwapi")]
    url: String,
    /// What is told.
    #[schema(value_type = Vec<String>, example = json!(["message.delivered"]))]
    events: Vec<&'static str>,
    /// Whether anything is told.
    #[schema(example = true)]
    is_active: bool,
    /// Why it is not active though nobody asked for that: `FAILING` (nothing arrived for three days), `GONE` (the
    /// receiver answered 410) or `BACKLOG` (nothing arrived, and too much waited).
    #[schema(value_type = Option<String>, example = "FAILING")]
    disabled_reason: Option<&'static str>,
    /// Since when nothing has arrived; null while something does.
    failing_since: Option<Timestamp>,
    /// Until when the secret before signs too.
    previous_secret_until: Option<Timestamp>,
    /// When it was made.
    created_at: Timestamp,
}

/// A webhook that was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedWebhookView {
    /// The webhook.
    #[schema(value_type = uuid::Uuid)]
    id: WebhookId,
    /// Where is posted.
    #[schema(example = "https://example.com/hooks/actiwapi")]
    url: String,
    /// What is told.
    #[schema(value_type = Vec<String>, example = json!(["message.delivered"]))]
    events: Vec<&'static str>,
    /// Always `true`.
    #[schema(example = true)]
    is_active: bool,
    /// What signs; shown here only, and null when the request is repeated with its `Idempotency-Key`.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    secret: Option<String>,
    /// When it was made.
    created_at: Timestamp,
}

/// A new secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedSecretView {
    /// The webhook.
    #[schema(value_type = uuid::Uuid)]
    id: WebhookId,
    /// What signs from now on; shown here only, and null when the request is repeated with its `Idempotency-Key`.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    secret: Option<String>,
    /// Until when the secret before signs too.
    previous_secret_until: Option<Timestamp>,
}

/// A test that was queued.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueuedTestView {
    /// Its name in the history, and in the header `webhook-id`.
    #[schema(value_type = uuid::Uuid)]
    delivery_id: WebhookDeliveryId,
    /// Always `pending`.
    #[schema(example = "pending")]
    status: &'static str,
}

/// Something that a webhook was told, or is to be told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDeliveryView {
    /// Its name, also in the header `webhook-id`.
    #[schema(value_type = uuid::Uuid)]
    id: WebhookDeliveryId,
    /// What happened.
    #[schema(example = "message.delivered")]
    event: &'static str,
    /// `pending`, `delivered` or `failed`.
    #[schema(example = "delivered")]
    status: &'static str,
    /// When it happened.
    timestamp: Timestamp,
    /// What the event tells.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
    /// Attempts since it was queued, or was asked to be told again.
    #[schema(example = 1)]
    attempts: u32,
    /// When the next attempt may be made; only while it waits.
    next_attempt_at: Option<Timestamp>,
    /// When the last attempt ended.
    last_attempt_at: Option<Timestamp>,
    /// The status of the last answer.
    #[schema(example = 204)]
    last_status_code: Option<u16>,
    /// Why the last attempt did not arrive: `HTTP_STATUS`, `TIMEOUT`, `NOT_CONNECTED`, `NO_ANSWER` or
    /// `ADDRESS_NOT_ALLOWED`.
    #[schema(value_type = Option<String>, example = "TIMEOUT")]
    last_error: Option<&'static str>,
    /// When it arrived or was given up.
    settled_at: Option<Timestamp>,
}

impl From<WebhookRecord> for WebhookView {
    fn from(webhook: WebhookRecord) -> Self {
        Self {
            id: webhook.id,
            url: webhook.url,
            events: webhook.events.iter().map(|event| event.as_str()).collect(),
            is_active: webhook.is_active,
            disabled_reason: webhook.disabled_reason.map(DisabledReason::as_str),
            failing_since: webhook.failing_since_ms.map(Timestamp),
            previous_secret_until: webhook.previous_until_ms.map(Timestamp),
            created_at: Timestamp(webhook.created_at_ms),
        }
    }
}

impl From<WithSecret> for CreatedWebhookView {
    fn from(made: WithSecret) -> Self {
        Self {
            id: made.webhook.id,
            url: made.webhook.url,
            events: made.webhook.events.iter().map(|event| event.as_str()).collect(),
            is_active: made.webhook.is_active,
            secret: Some(made.secret.expose_secret().to_owned()),
            created_at: Timestamp(made.webhook.created_at_ms),
        }
    }
}

impl From<WithSecret> for RotatedSecretView {
    fn from(made: WithSecret) -> Self {
        Self {
            id: made.webhook.id,
            secret: Some(made.secret.expose_secret().to_owned()),
            previous_secret_until: made.webhook.previous_until_ms.map(Timestamp),
        }
    }
}

impl From<WebhookDeliveryId> for QueuedTestView {
    fn from(delivery_id: WebhookDeliveryId) -> Self {
        Self { delivery_id, status: "pending" }
    }
}

impl From<WebhookDeliveryRecord> for WebhookDeliveryView {
    fn from(told: WebhookDeliveryRecord) -> Self {
        Self {
            id: told.id,
            event: told.event.as_str(),
            status: told.state.as_str(),
            timestamp: Timestamp(told.at_ms),
            data: RawValue::from_string(told.data).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            attempts: told.n_attempts,
            next_attempt_at: told.due_at_ms.map(Timestamp),
            last_attempt_at: told.last_attempt_at_ms.map(Timestamp),
            last_status_code: told.last_status,
            last_error: told.last_problem.map(WebhookProblem::as_str),
            settled_at: told.settled_at_ms.map(Timestamp),
        }
    }
}
