//! Forecasts of campaigns: what is known of one, put together, and gone through off the runtime's threads.
//!
//! Changes nothing. Two forecasts of a campaign that did not change within a minute are the same.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::clock::Moment;
use crate::dispatch::forecast::{Forecast, ForecastLane, ForecastStream, Room, Terms, forecast, with_one_more};
use crate::domain::campaign::CampaignState;
use crate::domain::held_by::HeldBy;
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::job::TrafficClass;
use crate::domain::pacing::{CampaignPacing, Pacing};
use crate::domain::plan::OnLimit;
use crate::domain::quota::Usage;
use crate::domain::zone::{Band, Temperature, Zone};
use crate::error::{Error, Result};
use crate::limits::{EXPAND_RECIPIENTS_MAX, FORECAST_QUEUE_MAX, FORECAST_RECIPIENTS_MAX, FORECASTS_MAX};
use crate::service::Tools;
use crate::store::campaigns::CampaignRecord;
use crate::store::forecasts::OpenStream;

/// Forecasts begin with a full minute, so that two of one minute agree.
const GRAIN_MS: i64 = 60_000;

/// Periods of a plan looked ahead: a forecast goes on for 13 months and some.
const PERIODS_MAX: usize = 14;

/// Recipients that are alike: written to by the same session, in the same zone, and as cold or warm.
type Kind = (SessionId, Option<Zone>, Temperature);

/// A forecast, and what one session more would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignForecast {
    /// What becomes of the campaign.
    pub forecast: Forecast,
    /// When it would be over with one session more; none where that is not known, or would not help.
    pub finish_with_one_more: Option<Moment>,
    /// The time that it is of.
    pub computed_at: Moment,
}

/// Makes forecasts; cheap to clone.
#[derive(Debug, Clone)]
pub struct ForecastService {
    tools: Tools,
    default_pacing: Pacing,
    running: Arc<Semaphore>,
    queued: Arc<Semaphore>,
}

impl ForecastService {
    /// Makes the service; `default_pacing` is that of sessions without one of their own.
    #[must_use]
    pub fn new(tools: Tools, default_pacing: Pacing) -> Self {
        let (running, queued) = (Semaphore::new(FORECASTS_MAX), Semaphore::new(FORECAST_QUEUE_MAX));
        Self { tools, default_pacing, running: Arc::new(running), queued: Arc::new(queued) }
    }

    /// Tells what becomes of a campaign if it starts, or goes on, now and nothing unforeseen happens.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is over; `Unavailable` when too many forecasts wait already.
    pub async fn of_campaign(&self, tenant_id: TenantId, id: CampaignId) -> Result<CampaignForecast> {
        let campaign = self.tools.store.campaigns().find(tenant_id, id).await?.ok_or(Error::NotFound("campaign"))?;
        if campaign.state.is_over() {
            return Err(Error::conflict(format!(
                "The campaign is {}; nothing of it is to come.",
                campaign.state.as_str()
            )));
        }
        let Ok(_queued) = self.queued.try_acquire() else { return Err(Error::Unavailable("forecasting")) };
        let doing = "make a forecast";
        // The permit goes along with the work: a caller who goes away does not make room for more.
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(Error::internal(doing))?;
        let lanes = self.lanes(&campaign).await?;
        let terms = self.terms(&campaign, &lanes).await?;
        let made = tokio::task::spawn_blocking(move || {
            let first = forecast(&lanes, &terms);
            let second = first.finish_at.map(|_| forecast(&with_one_more(&lanes, terms.campaign_id), &terms));
            drop(running);
            (first, second, terms.start)
        });
        let (first, second, computed_at) = made.await.map_err(Error::internal(doing))?;
        Ok(CampaignForecast {
            forecast: first,
            finish_with_one_more: second.and_then(|more| more.finish_at),
            computed_at,
        })
    }

    /// Puts together the campaign's lanes with what is open in them, and what is to come.
    async fn lanes(&self, campaign: &CampaignRecord) -> Result<Vec<ForecastLane>> {
        let store = &self.tools.store;
        let sessions = store.campaigns().session_ids(campaign.tenant_id, campaign.id).await?;
        let rows = store.lanes_of_sessions(&sessions).await?;
        let mut rows: HashMap<SessionId, _> = rows.into_iter().map(|row| (row.session_id, row)).collect();
        let rows = sessions.iter().filter_map(|id| rows.remove(id));
        let mut lanes: Vec<_> = rows.map(|row| ForecastLane { row, streams: Vec::new() }).collect();
        let places: HashMap<SessionId, usize> =
            lanes.iter().zip(0..).map(|(lane, at)| (lane.row.session_id, at)).collect();
        for open in store.open_streams_beside(campaign.id).await? {
            if let Some(&at) = places.get(&open.session_id) {
                lanes[at].streams.push(of_open(open));
            }
        }
        let own = Arc::new(campaign.pacing.clone());
        for ((session_id, zone, temperature), n) in self.to_come(campaign).await? {
            if let Some(&at) = places.get(&session_id) {
                add(&mut lanes[at], (campaign.id, &own), (zone, temperature), n);
            }
        }
        // In an order that does not depend on the reads.
        lanes.iter_mut().for_each(|lane| lane.streams.sort_by_key(|stream| (stream.campaign_id, stream.band)));
        Ok(lanes)
    }

