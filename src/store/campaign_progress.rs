//! Where campaigns stand, for whoever looks on: many of them in one read.
//!
//! Read every quarter of a second while somebody looks, and not at all otherwise.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::campaign::{CampaignState, Counters};
use crate::domain::id::{CampaignId, TenantId};
use crate::limits::REALTIME_CAMPAIGNS_MAX;
use crate::store::bind::{column, hex_list};
use crate::store::campaign_stats::CampaignStats;
use crate::store::campaigns::CampaignRecord;
use crate::store::column::RowPlace;
use crate::store::counters::CountersRow;
use crate::store::{Pool, Sql, Store, StoreError};

macro_rules! select {
    ($ids:literal, $tenants:literal) => {
        concat!(
            "SELECT c.campaign_id AS id, c.tenant_id, c.state, c.pause_reason, c.n_recipients, ",
            "c.campaign_id, COALESCE(k.accepted, 0) AS accepted, COALESCE(k.pending, 0) AS pending, ",
            "COALESCE(k.sending, 0) AS sending, COALESCE(k.sent, 0) AS sent, ",
            "COALESCE(k.delivered, 0) AS delivered, COALESCE(k.read, 0) AS read, ",
            "COALESCE(k.failed_limit, 0) AS failed_limit, COALESCE(k.failed_unavailable, 0) AS failed_unavailable, ",
            "COALESCE(k.skipped, 0) AS skipped, COALESCE(k.cancelled, 0) AS cancelled, ",
            "COALESCE(k.unknown, 0) AS unknown ",
            "FROM (SELECT campaign_id FROM campaigns WHERE campaign_id ",
            $ids,
            " UNION SELECT campaign_id FROM campaigns WHERE state IN ('running', 'paused') AND tenant_id ",
            $tenants,
            ") AS looked JOIN campaigns c ON c.campaign_id = looked.campaign_id \
             LEFT JOIN campaign_counters k ON k.campaign_id = c.campaign_id \
             WHERE c.deleted_at_ms IS NULL ORDER BY c.campaign_id DESC LIMIT $3"
        )
    };
}

const READ: Sql = Sql::per_dialect(
    select!("= ANY($1)", "= ANY($2)"),
    select!("IN (SELECT unhex(value) FROM json_each($1))", "IN (SELECT unhex(value) FROM json_each($2))"),
);

const DOING: &str = "read where campaigns stand";

/// Where a campaign stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignProgress {
    /// The campaign.
    pub id: CampaignId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its state.
    pub state: CampaignState,
    /// Why it paused itself; none when it did not.
    pub pause_reason: Option<String>,
    /// What became of its recipients.
    pub stats: CampaignStats,
}

impl CampaignProgress {
    /// Tells whether nothing more is to be expected of it but receipts.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state.is_over() && self.stats.queued + self.stats.sending == 0
    }
}

impl From<&CampaignRecord> for CampaignProgress {
    fn from(campaign: &CampaignRecord) -> Self {
        Self {
            id: campaign.id,
            tenant_id: campaign.tenant_id,
            state: campaign.state,
            pause_reason: campaign.pause_reason.clone(),
            stats: campaign.stats(),
        }
    }
}

#[derive(FromRow)]
struct ProgressRow {
    id: Uuid,
    tenant_id: Uuid,
    state: String,
    pause_reason: Option<String>,
    n_recipients: i64,
    #[sqlx(flatten)]
    counters: CountersRow,
}

impl TryFrom<ProgressRow> for CampaignProgress {
    type Error = StoreError;

    fn try_from(row: ProgressRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "campaigns", key: row.id };
        let state = place.known("state", CampaignState::parse(&row.state))?;
        let counters = <(CampaignId, Counters)>::from(row.counters).1;
        Ok(Self {
            id: CampaignId(row.id),
            tenant_id: TenantId(row.tenant_id),
            state,
            pause_reason: row.pause_reason,
            stats: CampaignStats::of(state, row.n_recipients, &counters),
        })
    }
}

impl Store {
    /// Reads where campaigns stand: the given ones, and those of tenants that run or are paused; the newest, if there are
    /// very many.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn campaign_progress(
        &self,
        ids: &[CampaignId],
        tenants: &[TenantId],
    ) -> Result<Vec<CampaignProgress>, StoreError> {
        let (ids, tenants) = (column(ids, |id| id.0), column(tenants, |tenant_id| tenant_id.0));
        let limit = i64::from(REALTIME_CAMPAIGNS_MAX);
        let rows: Result<Vec<ProgressRow>, _> = match self.pool() {
            Pool::Postgres(pool) => {
                sqlx::query_as(READ.postgres()).bind(ids).bind(tenants).bind(limit).fetch_all(pool).await
            }
            Pool::Sqlite { reader, .. } => {
                let query = sqlx::query_as(READ.sqlite()).bind(hex_list(&ids)).bind(hex_list(&tenants));
                query.bind(limit).fetch_all(reader).await
            }
        };
        rows.map_err(StoreError::database(DOING))?.into_iter().map(CampaignProgress::try_from).collect()
    }
}
