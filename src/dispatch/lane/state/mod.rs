//! What a lane does next: a pure function of its state and the time.
//!
//! Sends nothing, writes nothing, waits for nothing. The shard asks [`Lane::step`] until the
//! answer is to wait, carries out each step, and tells the lane what came of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::dispatch::lane::step::{Dismissed, Grant, Hold, Lateness, Step, Verdict, proves_open};
use crate::dispatch::lane::streams::{Load, Streams};
use crate::dispatch::lane::work::{Prepared, Work};
use crate::dispatch::pacer::Pacer;
use crate::dispatch::shard::Offer;
use crate::domain::attempt::Outcome;
use crate::domain::held_by::Held;
use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::domain::job::TrafficClass;
use crate::domain::message::Content;
use crate::domain::zone::Band;
use crate::limits::{
    HEADS_PER_LANE_MAX, IN_FLIGHT_PER_LANE_CROWDED_MAX, IN_FLIGHT_PER_LANE_MAX, PREPARED_PER_LANE_MAX,
    RETRIES_PER_LANE_MAX,
};
use crate::store::journal::LaneSave;

/// When a lane whose lease has ended looks again whether it was renewed.
const LEASE_RECHECK: Duration = Duration::from_secs(1);

/// The state of one lane.
#[derive(Debug)]
pub struct Lane {
    /// The session.
    pub session_id: SessionId,
    /// The provider's name of the sending number; none while the session was never connected.
    pub phone_number_id: Option<Arc<str>>,
    /// Whether the session can send now.
    pub connected: bool,
    /// What operators hold it by; it lifts by itself at its end.
    pub suspension: Option<Held>,
    /// From then on the tenant's subscription is not active; none where that is not known.
    pub active_until: Option<Moment>,
    /// Its pace.
    pub pacer: Pacer,
    /// Its campaigns.
    pub streams: Streams,
    draining: bool,
    /// Every delivery in this lane's memory with its campaign, wherever it is: none may be there twice.
    members: HashMap<DeliveryId, CampaignId>,
    /// Deferred deliveries, unordered; few.
    #[expect(clippy::vec_box, reason = "they come and go as boxes")]
    retries: Vec<Box<Work>>,
    /// Durable attempts waiting for their moment, in order.
    prepared: VecDeque<Prepared>,
    n_preparing: usize,
    n_in_flight: usize,
    /// Deliveries that become pending again in the journal.
    n_returning: usize,
    /// Ends that are not durable yet.
    n_unwritten: usize,
    hold: Option<Hold>,
    /// Holds in a row without a success between them; while there are any, the lane probes.
    n_strikes: u32,
    /// When the last hold began, and how many of the sends that were out then still are.
    held_at: Moment,
    n_out_before_hold: usize,
    /// Sends in a row that got no answer.
    n_silences: u32,
    /// Since when nothing but pace and work kept the lane from sending.
    open_since: Moment,
    /// When it was last saved, UTC microseconds.
    saved_at_us: i64,
}

impl Lane {
    /// Makes an idle lane.
    #[must_use]
    pub fn new(session_id: SessionId, pacer: Pacer) -> Self {
        Self {
            session_id,
            phone_number_id: None,
            connected: false,
            suspension: None,
            active_until: None,
            pacer,
            streams: Streams::default(),
            draining: false,
            members: HashMap::new(),
            retries: Vec::new(),
            prepared: VecDeque::new(),
            n_preparing: 0,
            n_in_flight: 0,
            n_returning: 0,
            n_unwritten: 0,
            hold: None,
            n_strikes: 0,
            held_at: Moment::default(),
            n_out_before_hold: 0,
            n_silences: 0,
            open_since: Moment::default(),
            saved_at_us: 0,
        }
    }

