//! Which delivery is begun next, and what the lane waits for when none is.

use std::time::Duration;

use super::Lane;
use crate::clock::Moment;
use crate::dispatch::lane::gate::{Gate, Opening};
use crate::dispatch::lane::hours::HoursOf;
use crate::dispatch::lane::step::{Dismissed, Grant, Hold, Step};
use crate::dispatch::lane::work::{Prepared, Work};
use crate::domain::held_by::{Held, HeldBy};
use crate::domain::id::DeliveryId;
use crate::domain::job::TrafficClass;
use crate::domain::zone::Temperature;
use crate::limits::{
    HEADS_PER_LANE_MAX, IN_FLIGHT_PER_LANE_CROWDED_MAX, IN_FLIGHT_PER_LANE_MAX, PREPARED_PER_LANE_MAX,
    RETRIES_PER_LANE_MAX,
};

impl Lane {
    pub(super) fn begin(&mut self, now: Moment, grant: Grant) -> Step {
        if self.draining {
            return self.wait_for(None, now);
        }
        if let Some(held) = self.held(now) {
            return self.wait_for(self.has_work().then_some((held.by, held.until)), now);
        }
        let n_waiting = self.n_preparing + self.prepared.len();
        let n_ahead_max = if self.is_probing(now) { 1 } else { PREPARED_PER_LANE_MAX };
        let has_place = self.n_in_flight < self.in_flight_max(grant, now);
        let wake_for_release = self.wake_for_release(has_place, now);
        if !has_place || n_ahead_max <= n_waiting || !grant.may_begin {
            let by = if has_place && n_ahead_max <= n_waiting { HeldBy::Pace } else { HeldBy::Answers };
            return self.wait_for(Some((by, wake_for_release)), now);
        }
        self.refresh_hours(now);
        self.take_up_pairs(now);
        let opening = loop {
            match self.take_work(now, grant.lead) {
                Err(opening) => break opening,
                // A recipient who had a message a moment ago waits; the others do not.
                Ok(work) => match self.pair_held_until(&work, now) {
                    Some(until) => self.wait_for_pair(work, until),
                    None => {
                        self.waited(now, grant.lead);
                        return self.begin_with(work, now);
                    }
                },
            }
        };
        let held = opening.map(|opening| (opening.by, opening.at));
        let until = match (held.and_then(|(_, until)| until), wake_for_release) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        match held {
            Some((by, _)) => self.wait_for(Some((by, until)), now),
            None => {
                self.binding = None;
                Step::Wait(until)
            }
        }
    }

    /// Until when a recipient waits who had a message a moment ago, or is about to.
    fn pair_held_until(&self, work: &Work, now: Moment) -> Option<Moment> {
        let interval = self.limits.rules().pair_interval;
        let is_begun = !interval.is_zero() && self.pairs.is_begun(&work.recipient);
        self.pairs.held_until(&work.recipient, now).or_else(|| is_begun.then(|| now + interval))
    }

    fn wait_for_pair(&mut self, mut work: Box<Work>, until: Moment) {
        work.ready_at = until;
        if let Err(work) = self.pairs.wait(work, until) {
            self.streams.hold_for_pair(work.stream(), until);
            self.streams.put_back(work);
        }
    }

    /// Gives deliveries back to their streams whose recipients may have a message again.
    fn take_up_pairs(&mut self, now: Moment) {
        while let Some(work) = self.pairs.take_due(now) {
            if self.streams.is_open(work.campaign_id, work.band) {
                self.streams.put_back(work);
            } else {
                self.members.remove(&work.delivery_id);
            }
        }
    }

    fn begin_with(&mut self, work: Box<Work>, now: Moment) -> Step {
        if work.is_expired(now) {
            return self.dismiss(work, Dismissed::Expired);
        }
        if work.is_capped(now) {
            return self.dismiss(work, Dismissed::MarketingCap);
        }
        match work.render() {
            Ok(content) => {
                self.n_preparing += 1;
                if work.is_cold() {
                    self.cold.begin(work.delivery_id, now);
                }
                if work.is_business() {
                    self.business.begin(work.delivery_id, now);
                }
                self.limits.begin(work.band.temperature());
                if !self.limits.rules().pair_interval.is_zero() {
                    self.pairs.begin(&work.recipient);
                }
                if let Some(share) = self.streams.shares.get_mut(work.campaign_id) {
                    share.begun();
                }
                Step::Begin(work, content)
            }
            Err(_) => self.dismiss(work, Dismissed::Unrenderable),
        }
    }

    fn dismiss(&mut self, work: Box<Work>, why: Dismissed) -> Step {
        self.members.remove(&work.delivery_id);
        Step::Dismiss(work, why)
    }

    /// Waits, and takes note for what and since when.
    pub(super) fn wait_for(&mut self, held: Option<(HeldBy, Option<Moment>)>, now: Moment) -> Step {
        self.binding = held.map(|(by, until)| {
            let same = self.binding.filter(|binding| binding.by == by);
            Held { by, since: same.map_or(now, |binding| binding.since), until }
        });
        Step::Wait(held.and_then(|(_, until)| until))
    }

    /// Returns what holds all of the lane, the widest first.
    pub(super) fn held(&self, now: Moment) -> Option<Held> {
        let without_end = |by| Held { by, since: now, until: None };
        let inactive = self.active_until.filter(|until| *until <= now);
        let suspension = self.suspension.filter(|held| held.until.is_none_or(|until| now < until));
        suspension
            .or_else(|| inactive.map(|since| Held { by: HeldBy::SubscriptionInactive, since, until: None }))
            .or_else(|| self.lost.then(|| without_end(HeldBy::SessionLost)))
            .or_else(|| (!self.connected).then(|| without_end(HeldBy::SessionDown)))
            .or_else(|| (!self.is_readable).then(|| without_end(HeldBy::Settings)))
            .or_else(|| self.shut(now))
            .or_else(|| self.hold.map(Hold::held))
    }

