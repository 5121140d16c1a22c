//! One lane of a forecast, from message to message.
//!
//! Decides nothing itself: what opens when is the gate's, whose turn it is the streams', what a send costs the limits'.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{DAY, ForecastLane, ForecastStream, Room, Terms};
use crate::clock::Moment;
use crate::dispatch::lane::gate::{Gate, Opening};
use crate::dispatch::lane::hours::HoursOf;
use crate::dispatch::lane::memory::LaneState;
use crate::dispatch::lane::restore::restored_limits;
use crate::dispatch::lane::share::SavedShare;
use crate::dispatch::lane::step::Hold;
use crate::dispatch::lane::streams::Streams;
use crate::dispatch::lane::work::{JobPlan, Work};
use crate::dispatch::limits::LaneLimits;
use crate::dispatch::pacer::ShardTime;
use crate::dispatch::shard::Offer;
use crate::domain::held_by::{Held, HeldBy};
use crate::domain::id::{CampaignId, DeliveryId, JobId};
use crate::domain::message::Variables;
use crate::domain::recipient::Recipient;
use crate::domain::session::SessionState;
use crate::domain::zone::Band;
use crate::limits::FORECAST_SPAN_MAX;
use crate::store::lanes::LaneRow;

/// How long a lane waits that could not take a place which was open: this never happens, and must not hang either.
const REFUSED_WAIT: Duration = Duration::from_millis(1);

/// How a lane ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Expired,
    Blocked(HeldBy),
    Truncated,
}

/// What becomes of a campaign in one lane.
#[derive(Debug)]
pub(super) struct LaneEnd {
    pub(super) end: End,
    pub(super) n: u64,
    pub(super) n_unsent: u64,
    pub(super) finish_at: Option<Moment>,
    pub(super) bound_by: Option<HeldBy>,
    /// Messages by the number of the day.
    pub(super) per_day: BTreeMap<u64, u64>,
}

enum Next {
    Sent,
    Wait(Moment, HeldBy),
    Never(HeldBy),
}

/// A lane on its way.
pub(super) struct LaneRun<'a> {
    terms: &'a Terms,
    now: Moment,
    time: ShardTime,
    limits: LaneLimits,
    /// Each stream has one head that is put back as often as there are messages; its place counts those.
    streams: Streams,
    n_streams: u64,
    tenant_zones: Vec<TimeZone>,
    has_others: bool,
    /// The campaign's streams that have messages left.
    own: Vec<(CampaignId, Band)>,
    /// What holds the whole lane, and from when on.
    holds: Vec<(Moment, Held)>,
    cold: Option<Held>,
    business: Option<Held>,
    n_left: u64,
    /// Messages that find no room and fail.
    n_failed: u64,
    room: Option<(u64, VecDeque<(Moment, u64)>)>,
    n: u64,
    last: Option<Moment>,
    per_day: BTreeMap<u64, u64>,
    waits: BTreeMap<HeldBy, Duration>,
}

impl<'a> LaneRun<'a> {
    pub(super) fn new(lane: &ForecastLane, terms: &'a Terms, room: Option<Room>) -> Self {
        let (row, start) = (&lane.row, terms.start);
        let time = ShardTime::default();
        time.set(start);
        let mut saved = row.memory.as_deref().map(LaneState::read).unwrap_or_default();
        // What was begun and has not left differs from one look to the next.
        if let Some(limits) = &mut saved.limits {
            (limits.prepared, limits.prepared_cold) = (0, 0);
        }
        saved.shares = saved.shares.into_iter().map(SavedShare::without_begun).collect();
        let rules = Arc::new(row.rules(terms.default_pacing));
        let mut limits = restored_limits(row, &rules, saved.limits.as_ref(), &time);
        if let Some(at_ms) = row.connected_at_ms {
            limits.connected(Moment::from_ms(at_ms));
        }
        let n_own = lane.n_of(terms.campaign_id);
        let n_room = room.as_ref().filter(|room| room.fails).map_or(u64::MAX, |room| room.now);
        let mut run = Self {
            terms,
            now: start,
            time,
            limits,
            streams: Streams::default(),
            n_streams: 0,
            tenant_zones: row.tenant_zones(),
            has_others: false,
            own: Vec::new(),
            holds: holds_of(row, &saved, start),
            cold: saved.cold.as_ref().and_then(|hold| hold.hold(start)).map(Hold::held),
            business: saved.business.as_ref().and_then(|hold| hold.hold(start)).map(Hold::held),
            n_left: n_own.min(n_room),
            n_failed: n_own.saturating_sub(n_room),
            room: room.filter(|room| !room.fails).map(|room| (room.now, room.later.into())),
            n: 0,
            last: None,
            per_day: BTreeMap::new(),
            waits: BTreeMap::new(),
        };
        let (own, others): (Vec<_>, Vec<_>) = lane
            .streams
            .iter()
            .filter(|stream| stream.n != 0)
            .partition(|stream| stream.campaign_id == terms.campaign_id);
        run.has_others = !others.is_empty();
        run.streams.shares.remember(&saved, start);
        // Its own first: a lane has places for so many streams only.
        own.into_iter().chain(others).for_each(|stream| run.open(row, stream));
        run.refill();
        run
    }

