//! The scheduler of one shard: lanes in a slab, one timer per lane, and what to do next.
//!
//! Pure: it is told the time and what happened, and says what is to be done. Writes and sends
//! nothing itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::dispatch::breaker::{Breakers, Verdict};
use crate::dispatch::lane::state::Lane;
use crate::dispatch::lane::step::{Grant, Step};
use crate::dispatch::lane::streams::Load;
use crate::dispatch::lane::work::Prepared;
use crate::dispatch::lease::Lease;
use crate::dispatch::pacer::ShardTime;
use crate::dispatch::shard::output::{Begin, Dismissal, Output, Release};
use crate::dispatch::shard::{Command, LaneIndex, Offer, Report, Withdrawal};
use crate::domain::campaign::CampaignState;
use crate::domain::held_by::HeldBy;
use crate::domain::id::{CampaignId, SessionId};
use crate::domain::pacing::Pacing;
use crate::domain::partition::PartitionNo;
use crate::gateway::Sender;
use crate::limits::{PREPARING_PER_SHARD_MAX, REFILL_LANES_MAX};

/// Settings of a shard.
#[derive(Debug, Clone, Copy)]
pub struct ShardSettings {
    /// Pace of sessions that have none of their own.
    pub default_pacing: Pacing,
    /// Places on the wire.
    pub n_places: usize,
}

struct Entry {
    lane: Lane,
    lease: Arc<Lease>,
    /// Whose breaker holds for it besides its own.
    account: Arc<str>,
    /// To be forgotten when nothing of it is under way.
    closing: bool,
    n_loading: usize,
    /// The timer that counts; others of this lane are stale.
    wake_at: Option<Moment>,
    queued: bool,
    wants_load: bool,
    starved: bool,
    /// By what it is counted as held.
    held_by: Option<HeldBy>,
}

/// The lanes of one shard.
pub struct Shard {
    settings: ShardSettings,
    time: ShardTime,
    lanes: Vec<Entry>,
    by_session: HashMap<SessionId, LaneIndex>,
    /// Places whose lanes are gone.
    free: Vec<LaneIndex>,
    /// Lanes that are still to go, of each partition that is being closed.
    closing: HashMap<PartitionNo, usize>,
    timers: BinaryHeap<Reverse<(Moment, u32)>>,
    /// Lanes to be stepped in this round.
    ready: VecDeque<LaneIndex>,
    /// Lanes whose streams may want heads.
    hungry: VecDeque<LaneIndex>,
    /// Lanes that found all places taken.
    starved: VecDeque<LaneIndex>,
    /// Lanes with nothing out that found every place taken.
    waiting: VecDeque<LaneIndex>,
    n_out: usize,
    /// Attempts that are not durable yet.
    n_preparing: usize,
    draining: bool,
    breakers: Arc<Breakers>,
    /// Lanes that have work and wait, by what they wait for.
    held: BTreeMap<HeldBy, i64>,
}

impl Shard {
    /// Makes a shard without lanes.
    #[must_use]
    pub fn new(settings: ShardSettings, breakers: Arc<Breakers>) -> Self {
        Self {
            settings,
            time: ShardTime::default(),
            lanes: Vec::new(),
            by_session: HashMap::new(),
            free: Vec::new(),
            closing: HashMap::new(),
            timers: BinaryHeap::new(),
            ready: VecDeque::new(),
            hungry: VecDeque::new(),
            starved: VecDeque::new(),
            waiting: VecDeque::new(),
            n_out: 0,
            n_preparing: 0,
            draining: false,
            breakers,
            held: BTreeMap::new(),
        }
    }

    /// Takes note of what others ask.
    pub fn command(&mut self, command: Command, now: Moment) {
        self.time.set(now);
        match command {
            Command::Offer(offer) => self.offer(&offer, now),
            Command::Campaign(campaign_id, state) => self.campaign_changed(campaign_id, state, now),
            Command::Session(row, lease) => self.session_changed(&row, lease),
            Command::Close(partition) => self.close(partition),
            Command::Drain => {
                self.draining = true;
                for index in 0..self.lanes.len() {
                    self.lanes[index].lane.drain();
                    self.queue(index_of(index));
                }
            }
        }
    }

