//! Lanes come and go: opened under the lease of their partition, forgotten when it is another node's.
//!
//! A lane that is to go keeps its place until nothing of it is under way, so that what comes back finds it.

use std::sync::Arc;

use super::{Entry, Shard, index_of};
use crate::clock::Moment;
use crate::dispatch::lane::memory::LaneState;
use crate::dispatch::lane::restore::restored_limits;
use crate::dispatch::lane::state::Lane;
use crate::dispatch::lease::Lease;
use crate::dispatch::shard::LaneIndex;
use crate::domain::partition::PartitionNo;
use crate::domain::session::SessionState;
use crate::gateway::Sender;
use crate::store::lanes::LaneRow;

impl Shard {
    pub(super) fn session_changed(&mut self, row: &LaneRow, lease: Arc<Lease>) {
        if lease.is_closed() {
            return;
        }
        let rules = Arc::new(row.rules(self.settings.default_pacing));
        let now = self.time.now();
        let index = match self.by_session.get(&row.session_id) {
            Some(&index) => index,
            None => {
                let saved = row.memory.as_deref().map(LaneState::read).unwrap_or_default();
                let limits = restored_limits(row, &rules, saved.limits.as_ref(), &self.time);
                let mut lane = Lane::new(row.session_id, limits);
                lane.restore(saved, row.saved_at_us, now);
                if !row.is_readable {
                    lane.set_provisional();
                }
                self.open(lane, lease)
            }
        };
        self.entry(index).account = row.account.as_deref().map_or_else(|| row.session_id.to_string().into(), Arc::from);
        let time = self.time.clone();
        let lane = self.lane(index);
        lane.settings_changed(rules, row.is_readable, |rules| {
            let saved = row.memory.as_deref().map(LaneState::read).unwrap_or_default();
            restored_limits(row, rules, saved.limits.as_ref(), &time)
        });
        if let Some(at_ms) = row.connected_at_ms {
            lane.limits.connected(Moment::from_ms(at_ms));
        }
        lane.set_tenant_zones(row.tenant_zones());
        lane.lost = matches!(row.state, SessionState::LoggedOut | SessionState::Banned);
        lane.sender = sender_of(row);
        lane.connected = row.state == SessionState::Connected && lane.sender.is_some();
        lane.suspension = row.suspension;
        lane.active_until = row.active_until;
        // Whatever changed may be the very plan or tier that holds them.
        lane.streams.let_go();
        self.queue(index);
    }

    fn open(&mut self, mut lane: Lane, lease: Arc<Lease>) -> LaneIndex {
        if self.draining {
            lane.drain();
        }
        let session_id = lane.session_id;
        let index = match self.free.pop() {
            Some(index) => {
                let entry = self.entry(index);
                // Its place in the queues stays as it is: whoever comes to it finds the new lane.
                (entry.lane, entry.lease, entry.closing, entry.wake_at) = (lane, lease, false, None);
                entry.held_by = None;
                index
            }
            None => {
                let index = index_of(self.lanes.len());
                self.lanes.push(Entry {
                    lane,
                    lease,
                    account: Arc::default(),
                    closing: false,
                    n_loading: 0,
                    wake_at: None,
                    queued: false,
                    wants_load: false,
                    starved: false,
                    held_by: None,
                });
                index
            }
        };
        self.by_session.insert(session_id, index);
        index
    }

    pub(super) fn close(&mut self, partition: PartitionNo) {
        let mut n_left = 0;
        for index in (0..self.lanes.len()).map(index_of) {
            let entry = self.entry(index);
            if entry.lease.fence.partition == partition && !entry.closing {
                entry.closing = true;
                entry.lane.abandon();
                n_left += 1;
                self.queue(index);
            }
        }
        *self.closing.entry(partition).or_default() += n_left;
    }

    pub(super) fn forget_if_idle(&mut self, index: LaneIndex) {
        let entry = self.entry(index);
        if !entry.lane.is_idle() || entry.n_loading != 0 {
            return;
        }
        let (session_id, partition) = (entry.lane.session_id, entry.lease.fence.partition);
        if self.by_session.get(&session_id) == Some(&index) {
            self.by_session.remove(&session_id);
            if let Some(by) = self.entry(index).held_by.take() {
                *self.held.entry(by).or_default() -= 1;
            }
            self.free.push(index);
            if let Some(n_left) = self.closing.get_mut(&partition) {
                *n_left -= 1;
            }
        }
    }
}

/// Tells who sends for a session; nobody while it was never connected.
fn sender_of(row: &LaneRow) -> Option<Sender> {
    let number = Arc::from(row.phone_number_id.as_deref()?);
    Some(match row.is_device {
        true => Sender::Device { session_id: row.session_id, number },
        false => Sender::Number(number),
    })
}