    fn open(&mut self, row: &LaneRow, stream: &ForecastStream) {
        let &ForecastStream { campaign_id, band, traffic_class, .. } = stream;
        let zone = stream.zone.clone();
        let offer = Offer { session_id: row.session_id, campaign_id, band, zone, traffic_class, done_below_seq: 1 };
        if !self.streams.offer(&offer) {
            return;
        }
        self.n_streams += 1;
        if campaign_id == self.terms.campaign_id {
            self.own.push((campaign_id, band));
        }
        if let Some(share) = self.streams.shares.get_mut(campaign_id).filter(|share| !share.is_told()) {
            share.set_pacing(stream.pacing.clone(), self.now);
        }
        let mut loads = Vec::new();
        self.streams.loads(1, &mut loads);
        for load in loads.iter().filter(|load| (load.campaign_id, load.band) == (campaign_id, band)) {
            self.streams.loaded(load, 1, Some(1), vec![head(stream)]);
        }
    }

    /// Goes on to the end; takes from `looks` what it looks at.
    pub(super) fn run(mut self, looks: &mut u64) -> LaneEnd {
        let end = loop {
            if self.n_left == 0 {
                break End::Done;
            }
            if self.terms.expires_at.is_some_and(|at| at <= self.now) {
                break End::Expired;
            }
            if let Some(by) = self.terms.stopped_by {
                break End::Blocked(by);
            }
            if *looks == 0 || FORECAST_SPAN_MAX < self.now.since(self.terms.start) {
                break End::Truncated;
            }
            *looks = looks.saturating_sub(self.n_streams);
            match self.next() {
                Next::Sent => {}
                Next::Never(by) => break End::Blocked(by),
                Next::Wait(until, by) => {
                    let until = until.max(self.now + Duration::from_nanos(1));
                    *self.waits.entry(by).or_default() += until.since(self.now);
                    self.now = until;
                }
            }
        };
        self.ended(end)
    }

    fn ended(self, end: End) -> LaneEnd {
        let longest = self.waits.iter().max_by_key(|(_, wait)| **wait).map(|(by, _)| *by);
        let (finish_at, bound_by) = match end {
            End::Done if self.n_failed != 0 => (self.last.or(Some(self.terms.start)), Some(HeldBy::PlanMessages)),
            End::Done => (self.last, longest),
            End::Expired => (self.terms.expires_at, longest),
            End::Blocked(by) => (None, Some(by)),
            End::Truncated => (None, longest),
        };
        LaneEnd { end, n: self.n, n_unsent: self.n_left + self.n_failed, finish_at, bound_by, per_day: self.per_day }
    }

    fn next(&mut self) -> Next {
        let now = self.now;
        self.time.set(now);
        let is_on = |(from, held): &&(Moment, Held)| *from <= now && held.until.is_none_or(|until| now < until);
        if let Some((_, held)) = self.holds.iter().find(is_on) {
            return held.until.map_or(Next::Never(held.by), |until| Next::Wait(until, held.by));
        }
        self.streams.let_go_due(now);
        let hours = HoursOf { session: self.limits.rules().hours.as_ref(), tenant_zones: &self.tenant_zones };
        self.streams.refresh_hours(hours, now);
        let gate = self.gate();
        match self.streams.choose(&gate, true, now) {
            Ok(index) => self.send(index),
            Err(first) => {
                let own = if self.has_others { self.own_opening(&gate) } else { first };
                let by = own.map_or(HeldBy::Turn, |own| own.by);
                let until = own.and_then(|own| own.at).and(first.and_then(|first| first.at));
                until.map_or(Next::Never(by), |until| Next::Wait(until, by))
            }
        }
    }