    /// Takes note of what came back.
    pub fn report(&mut self, report: Report, now: Moment, out: &mut Output) {
        self.time.set(now);
        match report {
            Report::Begun(index, work, content) => {
                self.n_preparing -= 1;
                self.lane(index).begun(work, content);
                self.queue(index);
            }
            Report::BeginRefused(index, work, why) => {
                self.n_preparing -= 1;
                self.n_out -= 1;
                self.begin_refused(index, (work, why), now, out);
            }
            Report::PutBack(index, work) => {
                self.n_out -= 1;
                self.lane(index).put_back(work, now);
                self.queue(index);
            }
            Report::Written(lanes) => {
                self.n_out -= lanes.len();
                for index in lanes {
                    self.lane(index).end_written();
                    self.queue(index);
                }
            }
            Report::Finished(finished) => self.finished(finished, now, out),
            Report::NotSent(index, mut work, released_at) => {
                let entry = self.entry(index);
                entry.lane.not_sent(&mut work, released_at);
                let (session_id, fence) = (entry.lane.session_id, entry.lease.fence);
                let account = Arc::clone(&entry.account);
                self.breakers.give_back(&account, session_id);
                out.withdrawals.push(Withdrawal { lane: index, session_id, fence, work });
                self.queue(index);
            }
            Report::Loaded(loads) => loads.into_iter().for_each(|loaded| self.loaded(loaded, now)),
        }
    }

    /// Lets every lane whose time has come take its steps.
    pub fn run(&mut self, now: Moment, lead: Duration, out: &mut Output) {
        self.time.set(now);
        while let Some(Reverse((at, index))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            let entry = &mut self.lanes[index as usize];
            if entry.wake_at == Some(at) {
                entry.wake_at = None;
                self.queue(LaneIndex(index));
            }
        }
        while let Some(index) = self.ready.pop_front() {
            self.entry(index).queued = false;
            self.step_lane(index, now, lead, out);
        }
        while !self.is_full()
            && let Some(index) = self.waiting.pop_front()
        {
            self.entry(index).starved = false;
            self.step_lane(index, now, lead, out);
        }
        while !self.is_busy()
            && let Some(index) = self.starved.pop_front()
        {
            self.entry(index).starved = false;
            self.step_lane(index, now, lead, out);
        }
        out.closed.extend(self.closing.extract_if(|_, n_left| *n_left == 0).map(|(partition, _)| partition));
    }

    /// Returns when the next lane's time comes, if nothing happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes what the streams of hungry lanes want loaded, bounded.
    pub fn take_loads(&mut self, out: &mut Vec<(LaneIndex, SessionId, Load)>) {
        if self.draining {
            return;
        }
        let mut loads = Vec::new();
        while out.len() < REFILL_LANES_MAX
            && let Some(index) = self.hungry.pop_front()
        {
            let entry = self.entry(index);
            entry.wants_load = false;
            let session_id = entry.lane.session_id;
            if entry.lane.connected && !entry.closing {
                let n_wanted = entry.lane.n_heads_wanted();
                entry.lane.streams.loads(n_wanted, &mut loads);
                entry.n_loading += loads.len();
            }
            out.extend(loads.drain(..).map(|load| (index, session_id, load)));
        }
    }

    /// Returns the deliveries between the beginning of an attempt and its durable end.
    #[must_use]
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// Tells whether every place is taken.
    fn is_full(&self) -> bool {
        self.settings.n_places <= self.n_out
    }

    /// Tells whether lanes that have something out must wait: the other half of the places, and
    /// the next commit, are for lanes that have nothing out. So a slow lane never queues behind
    /// lanes that run flat out.
    fn is_busy(&self) -> bool {
        self.settings.n_places / 2 <= self.n_out || PREPARING_PER_SHARD_MAX <= self.n_preparing
    }

    /// Returns how many lanes there are.
    #[must_use]
    pub fn n_lanes(&self) -> usize {
        self.by_session.len()
    }

