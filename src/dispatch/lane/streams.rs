//! Turns among the campaigns of one lane.
//!
//! Transactional messages go first, with every tenth turn kept for bulk; campaigns share the rest
//! evenly, so that 50 rows are not buried by a million. A campaign has a stream for each kind of its
//! recipients. Each stream holds a few heads and a cursor over columns that never change; loading them
//! is the shard's.

use std::collections::VecDeque;

use crate::clock::Moment;
use crate::dispatch::lane::gate::{Gate, Opening, StreamFacts};
use crate::dispatch::lane::hours::{Hours, HoursOf, hours_of};
use crate::dispatch::lane::shares::Shares;
use crate::dispatch::lane::work::Work;
use crate::dispatch::shard::Offer;
use crate::domain::held_by::{Held, HeldBy};
use crate::domain::id::CampaignId;
use crate::domain::job::TrafficClass;
use crate::domain::zone::{Band, Temperature, Zone};
use crate::limits::STREAMS_PER_LANE_MAX;

/// Turns in a row that transactional messages may take while bulk waits.
const TRANSACTIONAL_TURNS_MAX: u32 = 9;

/// The deliveries of one campaign to one kind of recipients in one lane.
#[derive(Debug)]
pub struct Stream {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The kind of recipients.
    pub band: Band,
    /// Their zone, where it is known.
    pub zone: Option<Zone>,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// The sending hours at their place, as far as they were looked up.
    hours: Hours,
    /// What holds its next delivery, for longer than a moment.
    held: Option<Held>,
    /// When the recipient of its next delivery may have a message again, where that one can not wait elsewhere.
    pair_until: Moment,
    heads: VecDeque<Box<Work>>,
    /// Everything up to here was loaded or is settled.
    cursor: i64,
    /// Nothing is known to lie behind the cursor.
    exhausted: bool,
    loading: bool,
    /// Counts what was offered, so that a load that began earlier can not hide it.
    n_offers: u32,
    n_served: u64,
    saved_below: i64,
}

impl Stream {
    /// Returns the head that goes first: the first one that is due, otherwise the one that is due first.
    fn next_head(&self, now: Moment) -> Option<usize> {
        let due = self.heads.iter().position(|head| head.ready_at <= now);
        due.or_else(|| (0..self.heads.len()).min_by_key(|at| self.heads[*at].ready_at))
    }
}

/// What a stream wants loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The kind of recipients.
    pub band: Band,
    /// Load what lies behind this place.
    pub after_seq: i64,
    /// How many at most.
    pub limit: usize,
    /// To be handed back with the answer.
    pub n_offers: u32,
}

/// All streams of one lane.
#[derive(Debug, Default)]
pub struct Streams {
    streams: Vec<Stream>,
    /// What is known of their campaigns, and of those that had streams here.
    pub shares: Shares,
    n_transactional_turns: u32,
}

impl Streams {
    /// Notes that a campaign has work; opens its stream when there is none.
    ///
    /// Beyond the bound of open streams the offer is left in the database, for the next full look. Returns whether
    /// it was taken.
    pub fn offer(&mut self, offer: &Offer) -> bool {
        let &Offer { campaign_id, band, traffic_class, done_below_seq, .. } = offer;
        if let Some(stream) = self.find(campaign_id, band) {
            // The news lies behind the cursor: places are committed in their order, and what is put
            // back in line gets a new one.
            stream.exhausted = false;
            stream.n_offers = stream.n_offers.wrapping_add(1);
            return true;
        }
        if self.is_full() {
            return false;
        }
        if !self.has_stream_of(campaign_id) {
            // A newcomer starts level with the one that is furthest behind, not with a claim to all
            // turns since the lane began.
            let n_served = self.streams.iter().map(|stream| self.n_served_of(stream.campaign_id)).min();
            let Some(share) = self.shares.get_or_make(campaign_id) else { return false };
            share.open(n_served.unwrap_or(0));
        }
        let siblings = self.streams.iter().filter(|stream| stream.campaign_id == campaign_id);
        let n_served = siblings.map(|stream| stream.n_served).min().unwrap_or(0);
        self.streams.push(Stream {
            campaign_id,
            band,
            zone: offer.zone.clone(),
            traffic_class,
            hours: Hours { from: Some(Moment::default()), known_until: Moment::default() },
            held: None,
            pair_until: Moment::default(),
            heads: VecDeque::new(),
            cursor: done_below_seq - 1,
            exhausted: false,
            loading: false,
            n_offers: 0,
            n_served,
            saved_below: done_below_seq,
        });
        true
    }

