//! A delivery's change of state, as it is on the events topic: version 1.
//!
//! Carries ids and words only: never a recipient, never a text. At least once: a delivery reaches a state at
//! most once with the same number of attempts, so delivery, attempt and state tell a repeat from a new event.
//!
//! What is not told: that a delivery was admitted and waits, and the moves between `pending` and `sending`.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::delivery::DeliveryState;
use crate::domain::failure::FailureClass;
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};

/// The version of the wire form that this code writes and reads.
pub const EVENT_VERSION: u32 = 1;

/// One record of the events topic; its key is the delivery's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateChange {
    /// Version of the wire form; 1.
    pub v: u32,
    /// Reserved for an id of the event; not written. See above for what tells a repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Uuid>,
    /// Which delivery.
    pub delivery_id: DeliveryId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Which session sends it.
    pub session_id: SessionId,
    /// The campaign, or none for single messages.
    pub campaign_id: Option<CampaignId>,
    /// The state after the change.
    pub state: DeliveryState,
    /// The state before it; none when the delivery was admitted just now. May be `sending`, which is not told itself.
    pub from: Option<DeliveryState>,
    /// Attempts made so far.
    pub attempt: u32,
    /// Class of the failure, if the change is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_class: Option<FailureClass>,
    /// Why it failed or was skipped: a word of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The provider's own code, such as `graph:131056`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
    /// When it happened: as the provider says in its reports, which know seconds only; else by our own clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Why a record is no change of state.
#[derive(Debug, thiserror::Error)]
pub enum EventProblem {
    /// Not JSON, or not of the form of version 1.
    #[error("the record is not an event of version {EVENT_VERSION}")]
    Unreadable(#[source] serde_json::Error),
    /// A version this code does not know.
    #[error("the event has version {0}, known is {EVENT_VERSION}")]
    UnknownVersion(u64),
}

impl StateChange {
    /// Reads a record of the events topic.
    ///
    /// # Errors
    /// [`EventProblem`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, EventProblem> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }
        let versioned: Versioned = serde_json::from_slice(bytes).map_err(EventProblem::Unreadable)?;
        if versioned.v != u64::from(EVENT_VERSION) {
            return Err(EventProblem::UnknownVersion(versioned.v));
        }
        serde_json::from_slice(bytes).map_err(EventProblem::Unreadable)
    }

    /// Writes the record.
    ///
    /// # Errors
    /// Only when the time has a year that RFC 3339 can not write.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}
