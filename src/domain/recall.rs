//! What a person can ask of deliveries that came to an end: try the failed ones again, settle the unknown ones.
//!
//! Says which states move where; how and when they are moved is decided elsewhere.

use crate::domain::delivery::{DeliveryEvent, DeliveryState};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecallKind {
    /// Failed deliveries go back in line.
    RetryFailed,
    /// Unknown deliveries were sent.
    ResolveSent,
    /// Unknown deliveries go back in line.
    ResolveRetry,
}

impl RecallKind {
    const ALL: [Self; 3] = [Self::RetryFailed, Self::ResolveSent, Self::ResolveRetry];

    /// Returns the state of the deliveries that it is about.
    #[must_use]
    pub fn from_state(self) -> DeliveryState {
        match self {
            Self::RetryFailed => DeliveryState::Failed,
            Self::ResolveSent | Self::ResolveRetry => DeliveryState::Unknown,
        }
    }

    /// Returns what happens to them.
    #[must_use]
    pub fn event(self) -> DeliveryEvent {
        match self {
            Self::RetryFailed => DeliveryEvent::Retried,
            Self::ResolveSent => DeliveryEvent::ResolvedSent,
            Self::ResolveRetry => DeliveryEvent::Requeued,
        }
    }

    /// Tells whether they go back in line.
    #[must_use]
    pub fn puts_back(self) -> bool {
        self != Self::ResolveSent
    }

    /// Returns the word kept in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetryFailed => "retry_failed",
            Self::ResolveSent => "resolve_sent",
            Self::ResolveRetry => "resolve_retry",
        }
    }

    /// Reads the word kept in the database.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_moves_what_it_is_about() {
        for kind in RecallKind::ALL {
            assert_eq!(RecallKind::parse(kind.as_str()), Some(kind));
            let to = kind.from_state().apply(kind.event());
            let expected = if kind.puts_back() { DeliveryState::Pending } else { DeliveryState::Sent };
            assert_eq!(to, Some(expected), "{kind:?}");
        }
    }
}
