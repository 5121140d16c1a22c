//! What becomes of a campaign if nothing unforeseen happens: when it ends, and what it waits for until then.
//!
//! Goes through each of its lanes alone, message by message, on a clock of its own, with the limits, gates and turns
//! that dispatch itself goes by. Pure; knows no failures and no answers.

mod lane;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::domain::held_by::HeldBy;
use crate::domain::id::{CampaignId, SessionId};
use crate::domain::job::TrafficClass;
use crate::domain::pacing::{CampaignPacing, Pacing};
use crate::domain::session::SessionState;
use crate::domain::zone::{Band, Zone};
use crate::limits::FORECAST_LOOKS_MAX;
use crate::store::lanes::LaneRow;
use lane::{End, LaneEnd, LaneRun};

const DAY: Duration = Duration::from_secs(86_400);

/// A lane with the work that is open in it.
#[derive(Debug, Clone)]
pub struct ForecastLane {
    /// The session, its settings, and where its limits stand.
    pub row: LaneRow,
    /// Work of the campaign, and of those that share the lane with it.
    pub streams: Vec<ForecastStream>,
}

/// Messages of one campaign to one kind of recipients in a lane.
#[derive(Debug, Clone)]
pub struct ForecastStream {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The kind of recipients.
    pub band: Band,
    /// Their zone, where it is known.
    pub zone: Option<Zone>,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// Messages to send.
    pub n: u64,
    /// The campaign's own pace.
    pub pacing: Option<Arc<CampaignPacing>>,
}

/// What a forecast is of.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Pace of sessions that have none of their own.
    pub default_pacing: Pacing,
    /// When it begins, or goes on.
    pub start: Moment,
    /// What keeps it from sending until a person lets it go on.
    pub stopped_by: Option<HeldBy>,
    /// From then on nothing of it is sent.
    pub expires_at: Option<Moment>,
    /// What the plan leaves it, where that is less than it needs.
    pub room: Option<Room>,
}

/// Messages that a plan leaves a campaign.
#[derive(Debug, Clone)]
pub struct Room {
    /// From the start on.
    pub now: u64,
    /// From the beginnings of later periods on, in order.
    pub later: Vec<(Moment, u64)>,
    /// Whether what finds no room fails, instead of waiting for it.
    pub fails: bool,
}

/// What becomes of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Messages that are sent.
    pub n: u64,
    /// When it is over; none where it waits without an end, or the forecast does not reach that far.
    pub finish_at: Option<Moment>,
    /// Messages of each day that has any, by when the day begins in UTC.
    pub per_day: Vec<(Moment, u64)>,
    /// Its sessions, in their order.
    pub per_session: Vec<SessionForecast>,
    /// What it waits for longest, where it is over last.
    pub bound_by: Option<HeldBy>,
    /// Whether it was broken off before the end.
    pub truncated: bool,
}

/// What becomes of a campaign in one of its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionForecast {
    /// The session.
    pub session_id: SessionId,
    /// Messages that it sends.
    pub n: u64,
    /// Messages that it has and does not send.
    pub n_unsent: u64,
    /// When it is over; none where there is nothing to send, or no end.
    pub finish_at: Option<Moment>,
    /// What it waits for longest, or without an end.
    pub bound_by: Option<HeldBy>,
}

/// Tells what becomes of a campaign; the same of the same every time.
#[must_use]
pub fn forecast(lanes: &[ForecastLane], terms: &Terms) -> Forecast {
    let n_all: u64 = lanes.iter().map(|lane| lane.n_of(terms.campaign_id)).sum();
    let (mut looks, mut n_before) = (FORECAST_LOOKS_MAX, 0);
    let mut ends = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let n_own = lane.n_of(terms.campaign_id);
        let room = terms.room.as_ref().map(|room| room.part(n_before, n_own, n_all));
        n_before += n_own;
        ends.push((lane.row.session_id, LaneRun::new(lane, terms, room).run(&mut looks)));
    }
    of_ends(&ends, terms)
}