    /// Counts the recipients that have no delivery yet, by session and kind: the last ones of the campaign.
    async fn to_come(&self, campaign: &CampaignRecord) -> Result<HashMap<Kind, u64>> {
        let mut counts: HashMap<Kind, u64> = HashMap::new();
        let n = (campaign.n_recipients - campaign.counters.sum()).max(0);
        let (mut next, mut n_read) = (campaign.n_recipients - n, 0_i64);
        while n_read < n.min(FORECAST_RECIPIENTS_MAX) {
            let page = self.tools.store.recipients_to_come(campaign.id, next, EXPAND_RECIPIENTS_MAX).await?;
            let Some(last) = page.last() else { break };
            next = last.seq + 1;
            n_read += i64::try_from(page.len()).map_err(Error::internal("count recipients"))?;
            for recipient in &page {
                let zone = recipient.own_zone.clone().or_else(|| Zone::of_recipient(&recipient.recipient));
                *counts.entry((recipient.session_id, zone, recipient.temperature)).or_default() += 1;
            }
        }
        if 0 < n_read && n_read < n {
            let scaled =
                |count: u64| u128::from(count) * u128::from(n.unsigned_abs()) / u128::from(n_read.unsigned_abs());
            counts.values_mut().for_each(|count| *count = u64::try_from(scaled(*count)).unwrap_or(u64::MAX));
        }
        Ok(counts)
    }

    async fn terms(&self, campaign: &CampaignRecord, lanes: &[ForecastLane]) -> Result<Terms> {
        let now_ms = self.tools.clock.now().as_ms().div_euclid(GRAIN_MS) * GRAIN_MS;
        let streams = lanes.iter().flat_map(|lane| &lane.streams);
        let n = streams.filter(|stream| stream.campaign_id == campaign.id).map(|stream| stream.n).sum();
        let stopped_by = match (campaign.state, &campaign.pause_reason) {
            (CampaignState::Paused, Some(_)) => Some(HeldBy::Guardrail),
            (CampaignState::Paused, None) => Some(HeldBy::CampaignPaused),
            _ => (!campaign.is_readable).then_some(HeldBy::Settings),
        };
        Ok(Terms {
            campaign_id: campaign.id,
            default_pacing: self.default_pacing,
            start: Moment::from_ms(now_ms),
            stopped_by,
            expires_at: campaign.expires_at_ms.map(Moment::from_ms),
            room: self.room(campaign, n, now_ms).await?,
        })
    }

    /// Returns what the plan leaves the campaign, where that is less than its `n` messages.
    async fn room(&self, campaign: &CampaignRecord, n: u64, now_ms: i64) -> Result<Option<Room>> {
        let usage = self.tools.store.usage_of_tenant(campaign.tenant_id, now_ms).await?;
        let Some((allowance, limit)) = usage.and_then(|usage| Some((usage.allowance, usage.allowance.limit?))) else {
            return Ok(None);
        };
        let Usage { used, sending, reserved, waiting, .. } = allowance.usage;
        // What is kept for the campaign itself, or waits for it, is its own.
        let others = (reserved + waiting - campaign.counters.pending).max(0);
        let left = |used: i64| (limit - used - sending - others).max(0).unsigned_abs();
        if n <= left(used) {
            return Ok(None);
        }
        let (mut period, mut later) = (allowance.period, Vec::new());
        while allowance.active_until_ms.is_none() && later.len() < PERIODS_MAX {
            let Some(next) = period.next(period.end_ms) else { break };
            later.push((Moment::from_ms(next.start_ms), left(0)));
            period = next;
        }
        Ok(Some(Room { now: left(used), later, fails: campaign.on_limit == OnLimit::Fail }))
    }
}

fn of_open(open: OpenStream) -> ForecastStream {
    ForecastStream {
        campaign_id: open.campaign_id,
        band: open.band,
        zone: open.zone,
        traffic_class: open.traffic_class,
        n: open.n.unsigned_abs(),
        pacing: open.pacing.map(Arc::new),
    }
}

/// Adds messages to the campaign's stream of their kind.
fn add(
    lane: &mut ForecastLane,
    (campaign_id, pacing): (CampaignId, &Arc<CampaignPacing>),
    (zone, temperature): (Option<Zone>, Temperature),
    n: u64,
) {
    let band = Band::of(zone.as_ref(), temperature);
    let same = |stream: &&mut ForecastStream| (stream.campaign_id, stream.band) == (campaign_id, band);
    if let Some(stream) = lane.streams.iter_mut().find(same) {
        stream.n += n;
        return;
    }
    let (traffic_class, pacing) = (TrafficClass::Bulk, Some(Arc::clone(pacing)));
    lane.streams.push(ForecastStream { campaign_id, band, zone, traffic_class, n, pacing });
}
