//! Deliveries that a person takes up again, and the reasons under which failed ones are counted.

use super::{DeliveryRow, Moves, Moving};
use crate::domain::delivery::DeliveryState;
use crate::domain::id::DeliveryId;
use crate::domain::recall::RecallKind;
use crate::store::places::StreamKey;
use crate::store::reasons::ReasonDeltas;

/// A delivery that a person took up again: its stream, the place it had, and its id.
pub(crate) type Recalled = (StreamKey, i64, DeliveryId);

impl Moves<'_> {
    /// Does what a person asked to deliveries that came to an end; returns those that moved, with their places.
    pub(crate) fn recall_all(&mut self, kind: RecallKind, at_ms: i64) -> Vec<Recalled> {
        let mut recalled = Vec::new();
        for Moving { now: row, .. } in &mut self.rows {
            let is_cancelled = kind.puts_back() && self.cancelled.contains(&row.campaign_id);
            let Some(next) = row.state.apply(kind.event()).filter(|_| !is_cancelled) else {
                continue;
            };
            let from = row.state;
            row.move_to(next, at_ms);
            row.spend(from, &mut self.budgets);
            (row.class, row.reason, row.provider_code) = (None, None, None);
            if kind.puts_back() {
                // What an earlier attempt left behind says nothing about the next one; its message is kept apart.
                (row.due_at_ms, row.provider_message_id, row.sent_at_ms) = (0, None, None);
            }
            recalled.push(((row.session_id, row.campaign_id, row.band), row.seq, row.delivery_id));
        }
        recalled
    }

    /// Returns by how much the reasons of each campaign move.
    pub(crate) fn reason_deltas(&self) -> ReasonDeltas {
        let mut deltas = ReasonDeltas::new();
        for Moving { was, now } in &self.rows {
            if (was.state, &was.reason) == (now.state, &now.reason) {
                continue;
            }
            for (row, n) in [(was, -1), (now, 1)] {
                let Some(reason) = row.counted_reason() else { continue };
                *deltas.entry((row.campaign_id, reason.to_owned())).or_default() += n;
            }
        }
        deltas.retain(|_, n| *n != 0);
        deltas
    }
}

impl DeliveryRow {
    /// The reason under which it is counted.
    fn counted_reason(&self) -> Option<&str> {
        let counts = matches!(self.state, DeliveryState::Failed | DeliveryState::Skipped);
        self.reason.as_deref().filter(|_| counts)
    }
}