    fn find(&mut self, campaign_id: CampaignId, band: Band) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.campaign_id == campaign_id && stream.band == band)
    }

    /// Tells whether a stream is open.
    #[must_use]
    pub fn is_open(&self, campaign_id: CampaignId, band: Band) -> bool {
        self.streams.iter().any(|stream| stream.campaign_id == campaign_id && stream.band == band)
    }

    /// Holds a campaign, or lets it go on; returns whether it has a stream here.
    pub fn pause(&mut self, campaign_id: CampaignId, paused: bool) -> bool {
        if let Some(share) = self.shares.get_mut(campaign_id) {
            share.paused = paused;
        }
        self.has_stream_of(campaign_id)
    }

    /// Tells whether a campaign has a stream here.
    #[must_use]
    pub fn has_stream_of(&self, campaign_id: CampaignId) -> bool {
        self.streams.iter().any(|stream| stream.campaign_id == campaign_id)
    }

    fn n_served_of(&self, campaign_id: CampaignId) -> u64 {
        self.shares.get(campaign_id).map_or(0, |share| share.n_served)
    }

    fn is_paused(&self, campaign_id: CampaignId) -> bool {
        self.shares.get(campaign_id).is_some_and(|share| share.paused)
    }

    /// Forgets campaigns that have no stream here and of which nothing counts any more.
    pub fn forget_passed(&mut self, now: Moment) {
        let streams = &self.streams;
        self.shares.forget(now, |campaign_id| streams.iter().any(|stream| stream.campaign_id == campaign_id));
    }

    /// Forgets what was looked up of sending hours: the rules have changed.
    pub fn forget_hours(&mut self) {
        self.streams.iter_mut().for_each(|stream| stream.hours.known_until = Moment::default());
    }

    /// Looks up the sending hours of streams for which they are not known any more.
    pub fn refresh_hours(&mut self, of: HoursOf<'_>, now: Moment) {
        for stream in &mut self.streams {
            if now < stream.hours.known_until {
                continue;
            }
            let share = self.shares.get(stream.campaign_id);
            let own = share.and_then(|share| share.pacing()).and_then(|pacing| pacing.hours.as_ref());
            stream.hours = hours_of(&[of.session, own], stream.zone.as_ref(), of.tenant_zones, now);
        }
    }

    /// Returns what is known of a stream, for whoever decides whether it may go.
    fn facts(&self, stream: &Stream, now: Moment) -> StreamFacts {
        let share = self.shares.get(stream.campaign_id);
        StreamFacts {
            temperature: stream.band.temperature(),
            traffic_class: stream.traffic_class,
            held: later(stream.held, share.and_then(|share| share.held(now))),
            hours_from: stream.hours.from,
            campaign: share.map_or((Moment::default(), HeldBy::CampaignPace), |share| share.next(now)),
        }
    }

    fn sending(&self, (campaign_id, band): (CampaignId, Band)) -> Option<&Stream> {
        let of = |stream: &&Stream| stream.campaign_id == campaign_id && stream.band == band;
        self.streams.iter().find(of).filter(|_| !self.is_paused(campaign_id))
    }

    /// Says when the next message of a stream may be begun; none when there is no such stream or it is paused.
    #[must_use]
    pub fn opening(&self, gate: &Gate<'_>, key: (CampaignId, Band), now: Moment) -> Option<Opening> {
        self.sending(key).map(|stream| gate.opening(&self.facts(stream, now), now))
    }

    /// Tells whether a stream may go on with what it has begun: it is there, and nothing but a pace holds it.
    #[must_use]
    pub fn may_go_on(&self, gate: &Gate<'_>, key: (CampaignId, Band), now: Moment) -> bool {
        self.sending(key).is_some_and(|stream| gate.blocked(&self.facts(stream, now), now).is_none())
    }

    /// Tells whether one more stream would be beyond the bound.
    #[must_use]
    pub fn is_full(&self) -> bool {
        STREAMS_PER_LANE_MAX <= self.streams.len()
    }

    /// Closes one stream that has nothing left, of a campaign without anything out, if there is one.
    pub fn make_room(&mut self, is_out: impl Fn(CampaignId) -> bool) {
        let is_idle = |stream: &Stream| {
            stream.exhausted
                && !stream.loading
                && stream.heads.is_empty()
                && !self.is_paused(stream.campaign_id)
                && !is_out(stream.campaign_id)
        };
        if let Some(at) = self.streams.iter().position(is_idle) {
            self.streams.swap_remove(at);
        }
    }

    /// Closes the streams of a campaign that is over; returns their heads.
    pub fn close(&mut self, campaign_id: CampaignId) -> Vec<Box<Work>> {
        let closed = self.streams.extract_if(.., |stream| stream.campaign_id == campaign_id);
        closed.flat_map(|stream| stream.heads).collect()
    }

    /// Closes all streams; what is known of their campaigns stays.
    pub fn close_all(&mut self) {
        self.streams.clear();
    }

    /// Finds the stream whose turn it is among those that may go; `bulk` tells whether bulk may go at all.
    ///
    /// # Errors
    /// Where none may go: when the first one may, if any has a head.
    pub fn choose(&self, gate: &Gate<'_>, bulk: bool, now: Moment) -> Result<usize, Option<Opening>> {
        let mut is_open = vec![false; self.streams.len()];
        let (mut warm, mut cold) = (None, None);
        let mut first: Option<Opening> = None;
        for (index, stream) in self.streams.iter().enumerate() {
            let Some(head) = stream.next_head(now).map(|at| &stream.heads[at]) else { continue };
            let waits = stream.traffic_class == TrafficClass::Bulk && !bulk;
            if waits || self.is_paused(stream.campaign_id) {
                continue;
            }
            let temperature = stream.band.temperature();
            let due = if temperature == Temperature::Cold { &mut cold } else { &mut warm };
            let due = *due.get_or_insert_with(|| gate.due(temperature, now));
            let opening = gate.opening_from(due, &self.facts(stream, now), now);
            let opening = opening.or_later(Some(stream.pair_until), HeldBy::Pair);
            let opening =
                if now < head.ready_at { opening.or_later(Some(head.ready_at), head.put_off_by()) } else { opening };
            is_open[index] = opening.is_open(now);
            first = Some(first.map_or(opening, |first| first.earlier(opening)));
        }
        self.turn(|index| is_open[index]).ok_or(first)
    }

    /// Takes the head of the stream whose turn it is.
    pub fn take(&mut self, index: usize, now: Moment) -> Option<Box<Work>> {
        let stream = &mut self.streams[index];
        let head = stream.next_head(now).and_then(|at| stream.heads.remove(at));
        match stream.traffic_class {
            TrafficClass::Transactional => self.n_transactional_turns += 1,
            TrafficClass::Bulk => self.n_transactional_turns = 0,
        }
        stream.n_served += 1;
        let campaign_id = stream.campaign_id;
        if let Some(share) = self.shares.get_mut(campaign_id) {
            share.n_served += 1;
        }
        head
    }

    /// Puts back a head that did not go after all, by its place.
    pub fn put_back(&mut self, work: Box<Work>) {
        if let Some(stream) = self.find(work.campaign_id, work.band) {
            let place = stream.heads.iter().position(|head| work.seq <= head.seq).unwrap_or(stream.heads.len());
            stream.heads.insert(place, work);
        }
    }

    /// Holds the heads of a stream until the recipient of its first one may have a message again.
    pub fn hold_for_pair(&mut self, (campaign_id, band): (CampaignId, Band), until: Moment) {
        if let Some(stream) = self.find(campaign_id, band) {
            stream.pair_until = until;
        }
    }

    /// Holds the heads of a stream, since the first time that the same held it.
    pub fn hold(&mut self, campaign_id: CampaignId, band: Band, held: Held) {
        if let Some(stream) = self.find(campaign_id, band) {
            let since = stream.held.filter(|before| before.by == held.by).map_or(held.since, |before| before.since);
            stream.held = Some(Held { since, ..held });
        }
    }

    /// Lets all streams try again.
    pub fn let_go(&mut self) {
        for stream in &mut self.streams {
            stream.held = None;
        }
    }

    /// Lets the streams try again whose time has come.
    pub fn let_go_due(&mut self, now: Moment) {
        for stream in &mut self.streams {
            stream.held = stream.held.filter(|held| held.until.is_none_or(|until| now < until));
        }
    }

    /// Tells whether there is, or may be, a delivery that no person holds back.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let may_have = |stream: &Stream| !stream.exhausted || !stream.heads.is_empty();
        self.streams.iter().any(|stream| may_have(stream) && !self.is_paused(stream.campaign_id))
    }

    fn turn(&self, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        let first_of = |class: TrafficClass| {
            let ready = |(index, stream): &(usize, &Stream)| stream.traffic_class == class && is_open(*index);
            let streams = self.streams.iter().enumerate().filter(ready);
            let turn = |(_, stream): &(usize, &Stream)| (self.n_served_of(stream.campaign_id), stream.n_served);
            streams.min_by_key(turn).map(|(index, _)| index)
        };
        let bulk_turn = first_of(TrafficClass::Bulk);
        match first_of(TrafficClass::Transactional) {
            Some(index) if bulk_turn.is_none() || self.n_transactional_turns < TRANSACTIONAL_TURNS_MAX => Some(index),
            _ => bulk_turn,
        }
    }

    /// Collects what should be loaded so that every stream holds up to `n_wanted` heads.
    pub fn loads(&mut self, n_wanted: usize, out: &mut Vec<Load>) {
        for stream in &mut self.streams {
            let paused = self.shares.get(stream.campaign_id).is_some_and(|share| share.paused);
            if paused || stream.loading || stream.exhausted || n_wanted / 2 < stream.heads.len() {
                continue;
            }
            stream.loading = true;
            out.push(Load {
                campaign_id: stream.campaign_id,
                band: stream.band,
                after_seq: stream.cursor,
                limit: n_wanted - stream.heads.len(),
                n_offers: stream.n_offers,
            });
        }
    }

    /// Takes what was loaded; of heads that are not due yet the caller sorts out those that it has places for.
    pub fn loaded(&mut self, load: &Load, n_loaded: usize, last_seq: Option<i64>, heads: Vec<Box<Work>>) {
        let Some(stream) = self.find(load.campaign_id, load.band) else {
            return;
        };
        stream.loading = false;
        // Otherwise the stream was closed and opened again while the load ran, and starts from its beginning.
        if stream.cursor == load.after_seq {
            stream.cursor = last_seq.unwrap_or(load.after_seq);
            stream.exhausted |= n_loaded < load.limit && stream.n_offers == load.n_offers;
        }
        stream.heads.extend(heads);
    }

    /// Returns up to where a stream with no outstanding work is settled, if that is news.
    pub fn settled_below(&mut self, campaign_id: CampaignId, band: Band) -> Option<i64> {
        let stream = self.find(campaign_id, band)?;
        let below = stream.cursor + 1;
        let news = stream.exhausted && !stream.loading && stream.heads.is_empty() && stream.saved_below < below;
        news.then(|| {
            stream.saved_below = below;
            below
        })
    }
}

