//! What is open: campaigns that may finish, and the streams of one session.
//!
//! Read by the daemon on a beat and when a notice came; small tables only.

use std::collections::HashSet;

use sqlx::Row;

use crate::domain::campaign::CampaignState;
use crate::domain::id::{CampaignId, SessionId};
use crate::domain::job::TrafficClass;
use crate::store::lanes::StreamRow;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

const OPEN: Sql = Sql::portable("SELECT campaign_id FROM campaigns WHERE state IN ('running', 'paused')");

const STATE: Sql = Sql::portable("SELECT state FROM campaigns WHERE campaign_id = $1");

/// The counters tell first, at no cost, whether there is anything to look for.
const IN_FLIGHT: Sql = Sql::portable(
    "SELECT DISTINCT session_id FROM deliveries
     WHERE state = 'sending' AND EXISTS (SELECT 1 FROM campaign_counters WHERE sending <> 0)",
);

const STREAMS: Sql = Sql::portable(
    "SELECT s.campaign_id, s.traffic_class, s.done_below_seq, c.state
     FROM lane_streams s LEFT JOIN campaigns c ON c.campaign_id = s.campaign_id
     WHERE s.session_id = $1 AND (c.state IS NULL OR c.state IN ('running', 'paused'))",
);

impl Store {
    /// Returns the campaigns that run or are paused.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn open_campaigns(&self) -> Result<Vec<CampaignId>, StoreError> {
        let sql = OPEN.of(self.pool());
        with_reader!(self.pool(), |db| sqlx::query_scalar::<_, uuid::Uuid>(sql).fetch_all(db).await)
            .map(|ids| ids.into_iter().map(CampaignId).collect())
            .map_err(StoreError::database("list the open campaigns"))
    }

    /// Returns the sessions with attempts under way; before this process made any, those that an
    /// earlier one left behind.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn sessions_in_flight(&self) -> Result<HashSet<SessionId>, StoreError> {
        let sql = IN_FLIGHT.of(self.pool());
        with_reader!(self.pool(), |db| sqlx::query_scalar::<_, uuid::Uuid>(sql).fetch_all(db).await)
            .map(|ids| ids.into_iter().map(SessionId).collect())
            .map_err(StoreError::database("find attempts under way"))
    }

    /// Returns where a campaign stands, for the daemon, whosever it is.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] for an unknown word.
    pub async fn campaign_state(&self, campaign_id: CampaignId) -> Result<Option<CampaignState>, StoreError> {
        let sql = STATE.of(self.pool());
        let word = with_reader!(self.pool(), |db| {
            sqlx::query_scalar::<_, String>(sql).bind(campaign_id.0).fetch_optional(db).await
        })
        .map_err(StoreError::database("read the state of a campaign"))?;
        word.map(|word| parse_state(&word, campaign_id)).transpose()
    }

    /// Returns the streams of one session that may still have work.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] for an unknown word.
    pub async fn streams_of_session(&self, session_id: SessionId) -> Result<Vec<StreamRow>, StoreError> {
        let sql = STREAMS.of(self.pool());
        let rows: Vec<(uuid::Uuid, String, i64, Option<String>)> = with_reader!(self.pool(), |db| {
            sqlx::query(sql).bind(session_id.0).fetch_all(db).await.and_then(|rows| {
                rows.iter()
                    .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))
                    .collect()
            })
        })
        .map_err(StoreError::database("list the streams of a session"))?;
        rows.into_iter()
            .map(|(campaign_id, class, done_below_seq, state)| {
                let campaign_id = CampaignId(campaign_id);
                let corrupt = || StoreError::Corrupt {
                    table: "lane_streams",
                    column: "traffic_class",
                    row: format!("{session_id}, {campaign_id}"),
                };
                Ok(StreamRow {
                    session_id,
                    campaign_id,
                    traffic_class: TrafficClass::parse(&class).ok_or_else(corrupt)?,
                    done_below_seq,
                    campaign_state: state.map(|word| parse_state(&word, campaign_id)).transpose()?,
                })
            })
            .collect()
    }
}

fn parse_state(word: &str, campaign_id: CampaignId) -> Result<CampaignState, StoreError> {
    CampaignState::parse(word).ok_or_else(|| StoreError::Corrupt {
        table: "campaigns",
        column: "state",
        row: campaign_id.to_string(),
    })
}
