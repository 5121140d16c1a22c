//! What the moves of one transaction are to the days of reports.

use super::{DeliveryRow, Moves, Moving};
use crate::domain::day::Standing;
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::store::analytics::feed::DayDeltas;

impl Moves<'_> {
    /// Returns by how much the counts of days move.
    pub(crate) fn day_deltas(&self) -> DayDeltas {
        let mut deltas = DayDeltas::default();
        for Moving { was, now } in self.rows.iter().filter(|moving| moving.was != moving.now) {
            deltas.move_to((was.counted_for(), &was.standing()), (now.counted_for(), &now.standing()));
        }
        deltas
    }
}

impl DeliveryRow {
    /// Returns for whom it is counted.
    pub(crate) fn counted_for(&self) -> (TenantId, SessionId, CampaignId) {
        (self.tenant_id, self.session_id, self.campaign_id)
    }

    /// Returns what decides where it is counted.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            state: self.state,
            class: self.class,
            created_at_ms: self.created_at_ms,
            sent_at_ms: self.sent_at_ms,
            settled_at_ms: self.settled_at_ms,
            quota_period_ms: self.quota_period_ms,
        }
    }
}
