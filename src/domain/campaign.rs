//! The life cycle of a campaign, its policies, and its counters.
//!
//! One enum, one total function. Does no I/O.

use serde::{Deserialize, Serialize};

use crate::domain::delivery::DeliveryState;
use crate::domain::failure::FailureClass;

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignState {
    /// Being put together; recipients may still change.
    Draft,
    /// Will start by itself at its time.
    Scheduled,
    /// Its deliveries are handed out.
    Running,
    /// A person holds it.
    Paused,
    /// Every delivery is settled.
    Completed,
    /// A person ended it early.
    Cancelled,
    /// It could not go on.
    Failed,
}

/// What can happen to a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignEvent {
    /// A start time was set.
    Scheduled,
    /// The start time was taken back.
    Unscheduled,
    /// It begins to send.
    Started,
    /// A person holds it.
    Paused,
    /// A person lets it go on.
    Resumed,
    /// The last delivery was settled.
    LastDeliverySettled,
    /// A person ends it.
    Cancelled,
    /// It cannot go on.
    Failed,
    /// A person puts deliveries that came to an end back in line.
    Reopened,
}

/// A move that the campaign's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {} campaign can not be {}", from.as_str(), event.as_str())]
pub struct Refused {
    /// The state it is in.
    pub from: CampaignState,
    /// What was asked of it.
    pub event: CampaignEvent,
}

impl CampaignEvent {
    /// All events.
    pub const ALL: [Self; 9] = [
        Self::Scheduled,
        Self::Unscheduled,
        Self::Started,
        Self::Paused,
        Self::Resumed,
        Self::LastDeliverySettled,
        Self::Cancelled,
        Self::Failed,
        Self::Reopened,
    ];

    /// Returns the word used in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Unscheduled => "unscheduled",
            Self::Started => "started",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::LastDeliverySettled => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Reopened => "taken up again",
        }
    }
}

impl CampaignState {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Draft, Self::Scheduled, Self::Running, Self::Paused, Self::Completed, Self::Cancelled, Self::Failed];

    /// Returns the state after `event`; asking for what already holds changes nothing.
    ///
    /// # Errors
    /// [`Refused`] when the state does not allow the event.
    pub fn apply(self, event: CampaignEvent) -> Result<Self, Refused> {
        use CampaignEvent as E;
        match (self, event) {
            (Self::Draft | Self::Scheduled, E::Scheduled) => Ok(Self::Scheduled),
            (Self::Draft | Self::Scheduled, E::Unscheduled) => Ok(Self::Draft),
            (Self::Draft | Self::Scheduled | Self::Running, E::Started) => Ok(Self::Running),
            (Self::Running | Self::Paused, E::Paused) => Ok(Self::Paused),
            (Self::Paused | Self::Running, E::Resumed) => Ok(Self::Running),
            (Self::Running | Self::Paused | Self::Completed, E::LastDeliverySettled) => Ok(Self::Completed),
            (Self::Draft | Self::Scheduled | Self::Running | Self::Paused | Self::Cancelled, E::Cancelled) => {
                Ok(Self::Cancelled)
            }
            (Self::Running | Self::Completed, E::Reopened) => Ok(Self::Running),
            (Self::Paused, E::Reopened) => Ok(Self::Paused),
            (Self::Scheduled | Self::Running | Self::Paused | Self::Failed, E::Failed) => Ok(Self::Failed),
            (from, event) => Err(Refused { from, event }),
        }
    }

    /// Tells whether it can never send again.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }

    /// Returns the word kept in the database and shown by the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Reads the word kept in the database.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What becomes of a delivery that may have been sent and that no receipt settles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// It stays unknown until a receipt or a person decides: at most once.
    #[default]
    Quarantine,
    /// It is sent again after a time for receipts: at least once.
    Resend,
}

impl OnUnknown {
    /// Returns the word kept in the database and shown by the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Resend => "resend",
        }
    }

    /// Reads the word kept in the database.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Quarantine, Self::Resend].into_iter().find(|policy| policy.as_str() == word)
    }
}