    fn step_lane(&mut self, index: LaneIndex, now: Moment, lead: Duration, out: &mut Output) {
        let breakers = Arc::clone(&self.breakers);
        let before = (out.begins.len(), out.releases.len());
        let mut has_probe = false;
        loop {
            let (busy, full) = (self.is_busy(), self.is_full());
            let crowded = self.settings.n_places / 4 <= self.n_out;
            let entry = self.entry(index);
            let fence = entry.lease.fence;
            let leased = !entry.lease.deadline.has_passed(now);
            let account = if has_probe { Verdict::Probe } else { breakers.verdict(&entry.account, now) };
            let lane = &mut entry.lane;
            let session_id = lane.session_id;
            let idle = lane.is_idle();
            let may_begin = if idle { !full } else { !busy };
            match lane.step(now, Grant { lead, may_begin, crowded, leased, account, has_probe }) {
                Step::ClaimProbe => has_probe = breakers.take(&entry.account, session_id, now) == Verdict::Probe,
                Step::Begin(work, content) => {
                    let settings_version = lane.limits.rules().version;
                    self.n_out += 1;
                    self.n_preparing += 1;
                    let save = None;
                    out.begins.push(Begin { lane: index, session_id, fence, work, content, settings_version, save });
                }
                Step::Release(prepared, lateness) => {
                    // A lane is connected only with a number; see session_changed.
                    let sender = lane.sender.clone().unwrap_or_else(|| Sender::Number(Arc::from("")));
                    let lease = Arc::clone(&entry.lease);
                    has_probe = false;
                    out.releases.push(Release { lane: index, lease, sender, prepared, lateness });
                }
                Step::Withdraw(Prepared { work, .. }) => {
                    out.withdrawals.push(Withdrawal { lane: index, session_id, fence, work });
                }
                Step::Dismiss(work, why) => {
                    let stream = (work.campaign_id, work.band);
                    out.dismissals.push(Dismissal { session_id, fence, work, why });
                    self.note_settled(index, stream, out);
                }
                Step::Wait(until) => {
                    if !may_begin && !self.entry(index).starved {
                        self.entry(index).starved = true;
                        let queue = if idle { &mut self.waiting } else { &mut self.starved };
                        queue.push_back(index);
                    }
                    self.set_timer(index, until);
                    self.count_held(index);
                    self.save(index, before, now, out);
                    break;
                }
            }
        }
        if self.entry(index).closing {
            self.forget_if_idle(index);
        } else {
            self.note_hungry(index);
        }
    }

    /// Saves where the lane stands after all its steps, once for all that it began and let go in them.
    ///
    /// The first attempt carries it: what attempts use up must be durable with them, where anything is kept, and those
    /// behind the first are never written before it. By itself it is written before anything goes, and where there is
    /// no attempt to carry what has changed, such as holds and places that were given back.
    fn save(&mut self, index: LaneIndex, before: (usize, usize), now: Moment, out: &mut Output) {
        let Entry { lane, lease, .. } = self.entry(index);
        let (first, has_released) = (out.begins.get_mut(before.0), before.1 < out.releases.len());
        let is_unsaved = lane.is_unsaved();
        if first.is_none() && !has_released && !is_unsaved {
            return;
        }
        let save = Arc::new(lane.save(now));
        if has_released || first.is_none() {
            out.lane_states.push((Arc::clone(&save), lease.fence));
        }
        if let Some(first) = first.filter(|_| is_unsaved || !save.is_plain()) {
            first.save = Some(save);
        }
    }

    fn offer(&mut self, offer: &Offer, now: Moment) {
        // A session that is not known yet is restored with its streams when it appears.
        let Some(&index) = self.by_session.get(&offer.session_id) else {
            return;
        };
        let entry = self.entry(index);
        if !entry.closing && entry.lane.offer(offer, now) {
            self.queue(index);
        }
    }

    fn campaign_changed(&mut self, campaign_id: CampaignId, state: CampaignState, now: Moment) {
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index].lane;
            let is_served = lane.pause(campaign_id, state == CampaignState::Paused, now);
            if is_served && state.is_over() {
                lane.close_campaign(campaign_id);
            }
            if state == CampaignState::Cancelled {
                lane.streams.shares.drop_of(campaign_id);
            }
            if is_served {
                self.queue(index_of(index));
            }
        }
    }

    fn note_hungry(&mut self, index: LaneIndex) {
        let entry = self.entry(index);
        if !entry.wants_load {
            entry.wants_load = true;
            self.hungry.push_back(index);
        }
    }

    fn queue(&mut self, index: LaneIndex) {
        let entry = self.entry(index);
        if !entry.queued {
            entry.queued = true;
            self.ready.push_back(index);
        }
    }

    fn set_timer(&mut self, index: LaneIndex, at: Option<Moment>) {
        let entry = self.entry(index);
        if entry.wake_at != at {
            entry.wake_at = at;
            if let Some(at) = at {
                self.timers.push(Reverse((at, index.0)));
            }
        }
    }

    fn entry(&mut self, index: LaneIndex) -> &mut Entry {
        &mut self.lanes[index.0 as usize]
    }

    fn lane(&mut self, index: LaneIndex) -> &mut Lane {
        &mut self.entry(index).lane
    }
}

fn index_of(place: usize) -> LaneIndex {
    LaneIndex(u32::try_from(place).expect("a shard has far fewer than 2^32 lanes"))
}

mod held;

mod places;

mod results;

#[cfg(test)]
mod tests;