    /// Says what to do next.
    pub fn step(&mut self, now: Moment, grant: Grant) -> Step {
        if !grant.leased && !self.draining {
            // Not renewed yet, or never again: then the lane is closed soon.
            let has_work = !self.prepared.is_empty() || self.streams.has_turn(true) || !self.retries.is_empty();
            return Step::Wait(has_work.then(|| now + LEASE_RECHECK));
        }
        if self.hold.is_some_and(|hold| hold.until <= now) {
            self.hold = None;
            self.open_since = now;
        }
        self.streams.let_go_due(now);
        if let Some(index) = self.next_prepared() {
            if !self.may_go(&self.prepared[index].work, now) {
                self.n_returning += 1;
                return self.prepared.remove(index).map_or(Step::Wait(None), Step::Withdraw);
            }
            if self.n_in_flight < self.in_flight_max(grant) {
                let work = &self.prepared[index].work;
                let due = self.pacer.due().unwrap_or_default().max(work.ready_at).max(self.open_since);
                if self.pacer.take()
                    && let Some(prepared) = self.prepared.remove(index)
                {
                    self.n_in_flight += 1;
                    return Step::Release(prepared, Lateness(now.since(due)));
                }
            }
        }
        self.begin(now, grant)
    }

    /// Notes that a campaign has work; returns whether its stream is open now.
    pub fn offer(&mut self, offer: &Offer) -> bool {
        if self.streams.is_full() && !self.streams.is_open(offer.campaign_id, offer.band) {
            let members = &self.members;
            self.streams.make_room(|campaign_id| members.values().any(|of| *of == campaign_id));
        }
        self.streams.offer(offer)
    }

    /// Tells the lane that an attempt is durable.
    pub fn begun(&mut self, mut work: Box<Work>, content: Content) {
        self.n_preparing -= 1;
        work.n_attempts += 1;
        self.prepared.push_back(Prepared { work, content });
    }

    /// Gives back a delivery that is durably pending again: withdrawn, or deferred until later.
    pub fn put_back(&mut self, work: Box<Work>, now: Moment) {
        self.n_returning -= 1;
        if !self.streams.is_open(work.campaign_id, work.band) {
            self.members.remove(&work.delivery_id);
        } else if now < work.ready_at {
            self.retries.push(work);
        } else {
            self.streams.put_back(work);
        }
    }

    /// Takes what was loaded, except what the lane has already.
    pub fn loaded(
        &mut self,
        load: &Load,
        n_rows: usize,
        last_seq: Option<i64>,
        (mut works, now): (Vec<Box<Work>>, Moment),
    ) {
        if !self.streams.is_open(load.campaign_id, load.band) {
            return;
        }
        works.retain(|work| self.members.insert(work.delivery_id, work.campaign_id).is_none());
        let (due, mut later): (Vec<_>, Vec<_>) = works.into_iter().partition(|work| work.ready_at <= now);
        self.retries.append(&mut later);
        self.streams.loaded(load, n_rows, last_seq, due);
    }

    /// Tells the lane how a send ended; returns what to write.
    pub fn finished(&mut self, mut work: Box<Work>, outcome: Outcome, released_at: Moment, now: Moment) -> Verdict {
        self.n_in_flight -= 1;
        if released_at <= self.held_at {
            self.n_out_before_hold = self.n_out_before_hold.saturating_sub(1);
        } else if self.n_strikes != 0 && proves_open(&outcome) {
            self.n_strikes = 0;
            self.open_since = now;
        }
        self.note_silence(&outcome, work.seed(), released_at, now);
        let Outcome::Deferred(failure) = outcome else {
            self.members.remove(&work.delivery_id);
            self.n_unwritten += 1;
            return Verdict { outcome, due_at: now, again: None };
        };
        let due_at = if failure.scope.holds_lane() {
            self.hold_after(&failure, work.seed(), released_at, now)
        } else {
            match self.retry_after(&failure, &work, now) {
                Some(due_at) => due_at,
                None => {
                    self.members.remove(&work.delivery_id);
                    self.n_unwritten += 1;
                    return Verdict { outcome: Outcome::Rejected(failure), due_at: now, again: None };
                }
            }
        };
        work.ready_at = due_at;
        self.n_returning += 1;
        Verdict { outcome: Outcome::Deferred(failure), due_at, again: Some(work) }
    }

