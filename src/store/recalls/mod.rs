//! What a person asks of a campaign's deliveries that came to an end, done step by step.
//!
//! A recall is a row, with a row for each stream that is still to be looked at and how far that has come; a step
//! moves deliveries and its own place in one transaction. So a step that is lost is taken again, and one that was
//! taken is not repeated: what goes back in line gets a place behind the end that the stream had when it was asked.
//!
//! Its rows are waited for before all others; see [`crate::store::tx`].

use serde_json::json;
use uuid::Uuid;

use crate::domain::campaign::{CampaignEvent, CampaignState, Refused};
use crate::domain::failure::Reason;
use crate::domain::id::{CampaignId, TenantId, UserId};
use crate::domain::recall::RecallKind;
use crate::store::audit::{Actor, Deed};
use crate::store::tx::{Tx, with_tx};
use crate::store::webhook_feed::CampaignTold;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

mod step;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecall {
    /// Whose campaign it is.
    pub tenant_id: TenantId,
    /// Which campaign.
    pub campaign_id: CampaignId,
    /// What becomes of its deliveries.
    pub kind: RecallKind,
    /// Only those that failed for one of these reasons; of no consequence to unknown ones.
    pub reasons: Vec<Reason>,
    /// Who asks.
    pub user_id: UserId,
    /// The name of the request.
    pub request_id: Option<String>,
    /// When, UTC milliseconds.
    pub at_ms: i64,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is to be done, step by step.
    Begun,
    /// No delivery is concerned.
    Nothing,
    /// Another one of this campaign is not done yet.
    Busy,
    /// There is no such campaign.
    NotFound,
    /// The campaign's state does not allow it.
    Refused(Refused),
}

/// How far a recall has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Deliveries moved so far.
    pub n_moved: i64,
    /// Nothing is left to do.
    pub is_done: bool,
}

const HOLD_CAMPAIGN: Sql = Sql::per_dialect(
    "SELECT state FROM campaigns WHERE campaign_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL FOR NO KEY UPDATE",
    "SELECT state FROM campaigns WHERE campaign_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL",
);
const REOPEN: Sql = Sql::portable("UPDATE campaigns SET state = $2, finished_at_ms = NULL WHERE campaign_id = $1");
const COUNT_UNKNOWN: Sql = Sql::portable("SELECT unknown FROM campaign_counters WHERE campaign_id = $1");
const COUNT_REASONS: Sql = Sql::portable("SELECT reason, n FROM campaign_reasons WHERE campaign_id = $1");
const INSERT: Sql = Sql::portable(
    "INSERT INTO recalls (campaign_id, recall_id, kind, reasons, actor_id, request_id, asked_at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (campaign_id) DO NOTHING",
);
const INSERT_STREAMS: Sql = Sql::portable(
    "INSERT INTO recall_streams (campaign_id, session_id, band, after_seq, last_seq) \
     SELECT s.campaign_id, s.session_id, s.band, -1, s.last_seq FROM campaign_sessions cs \
     JOIN lane_streams s ON s.session_id = cs.session_id AND s.campaign_id = cs.campaign_id \
     WHERE cs.campaign_id = $1",
);
const OPEN: Sql = Sql::portable("SELECT campaign_id FROM recalls WHERE asked_at_ms < $1 ORDER BY asked_at_ms");
const DOING_ASK: &str = "ask for deliveries to be moved";
const DOING_OPEN: &str = "find what people asked for";