    fn gate(&self) -> Gate<'_> {
        Gate { limits: &self.limits, n_before: 0, lead: Duration::ZERO, cold: self.cold, business: self.business }
    }

    fn own_opening(&self, gate: &Gate<'_>) -> Option<Opening> {
        let openings = self.own.iter().filter_map(|key| self.streams.opening(gate, *key, self.now));
        openings.reduce(Opening::earlier)
    }

    fn send(&mut self, index: usize) -> Next {
        let Some(mut work) = self.streams.take(index, self.now) else {
            return Next::Wait(self.now + REFUSED_WAIT, HeldBy::Turn);
        };
        let (now, temperature) = (self.now, work.band.temperature());
        self.limits.begin(temperature);
        if !self.limits.take(now, temperature) {
            self.limits.withdraw(temperature);
            self.streams.put_back(work);
            return Next::Wait(now + REFUSED_WAIT, HeldBy::Pace);
        }
        if let Some(share) = self.streams.shares.get_mut(work.campaign_id) {
            share.begun();
            share.left(now);
        }
        work.seq -= 1;
        let (stream, is_used_up) = ((work.campaign_id, work.band), work.seq == 0);
        if !is_used_up {
            self.streams.put_back(work);
        }
        if stream.0 == self.terms.campaign_id {
            self.own.retain(|of| !is_used_up || *of != stream);
            self.count();
        }
        Next::Sent
    }

    fn count(&mut self) {
        self.n += 1;
        self.n_left -= 1;
        self.last = Some(self.now);
        *self.per_day.entry(self.now.0 / u64::try_from(DAY.as_nanos()).unwrap_or(u64::MAX)).or_default() += 1;
        if let Some((room, _)) = &mut self.room {
            *room -= 1;
        }
        self.refill();
    }

    /// Holds the campaign until its plan has messages again, where it has none.
    fn refill(&mut self) {
        let Some((room, later)) = self.room.as_mut().filter(|(room, _)| *room == 0) else { return };
        let next = std::iter::from_fn(|| later.pop_front()).find(|(_, n)| *n != 0);
        *room = next.map_or(0, |(_, n)| n);
        let held = Held { by: HeldBy::PlanMessages, since: self.now, until: next.map(|(from, _)| from) };
        for (campaign_id, band) in &self.own {
            self.streams.hold(*campaign_id, *band, held);
        }
    }
}

/// What holds the whole lane, the widest first; as lanes themselves have it.
fn holds_of(row: &LaneRow, saved: &LaneState, start: Moment) -> Vec<(Moment, Held)> {
    let without_end = |by| Held { by, since: start, until: None };
    let is_lost = matches!(row.state, SessionState::LoggedOut | SessionState::Banned);
    let is_down = row.state != SessionState::Connected || row.phone_number_id.is_none();
    let inactive = row.active_until.map(|from| (from, without_end(HeldBy::SubscriptionInactive)));
    let number = saved.held(start).map(Hold::held);
    let always = |held: Held| (Moment::default(), held);
    let holds = [
        row.suspension.map(always),
        inactive,
        is_lost.then(|| always(without_end(HeldBy::SessionLost))),
        is_down.then(|| always(without_end(HeldBy::SessionDown))),
        number.map(always),
    ];
    holds.into_iter().flatten().collect()
}

/// The one head of a stream; what counts of it is where it belongs, and how many it stands for.
fn head(stream: &ForecastStream) -> Box<Work> {
    let plan = Arc::new(JobPlan::plain(JobId(uuid::Uuid::nil()), stream.traffic_class));
    Box::new(Work {
        delivery_id: DeliveryId(uuid::Uuid::nil()),
        campaign_id: stream.campaign_id,
        band: stream.band,
        seq: i64::try_from(stream.n).unwrap_or(i64::MAX),
        recipient: Recipient::from_stored("919876543210").expect("a phone number is an address"),
        variables: Variables::default(),
        n_attempts: 0,
        n_attempts_before: 0,
        ready_at: Moment::default(),
        capped_until: None,
        plan,
    })
}