    /// Tells the lane that a released message did not leave, because the lease had ended.
    pub fn not_sent(&mut self) {
        self.n_in_flight -= 1;
        self.n_returning += 1;
    }

    /// Forgets everything but what is under way: the lane is another node's from now on.
    pub fn abandon(&mut self) {
        self.draining = true;
        self.streams = Streams::default();
        self.retries.clear();
        self.hold = None;
    }

    /// Tells the lane that an end is durable.
    pub fn end_written(&mut self) {
        self.n_unwritten -= 1;
    }

    /// Tells whether nothing of this lane is under way, not even in the journal.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.n_out() + self.n_returning + self.n_unwritten == 0
    }

    /// Stops handing out; what is prepared is taken back, what is on the wire may finish.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Drops what waits for a campaign that is over.
    pub fn close_campaign(&mut self, campaign_id: CampaignId) {
        for work in self.streams.close(campaign_id) {
            self.members.remove(&work.delivery_id);
        }
        for work in self.retries.extract_if(.., |work| work.campaign_id == campaign_id) {
            self.members.remove(&work.delivery_id);
        }
    }

    /// Returns how many deliveries are preparing, prepared or on the wire.
    #[must_use]
    pub fn n_out(&self) -> usize {
        self.n_preparing + self.prepared.len() + self.n_in_flight
    }

    /// Returns the wait put on the lane, if any.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        self.hold
    }

    /// Returns up to where a stream is settled, if that is news worth saving.
    pub fn settled_below(&mut self, campaign_id: CampaignId, band: Band) -> Option<i64> {
        let of_stream = |work: &Box<Work>| work.campaign_id == campaign_id && work.band == band;
        let outstanding = self.n_out() + self.n_returning != 0 || self.retries.iter().any(of_stream);
        if outstanding { None } else { self.streams.settled_below(campaign_id, band) }
    }

    /// Returns where the lane stands, to be saved; the limiter's state is rounded up: a lane may come back a
    /// microsecond late, never early.
    pub fn save(&mut self, now: Moment) -> LaneSave {
        self.saved_at_us = now.as_us().max(self.saved_at_us + 1);
        let tat = self.pacer.saved_state().unwrap_or_default();
        LaneSave {
            session_id: self.session_id,
            saved_at_us: self.saved_at_us,
            tat_us: (tat + Duration::from_nanos(999)).as_us(),
            memory: None,
        }
    }

    /// Returns how many heads the lane holds ahead of their turn: what it sends in two seconds.
    #[must_use]
    pub fn n_heads_wanted(&self) -> usize {
        self.n_in(Duration::from_secs(2)).clamp(4, HEADS_PER_LANE_MAX)
    }

    fn begin(&mut self, now: Moment, grant: Grant) -> Step {
        if self.draining || !self.connected {
            return Step::Wait(None);
        }
        if !self.is_active(now) {
            return Step::Wait(None);
        }
        if let Some(held) = self.suspended(now) {
            return Step::Wait(held.until);
        }
        if let Some(hold) = self.hold {
            return Step::Wait(Some(hold.until));
        }
        let n_waiting = self.n_preparing + self.prepared.len();
        let n_ahead_max = if self.n_strikes == 0 { PREPARED_PER_LANE_MAX } else { 1 };
        let has_place = self.n_in_flight < self.in_flight_max(grant);
        let wake_for_release = (has_place && !self.prepared.is_empty()).then(|| self.pacer.earliest(now, 0));
        let probing = self.n_strikes != 0 && self.n_out_before_hold < self.n_out();
        if !has_place || probing || n_ahead_max <= n_waiting || !grant.may_begin {
            return Step::Wait(wake_for_release);
        }
        let begin_at = self.pacer.earliest(now, n_waiting) - grant.lead;
        if now < begin_at {
            return Step::Wait(earlier(wake_for_release, self.wake_for_work(begin_at)));
        }
        match self.take_work(now) {
            Some(work) if work.is_expired(now) => self.dismiss(work, Dismissed::Expired),
            Some(work) => match work.render() {
                Ok(content) => {
                    self.n_preparing += 1;
                    Step::Begin(work, content)
                }
                Err(_) => self.dismiss(work, Dismissed::Unrenderable),
            },
            None => {
                let wake_for_work = earlier(self.next_retry().map(|(_, at)| at), self.streams.next_let_go());
                Step::Wait(earlier(wake_for_release, wake_for_work))
            }
        }
    }

    /// What an operator holds the lane by now.
    fn suspended(&self, now: Moment) -> Option<Held> {
        self.suspension.filter(|held| held.until.is_none_or(|until| now < until))
    }

    fn dismiss(&mut self, work: Box<Work>, why: Dismissed) -> Step {
        self.members.remove(&work.delivery_id);
        Step::Dismiss(work, why)
    }

    /// When there will be something to begin, given that nothing may begin before `begin_at`.
    fn wake_for_work(&self, begin_at: Moment) -> Option<Moment> {
        if self.streams.has_turn(self.takes_bulk()) {
            return Some(begin_at);
        }
        earlier(self.next_retry().map(|(_, at)| at), self.streams.next_let_go()).map(|at| at.max(begin_at))
    }

    fn take_work(&mut self, now: Moment) -> Option<Box<Work>> {
        if let Some((index, at)) = self.next_retry()
            && at <= now
        {
            return Some(self.retries.swap_remove(index));
        }
        self.streams.take_turn(self.takes_bulk())
    }

    /// A lane full of refused messages takes no new bulk.
    fn takes_bulk(&self) -> bool {
        self.retries.len() < RETRIES_PER_LANE_MAX
    }

    fn next_retry(&self) -> Option<(usize, Moment)> {
        let open =
            self.retries.iter().enumerate().filter(|(_, work)| self.streams.may_send(work.campaign_id, work.band));
        open.map(|(index, work)| (index, work.ready_at)).min_by_key(|(_, at)| *at)
    }

    /// The prepared delivery that goes next: transactional before bulk, else in order.
    fn next_prepared(&self) -> Option<usize> {
        let transactional = |prepared: &Prepared| prepared.work.plan.traffic_class == TrafficClass::Transactional;
        self.prepared.iter().position(transactional).or((!self.prepared.is_empty()).then_some(0))
    }

    fn may_go(&self, work: &Work, now: Moment) -> bool {
        self.connected
            && !self.draining
            && self.hold.is_none()
            && self.is_active(now)
            && self.suspended(now).is_none()
            && self.streams.may_send(work.campaign_id, work.band)
            && !work.is_expired(now)
    }

    /// Places on the wire for this lane: what it sends in a second, so that a slow answer does
    /// not slow the pace; few when the shard is crowded; one while it probes.
    fn in_flight_max(&self, grant: Grant) -> usize {
        if self.n_strikes != 0 {
            return self.n_out_before_hold + 1;
        }
        let own = self.n_in(Duration::from_secs(1)).clamp(2, IN_FLIGHT_PER_LANE_MAX);
        if grant.crowded { own.min(IN_FLIGHT_PER_LANE_CROWDED_MAX) } else { own }
    }

    /// How many sends fit into a time, rounded up.
    fn n_in(&self, time: Duration) -> usize {
        let n = time.as_nanos().div_ceil(self.pacer.pacing().interval().as_nanos().max(1));
        usize::try_from(n).unwrap_or(usize::MAX)
    }
}

fn earlier(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

mod holds;

mod refusals;

#[cfg(test)]
mod tests;
