//! The life cycle of one delivery: one enum and one total function.
//!
//! Every move of a delivery goes through [`DeliveryState::apply`]; the store then names the state
//! it expects, so a late or repeated event changes nothing. Does no I/O.

use serde::{Deserialize, Serialize};

use crate::domain::receipt::ReceiptKind;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Accepted by us and waiting for its lane.
    Pending,
    /// An attempt is durable and may be on the wire.
    Sending,
    /// The provider took the message.
    Sent,
    /// The provider reported that it reached the phone.
    Delivered,
    /// The provider reported that it was read.
    Read,
    /// It will not be sent; class and reason say why.
    Failed,
    /// We decided not to send it: opted out, expired.
    Skipped,
    /// A person cancelled it before it was sent.
    Cancelled,
    /// It may have been sent; no answer came and no receipt yet.
    Unknown,
}

/// What can happen to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryEvent {
    /// An attempt was written, before its first byte left.
    AttemptStarted,
    /// The attempt was taken back before any byte left.
    AttemptWithdrawn,
    /// The provider took the message.
    Accepted,
    /// The provider refused for now.
    Deferred,
    /// The provider, or our own check, refused for good.
    Rejected,
    /// The attempt ended without an answer, or its process died.
    LostTrack,
    /// The provider reported something later.
    Receipt(ReceiptKind),
    /// We decided not to send it.
    Skipped,
    /// A person cancelled it.
    Cancelled,
    /// An unknown delivery is to be sent again by its campaign's policy.
    Requeued,
    /// A person puts a failed delivery back in line.
    Retried,
    /// A person says that an unknown delivery was sent.
    ResolvedSent,
}

impl DeliveryState {
    /// All states, in the order of the life cycle.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Sending,
        Self::Sent,
        Self::Delivered,
        Self::Read,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// Returns the state after `event`, or `None` when the event changes nothing.
    ///
    /// Receipts only ever lift a delivery: what the provider says it did beats what we believed.
    #[must_use]
    pub fn apply(self, event: DeliveryEvent) -> Option<Self> {
        use DeliveryEvent as E;
        match (self, event) {
            (Self::Pending, E::AttemptStarted) => Some(Self::Sending),
            (Self::Sending, E::AttemptWithdrawn | E::Deferred) => Some(Self::Pending),
            (Self::Sending, E::Accepted) => Some(Self::Sent),
            (Self::Pending | Self::Sending, E::Rejected) => Some(Self::Failed),
            (Self::Sending, E::LostTrack) => Some(Self::Unknown),
            (Self::Pending, E::Skipped) => Some(Self::Skipped),
            (Self::Pending, E::Cancelled) => Some(Self::Cancelled),
            (Self::Unknown, E::Requeued) | (Self::Failed, E::Retried) => Some(Self::Pending),
            (Self::Unknown, E::ResolvedSent) => Some(Self::Sent),
            (from, E::Receipt(kind)) => from.apply_receipt(kind),
            _ => None,
        }
    }

    fn apply_receipt(self, kind: ReceiptKind) -> Option<Self> {
        let reported = match kind {
            ReceiptKind::Sent => Self::Sent,
            ReceiptKind::Delivered => Self::Delivered,
            ReceiptKind::Read => Self::Read,
            ReceiptKind::Failed => {
                let open = matches!(self, Self::Pending | Self::Sending | Self::Sent | Self::Unknown);
                return open.then_some(Self::Failed);
            }
        };
        (self.proof() < reported.proof()).then_some(reported)
    }

    /// How much the provider has confirmed; receipts move a delivery only upwards.
    fn proof(self) -> u8 {
        match self {
            Self::Pending | Self::Sending | Self::Unknown | Self::Skipped | Self::Cancelled => 0,
            // A failure outranks "sent" (it came later), never "delivered".
            Self::Sent | Self::Failed => 1,
            Self::Delivered => 2,
            Self::Read => 3,
        }
    }

    /// Tells whether no further attempt will be made unless a policy or a person asks for it.
    #[must_use]
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Pending | Self::Sending)
    }

    /// Returns the word kept in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the word that the API documents; only `pending` has another there.
    #[must_use]
    pub fn api_word(self) -> &'static str {
        match self {
            Self::Pending => "queued",
            other => other.as_str(),
        }
    }

    /// Reads the word kept in the database.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [DeliveryEvent; 15] = [
        DeliveryEvent::AttemptStarted,
        DeliveryEvent::AttemptWithdrawn,
        DeliveryEvent::Accepted,
        DeliveryEvent::Deferred,
        DeliveryEvent::Rejected,
        DeliveryEvent::LostTrack,
        DeliveryEvent::Receipt(ReceiptKind::Sent),
        DeliveryEvent::Receipt(ReceiptKind::Delivered),
        DeliveryEvent::Receipt(ReceiptKind::Read),
        DeliveryEvent::Receipt(ReceiptKind::Failed),
        DeliveryEvent::Skipped,
        DeliveryEvent::Cancelled,
        DeliveryEvent::Requeued,
        DeliveryEvent::Retried,
        DeliveryEvent::ResolvedSent,
    ];

    /// One row per state, one column per event of [`EVENTS`]; `·` means nothing changes.
    #[test]
    fn golden_table() {
        let mut table = String::new();
        for state in DeliveryState::ALL {
            table += &format!("{:10}", state.as_str());
            for event in EVENTS {
                let to = state.apply(event).map_or("·", DeliveryState::as_str);
                table += &format!(" {to:9}");
            }
            table = table.trim_end().to_owned() + "\n";
        }
        insta::assert_snapshot!(table, @"
        pending    sending   ·         ·         ·         failed    ·         sent      delivered read      failed    skipped   cancelled ·         ·         ·
        sending    ·         pending   sent      pending   failed    unknown   sent      delivered read      failed    ·         ·         ·         ·         ·
        sent       ·         ·         ·         ·         ·         ·         ·         delivered read      failed    ·         ·         ·         ·         ·
        delivered  ·         ·         ·         ·         ·         ·         ·         ·         read      ·         ·         ·         ·         ·         ·
        read       ·         ·         ·         ·         ·         ·         ·         ·         ·         ·         ·         ·         ·         ·         ·
        failed     ·         ·         ·         ·         ·         ·         ·         delivered read      ·         ·         ·         ·         pending   ·
        skipped    ·         ·         ·         ·         ·         ·         sent      delivered read      ·         ·         ·         ·         ·         ·
        cancelled  ·         ·         ·         ·         ·         ·         sent      delivered read      ·         ·         ·         ·         ·         ·
        unknown    ·         ·         ·         ·         ·         ·         sent      delivered read      failed    ·         ·         pending   ·         sent
        ");
    }

    #[test]
    fn words_read_back() {
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.as_str()), Some(state));
        }
        assert_eq!(DeliveryState::parse("queued"), None);
    }
}
