//! From when on a message counts as late: everything but the lane's own pace, and how quick we are, is a good reason to wait.
//!
//! Caps, sending hours, holds, people and lost connections move that moment; a slow database, a full lane or a lost
//! lease do not. Decides nothing that is sent.

use std::time::Duration;

use super::Lane;
use crate::clock::Moment;
use crate::domain::held_by::HeldBy;

impl Lane {
    /// Takes note that work is begun after what the lane has waited for, one lead before its moment.
    pub(super) fn waited(&mut self, now: Moment, lead: Duration) {
        if let Some(binding) = self.binding.take().filter(|binding| is_reason(binding.by)) {
            let over_at = binding.until.map_or(now, |until| until.min(now));
            self.open_since = self.open_since.max(over_at + lead);
        }
    }

    /// Takes note that there is work again, where there was none or people held it back.
    pub(super) fn has_work_since(&mut self, now: Moment) {
        if self.n_out() == 0 && !self.has_work() {
            self.open_since = now;
        }
    }
}

/// Tells whether a wait makes no message late. Paces are counted by the limits themselves.
fn is_reason(by: HeldBy) -> bool {
    !matches!(
        by,
        HeldBy::Pace
            | HeldBy::ColdPace
            | HeldBy::Throughput
            | HeldBy::Break
            | HeldBy::SlowStart
            | HeldBy::Answers
            | HeldBy::NoOwner
            | HeldBy::Turn
    )
}