/// Returns what holds longer; what has no end holds longest.
fn later(a: Option<Held>, b: Option<Held>) -> Option<Held> {
    let ends = |held: &Held| held.until.unwrap_or(Moment(u64::MAX));
    [a, b].into_iter().flatten().max_by_key(ends)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::dispatch::lane::work::JobPlan;
    use crate::dispatch::limits::LaneLimits;
    use crate::dispatch::pacer::ShardTime;
    use crate::domain::id::{DeliveryId, JobId, SessionId};
    use crate::domain::message::Variables;
    use crate::domain::pacing::{LaneRules, Pacing};
    use crate::domain::recipient::Recipient;

    fn offer(campaign_id: CampaignId, traffic_class: TrafficClass, done_below_seq: i64) -> Offer {
        let (session_id, band) = (SessionId::generate(), Band(0));
        Offer { session_id, campaign_id, band, zone: None, traffic_class, done_below_seq }
    }

    fn fill(streams: &mut Streams, campaign_id: CampaignId, class: TrafficClass, n: i64) {
        assert!(streams.offer(&offer(campaign_id, class, 1)));
        let mut loads = Vec::new();
        streams.loads(usize::try_from(n).unwrap() + 1, &mut loads);
        let load = loads.into_iter().find(|load| load.campaign_id == campaign_id).unwrap();
        let plan = Arc::new(JobPlan::plain(JobId::generate(), class));
        let heads = (1..=n).map(|seq| {
            Box::new(Work {
                delivery_id: DeliveryId::generate(),
                campaign_id,
                band: Band(0),
                seq,
                recipient: Recipient::from_stored("919876543210").unwrap(),
                variables: Variables::default(),
                n_attempts: 0,
                n_attempts_before: 0,
                ready_at: Moment::default(),
                capped_until: None,
                plan: Arc::clone(&plan),
            })
        });
        let heads: Vec<_> = heads.collect();
        streams.loaded(&load, heads.len(), Some(n), heads);
    }

    fn pacing() -> Pacing {
        Pacing::new(60.0, 1).unwrap()
    }

    fn turns(streams: &mut Streams, n: usize) -> Vec<CampaignId> {
        let limits = LaneLimits::new(Arc::new(LaneRules::plain(pacing())), None, None, 1, &ShardTime::default());
        let gate = Gate { limits: &limits, n_before: 0, lead: Duration::ZERO, cold: None, business: None };
        let mut taken = Vec::new();
        while taken.len() < n
            && let Ok(index) = streams.choose(&gate, true, Moment::default())
        {
            taken.extend(streams.take(index, Moment::default()).map(|work| work.campaign_id));
        }
        taken
    }

    #[test]
    fn a_small_campaign_is_not_buried() {
        let (large, small) = (CampaignId::generate(), CampaignId::generate());
        let mut streams = Streams::default();
        fill(&mut streams, large, TrafficClass::Bulk, 500);
        assert_eq!(turns(&mut streams, 100).len(), 100);
        fill(&mut streams, small, TrafficClass::Bulk, 50);
        let share = turns(&mut streams, 100).into_iter().filter(|id| *id == small).count();
        assert_eq!(share, 50);
    }

    #[test]
    fn transactional_goes_first_and_leaves_a_reserve() {
        let bulk = CampaignId::generate();
        let mut streams = Streams::default();
        fill(&mut streams, bulk, TrafficClass::Bulk, 50);
        fill(&mut streams, CampaignId::DIRECT, TrafficClass::Transactional, 50);
        let order = turns(&mut streams, 20);
        assert!(order[..9].iter().all(|id| id.is_direct()));
        assert_eq!((order[9], order[19]), (bulk, bulk));
        assert_eq!(order.iter().filter(|id| **id == bulk).count(), 2);
    }

    #[test]
    fn an_offer_during_a_load_is_not_lost() {
        let campaign_id = CampaignId::generate();
        let mut streams = Streams::default();
        assert!(streams.offer(&offer(campaign_id, TrafficClass::Bulk, 10)));
        let mut loads = Vec::new();
        streams.loads(4, &mut loads);
        assert!(streams.offer(&offer(campaign_id, TrafficClass::Bulk, 10)));
        streams.loaded(&loads[0], 0, None, Vec::new());
        let mut again = Vec::new();
        streams.loads(4, &mut again);
        assert_eq!(again.iter().map(|load| load.after_seq).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn an_open_stream_goes_on_from_where_it_is() {
        let campaign_id = CampaignId::generate();
        let mut streams = Streams::default();
        fill(&mut streams, campaign_id, TrafficClass::Bulk, 2);
        let mut loads = Vec::new();
        streams.loads(8, &mut loads);
        assert!(loads.is_empty(), "nothing is known to lie behind");
        assert!(streams.offer(&offer(campaign_id, TrafficClass::Bulk, 1)));
        streams.loads(8, &mut loads);
        assert_eq!(loads.iter().map(|load| load.after_seq).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_load_from_before_a_stream_was_closed_does_not_move_the_new_one() {
        let campaign_id = CampaignId::generate();
        let mut streams = Streams::default();
        assert!(streams.offer(&offer(campaign_id, TrafficClass::Bulk, 10)));
        let (mut old, mut new) = (Vec::new(), Vec::new());
        streams.loads(4, &mut old);
        streams.close(campaign_id);
        assert!(streams.offer(&offer(campaign_id, TrafficClass::Bulk, 5)));
        streams.loaded(&old[0], 1, Some(10), Vec::new());
        streams.loads(4, &mut new);
        assert_eq!(new.iter().map(|load| load.after_seq).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn settled_is_told_once_and_only_when_nothing_is_left() {
        let campaign_id = CampaignId::generate();
        let mut streams = Streams::default();
        fill(&mut streams, campaign_id, TrafficClass::Bulk, 2);
        assert_eq!(streams.settled_below(campaign_id, Band(0)), None);
        assert_eq!(turns(&mut streams, 2).len(), 2);
        assert_eq!(streams.settled_below(campaign_id, Band(0)), Some(3));
        assert_eq!(streams.settled_below(campaign_id, Band(0)), None);
    }
}
