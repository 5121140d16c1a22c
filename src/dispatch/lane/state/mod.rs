//! What a lane does next: a pure function of its state and the time.
//!
//! Sends nothing, writes nothing, waits for nothing. The shard asks [`Lane::step`] until the
//! answer is to wait, carries out each step, and tells the lane what came of it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::Moment;
use crate::dispatch::breaker::{Breaker, Extent, Opening, Verdict};
use crate::dispatch::lane::kind::KindBreaker;
use crate::dispatch::lane::pairs::Pairs;
use crate::dispatch::lane::step::{Grant, Hold, Lateness, Step};
use crate::dispatch::lane::streams::{Load, Streams};
use crate::dispatch::lane::work::{Prepared, Work};
use crate::dispatch::limits::LaneLimits;
use crate::dispatch::shard::Offer;
use crate::domain::held_by::{Held, HeldBy};
use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::domain::message::Content;
use crate::domain::zone::Band;
use crate::gateway::Sender;
use crate::limits::RETRIES_PER_LANE_MAX;

/// When a lane whose lease has ended looks again whether it was renewed.
const LEASE_RECHECK: Duration = Duration::from_secs(1);

/// How long a durable attempt may wait for its moment; one whose moment has moved further away is taken back.
const PREPARED_WAIT_MAX: Duration = Duration::from_secs(10);

/// The state of one lane.
#[derive(Debug)]
pub struct Lane {
    /// The session.
    pub session_id: SessionId,
    /// Who sends; none while the session was never connected.
    pub sender: Option<Sender>,
    /// Whether the session can send now.
    pub connected: bool,
    /// Whether the session is gone for good: logged out or banned.
    pub lost: bool,
    /// Whether its settings can be read.
    pub is_readable: bool,
    /// What operators hold it by; it lifts by itself at its end.
    pub suspension: Option<Held>,
    /// From then on the tenant's subscription is not active; none where that is not known.
    pub active_until: Option<Moment>,
    /// The zones of the tenant, for recipients whose own is not known.
    pub tenant_zones: Vec<TimeZone>,
    /// Its limits and where they stand.
    pub limits: LaneLimits,
    /// Its campaigns.
    pub streams: Streams,
    /// Whether its settings could never be read since it was opened: then its limits are not those of its row.
    is_provisional: bool,
    draining: bool,
    /// Every delivery in this lane's memory with its campaign, wherever it is: none may be there twice.
    members: HashMap<DeliveryId, CampaignId>,
    /// Deferred deliveries, unordered, a bounded number; where there is no place they stay with their streams.
    #[expect(clippy::vec_box, reason = "they come and go as boxes")]
    retries: Vec<Box<Work>>,
    pairs: Pairs,
    /// Durable attempts waiting for their moment, in order.
    prepared: VecDeque<Prepared>,
    n_preparing: usize,
    n_in_flight: usize,
    /// Deliveries that become pending again in the journal.
    n_returning: usize,
    /// Ends that are not durable yet.
    n_unwritten: usize,
    hold: Option<Hold>,
    /// What holds back messages to recipients who never wrote, and all that is no answer.
    cold: KindBreaker,
    business: KindBreaker,
    /// Stops where the provider refuses the number, or does not answer.
    breaker: Breaker,
    /// What the breaker of the number's account says.
    account: Verdict,
    /// Since when nothing but its pace, and how quick we are, keeps the lane from sending: what a message is late by
    /// counts from there.
    open_since: Moment,
    /// What it waits for, as found at the last step.
    binding: Option<Held>,
    /// Whether something changed that no attempt carries into the database.
    unsaved: bool,
    /// When it was last saved, UTC microseconds.
    saved_at_us: i64,
}

impl Lane {
    /// Makes an idle lane.
    #[must_use]
    pub fn new(session_id: SessionId, limits: LaneLimits) -> Self {
        Self {
            session_id,
            sender: None,
            connected: false,
            lost: false,
            is_readable: true,
            suspension: None,
            active_until: None,
            tenant_zones: Vec::new(),
            limits,
            streams: Streams::default(),
            is_provisional: false,
            draining: false,
            members: HashMap::new(),
            retries: Vec::new(),
            pairs: Pairs::default(),
            prepared: VecDeque::new(),
            n_preparing: 0,
            n_in_flight: 0,
            n_returning: 0,
            n_unwritten: 0,
            hold: None,
            cold: KindBreaker::new(session_id, Extent::NewChats),
            business: KindBreaker::new(session_id, Extent::BusinessInitiated),
            breaker: Breaker::new(Extent::Number),
            account: Verdict::Closed,
            open_since: Moment::default(),
            binding: None,
            unsaved: false,
            saved_at_us: 0,
        }
    }

