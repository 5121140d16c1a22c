//! What a lane says: its next step, what it is granted, and what becomes of a send.
//!
//! Only values; deciding is [`super::state`].

use std::time::Duration;

use crate::clock::Moment;
use crate::dispatch::breaker;
use crate::dispatch::lane::work::{Prepared, Work};
use crate::domain::attempt::Outcome;
use crate::domain::failure::{FailureClass, Reason};
use crate::domain::held_by::{Held, HeldBy};
use crate::domain::message::Content;

/// What the shard does for a lane.
#[derive(Debug)]
pub enum Step {
    /// Write the attempt; then tell `Lane::begun` or `Lane::begin_refused`.
    Begin(Box<Work>, Content),
    /// Let the message go now; then tell `Lane::finished`.
    Release(Prepared, Lateness),
    /// Ask for the probe of the account's breaker, then ask the lane again.
    ClaimProbe,
    /// Take the attempt back: it has not left and must wait.
    Withdraw(Prepared),
    /// Settle the delivery without an attempt.
    Dismiss(Box<Work>, Dismissed),
    /// Nothing to do before this time, or before something happens.
    Wait(Option<Moment>),
}

/// Why a delivery is settled without an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dismissed {
    /// It expired.
    Expired,
    /// Its message can not be made.
    Unrenderable,
    /// The messages of the plan are used up, and its job does not wait for more.
    PlanUsedUp,
    /// The recipient got enough marketing for now.
    MarketingCap,
}

/// How long after its moment a message was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lateness(pub Duration);

/// What the shard grants a lane in this round.
#[derive(Debug, Clone, Copy)]
pub struct Grant {
    /// How far ahead of its moment an attempt is written: about three commits.
    pub lead: Duration,
    /// Whether the shard has a place for one more attempt of this lane.
    pub may_begin: bool,
    /// Many of the shard's places are taken.
    pub crowded: bool,
    /// Whether the lane's partition is leased to us just now.
    pub leased: bool,
    /// What the breaker of the number's account says.
    pub account: breaker::Verdict,
    /// Whether its probe is this lane's: others, also of other shards, have seen the same verdict.
    pub has_probe: bool,
}

/// A wait that the provider, or a failure of number scope or wider, put on the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Moment,
    /// Until when.
    pub until: Moment,
}

impl Hold {
    /// Says it as a wait with its cause.
    #[must_use]
    pub fn held(self) -> Held {
        let by = match self.reason {
            Reason::Throughput | Reason::SessionRateLimit => HeldBy::Throughput,
            Reason::SpamRateLimit => HeldBy::SpamLimit,
            Reason::NewChatTimelock => HeldBy::NewChatTimelock,
            Reason::MessagingTier => HeldBy::Tier,
            Reason::PlanMessages => HeldBy::PlanMessages,
            Reason::TemplatePaused | Reason::FlowThrottled => HeldBy::Template,
            Reason::MediaUploading => HeldBy::Media,
            Reason::AppRateLimit
            | Reason::AccountRateLimit
            | Reason::ClassificationLimit
            | Reason::Network
            | Reason::ProviderUnavailable
            | Reason::AccountLocked
            | Reason::AccountRestricted
            | Reason::AccountActionRequired
            | Reason::AuthInvalid
            | Reason::PermissionDenied
            | Reason::BillingBlocked => HeldBy::Account,
            _ => HeldBy::Number,
        };
        Held { by, since: self.since, until: Some(self.until) }
    }
}

/// Of two holds the one that ends later; what holds already keeps its beginning.
pub(super) trait MaxByEnd {
    fn max_by_end(self, other: Hold) -> Option<Hold>;
}

impl MaxByEnd for Option<Hold> {
    fn max_by_end(self, other: Hold) -> Option<Hold> {
        Some(match self {
            Some(own) if own.reason == other.reason => Hold { until: own.until.max(other.until), ..own },
            Some(own) if other.until < own.until => own,
            _ => other,
        })
    }
}

/// What becomes of a delivery after an attempt.
#[derive(Debug)]
pub struct Verdict {
    /// The outcome to write; a deferral that used up its attempts has become a rejection.
    pub outcome: Outcome,
    /// Whether it counts against the attempts that the delivery may have.
    pub is_try: bool,
    /// When a deferred delivery is due again.
    pub due_at: Moment,
    /// A deferred delivery, to be given back by `Lane::put_back` when that is durable.
    pub again: Option<Box<Work>>,
}

impl Dismissed {
    /// Returns the reason to write.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::Expired,
            Self::Unrenderable => Reason::RenderFailed,
            Self::PlanUsedUp => Reason::PlanMessages,
            Self::MarketingCap => Reason::UserMarketingCap,
        }
    }

    /// Returns the class to write; a delivery that we skipped has none.
    #[must_use]
    pub fn class(self) -> Option<FailureClass> {
        match self {
            Self::Expired => None,
            Self::Unrenderable => Some(FailureClass::WhatsappUnavailable),
            Self::PlanUsedUp | Self::MarketingCap => Some(FailureClass::LimitExceeded),
        }
    }
}
