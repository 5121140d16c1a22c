//! What the moves of one transaction are to the sessions whose messages they move.

use super::{Moves, Moving};
use crate::domain::day::day_of;
use crate::store::session_counters::{SessionCounts, SessionDeltas};

impl Moves<'_> {
    /// Returns by how much the counts of each session move; a move whose time is not known is none that is counted.
    pub(crate) fn session_deltas(&self) -> SessionDeltas {
        let mut deltas = SessionDeltas::new();
        for Moving { was, now } in self.rows.iter().filter(|moving| moving.was.state != moving.now.state) {
            let mut counts = SessionCounts::default();
            counts.note(was.state, now.state);
            if let Some(at_ms) = now.moved_at_ms.filter(|_| counts != SessionCounts::default()) {
                let (day, sum) = deltas.entry(now.session_id).or_default();
                *day = day_of(at_ms).max(*day);
                *sum += counts;
            }
        }
        deltas
    }
}
