//! Sessions as clients see them; the first two forms are documented.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::timestamp::Timestamp;
use crate::domain::id::SessionId;
use crate::domain::pacing::Pacing;
use crate::domain::session::SessionState;
use crate::store::session_events::SessionEventRecord;
use crate::store::sessions::SessionRecord;

/// A session in the list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// What people call it.
    #[schema(example = "Shop")]
    name: String,
    /// `disconnected`, `connecting`, `qr_pending`, `connected`, `reconnecting`, `logged_out` or `banned`.
    #[schema(example = "connected")]
    status: &'static str,
    /// Digits with country code, once known.
    #[schema(example = "919876543210")]
    phone_number: Option<String>,
    /// Whether it can send now.
    connected: bool,
}

/// A session just made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedSessionView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// What people call it.
    #[schema(example = "Shop")]
    name: String,
    /// Always `disconnected`.
    #[schema(example = "disconnected")]
    status: &'static str,
    /// Not yet known.
    phone_number: Option<String>,
}

/// A session with its pacing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionDetailView {
    /// What the list shows.
    #[serde(flatten)]
    session: SessionView,
    /// The provider's own name of the number, once known.
    #[schema(example = "106540352242922")]
    phone_number_id: Option<String>,
    /// Steady rate, sends per minute; its own or the default.
    #[schema(example = 20.0)]
    rate_per_minute: f64,
    /// Sends at once after a rest; its own or the default.
    #[schema(example = 1)]
    burst: u32,
    /// When it was made.
    created_at: Timestamp,
}

/// A session that is no more.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemovedSessionView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    pub(super) id: SessionId,
}

/// The connection of a session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatusView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// As in the list.
    #[schema(example = "connected")]
    status: &'static str,
    /// Why it stands there, when nobody asked for it: one of the reasons of failures.
    #[schema(example = "AUTH_INVALID")]
    reason: Option<String>,
    /// Whether it can send now.
    connected: bool,
    /// Digits with country code, once known.
    #[schema(example = "919876543210")]
    phone_number: Option<String>,
}

/// Something that happened to the connection of a session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionEventView {
    /// The event.
    id: uuid::Uuid,
    /// `session.connected`, `session.disconnected`, `session.reconnecting`, `session.logged_out`, `session.banned` or
    /// `session.replaced`.
    #[schema(example = "session.logged_out")]
    event: &'static str,
    /// Where the session stood after it, as in the list.
    #[schema(example = "logged_out")]
    status: &'static str,
    /// Where it stood before.
    #[schema(example = "connected")]
    from: &'static str,
    /// Why, when nobody asked for it: one of the reasons of failures.
    #[schema(example = "AUTH_INVALID")]
    reason: Option<String>,
    /// When it was noted.
    at: Timestamp,
}

impl From<SessionRecord> for SessionView {
    fn from(session: SessionRecord) -> Self {
        Self {
            id: session.id,
            name: session.name,
            status: session.state.as_str(),
            phone_number: session.phone_number,
            connected: session.state == SessionState::Connected,
        }
    }
}

impl From<SessionRecord> for CreatedSessionView {
    fn from(session: SessionRecord) -> Self {
        Self { id: session.id, name: session.name, status: session.state.as_str(), phone_number: session.phone_number }
    }
}

impl SessionDetailView {
    /// Shows a session and the pacing that holds for it.
    pub(super) fn new(session: SessionRecord, pacing: Pacing) -> Self {
        Self {
            phone_number_id: session.phone_number_id.clone(),
            rate_per_minute: rounded(pacing.rate_per_minute()),
            burst: pacing.burst().get(),
            created_at: Timestamp(session.created_at_ms),
            session: session.into(),
        }
    }
}

impl From<SessionRecord> for SessionStatusView {
    fn from(session: SessionRecord) -> Self {
        Self {
            id: session.id,
            status: session.state.as_str(),
            reason: session.state_reason,
            connected: session.state == SessionState::Connected,
            phone_number: session.phone_number,
        }
    }
}

impl From<SessionEventRecord> for SessionEventView {
    fn from(record: SessionEventRecord) -> Self {
        Self {
            id: record.id,
            event: record.news.as_str(),
            status: record.state.as_str(),
            from: record.from.as_str(),
            reason: record.reason,
            at: Timestamp(record.at_ms),
        }
    }
}

/// Takes off what the way over an interval of whole nanoseconds has added.
pub(super) fn rounded(rate: f64) -> f64 {
    (rate * 10_000.0).round() / 10_000.0
}
