//! What became of a campaign's recipients, as people read it.
//!
//! Counts nothing itself: the counters are moved with the deliveries.

use crate::domain::campaign::{CampaignState, Counters};
use crate::store::campaigns::CampaignRecord;

/// What became of a campaign's recipients so far; the numbers add up to `total`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CampaignStats {
    /// Recipients.
    pub total: i64,
    /// Not yet handed to a lane, or waiting in one; 0 before the start.
    pub queued: i64,
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

impl CampaignStats {
    /// Counts what became of a campaign's recipients.
    ///
    /// Recipients that have no delivery yet are queued while the campaign may still hand them out,
    /// and cancelled once it was cancelled.
    #[must_use]
    pub fn of(state: CampaignState, n_recipients: i64, c: &Counters) -> Self {
        let not_handed_out = (n_recipients - c.sum()).max(0);
        let (queued, cancelled) = match state {
            CampaignState::Draft | CampaignState::Scheduled => (0, 0),
            CampaignState::Cancelled | CampaignState::Failed => (0, not_handed_out),
            CampaignState::Running | CampaignState::Paused | CampaignState::Completed => (not_handed_out, 0),
        };
        Self {
            total: n_recipients,
            queued: c.pending + queued,
            sending: c.sending,
            sent: c.sent,
            delivered: c.delivered,
            read: c.read,
            failed_limit: c.failed_limit,
            failed_unavailable: c.failed_unavailable,
            skipped: c.skipped,
            cancelled: c.cancelled + cancelled,
            unknown: c.unknown,
        }
    }
}

impl CampaignRecord {
    /// Counts what became of the recipients.
    #[must_use]
    pub fn stats(&self) -> CampaignStats {
        CampaignStats::of(self.state, self.n_recipients, &self.counters)
    }
}