impl Store {
    /// Notes what is asked, to be done by [`Store::step_recall`]; a completed campaign runs again where deliveries go
    /// back in line.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn ask_recall(&self, new: &NewRecall) -> Result<Asked, StoreError> {
        let mut tx = self.begin_write(DOING_ASK).await?;
        let sql = HOLD_CAMPAIGN.of(self.pool());
        let word = with_tx!(&mut tx, |db| {
            let query = sqlx::query_scalar::<_, String>(sql).bind(new.campaign_id.0).bind(new.tenant_id.0);
            query.fetch_optional(db).await
        })
        .map_err(StoreError::database(DOING_ASK))?;
        let Some(word) = word else { return Ok(Asked::NotFound) };
        let state =
            CampaignState::parse(&word).ok_or_else(|| StoreError::corrupt("campaigns", "state", new.campaign_id))?;
        let next = if new.kind.puts_back() { state.apply(CampaignEvent::Reopened) } else { Ok(state) };
        let next = match next {
            Ok(next) => next,
            Err(refused) => return Ok(Asked::Refused(refused)),
        };
        if !tx.concerns_any(new).await.map_err(StoreError::database(DOING_ASK))? {
            return Ok(Asked::Nothing);
        }
        if !tx.insert_recall(new).await.map_err(StoreError::database(DOING_ASK))? {
            return Ok(Asked::Busy);
        }
        if next != state {
            let (tenant_id, campaign_id, at_ms) = (new.tenant_id, new.campaign_id, new.at_ms);
            let told = CampaignTold { tenant_id, campaign_id, from: state, to: next, reason: None, at_ms };
            tx.write_reopened(told, DOING_ASK).await?;
        }
        let actor = Actor { request_id: new.request_id.clone(), ..Actor::user(new.user_id) };
        let reasons = new.reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>();
        let deed = deed_of(new.kind, "asked", new.campaign_id, (new.tenant_id, json!({ "reasons": reasons })));
        tx.write_deed(&actor, &deed, new.at_ms, DOING_ASK).await?;
        self.commit_moves(tx, DOING_ASK).await?;
        Ok(Asked::Begun)
    }

    /// Lists campaigns of which something was asked before a time and is not done.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn open_recalls(&self, asked_before_ms: i64) -> Result<Vec<CampaignId>, StoreError> {
        let sql = OPEN.of(self.pool());
        let ids = with_reader!(self.pool(), |db| {
            sqlx::query_scalar::<_, Uuid>(sql).bind(asked_before_ms).fetch_all(db).await
        });
        Ok(ids.map_err(StoreError::database(DOING_OPEN))?.into_iter().map(CampaignId).collect())
    }
}

fn deed_of(
    kind: RecallKind,
    what: &str,
    campaign_id: CampaignId,
    (tenant_id, details): (TenantId, serde_json::Value),
) -> Deed {
    let action = format!("campaign.{}.{what}", kind.as_str());
    Deed { action, subject: campaign_id.to_string(), tenant_id: Some(tenant_id), details }
}

impl Tx {
    /// Writes down that a completed campaign runs again, and tells it; its row must be held.
    pub(super) async fn write_reopened(
        &mut self,
        told: CampaignTold<'_>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let sql = REOPEN.postgres();
        let (id, state) = (told.campaign_id.0, told.to.as_str());
        with_tx!(&mut *self, |db| sqlx::query(sql).bind(id).bind(state).execute(db).await.map(drop))
            .map_err(StoreError::database(doing))?;
        self.tell_campaign(told, doing).await
    }

    /// Tells whether the campaign has any delivery that is asked for.
    async fn concerns_any(&mut self, new: &NewRecall) -> Result<bool, sqlx::Error> {
        let id = new.campaign_id.0;
        if new.kind != RecallKind::RetryFailed {
            let sql = COUNT_UNKNOWN.postgres();
            let n = with_tx!(self, |db| sqlx::query_scalar::<_, i64>(sql).bind(id).fetch_optional(db).await)?;
            return Ok(n.is_some_and(|n| 0 < n));
        }
        let sql = COUNT_REASONS.postgres();
        let rows = with_tx!(self, |db| sqlx::query_as::<_, (String, i64)>(sql).bind(id).fetch_all(db).await)?;
        Ok(rows.iter().any(|(word, n)| 0 < *n && new.reasons.iter().any(|reason| reason.as_str() == word)))
    }

    /// Writes down what is asked and where to look; `false` when something is being done already.
    async fn insert_recall(&mut self, new: &NewRecall) -> Result<bool, sqlx::Error> {
        let words: Vec<&str> = new.reasons.iter().map(|reason| reason.as_str()).collect();
        let reasons = (new.kind == RecallKind::RetryFailed).then(|| json!(words).to_string());
        let (insert, streams) = (INSERT.postgres(), INSERT_STREAMS.postgres());
        with_tx!(self, |db| async {
            let query = sqlx::query(insert)
                .bind(new.campaign_id.0)
                .bind(Uuid::now_v7())
                .bind(new.kind.as_str())
                .bind(reasons)
                .bind(new.user_id.0)
                .bind(&new.request_id)
                .bind(new.at_ms);
            if query.execute(&mut *db).await?.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query(streams).bind(new.campaign_id.0).execute(db).await.map(|_| true)
        }
        .await)
    }
}