/// Makes the lanes of the same campaign with one session more: fresh, with the settings of the one in the middle, and
/// with as much of the work as each of the others.
#[must_use]
pub fn with_one_more(lanes: &[ForecastLane], campaign_id: CampaignId) -> Vec<ForecastLane> {
    let mut all = lanes.to_vec();
    let Some(middle) = lanes.get(lanes.len() / 2) else { return all };
    let row = LaneRow {
        session_id: SessionId(campaign_id.0),
        state: SessionState::Connected,
        phone_number_id: Some(String::new()),
        is_device: false,
        connected_at_ms: None,
        tat_us: None,
        left_by_us: None,
        memory: None,
        suspension: None,
        ..middle.row.clone()
    };
    let n_lanes = u64::try_from(lanes.len() + 1).unwrap_or(u64::MAX);
    // Of each kind its part of what was seen so far, so that no fractions are lost.
    let mut given: BTreeMap<Band, (u64, ForecastStream)> = BTreeMap::new();
    for stream in all.iter_mut().flat_map(|lane| &mut lane.streams).filter(|stream| stream.campaign_id == campaign_id) {
        let (seen, new) = given.entry(stream.band).or_insert_with(|| (0, ForecastStream { n: 0, ..stream.clone() }));
        *seen += stream.n;
        let n = *seen / n_lanes - new.n;
        (stream.n, new.n) = (stream.n - n, new.n + n);
    }
    all.push(ForecastLane { row, streams: given.into_values().map(|(_, stream)| stream).collect() });
    all
}

impl ForecastLane {
    fn n_of(&self, campaign_id: CampaignId) -> u64 {
        self.streams.iter().filter(|stream| stream.campaign_id == campaign_id).map(|stream| stream.n).sum()
    }
}

impl Room {
    /// Returns the part of a lane: messages are kept for deliveries in their order, which goes round the lanes.
    fn part(&self, n_before: u64, n_own: u64, n_all: u64) -> Self {
        let up_to = |room: u64, n: u64| u128::from(room) * u128::from(n) / u128::from(n_all.max(1));
        let part = |room: u64| {
            let part = up_to(room, n_before + n_own) - up_to(room, n_before);
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        let later = self.later.iter().map(|(from, room)| (*from, part(*room))).collect();
        Self { now: part(self.now), later, fails: self.fails }
    }
}

fn of_ends(ends: &[(SessionId, LaneEnd)], terms: &Terms) -> Forecast {
    let mut per_day: BTreeMap<u64, u64> = BTreeMap::new();
    for (day, n) in ends.iter().flat_map(|(_, end)| &end.per_day) {
        *per_day.entry(*day).or_default() += n;
    }
    let with_work = || ends.iter().map(|(_, end)| end).filter(|end| end.n + end.n_unsent != 0);
    let blocked = with_work().filter_map(|end| if let End::Blocked(by) = end.end { Some(by) } else { None }).min();
    let truncated = with_work().any(|end| matches!(end.end, End::Truncated));
    let last = with_work().max_by_key(|end| end.finish_at);
    let finish_at = if blocked.is_some() || truncated {
        None
    } else {
        Some(last.and_then(|end| end.finish_at).unwrap_or(terms.start))
    };
    let per_session = ends.iter().map(|(session_id, end)| SessionForecast {
        session_id: *session_id,
        n: end.n,
        n_unsent: end.n_unsent,
        finish_at: end.finish_at,
        bound_by: end.bound_by,
    });
    Forecast {
        n: ends.iter().map(|(_, end)| end.n).sum(),
        finish_at,
        per_day: per_day
            .into_iter()
            .map(|(day, n)| (Moment::default() + DAY * u32::try_from(day).unwrap_or(u32::MAX), n))
            .collect(),
        per_session: per_session.collect(),
        bound_by: blocked.or_else(|| last.and_then(|end| end.bound_by)),
        truncated,
    }
}
