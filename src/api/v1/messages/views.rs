//! Messages as clients see them: queued, in full, as a timeline.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::timestamp::Timestamp;
use crate::api::v1::held::HeldView;
use crate::dispatch::picture::Waiting;
use crate::domain::delivery::DeliveryState;
use crate::domain::failure::{FailureClass, Reason};
use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::store::messages::{DeliveryRecord, TimelineEvent, TimelineKind};

/// A message that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueuedView {
    /// The message.
    #[schema(value_type = uuid::Uuid)]
    id: DeliveryId,
    /// Always `queued`.
    #[schema(example = "queued")]
    status: &'static str,
    /// Digits with country code.
    #[schema(example = "919876543210")]
    to: String,
}

/// A message that waits for its time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledView {
    /// The message.
    #[schema(value_type = uuid::Uuid)]
    id: DeliveryId,
    /// Always `scheduled`.
    #[schema(example = "scheduled")]
    status: &'static str,
    /// Digits with country code.
    #[schema(example = "919876543210")]
    to: String,
    /// When it goes, at the earliest.
    scheduled_at: Timestamp,
}

/// Messages that were accepted, all of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkQueuedView {
    /// How many.
    #[schema(example = 2)]
    accepted: usize,
    /// The messages, in the order in which they were named.
    messages: Vec<QueuedView>,
}

/// A message and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageView {
    /// What lists show of it.
    #[serde(flatten)]
    message: ListedMessageView,
    /// What it waits for; null when it does not wait.
    #[serde(rename = "heldBy")]
    held_by: Option<HeldView>,
}

/// A message in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedMessageView {
    /// The message.
    #[schema(value_type = uuid::Uuid)]
    id: DeliveryId,
    /// `scheduled`, `queued`, `sending`, `sent`, `delivered`, `read`, `failed`, `skipped`, `cancelled` or `unknown`.
    #[schema(example = "delivered")]
    status: &'static str,
    /// Digits with country code.
    #[schema(example = "919876543210")]
    to: String,
    /// Which session sends.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Its campaign; none for single messages.
    #[schema(value_type = Option<uuid::Uuid>)]
    campaign_id: Option<CampaignId>,
    /// Attempts so far.
    #[schema(example = 1)]
    attempts: i32,
    /// Why the last attempt failed, if it did.
    failure: Option<FailureView>,
    /// The provider's own name of the message, once it took it.
    #[schema(example = "wamid.HBgMOTE5ODc2NTQzMjEw")]
    provider_message_id: Option<String>,
    /// When it was accepted; of one that was scheduled, once its time has come, when that was.
    created_at: Timestamp,
    /// When it goes, at the earliest; only while it is `scheduled`.
    scheduled_at: Option<Timestamp>,
    /// When the next attempt may be made; only while it waits for one.
    due_at: Option<Timestamp>,
    /// When the provider took it.
    sent_at: Option<Timestamp>,
    /// When it reached the phone.
    delivered_at: Option<Timestamp>,
    /// When it was read.
    read_at: Option<Timestamp>,
}

/// Why an attempt failed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureView {
    /// `LIMIT_EXCEEDED` or `WHATSAPP_UNAVAILABLE`.
    #[schema(value_type = Option<String>, example = "WHATSAPP_UNAVAILABLE")]
    code: Option<&'static str>,
    /// The reason within the code.
    #[schema(value_type = Option<String>, example = "RECIPIENT_UNREACHABLE")]
    reason: Option<&'static str>,
    /// The provider's own code with its name space.
    #[schema(example = "graph:131026")]
    provider_code: Option<String>,
}

/// One thing that happened to a message.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEventView {
    /// When.
    at: Timestamp,
    /// `scheduled`, `queued`, `attempt_started`, `attempt_ended`, or the status that it reached.
    #[schema(example = "attempt_ended")]
    event: &'static str,
    /// Which attempt, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    attempt: Option<i32>,
    /// By which version of the session's settings the attempt was made.
    #[schema(example = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    settings_version: Option<i64>,
    /// How the attempt ended: `accepted`, `deferred`, `rejected`, `unknown` or `withdrawn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "accepted")]
    outcome: Option<String>,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
}

