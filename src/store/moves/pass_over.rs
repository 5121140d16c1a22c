//! Deliveries that are skipped where they would be begun, because their campaign passes over the recipient.
//!
//! What is known of recipients was read in the same transaction, so nobody is written to who had opted out before it.

use super::{DeliveryRow, Moves};
use crate::domain::delivery::DeliveryEvent;
use crate::domain::failure::Reason;
use crate::store::journal::Begin;
use crate::store::repeats::Repeats;

impl Moves<'_> {
    /// Lets begins be judged by who got a message a short time ago.
    pub(crate) fn pass_over(&mut self, repeats: Repeats) {
        self.repeats = repeats;
    }
}

impl DeliveryRow {
    /// Returns why an attempt is not to be made.
    pub(super) fn passed_over(&self, begin: &Begin, repeats: &Repeats) -> Option<Reason> {
        // Nobody knows any more who that was, so it does not matter whom the campaign passes over.
        if begin.recipient.is_erased() || begin.pass_over.opted_out && self.is_opted_out {
            return Some(Reason::OptedOut);
        }
        repeats.is_repeat(self.tenant_id, begin).then_some(Reason::Duplicate)
    }

    /// Settles it without an attempt.
    pub(super) fn skip(&mut self, reason: Reason, at_ms: i64) {
        let Some(next) = self.state.apply(DeliveryEvent::Skipped) else { return };
        self.move_to(next, at_ms);
        (self.class, self.provider_code) = (None, None);
        self.reason = Some(reason.as_str().to_owned());
    }
}
