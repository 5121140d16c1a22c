//! One try at a delivery and how it ended.
//!
//! A failed send is an [`Outcome`], never an error. Does no I/O.

use crate::domain::delivery::DeliveryEvent;
use crate::domain::failure::Failure;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took the message; delivery is reported later by receipts.
    Accepted {
        /// The provider's own name of the message.
        provider_message_id: String,
    },
    /// Refused for now; another attempt follows by the failure's retry rule.
    Deferred(Failure),
    /// Refused for good.
    Rejected(Failure),
    /// Bytes may have left and no answer came; never silently retried.
    Unknown(Failure),
}

impl Outcome {
    /// Returns the word kept in the database and used as a label.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Deferred(_) => "deferred",
            Self::Rejected(_) => "rejected",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Returns what the outcome does to the delivery.
    #[must_use]
    pub fn event(&self) -> DeliveryEvent {
        match self {
            Self::Accepted { .. } => DeliveryEvent::Accepted,
            Self::Deferred(_) => DeliveryEvent::Deferred,
            Self::Rejected(_) => DeliveryEvent::Rejected,
            Self::Unknown(_) => DeliveryEvent::LostTrack,
        }
    }

    /// Returns the failure, unless the provider took the message.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Accepted { .. } => None,
            Self::Deferred(failure) | Self::Rejected(failure) | Self::Unknown(failure) => Some(failure),
        }
    }
}