    /// Says what to do next.
    pub fn step(&mut self, now: Moment, grant: Grant) -> Step {
        if !grant.leased && !self.draining {
            // Not renewed yet, or never again: then the lane is closed soon.
            let held = (HeldBy::NoOwner, Some(now + LEASE_RECHECK));
            return self.wait_for(self.has_work().then_some(held), now);
        }
        self.account = grant.account;
        self.lift_holds(now);
        self.streams.let_go_due(now);
        for index in self.next_prepared() {
            if !self.may_go(index, now) {
                return self.withdraw(index);
            }
            if self.in_flight_max(grant, now) <= self.n_in_flight {
                break;
            }
            let Prepared { work, .. } = &self.prepared[index];
            let (temperature, ready_at) = (work.band.temperature(), work.ready_at);
            let share_allows = self.streams.shares.get(work.campaign_id).is_none_or(|share| share.may_leave(now));
            let due = self.limits.free_since(temperature).max(ready_at).max(self.open_since);
            let needs_probe = grant.account == Verdict::Probe && !grant.has_probe;
            if share_allows && needs_probe && self.limits.next(now, 0, temperature).at <= now {
                return Step::ClaimProbe;
            }
            if share_allows && self.limits.take(now, temperature) {
                return self.release(index, Lateness(now.since(due)), now);
            }
            if now + PREPARED_WAIT_MAX < self.limits.next(now, 0, temperature).at {
                return self.withdraw(index);
            }
        }
        self.begin(now, grant)
    }

    fn has_work(&self) -> bool {
        !self.prepared.is_empty() || !self.retries.is_empty() || self.pairs.has_waiting() || self.streams.has_work()
    }

    fn release(&mut self, index: usize, lateness: Lateness, now: Moment) -> Step {
        let Some(prepared) = self.prepared.remove(index) else { return Step::Wait(None) };
        self.n_in_flight += 1;
        // Where the breaker is open, this is the message that finds out.
        self.breaker.take(self.session_id, now);
        if let Some(share) = self.streams.shares.get_mut(prepared.work.campaign_id) {
            share.left(now);
        }
        let pair_interval = self.limits.rules().pair_interval;
        self.pairs.end(&prepared.work.recipient);
        if !pair_interval.is_zero() {
            self.pairs.hold(&prepared.work.recipient, now + pair_interval, now);
        }
        Step::Release(prepared, lateness)
    }

    fn withdraw(&mut self, index: usize) -> Step {
        let Some(mut prepared) = self.prepared.remove(index) else { return Step::Wait(None) };
        prepared.work.n_attempts_before += 1;
        self.n_returning += 1;
        self.give_back(&prepared.work);
        Step::Withdraw(prepared)
    }

    /// Gives back the places of an attempt that will not go.
    fn give_back(&mut self, work: &Work) {
        // They were saved with the attempt.
        self.unsaved = true;
        self.cold.give_back(work.delivery_id);
        self.business.give_back(work.delivery_id);
        self.pairs.end(&work.recipient);
        self.limits.withdraw(work.band.temperature());
        if let Some(share) = self.streams.shares.get_mut(work.campaign_id) {
            share.withdrawn();
        }
    }

    /// Notes that a campaign has work; returns whether its stream is open now.
    pub fn offer(&mut self, offer: &Offer, now: Moment) -> bool {
        if self.streams.is_full() && !self.streams.is_open(offer.campaign_id, offer.band) {
            let members = &self.members;
            self.streams.make_room(|campaign_id| members.values().any(|of| *of == campaign_id));
        }
        if !self.streams.is_open(offer.campaign_id, offer.band) {
            self.streams.forget_passed(now);
        }
        self.has_work_since(now);
        self.streams.offer(offer)
    }

