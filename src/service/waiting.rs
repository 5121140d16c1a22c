//! Why something is not sent just now: of a message, a campaign and a lane the one constraint that binds.
//!
//! Read only. The rules are those that lanes send by; see [`crate::dispatch::picture`].

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use crate::clock::Moment;
use crate::dispatch::picture::{Picture, Waiting};
use crate::domain::campaign::CampaignState;
use crate::domain::delivery::DeliveryState;
use crate::domain::held_by::HeldBy;
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::pacing::Pacing;
use crate::domain::partition::PartitionNo;
use crate::domain::safeguards::CanaryState;
use crate::error::{Error, Result};
use crate::service::Tools;
use crate::store::fronts::{FrontsOf, StreamFront};
use crate::store::lanes::LaneRow;
use crate::store::messages::DeliveryRecord;

/// Says what waits for what.
#[derive(Debug, Clone)]
pub struct WaitingService {
    tools: Tools,
    default_pacing: Pacing,
    n_partitions: NonZeroU16,
}

/// What a lane waits for.
#[derive(Debug, Clone)]
pub struct LaneWaiting {
    /// What binds; none when nothing waits in it.
    pub held: Option<Waiting>,
    /// Streams with deliveries that wait.
    pub n_streams: usize,
}

impl WaitingService {
    /// Makes the service; sessions are divided into so many partitions.
    #[must_use]
    pub fn new(tools: Tools, default_pacing: Pacing, n_partitions: NonZeroU16) -> Self {
        Self { tools, default_pacing, n_partitions }
    }

    /// Returns what lanes wait for, by session; nothing about sessions that are not there.
    ///
    /// # Errors
    /// `Store` when it could not be read.
    pub async fn of_lanes(&self, sessions: &[SessionId]) -> Result<BTreeMap<SessionId, LaneWaiting>> {
        let now = self.tools.clock.now();
        let fronts = self.tools.store.fronts(FrontsOf::Sessions(sessions)).await?;
        let rows = self.tools.store.lanes_of_sessions(sessions).await?;
        let owned = self.owned().await?;
        let of_lane = |row: &LaneRow| {
            let picture = self.picture(row, &owned, now);
            let own: Vec<_> = fronts.iter().filter(|front| front.session_id == row.session_id).collect();
            let held = own.iter().map(|front| picture.of_stream(front)).reduce(sooner);
            (row.session_id, LaneWaiting { held: held.or_else(|| picture.held()), n_streams: own.len() })
        };
        Ok(rows.iter().map(of_lane).collect())
    }

    /// Returns what a campaign of the tenant waits for; none when nothing of it waits.
    ///
    /// # Errors
    /// `NotFound`; `Store` when it could not be read.
    pub async fn of_campaign(&self, tenant_id: TenantId, id: CampaignId) -> Result<Option<Waiting>> {
        let campaign = self.tools.store.campaigns().find(tenant_id, id).await?.ok_or(Error::NotFound("campaign"))?;
        let without_end = |by| Some(Waiting { by, since: None, until: None });
        match campaign.state {
            CampaignState::Paused if campaign.pause_reason.is_some() => return Ok(without_end(HeldBy::Guardrail)),
            CampaignState::Paused => return Ok(without_end(HeldBy::CampaignPaused)),
            CampaignState::Running => {}
            _ => return Ok(None),
        }
        let now = self.tools.clock.now();
        let fronts = self.tools.store.fronts(FrontsOf::Campaign(tenant_id, id)).await?;
        if fronts.is_empty() {
            let waits = matches!(campaign.canary_state, Some(CanaryState::Sending | CanaryState::Judging))
                && campaign.counters.accepted < campaign.n_recipients;
            return Ok(if waits { without_end(HeldBy::Canary) } else { None });
        }
        let mut sessions: Vec<SessionId> = fronts.iter().map(|front| front.session_id).collect();
        sessions.dedup();
        let rows = self.tools.store.lanes_of_sessions(&sessions).await?;
        let owned = self.owned().await?;
        let pictures: BTreeMap<SessionId, Picture<'_>> =
            rows.iter().map(|row| (row.session_id, self.picture(row, &owned, now))).collect();
        let waiting = |front: &StreamFront| pictures.get(&front.session_id).map(|picture| picture.of_stream(front));
        Ok(fronts.iter().filter_map(waiting).reduce(sooner))
    }

    /// Returns what a message waits for; none when it does not wait, or only for its time.
    ///
    /// # Errors
    /// `Store` when it could not be read.
    pub async fn of_message(&self, message: &DeliveryRecord) -> Result<Option<Waiting>> {
        if message.state != DeliveryState::Pending || message.scheduled_at_ms.is_some() {
            return Ok(None);
        }
        let session_id = message.session_id;
        let fronts = self.tools.store.fronts(FrontsOf::Sessions(&[session_id])).await?;
        let rows = self.tools.store.lanes_of_sessions(&[session_id]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let now = self.tools.clock.now();
        let picture = self.picture(row, &self.owned().await?, now);
        let campaign_id = message.campaign_id;
        let own = fronts.iter().filter(|front| front.campaign_id == campaign_id);
        let waits = own.clone().find(|front| front.delivery_id == message.id);
        if let Some(front) = waits {
            return Ok(Some(picture.of_stream(front)));
        }
        // Others of its campaign go first; what holds them holds it, and if nothing does, it is their turn.
        let of_campaign = own.map(|front| picture.of_stream(front)).reduce(sooner);
        let is_turn = |waiting: &Waiting| waiting.until.is_some_and(|until| until <= now) || waiting.by == HeldBy::Pace;
        let turn = Waiting { by: HeldBy::Turn, since: None, until: None };
        Ok(Some(of_campaign.filter(|waiting| !is_turn(waiting)).or_else(|| picture.held()).unwrap_or(turn)))
    }

    fn picture<'a>(&self, row: &'a LaneRow, owned: &[PartitionNo], now: Moment) -> Picture<'a> {
        let is_owned = owned.contains(&PartitionNo::of(row.session_id, self.n_partitions));
        Picture::new(row, self.default_pacing, is_owned, now)
    }

    /// Returns the partitions whose lease holds.
    async fn owned(&self) -> Result<Vec<PartitionNo>> {
        let rows = self.tools.store.partitions().await?;
        let owned = rows.iter().filter(|row| row.owner_name.is_some() && 0 < row.lease_left_ms);
        Ok(owned.map(|row| row.partition).collect())
    }
}

/// Of two waits the one that ends first.
fn sooner(a: Waiting, b: Waiting) -> Waiting {
    match (a.until, b.until) {
        (Some(own), Some(other)) if other < own => b,
        (None, Some(_)) => b,
        _ => a,
    }
}
