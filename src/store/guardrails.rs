//! Campaigns that judge themselves: what was counted of them, and what came of the judgement.
//!
//! What is too much is the domain's. A verdict names the state that it was made of.

use serde_json::json;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::campaign::CampaignState;
use crate::domain::failure::Reason;
use crate::domain::id::{CampaignId, TenantId};
use crate::domain::safeguards::{CanaryStanding, CanaryState, Guardrails, Sample, Standing};
use crate::store::audit::{Actor, Deed};
use crate::store::campaign_moves::Move;
use crate::store::campaigns::Campaigns;
use crate::store::tx::{Tx, with_tx};
use crate::store::webhook_feed::CampaignTold;
use crate::store::{Sql, StoreError};
use crate::with_reader;

/// A running campaign with what it is judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its counts and its budget; none when they can not be read, because a newer version has written more than this one
    /// knows. Then it can not be judged, and no other one is concerned.
    pub standing: Option<Standing>,
}

/// What was counted of a campaign by now; `$1` is the word of recipients who were passed over because they have opted
/// out. Who opts out after a message of the campaign counts as well.
macro_rules! counted {
    () => {
        "k.sent + k.delivered + k.read AS accepted, k.sent AS still_sent, k.failed_limit + k.failed_unavailable AS failed, \
         k.unknown, k.accepted AS n_admitted, k.pending + k.sending AS n_open, \
         COALESCE((SELECT r.n FROM campaign_reasons r WHERE r.campaign_id = k.campaign_id AND r.reason = $1), 0) \
             + COALESCE((SELECT t.n FROM campaign_stops t WHERE t.campaign_id = k.campaign_id), 0) AS opted_out, \
         COALESCE((SELECT CAST(SUM(n.n) AS BIGINT) FROM campaign_sessions cs JOIN no_receipts n \
                       ON n.session_id = cs.session_id AND n.campaign_id = cs.campaign_id \
                   WHERE cs.campaign_id = k.campaign_id), 0) AS no_receipt "
    };
}

/// The first condition is that of the index on what is open, which SQLite knows by its words.
const JUDGED: Sql = Sql::portable(concat!(
    "SELECT c.campaign_id, c.tenant_id, c.guardrails, c.sample_from, c.canary_below_seq, c.canary_settled_at_ms, ",
    counted!(),
    "FROM campaigns c JOIN campaign_counters k ON k.campaign_id = c.campaign_id \
     WHERE c.state IN ('running', 'paused') AND c.state = 'running' AND (c.guardrails IS NOT NULL OR c.canary_below_seq IS NOT NULL) ORDER BY c.campaign_id"
));
const COUNTED: Sql = Sql::portable(concat!("SELECT ", counted!(), "FROM campaign_counters k WHERE k.campaign_id = $2"));
const PAUSE: Sql = Sql::portable(
    "UPDATE campaigns SET state = 'paused', pause_reason = $2, \
         canary_state = CASE WHEN canary_below_seq IS NULL THEN canary_state ELSE 'failed' END \
     WHERE campaign_id = $1 AND state = 'running'",
);
const CANARY_TO: Sql = Sql::portable(
    "UPDATE campaigns SET canary_state = $2, canary_settled_at_ms = $3 \
     WHERE campaign_id = $1 AND state = 'running' AND canary_below_seq IS NOT NULL",
);
const PASS: Sql = Sql::portable(
    "UPDATE campaigns SET canary_state = 'passed', canary_below_seq = NULL \
     WHERE campaign_id = $1 AND state = 'running' AND canary_below_seq IS NOT NULL",
);
/// A person who lets a campaign go on that paused itself takes the first recipients as they are.
const BEGIN_SAMPLE: Sql = Sql::portable(
    "UPDATE campaigns SET sample_from = $2, pause_reason = NULL, \
         canary_state = CASE WHEN canary_below_seq IS NULL THEN canary_state ELSE 'passed' END, \
         canary_below_seq = NULL \
     WHERE campaign_id = $1 AND pause_reason IS NOT NULL",
);

const DOING_READ: &str = "read campaigns with guardrails";
const DOING_WRITE: &str = "note the judgement on a campaign";
const DOING_RESUME: &str = "let a campaign go on";

#[derive(FromRow)]
struct Counted {
    accepted: i64,
    still_sent: i64,
    failed: i64,
    unknown: i64,
    n_admitted: i64,
    n_open: i64,
    opted_out: i64,
    no_receipt: i64,
}

impl Counted {
    fn sample(&self) -> Sample {
        Sample {
            accepted: self.accepted,
            still_sent: self.still_sent,
            failed: self.failed,
            unknown: self.unknown,
            opted_out: self.opted_out,
            no_receipt: self.no_receipt,
        }
    }
}

#[derive(FromRow)]
struct StoredJudged {
    campaign_id: Uuid,
    tenant_id: Uuid,
    guardrails: Option<String>,
    sample_from: Option<String>,
    canary_below_seq: Option<i64>,
    canary_settled_at_ms: Option<i64>,
    #[sqlx(flatten)]
    counted: Counted,
}