impl From<DeliveryRecord> for QueuedView {
    fn from(delivery: DeliveryRecord) -> Self {
        Self { id: delivery.id, status: delivery.api_word(), to: delivery.recipient.as_str().to_owned() }
    }
}

impl From<DeliveryRecord> for ScheduledView {
    fn from(delivery: DeliveryRecord) -> Self {
        Self {
            id: delivery.id,
            status: delivery.api_word(),
            to: delivery.recipient.as_str().to_owned(),
            scheduled_at: Timestamp(delivery.scheduled_at_ms.unwrap_or(delivery.created_at_ms)),
        }
    }
}

impl From<Vec<DeliveryRecord>> for BulkQueuedView {
    fn from(deliveries: Vec<DeliveryRecord>) -> Self {
        Self { accepted: deliveries.len(), messages: deliveries.into_iter().map(QueuedView::from).collect() }
    }
}

impl MessageView {
    /// Shows a message and what it waits for.
    pub(super) fn new(delivery: DeliveryRecord, waiting: Option<Waiting>) -> Self {
        Self { message: delivery.into(), held_by: waiting.map(HeldView::from) }
    }
}

impl From<DeliveryRecord> for ListedMessageView {
    fn from(delivery: DeliveryRecord) -> Self {
        let waits = delivery.state == DeliveryState::Pending && 0 < delivery.due_at_ms;
        Self {
            id: delivery.id,
            status: delivery.api_word(),
            to: delivery.recipient.as_str().to_owned(),
            session_id: delivery.session_id,
            campaign_id: (!delivery.campaign_id.is_direct()).then_some(delivery.campaign_id),
            attempts: delivery.n_attempts,
            failure: FailureView::new(delivery.failure_class, delivery.reason, delivery.provider_code),
            provider_message_id: delivery.provider_message_id,
            created_at: Timestamp(delivery.created_at_ms),
            scheduled_at: delivery.scheduled_at_ms.map(Timestamp),
            due_at: waits.then_some(Timestamp(delivery.due_at_ms)),
            sent_at: delivery.sent_at_ms.map(Timestamp),
            delivered_at: delivery.delivered_at_ms.map(Timestamp),
            read_at: delivery.read_at_ms.map(Timestamp),
        }
    }
}

impl FailureView {
    /// Shows a failure, if there is anything to show.
    fn new(class: Option<FailureClass>, reason: Option<Reason>, provider_code: Option<String>) -> Option<Self> {
        let any = class.is_some() || reason.is_some() || provider_code.is_some();
        any.then(|| Self { code: class.map(FailureClass::as_str), reason: reason.map(Reason::as_str), provider_code })
    }
}

impl From<TimelineEvent> for TimelineEventView {
    fn from(event: TimelineEvent) -> Self {
        let at = Timestamp(event.at_ms);
        let named = |event| Self { at, event, attempt: None, settings_version: None, outcome: None, failure: None };
        match event.kind {
            TimelineKind::Scheduled => named("scheduled"),
            TimelineKind::Queued => named("queued"),
            TimelineKind::AttemptStarted { attempt_no, settings_version } => {
                Self { attempt: Some(attempt_no), settings_version, ..named("attempt_started") }
            }
            TimelineKind::AttemptEnded { attempt_no, outcome, failure_class, reason, provider_code } => Self {
                attempt: Some(attempt_no),
                outcome: Some(outcome),
                failure: FailureView::new(failure_class, reason, provider_code),
                ..named("attempt_ended")
            },
            TimelineKind::Delivered => named("delivered"),
            TimelineKind::Read => named("read"),
            TimelineKind::Settled { state, reason } => {
                Self { failure: FailureView::new(None, reason, None), ..named(state.api_word()) }
            }
        }
    }
}
