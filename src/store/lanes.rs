//! What dispatch needs to build its lanes: sessions with pacing and limiter state, and streams.
//!
//! Read only; the journal writes limiter states and places in streams.

use crate::domain::campaign::CampaignState;
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::job::TrafficClass;
use crate::domain::pacing::Pacing;
use crate::domain::session::SessionState;
use crate::store::{Store, StoreError};

/// A lane as it was last saved.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneRow {
    /// The session.
    pub session_id: SessionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where the session stands.
    pub state: SessionState,
    /// The provider's name of the sending number.
    pub phone_number_id: Option<String>,
    /// Sends per minute, when the session has its own.
    pub rate_per_minute: Option<f64>,
    /// Sends at once after a rest, when the session has its own.
    pub burst: Option<u32>,
    /// Theoretical arrival time, UTC microseconds; none before the first send.
    pub tat_us: Option<i64>,
}

/// A campaign that has, or had, work in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRow {
    /// The lane.
    pub session_id: SessionId,
    /// The campaign; [`CampaignId::DIRECT`] for single messages.
    pub campaign_id: CampaignId,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// Every delivery below it is settled.
    pub done_below_seq: i64,
    /// Where the campaign stands; none when it is not in our tables.
    pub campaign_state: Option<CampaignState>,
}

impl Store {
    /// Returns a lane per session, of all tenants, in order of session.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn lanes(&self) -> Result<Vec<LaneRow>, StoreError> {
        todo!()
    }

    /// Returns the lane of one session, `None` when there is no such session.
    ///
    /// # Errors
    /// As [`Store::lanes`].
    pub async fn lane(&self, session_id: SessionId) -> Result<Option<LaneRow>, StoreError> {
        todo!("{session_id}")
    }

    /// Returns the streams that may still have work: of running and paused campaigns, of campaigns
    /// that are not in our tables, and of single messages.
    ///
    /// # Errors
    /// As [`Store::lanes`].
    pub async fn streams(&self) -> Result<Vec<StreamRow>, StoreError> {
        todo!()
    }

    /// Returns all streams of one campaign, whatever its state.
    ///
    /// # Errors
    /// As [`Store::lanes`].
    pub async fn streams_of_campaign(&self, campaign_id: CampaignId) -> Result<Vec<StreamRow>, StoreError> {
        todo!("{campaign_id}")
    }
}

impl LaneRow {
    /// Returns the session's own pacing, or the default where it has none.
    #[must_use]
    pub fn pacing(&self, default: Pacing) -> Pacing {
        let own = self.rate_per_minute.map(|rate| Pacing::new(rate, self.burst.unwrap_or(default.burst().get())));
        own.and_then(Result::ok).unwrap_or(default)
    }
}