impl StoredJudged {
    fn standing(&self) -> Result<Standing, serde_json::Error> {
        let guardrails: Option<Guardrails> = self.guardrails.as_deref().map(serde_json::from_str).transpose()?;
        let from: Option<Sample> = self.sample_from.as_deref().map(serde_json::from_str).transpose()?;
        let counted = &self.counted;
        let canary = self.canary_below_seq.map(|below| CanaryStanding {
            is_settled: below <= counted.n_admitted && counted.n_open == 0,
            settled_at_ms: self.canary_settled_at_ms,
        });
        Ok(Standing {
            guardrails: guardrails.unwrap_or_default(),
            sample: counted.sample().since(&from.unwrap_or_default()),
            canary,
        })
    }
}

impl From<StoredJudged> for Judged {
    fn from(row: StoredJudged) -> Self {
        let standing = row.standing().ok();
        Self { campaign_id: CampaignId(row.campaign_id), tenant_id: TenantId(row.tenant_id), standing }
    }
}

impl Campaigns<'_> {
    /// Lists the running campaigns that have a budget, or a canary that is not over; of all tenants.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn judged(&self) -> Result<Vec<Judged>, StoreError> {
        let sql = JUDGED.of(self.store.pool());
        let rows = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredJudged>(sql).bind(Reason::RecipientOptedOut.as_str()).fetch_all(db).await
        });
        Ok(rows.map_err(StoreError::database(DOING_READ))?.into_iter().map(Judged::from).collect())
    }

    /// Pauses a running campaign in its own name; `false` if it does not run any more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn pause_itself(&self, judged: &Judged, reason: &str, now_ms: i64) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_WRITE).await?;
        let sql = PAUSE.of(self.store.pool());
        let n = with_tx!(&mut tx, |db| {
            let done = sqlx::query(sql).bind(judged.campaign_id.0).bind(reason).execute(db).await;
            done.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(DOING_WRITE))?;
        if n == 0 {
            return Ok(false);
        }
        let deed = Deed {
            action: "campaign.paused".to_owned(),
            subject: judged.campaign_id.to_string(),
            tenant_id: Some(judged.tenant_id),
            details: json!({ "reason": reason, "sample": judged.standing.map(|standing| standing.sample) }),
        };
        tx.write_deed(&Actor::SYSTEM, &deed, now_ms, DOING_WRITE).await?;
        let told = CampaignTold {
            tenant_id: judged.tenant_id,
            campaign_id: judged.campaign_id,
            from: CampaignState::Running,
            to: CampaignState::Paused,
            reason: Some(reason),
            at_ms: now_ms,
        };
        tx.tell_campaign(told, DOING_WRITE).await?;
        self.store.commit_moves(tx, DOING_WRITE).await?;
        Ok(true)
    }

    /// Notes that the first recipients are settled since a time, or that some are to be written to again.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn settle_canary(&self, id: CampaignId, settled_at_ms: Option<i64>) -> Result<(), StoreError> {
        let to = if settled_at_ms.is_some() { CanaryState::Judging } else { CanaryState::Sending };
        let sql = CANARY_TO.of(self.store.pool());
        let mut tx = self.store.begin_write(DOING_WRITE).await?;
        with_tx!(&mut tx, |db| {
            sqlx::query(sql).bind(id.0).bind(to.as_str()).bind(settled_at_ms).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_WRITE))?;
        tx.commit(DOING_WRITE).await
    }

    /// Lets the other recipients follow the first; `false` if that was done before or it does not run any more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn pass_canary(&self, id: CampaignId) -> Result<bool, StoreError> {
        let sql = PASS.of(self.store.pool());
        let mut tx = self.store.begin_write(DOING_WRITE).await?;
        let n = with_tx!(&mut tx, |db| sqlx::query(sql).bind(id.0).execute(db).await.map(|done| done.rows_affected()))
            .map_err(StoreError::database(DOING_WRITE))?;
        tx.commit(DOING_WRITE).await?;
        Ok(0 < n)
    }

    /// Lets a paused campaign go on; one that had paused itself begins a new sample. `false` if it was not in `from`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn transition_into_running(
        &self,
        tenant_id: TenantId,
        id: CampaignId,
        step: Move,
    ) -> Result<bool, StoreError> {
        debug_assert_eq!(step.to, CampaignState::Running, "only for campaigns that go on");
        let mut tx = self.store.begin_write(DOING_RESUME).await?;
        if !self.apply(tenant_id, id, step, &mut tx).await? {
            return Ok(false);
        }
        tx.begin_sample(id).await.map_err(StoreError::database(DOING_RESUME))?;
        self.store.commit_moves(tx, DOING_RESUME).await?;
        Ok(true)
    }
}

impl Tx {
    async fn begin_sample(&mut self, id: CampaignId) -> Result<(), sqlx::Error> {
        let (count, begin) = (COUNTED.postgres(), BEGIN_SAMPLE.postgres());
        with_tx!(self, |db| async {
            let query = sqlx::query_as::<_, Counted>(count).bind(Reason::RecipientOptedOut.as_str()).bind(id.0);
            let sample = query.fetch_optional(&mut *db).await?.map(|counted| counted.sample()).unwrap_or_default();
            sqlx::query(begin).bind(id.0).bind(json!(sample).to_string()).execute(db).await.map(drop)
        }
        .await)
    }
}
