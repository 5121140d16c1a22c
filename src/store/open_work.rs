//! What is open: campaigns that may finish, and where one stands.
//!
//! Read by the daemon on a beat and when a notice came; small tables only.

use crate::domain::campaign::CampaignState;
use crate::domain::id::CampaignId;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

const OPEN: Sql = Sql::portable("SELECT campaign_id FROM campaigns WHERE state IN ('running', 'paused')");

const STATE: Sql = Sql::portable("SELECT state FROM campaigns WHERE campaign_id = $1");

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
}

fn parse_state(word: &str, campaign_id: CampaignId) -> Result<CampaignState, StoreError> {
    CampaignState::parse(word).ok_or_else(|| StoreError::Corrupt {
        table: "campaigns",
        column: "state",
        row: campaign_id.to_string(),
    })
}
