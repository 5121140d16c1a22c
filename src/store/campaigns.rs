//! Campaigns: their settings, their sessions, their counters.
//!
//! Recipients are [`crate::store::campaign_recipients`], moves [`crate::store::campaign_moves`]; the
//! counters are moved by the journal and only read here.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::campaign::{CampaignState, Counters, OnUnknown, PassOver};
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::message::MessageSpec;
use crate::domain::pacing::CampaignPacing;
use crate::domain::plan::{Meter, OnLimit};
use crate::domain::safeguards::{CanaryState, Safeguards};
use crate::domain::session::SessionState;
use crate::store::bind::{hex_list, to_i32, to_u32, written};
use crate::store::campaign_recipients::{Appended, NewRecipient, as_count, insert_all};
use crate::store::column::{RowPlace, settings};
use crate::store::counters::CountersRow;
use crate::store::page::{Page, PageRequest};
use crate::store::plan_usage::PlanRefusal;
use crate::store::tx::with_tx;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

macro_rules! select {
    ($rest:literal) => {
        Sql::portable(concat!(
            "SELECT c.campaign_id, c.tenant_id, c.name, c.state, c.message, c.on_unknown, c.on_limit, c.n_recipients, ",
            "c.pacing, c.expires_at_ms, c.created_at_ms, c.started_at_ms, c.finished_at_ms, ",
            "c.failover, c.canary, c.guardrails, c.canary_state, c.pause_reason, c.respect_opt_in, ",
            "c.skip_duplicates_hours, c.scheduled_at_ms, c.time_zone, c.schedule_problem, c.revision, ",
            "COALESCE(k.accepted, 0) AS accepted, COALESCE(k.pending, 0) AS pending, ",
            "COALESCE(k.sending, 0) AS sending, COALESCE(k.sent, 0) AS sent, ",
            "COALESCE(k.delivered, 0) AS delivered, COALESCE(k.read, 0) AS read, ",
            "COALESCE(k.failed_limit, 0) AS failed_limit, COALESCE(k.failed_unavailable, 0) AS failed_unavailable, ",
            "COALESCE(k.skipped, 0) AS skipped, COALESCE(k.cancelled, 0) AS cancelled, ",
            "COALESCE(k.unknown, 0) AS unknown ",
            "FROM campaigns c LEFT JOIN campaign_counters k ON k.campaign_id = c.campaign_id ",
            $rest
        ))
    };
}

const FIND: Sql = select!("WHERE c.campaign_id = $1 AND c.tenant_id = $2 AND c.deleted_at_ms IS NULL");
const LIST: Sql = select!(
    "WHERE c.tenant_id = $1 AND c.deleted_at_ms IS NULL AND (CAST($2 AS TEXT) IS NULL OR c.state = $2) \
     ORDER BY c.campaign_id DESC LIMIT $3 OFFSET $4"
);
const COUNT: Sql = Sql::portable(
    "SELECT COUNT(*) FROM campaigns \
     WHERE tenant_id = $1 AND deleted_at_ms IS NULL AND (CAST($2 AS TEXT) IS NULL OR state = $2)",
);
const SESSIONS: Sql = Sql::portable(
    "SELECT s.session_id FROM campaign_sessions s JOIN campaigns c ON c.campaign_id = s.campaign_id \
     WHERE s.campaign_id = $1 AND c.tenant_id = $2 AND c.deleted_at_ms IS NULL ORDER BY s.ordinal",
);
const SESSION_STATES: Sql = Sql::portable(
    "SELECT DISTINCT s.state FROM campaign_sessions cs JOIN sessions s ON s.session_id = cs.session_id \
     WHERE cs.campaign_id = $1 AND s.tenant_id = $2",
);
const INSERT: Sql = Sql::portable(
    "INSERT INTO campaigns (campaign_id, tenant_id, name, state, message, on_unknown, on_limit, n_recipients, \
     expires_at_ms, created_at_ms, pacing, failover, canary, guardrails, respect_opt_in, skip_duplicates_hours) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11, $12, $13, $14, $15)",
);
const SET_COUNT: Sql =
    Sql::portable("UPDATE campaigns SET n_recipients = $3 WHERE campaign_id = $1 AND tenant_id = $2");
pub(super) const INSERT_SESSIONS: Sql = Sql::per_dialect(
    "INSERT INTO campaign_sessions (campaign_id, ordinal, session_id) \
     SELECT $1, given.place - 1, CAST(given.id AS UUID) \
     FROM json_array_elements_text(CAST($2 AS JSON)) WITH ORDINALITY AS given (id, place)",
    "INSERT INTO campaign_sessions (campaign_id, ordinal, session_id) \
     SELECT $1, given.key, unhex(given.value) FROM json_each($2) AS given",
);

