//! Lanes that have work and wait, counted by what they wait for.

use std::collections::BTreeMap;

use super::{Shard, index_of};
use crate::dispatch::shard::LaneIndex;
use crate::domain::held_by::HeldBy;

impl Shard {
    /// Returns how many lanes have work and wait, by what they wait for.
    #[must_use]
    pub fn held(&self) -> &BTreeMap<HeldBy, i64> {
        &self.held
    }

    /// Lets lanes look again that waited for the breaker of an account.
    pub fn look_again(&mut self) {
        for index in (0..self.lanes.len()).map(index_of) {
            if self.entry(index).held_by == Some(HeldBy::Account) {
                self.queue(index);
            }
        }
    }

    pub(super) fn count_held(&mut self, index: LaneIndex) {
        let entry = self.entry(index);
        let by = entry.lane.binding().map(|held| held.by);
        let before = std::mem::replace(&mut entry.held_by, by);
        if before != by {
            for (by, n) in before.into_iter().zip([-1]).chain(by.into_iter().zip([1])) {
                *self.held.entry(by).or_default() += n;
            }
        }
    }
}