    /// Holds a campaign, or lets it go on; returns whether it has a stream here.
    pub fn pause(&mut self, campaign_id: CampaignId, paused: bool, now: Moment) -> bool {
        // News of a campaign go to every lane, most of which have nothing of it.
        if self.streams.has_stream_of(campaign_id) {
            self.has_work_since(now);
        }
        self.streams.pause(campaign_id, paused)
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
        self.tell_pace(&work, now);
        if !self.streams.is_open(work.campaign_id, work.band) {
            self.members.remove(&work.delivery_id);
        } else if now < work.ready_at {
            // Among pairs it has the time of its recipient; one that is due later has a time of its own.
            let held_until = self.pairs.held_until(&work.recipient, now).filter(|until| work.ready_at <= *until);
            let waits = if let Some(until) = held_until { self.pairs.wait(work, until) } else { Err(work) };
            if let Err(work) = waits {
                self.put_off(work);
            }
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
        if let Some(work) = works.first() {
            self.tell_pace(work, now);
        }
        works.retain(|work| self.members.insert(work.delivery_id, work.campaign_id).is_none());
        let (due, later): (Vec<_>, Vec<_>) = works.into_iter().partition(|work| work.ready_at <= now);
        self.streams.loaded(load, n_rows, last_seq, due);
        later.into_iter().for_each(|work| self.put_off(work));
    }

    /// Lets a delivery wait for its moment beside its stream, as long as there are places for that.
    fn put_off(&mut self, work: Box<Work>) {
        if self.retries.len() < RETRIES_PER_LANE_MAX {
            self.retries.push(work);
        } else {
            self.streams.put_back(work);
        }
    }

    /// Takes note of when a message that was released really left: what comes next keeps its distance from there.
    pub fn left(&mut self, work: &Work, released_at: Moment, at: Moment) {
        let mut moved = self.limits.left(released_at, at, work.band.temperature());
        if let Some(share) = self.streams.shares.get_mut(work.campaign_id) {
            moved |= share.moved(released_at, at);
        }
        let pair_interval = self.limits.rules().pair_interval;
        if !pair_interval.is_zero() {
            self.pairs.hold(&work.recipient, at + pair_interval, at);
        }
        self.unsaved |= moved;
    }

    /// Tells the lane that a released message did not leave, because the lease had ended.
    pub fn not_sent(&mut self, work: &mut Work, released_at: Moment) {
        self.n_in_flight -= 1;
        self.n_returning += 1;
        self.unsaved = true;
        work.n_attempts_before += 1;
        self.cold.give_back(work.delivery_id);
        self.business.give_back(work.delivery_id);
        self.limits.not_left(released_at, work.band.temperature());
        if let Some(share) = self.streams.shares.get_mut(work.campaign_id) {
            share.not_left(released_at);
        }
        self.breaker.give_back(self.session_id);
    }

    /// Forgets all work but what is under way: the lane is another node's from now on. What that one has to know of the
    /// campaigns stays, because answers that are still to come save the lane.
    pub fn abandon(&mut self) {
        self.draining = true;
        self.streams.close_all();
        self.retries.clear();
        self.pairs.close(|_| true);
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
        let is_over = |of: CampaignId| of == campaign_id;
        let retries = self.retries.extract_if(.., |work| is_over(work.campaign_id));
        for work in retries.chain(self.pairs.close(is_over)) {
            self.members.remove(&work.delivery_id);
        }
    }

    /// Returns how many deliveries are preparing, prepared or on the wire.
    #[must_use]
    pub fn n_out(&self) -> usize {
        self.n_preparing + self.prepared.len() + self.n_in_flight
    }

    /// Takes note of what the breaker of its account says.
    pub fn account_says(&mut self, verdict: Verdict) {
        self.account = verdict;
    }

    /// Returns why the number's breaker is open, if it is.
    #[must_use]
    pub fn opening(&self) -> Option<Opening> {
        self.breaker.opening()
    }

    /// Returns what the lane waits for, if it has work and does not send; as found at the last step.
    #[must_use]
    pub fn binding(&self) -> Option<Held> {
        self.binding
    }

    /// Returns up to where a stream is settled in this lane, if that is news worth saving.
    pub fn settled_below(&mut self, campaign_id: CampaignId, band: Band) -> Option<i64> {
        let mut retries = self.retries.iter();
        let outstanding = self.n_out() + self.n_returning != 0
            || self.pairs.has_waiting_of((campaign_id, band))
            || retries.any(|work| work.campaign_id == campaign_id && work.band == band);
        if outstanding { None } else { self.streams.settled_below(campaign_id, band) }
    }
}

mod begin;

mod holds;

mod lateness;

mod refusals;

mod results;

pub use results::sent;

mod saving;

mod settings;

#[cfg(test)]
mod tests;