    fn gate(&self, n_before: usize, lead: Duration, now: Moment) -> Gate<'_> {
        let (cold, business) = (self.cold.held(now), self.business.held(now));
        Gate { limits: &self.limits, n_before, lead, cold, business }
    }

    /// The gate of a delivery that was begun.
    fn gate_of(&self, delivery_id: DeliveryId, now: Moment) -> Gate<'_> {
        let (cold, business) = (self.cold.held_of(delivery_id, now), self.business.held_of(delivery_id, now));
        Gate { cold, business, ..self.gate(0, Duration::ZERO, now) }
    }

    fn refresh_hours(&mut self, now: Moment) {
        let of = HoursOf { session: self.limits.rules().hours.as_ref(), tenant_zones: &self.tenant_zones };
        self.streams.refresh_hours(of, now);
    }

    /// Tells whether a delivery that was begun may still go.
    pub(super) fn may_go(&mut self, index: usize, now: Moment) -> bool {
        self.refresh_hours(now);
        let work = &self.prepared[index].work;
        !self.draining
            && self.held(now).is_none()
            && self.streams.may_go_on(&self.gate_of(work.delivery_id, now), (work.campaign_id, work.band), now)
            && !work.is_expired(now)
    }

    /// Takes the next delivery to begin, or says when there will be one.
    fn take_work(&mut self, now: Moment, lead: Duration) -> Result<Box<Work>, Option<Opening>> {
        let gate = self.gate(self.n_preparing + self.prepared.len(), lead, now);
        let mut first: Option<(Opening, usize)> = None;
        for (index, work) in self.retries.iter().enumerate() {
            let Some(stream) = self.streams.opening(&gate, (work.campaign_id, work.band), now) else { continue };
            let opening = stream.or_later(Some(work.ready_at), work.put_off_by());
            if first.is_none_or(|(first, _)| first.earlier(opening) != first) {
                first = Some((opening, index));
            }
        }
        if let Some((_, index)) = first.filter(|(opening, _)| opening.is_open(now)) {
            return Ok(self.retries.swap_remove(index));
        }
        let pairs = self.pairs.next_due().map(|at| Opening { at: Some(at), by: HeldBy::Pair });
        let first = first.map(|(opening, _)| opening).into_iter().chain(pairs).reduce(Opening::earlier);
        // A lane full of refused messages takes no new bulk.
        match self.streams.choose(&gate, self.retries.len() < RETRIES_PER_LANE_MAX, now) {
            Ok(index) => self.streams.take(index, now).ok_or(first),
            Err(opening) => Err(match (first, opening) {
                (Some(a), Some(b)) => Some(a.earlier(b)),
                (a, b) => a.or(b),
            }),
        }
    }

    /// Those of the prepared deliveries that may go next: transactional before bulk, the first cold and the first warm
    /// one of each; bulk in order.
    pub(super) fn next_prepared(&self) -> impl Iterator<Item = usize> + use<> {
        let first = |class: TrafficClass, temperature: Temperature| {
            let is_next = |prepared: &Prepared| {
                prepared.work.plan.traffic_class == class && prepared.work.band.temperature() == temperature
            };
            self.prepared.iter().position(is_next)
        };
        let of_class = |class| [first(class, Temperature::Warm), first(class, Temperature::Cold)];
        let mut bulk = of_class(TrafficClass::Bulk);
        bulk.sort_unstable();
        of_class(TrafficClass::Transactional).into_iter().chain(bulk).flatten()
    }

    /// When the first of the prepared deliveries may go.
    fn wake_for_release(&self, has_place: bool, now: Moment) -> Option<Moment> {
        if !has_place {
            return None;
        }
        let moment = |work: &Work| {
            let share_at = self.streams.shares.get(work.campaign_id).map(|share| share.leaves(now)).unwrap_or_default();
            self.limits.next(now, 0, work.band.temperature()).at.max(share_at)
        };
        self.next_prepared().map(|index| moment(&self.prepared[index].work)).min()
    }

    /// Places on the wire for this lane: what it sends in a second, so that a slow answer does
    /// not slow the pace; few when the shard is crowded; one while it probes.
    pub(super) fn in_flight_max(&self, grant: Grant, now: Moment) -> usize {
        // A probe goes beside those that still hang.
        if self.is_probing(now) {
            return usize::MAX;
        }
        let own = self.n_in(Duration::from_secs(1)).clamp(2, IN_FLIGHT_PER_LANE_MAX);
        if grant.crowded { own.min(IN_FLIGHT_PER_LANE_CROWDED_MAX) } else { own }
    }

    /// Returns how many heads the lane holds ahead of their turn: what it sends in two seconds.
    #[must_use]
    pub fn n_heads_wanted(&self) -> usize {
        self.n_in(Duration::from_secs(2)).clamp(4, HEADS_PER_LANE_MAX)
    }

    /// How many sends fit into a time, rounded up.
    fn n_in(&self, time: Duration) -> usize {
        let n = time.as_nanos().div_ceil(self.limits.rules().pacing.interval().as_nanos().max(1));
        usize::try_from(n).unwrap_or(usize::MAX)
    }
}