/// A campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignRecord {
    /// The campaign.
    pub id: CampaignId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub state: CampaignState,
    /// What is sent.
    pub message: MessageSpec,
    /// What becomes of deliveries without an answer.
    pub on_unknown: OnUnknown,
    /// What becomes of deliveries for which the plan has no message left.
    pub on_limit: OnLimit,
    /// Whether its pace and safeguards can be read: a newer version may have written more than this one knows. Those that
    /// can not be read are left out.
    pub is_readable: bool,
    /// Its own pace, slower than that of its sessions.
    pub pacing: CampaignPacing,
    /// Recipients in its snapshot.
    pub n_recipients: i64,
    /// Deliveries not sent by then are skipped, UTC milliseconds.
    pub expires_at_ms: Option<i64>,
    /// When it was made, UTC milliseconds.
    pub created_at_ms: i64,
    /// When it was started, UTC milliseconds.
    pub started_at_ms: Option<i64>,
    /// When it was completed, cancelled or failed, UTC milliseconds.
    pub finished_at_ms: Option<i64>,
    /// When it starts, or was to start, by itself.
    pub schedule: Option<Schedule>,
    /// Why it did not start at its time.
    pub schedule_problem: Option<String>,
    /// Grows with every change of its settings.
    pub revision: i64,
    /// What keeps it from doing harm.
    pub safeguards: Safeguards,
    /// Whom it passes over at the moment of sending.
    pub pass_over: PassOver,
    /// Where its canary stands, once it has started with one.
    pub canary_state: Option<CanaryState>,
    /// Why it paused itself; none when it did not.
    pub pause_reason: Option<String>,
    /// Its deliveries by state.
    pub counters: Counters,
}

/// When a campaign starts by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// The zone in which people think of it, as they wrote it.
    pub time_zone: Option<String>,
}

/// The campaigns in the database.
#[derive(Debug, Clone, Copy)]
pub struct Campaigns<'a> {
    pub(super) store: &'a Store,
}

impl Store {
    /// Returns the campaigns.
    #[must_use]
    pub fn campaigns(&self) -> Campaigns<'_> {
        Campaigns { store: self }
    }
}

impl Campaigns<'_> {
    /// Lists a page of the tenant's campaigns, newest first; `state` narrows it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn list(
        &self,
        tenant_id: TenantId,
        state: Option<CampaignState>,
        page: PageRequest,
    ) -> Result<Page<CampaignRecord>, StoreError> {
        let doing = "list campaigns";
        let state = state.map(CampaignState::as_str);
        let total: i64 = with_reader!(self.store.pool(), |db| {
            sqlx::query_scalar(COUNT.of(self.store.pool())).bind(tenant_id.0).bind(state).fetch_one(db).await
        })
        .map_err(StoreError::database(doing))?;
        let rows = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, CampaignRow>(LIST.of(self.store.pool()))
                .bind(tenant_id.0)
                .bind(state)
                .bind(i64::from(page.limit()))
                .bind(page.offset())
                .fetch_all(db)
                .await
        })
        .map_err(StoreError::database(doing))?;
        let items = rows.into_iter().map(CampaignRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Finds a campaign of the tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, tenant_id: TenantId, id: CampaignId) -> Result<Option<CampaignRecord>, StoreError> {
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, CampaignRow>(FIND.of(self.store.pool()))
                .bind(id.0)
                .bind(tenant_id.0)
                .fetch_optional(db)
                .await
        });
        let row = row.map_err(StoreError::database("find a campaign"))?;
        row.map(CampaignRecord::try_from).transpose()
    }

    /// Lists the sessions that send a campaign, in their order; empty if it is not the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn session_ids(&self, tenant_id: TenantId, id: CampaignId) -> Result<Vec<SessionId>, StoreError> {
        let ids: Result<Vec<Uuid>, _> = with_reader!(self.store.pool(), |db| {
            sqlx::query_scalar(SESSIONS.of(self.store.pool())).bind(id.0).bind(tenant_id.0).fetch_all(db).await
        });
        let ids = ids.map_err(StoreError::database("list the sessions of a campaign"))?;
        Ok(ids.into_iter().map(SessionId).collect())
    }

    /// Lists the states that the sessions of a campaign are in, each once.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn session_states(&self, tenant_id: TenantId, id: CampaignId) -> Result<Vec<SessionState>, StoreError> {
        let words: Result<Vec<String>, _> = with_reader!(self.store.pool(), |db| {
            sqlx::query_scalar(SESSION_STATES.of(self.store.pool())).bind(id.0).bind(tenant_id.0).fetch_all(db).await
        });
        let words = words.map_err(StoreError::database("read the states of a campaign's sessions"))?;
        let place = RowPlace { table: "sessions", key: format_args!("campaign {id}").to_string() };
        words.iter().map(|word| place.known("state", SessionState::parse(word))).collect()
    }

    /// Adds a draft with its sessions and first recipients, all or nothing, unless the tenant's plan refuses it; the
    /// record's own counts are not read.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn insert(
        &self,
        campaign: &CampaignRecord,
        session_ids: &[SessionId],
        recipients: &[NewRecipient],
    ) -> Result<Result<Appended, PlanRefusal>, StoreError> {
        let doing = "add a campaign";
        let message = serde_json::to_string(&campaign.message).map_err(|error| sqlx::Error::Encode(error.into()));
        let message = message.map_err(StoreError::database(doing))?;
        let pacing = (campaign.pacing != CampaignPacing::default()).then(|| serde_json::to_string(&campaign.pacing));
        let pacing = pacing.transpose().map_err(|error| sqlx::Error::Encode(error.into()));
        let pacing = pacing.map_err(StoreError::database(doing))?;
        let mut tx = self.store.begin_write(doing).await?;
        let at = (campaign.created_at_ms, doing);
        if let Err(refusal) = tx.pass_gate(campaign.tenant_id, Meter::Campaigns, at).await? {
            return Ok(Err(refusal));
        }
        let inserted = with_tx!(&mut tx, |db| {
            sqlx::query(INSERT.of(self.store.pool()))
                .bind(campaign.id.0)
                .bind(campaign.tenant_id.0)
                .bind(&campaign.name)
                .bind(campaign.state.as_str())
                .bind(&message)
                .bind(campaign.on_unknown.as_str())
                .bind(campaign.on_limit.as_str())
                .bind(campaign.expires_at_ms)
                .bind(campaign.created_at_ms)
                .bind(&pacing)
                .bind(campaign.safeguards.failover)
                .bind(campaign.safeguards.canary.as_ref().map(written))
                .bind(campaign.safeguards.guardrails.as_ref().map(written))
                .bind(campaign.pass_over.opted_out)
                .bind(campaign.pass_over.written_within_hours.map(to_i32))
                .execute(db)
                .await
                .map(|_| ())
        });
        inserted.map_err(StoreError::database(doing))?;
        let session_ids: Vec<Uuid> = session_ids.iter().map(|id| id.0).collect();
        let inserted = with_tx!(&mut tx, |db| {
            sqlx::query(INSERT_SESSIONS.of(self.store.pool()))
                .bind(campaign.id.0)
                .bind(hex_list(&session_ids))
                .execute(db)
                .await
                .map(|_| ())
        });
        inserted.map_err(StoreError::database(doing))?;
        let appended = with_tx!(&mut tx, |db| insert_all(db, campaign.id, 0, recipients).await)?;
        let set = with_tx!(&mut tx, |db| {
            sqlx::query(SET_COUNT.of(self.store.pool()))
                .bind(campaign.id.0)
                .bind(campaign.tenant_id.0)
                .bind(as_count(appended.accepted))
                .execute(db)
                .await
                .map(|_| ())
        });
        set.map_err(StoreError::database(doing))?;
        tx.commit(doing).await?;
        Ok(Ok(appended))
    }
}

