//! What came of campaigns, from their counters.

use std::collections::BTreeMap;

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::campaign::{CampaignState, Counters};
use crate::domain::day::DAY_MS;
use crate::domain::id::{CampaignId, SessionId};
use crate::store::analytics::{Analytics, TenantDays};
use crate::store::bind::hex_list;
use crate::store::column::RowPlace;
use crate::store::counters::CountersRow;
use crate::store::page::{Page, PageRequest};
use crate::store::{Pool, Sql, StoreError};
use crate::with_reader;

/// Which campaigns are wanted: those that were started on these days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CampaignDays {
    /// The days.
    pub days: TenantDays,
    /// Only those of this session.
    pub session_id: Option<SessionId>,
    /// Only this one.
    pub campaign_id: Option<CampaignId>,
}

/// What came of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignOutcome {
    /// The campaign.
    pub id: CampaignId,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub state: CampaignState,
    /// Its recipients.
    pub n_recipients: i64,
    /// When it was started, UTC milliseconds.
    pub started_at_ms: i64,
    /// When it was over, UTC milliseconds.
    pub finished_at_ms: Option<i64>,
    /// How its messages stand.
    pub counters: Counters,
    /// How many failed or were skipped for each reason, most first.
    pub reasons: Vec<(String, i64)>,
}

macro_rules! of_days {
    ($select:literal, $rest:literal) => {
        Sql::portable(concat!(
            "SELECT ",
            $select,
            " FROM campaigns c LEFT JOIN campaign_counters k ON k.campaign_id = c.campaign_id \
             WHERE c.tenant_id = $1 AND c.deleted_at_ms IS NULL AND $2 <= c.started_at_ms AND c.started_at_ms < $3 \
             AND COALESCE($4, c.campaign_id) = c.campaign_id AND ($5 IS NULL \
                 OR EXISTS (SELECT 1 FROM campaign_sessions s WHERE s.campaign_id = c.campaign_id AND s.session_id = $5)) ",
            $rest
        ))
    };
}

const LIST: Sql = of_days!(
    "c.campaign_id, c.name, c.state, c.n_recipients, c.started_at_ms, c.finished_at_ms, \
     COALESCE(k.accepted, 0) AS accepted, COALESCE(k.pending, 0) AS pending, COALESCE(k.sending, 0) AS sending, \
     COALESCE(k.sent, 0) AS sent, COALESCE(k.delivered, 0) AS delivered, COALESCE(k.read, 0) AS read, \
     COALESCE(k.failed_limit, 0) AS failed_limit, COALESCE(k.failed_unavailable, 0) AS failed_unavailable, \
     COALESCE(k.skipped, 0) AS skipped, COALESCE(k.cancelled, 0) AS cancelled, COALESCE(k.unknown, 0) AS unknown",
    "ORDER BY c.started_at_ms DESC, c.campaign_id DESC LIMIT $6 OFFSET $7"
);
const COUNT: Sql = of_days!("COUNT(*)", "");

const REASONS: Sql = Sql::per_dialect(
    "SELECT r.campaign_id, r.reason, r.n FROM campaign_reasons r JOIN campaigns c ON c.campaign_id = r.campaign_id \
     WHERE r.campaign_id = ANY($1) AND c.tenant_id = $2 AND r.n <> 0 ORDER BY r.n DESC, r.reason",
    "SELECT r.campaign_id, r.reason, r.n FROM campaign_reasons r JOIN campaigns c ON c.campaign_id = r.campaign_id \
     WHERE r.campaign_id IN (SELECT unhex(value) FROM json_each($1)) AND c.tenant_id = $2 AND r.n <> 0 \
     ORDER BY r.n DESC, r.reason",
);

const DOING: &str = "read what came of campaigns";

#[derive(FromRow)]
struct StoredOutcome {
    name: String,
    state: String,
    n_recipients: i64,
    started_at_ms: i64,
    finished_at_ms: Option<i64>,
    #[sqlx(flatten)]
    counters: CountersRow,
}

impl Analytics<'_> {
    /// Lists what came of campaigns, latest start first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when a row can not be.
    pub async fn campaigns(&self, of: &CampaignDays, page: PageRequest) -> Result<Page<CampaignOutcome>, StoreError> {
        let CampaignDays { days, session_id, campaign_id } = *of;
        let (session_id, campaign_id) = (session_id.map(|id| id.0), campaign_id.map(|id| id.0));
        let between = (days.first.saturating_mul(DAY_MS), days.last.saturating_add(1).saturating_mul(DAY_MS));
        let (list, count) = (LIST.of(self.store.pool()), COUNT.of(self.store.pool()));
        let read: Result<(Vec<StoredOutcome>, i64), sqlx::Error> = with_reader!(self.store.pool(), |db| async {
            let query = sqlx::query_as(list).bind(days.tenant_id.0).bind(between.0).bind(between.1);
            let query = query.bind(campaign_id).bind(session_id);
            let rows = query.bind(i64::from(page.limit())).bind(page.offset()).fetch_all(db).await?;
            let query = sqlx::query_scalar(count).bind(days.tenant_id.0).bind(between.0).bind(between.1);
            Ok((rows, query.bind(campaign_id).bind(session_id).fetch_one(db).await?))
        }
        .await);
        let (rows, total) = read.map_err(StoreError::database(DOING))?;
        let mut items = rows.into_iter().map(CampaignOutcome::try_from).collect::<Result<Vec<_>, _>>()?;
        let mut reasons = self.reasons(of, items.iter().map(|item| item.id.0).collect()).await?;
        for item in &mut items {
            item.reasons = reasons.remove(&item.id).unwrap_or_default();
        }
        Ok(Page { items, total: total.unsigned_abs() })
    }

    async fn reasons(
        &self,
        of: &CampaignDays,
        ids: Vec<Uuid>,
    ) -> Result<BTreeMap<CampaignId, Vec<(String, i64)>>, StoreError> {
        let tenant_id = of.days.tenant_id.0;
        let rows: Result<Vec<(Uuid, String, i64)>, sqlx::Error> = match self.store.pool() {
            Pool::Postgres(pool) => sqlx::query_as(REASONS.postgres()).bind(ids).bind(tenant_id).fetch_all(pool).await,
            Pool::Sqlite { reader, .. } => {
                sqlx::query_as(REASONS.sqlite()).bind(hex_list(&ids)).bind(tenant_id).fetch_all(reader).await
            }
        };
        let mut reasons: BTreeMap<CampaignId, Vec<(String, i64)>> = BTreeMap::new();
        for (campaign_id, reason, n) in rows.map_err(StoreError::database(DOING))? {
            reasons.entry(CampaignId(campaign_id)).or_default().push((reason, n));
        }
        Ok(reasons)
    }
}

impl TryFrom<StoredOutcome> for CampaignOutcome {
    type Error = StoreError;

    fn try_from(row: StoredOutcome) -> Result<Self, StoreError> {
        let (id, counters) = row.counters.into();
        let place = RowPlace { table: "campaigns", key: id };
        Ok(Self {
            id,
            name: row.name,
            state: place.known("state", CampaignState::parse(&row.state))?,
            n_recipients: row.n_recipients,
            started_at_ms: row.started_at_ms,
            finished_at_ms: row.finished_at_ms,
            counters,
            reasons: Vec::new(),
        })
    }
}