/// Whom a campaign passes over at the moment of sending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PassOver {
    /// Recipients who have opted out.
    pub opted_out: bool,
    /// Recipients who got a message of the tenant's campaigns within so many hours before.
    pub written_within_hours: Option<u32>,
}

/// How many deliveries of a campaign are in each state.
///
/// `accepted` is counted when deliveries are persisted, the others when they move; that the sum
/// agrees is the ledger, promise 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Deliveries persisted.
    pub accepted: i64,
    /// Waiting for their lane.
    pub pending: i64,
    /// With an attempt under way.
    pub sending: i64,
    /// Taken by the provider.
    pub sent: i64,
    /// Reported as delivered.
    pub delivered: i64,
    /// Reported as read.
    pub read: i64,
    /// Failed because of a limit.
    pub failed_limit: i64,
    /// Failed because the session or the provider could not.
    pub failed_unavailable: i64,
    /// Not sent by our decision.
    pub skipped: i64,
    /// Cancelled by a person.
    pub cancelled: i64,
    /// May have been sent.
    pub unknown: i64,
}

impl Counters {
    /// Returns the counter of a state; failures are told apart by class.
    pub fn of_mut(&mut self, state: DeliveryState, class: Option<FailureClass>) -> &mut i64 {
        match state {
            DeliveryState::Pending => &mut self.pending,
            DeliveryState::Sending => &mut self.sending,
            DeliveryState::Sent => &mut self.sent,
            DeliveryState::Delivered => &mut self.delivered,
            DeliveryState::Read => &mut self.read,
            DeliveryState::Failed if class == Some(FailureClass::LimitExceeded) => &mut self.failed_limit,
            DeliveryState::Failed => &mut self.failed_unavailable,
            DeliveryState::Skipped => &mut self.skipped,
            DeliveryState::Cancelled => &mut self.cancelled,
            DeliveryState::Unknown => &mut self.unknown,
        }
    }

    /// Returns the sum over all states; the ledger holds when it equals `accepted`.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.pending
            + self.sending
            + self.sent
            + self.delivered
            + self.read
            + self.failed_limit
            + self.failed_unavailable
            + self.skipped
            + self.cancelled
            + self.unknown
    }

    /// Returns how far the ledger is off; 0 when nothing is lost.
    #[must_use]
    pub fn drift(&self) -> i64 {
        (self.accepted - self.sum()).abs()
    }

    /// Tells whether no further attempt will be made under the given policy.
    #[must_use]
    pub fn all_settled(&self, on_unknown: OnUnknown) -> bool {
        let undecided = match on_unknown {
            OnUnknown::Quarantine => 0,
            OnUnknown::Resend => self.unknown,
        };
        self.pending + self.sending + undecided == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_table() {
        let mut table = String::new();
        for state in CampaignState::ALL {
            table += &format!("{:10}", state.as_str());
            for event in CampaignEvent::ALL {
                let to = state.apply(event).map_or("·", CampaignState::as_str);
                table += &format!(" {to:10}");
            }
            table = table.trim_end().to_owned() + "\n";
        }
        insta::assert_snapshot!(table, @"
        draft      scheduled  draft      running    ·          ·          ·          cancelled  ·          ·
        scheduled  scheduled  draft      running    ·          ·          ·          cancelled  failed     ·
        running    ·          ·          running    paused     running    completed  cancelled  failed     running
        paused     ·          ·          ·          paused     running    completed  cancelled  failed     paused
        completed  ·          ·          ·          ·          ·          completed  ·          ·          running
        cancelled  ·          ·          ·          ·          ·          ·          cancelled  ·          ·
        failed     ·          ·          ·          ·          ·          ·          ·          failed     ·
        ");
    }

    #[test]
    fn counters_add_up() {
        let mut counters = Counters { accepted: 9, ..Counters::default() };
        for state in DeliveryState::ALL {
            *counters.of_mut(state, None) += 1;
        }
        assert_eq!((counters.sum(), counters.drift()), (9, 0));
        counters.accepted += 1;
        assert_eq!(counters.drift(), 1);
    }
}