#[derive(FromRow)]
struct CampaignRow {
    campaign_id: Uuid,
    tenant_id: Uuid,
    name: String,
    state: String,
    message: String,
    on_unknown: String,
    on_limit: String,
    pacing: Option<String>,
    n_recipients: i64,
    expires_at_ms: Option<i64>,
    created_at_ms: i64,
    started_at_ms: Option<i64>,
    finished_at_ms: Option<i64>,
    failover: bool,
    canary: Option<String>,
    guardrails: Option<String>,
    canary_state: Option<String>,
    pause_reason: Option<String>,
    respect_opt_in: bool,
    skip_duplicates_hours: Option<i32>,
    scheduled_at_ms: Option<i64>,
    time_zone: Option<String>,
    schedule_problem: Option<String>,
    revision: i64,
    #[sqlx(flatten)]
    counters: CountersRow,
}

impl TryFrom<CampaignRow> for CampaignRecord {
    type Error = StoreError;

    fn try_from(row: CampaignRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "campaigns", key: row.campaign_id };
        let (knows_pacing, pacing) = settings(row.pacing.as_deref());
        let (knows_canary, canary) = settings(row.canary.as_deref());
        let (knows_guardrails, guardrails) = settings(row.guardrails.as_deref());
        Ok(Self {
            id: CampaignId(row.campaign_id),
            tenant_id: TenantId(row.tenant_id),
            state: place.known("state", CampaignState::parse(&row.state))?,
            message: place.json("message", &row.message)?,
            on_unknown: place.known("on_unknown", OnUnknown::parse(&row.on_unknown))?,
            on_limit: place.known("on_limit", OnLimit::parse(&row.on_limit))?,
            is_readable: knows_pacing && knows_canary && knows_guardrails,
            pacing: pacing.unwrap_or_default(),
            name: row.name,
            n_recipients: row.n_recipients,
            expires_at_ms: row.expires_at_ms,
            created_at_ms: row.created_at_ms,
            started_at_ms: row.started_at_ms,
            finished_at_ms: row.finished_at_ms,
            schedule: row.scheduled_at_ms.map(|at_ms| Schedule { at_ms, time_zone: row.time_zone }),
            schedule_problem: row.schedule_problem,
            revision: row.revision,
            safeguards: Safeguards { failover: row.failover, canary, guardrails },
            pass_over: PassOver {
                opted_out: row.respect_opt_in,
                written_within_hours: row.skip_duplicates_hours.map(to_u32),
            },
            canary_state: place.word("canary_state", row.canary_state.as_deref(), CanaryState::parse)?,
            pause_reason: row.pause_reason,
            counters: <(CampaignId, Counters)>::from(row.counters).1,
        })
    }
}
