//! Reads and locks the rows that the moves of one transaction start from.
//!
//! Writes nothing, decides nothing.

use std::collections::HashSet;

use uuid::Uuid;

use super::DeliveryRow;
use crate::domain::campaign::CampaignState;
use crate::domain::delivery::DeliveryState;
use crate::domain::failure::FailureClass;
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::zone::Band;
use crate::store::bind::{hex_list, to_u32};
use crate::store::tx::Tx;
use crate::store::{Sql, StoreError};

/// Who has opted out is looked up along with it, and only for those that an attempt may be about to begin.
const LOCK: Sql = Sql::per_dialect(
    "SELECT delivery_id, tenant_id, session_id, campaign_id, band, seq, created_at_ms, state, n_attempts, due_at_ms, \
            failure_class, reason, provider_code, provider_message_id, sent_at_ms, delivered_at_ms, read_at_ms, settled_at_ms, \
            quota_period_ms, ignored_message_id, \
            CASE WHEN state = 'pending' THEN EXISTS (SELECT 1 FROM opt_outs o WHERE o.tenant_id = d.tenant_id \
                AND o.recipient = d.recipient AND o.is_out) ELSE FALSE END AS is_opted_out \
     FROM deliveries d WHERE delivery_id = ANY($1) ORDER BY delivery_id FOR NO KEY UPDATE",
    "SELECT delivery_id, tenant_id, session_id, campaign_id, band, seq, created_at_ms, state, n_attempts, due_at_ms, \
            failure_class, reason, provider_code, provider_message_id, sent_at_ms, delivered_at_ms, read_at_ms, settled_at_ms, \
            quota_period_ms, ignored_message_id, \
            CASE WHEN state = 'pending' THEN EXISTS (SELECT 1 FROM opt_outs o WHERE o.tenant_id = d.tenant_id \
                AND o.recipient = d.recipient AND o.is_out) ELSE FALSE END AS is_opted_out \
     FROM deliveries d WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1))",
);

/// Holds the campaigns as they are until the transaction ends, so that none is cancelled meanwhile.
const HOLD_CAMPAIGNS: Sql = Sql::per_dialect(
    "SELECT campaign_id, state FROM campaigns WHERE campaign_id = ANY($1) ORDER BY campaign_id FOR SHARE",
    "SELECT campaign_id, state FROM campaigns WHERE campaign_id IN (SELECT unhex(value) FROM json_each($1))",
);

#[derive(sqlx::FromRow)]
struct StoredDelivery {
    delivery_id: Uuid,
    tenant_id: Uuid,
    session_id: Uuid,
    campaign_id: Uuid,
    band: i32,
    seq: i64,
    created_at_ms: i64,
    state: String,
    n_attempts: i32,
    due_at_ms: i64,
    failure_class: Option<String>,
    reason: Option<String>,
    provider_code: Option<String>,
    provider_message_id: Option<String>,
    sent_at_ms: Option<i64>,
    delivered_at_ms: Option<i64>,
    read_at_ms: Option<i64>,
    settled_at_ms: Option<i64>,
    quota_period_ms: Option<i64>,
    ignored_message_id: Option<String>,
    is_opted_out: bool,
}

impl TryFrom<StoredDelivery> for DeliveryRow {
    type Error = StoreError;

    fn try_from(row: StoredDelivery) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("deliveries", column, row.delivery_id);
        let class = row.failure_class.as_deref().map(FailureClass::parse);
        Ok(Self {
            delivery_id: DeliveryId(row.delivery_id),
            tenant_id: TenantId(row.tenant_id),
            session_id: SessionId(row.session_id),
            campaign_id: CampaignId(row.campaign_id),
            band: Band(row.band),
            seq: row.seq,
            created_at_ms: row.created_at_ms,
            state: DeliveryState::parse(&row.state).ok_or_else(|| corrupt("state"))?,
            n_attempts: to_u32(row.n_attempts),
            due_at_ms: row.due_at_ms,
            class: class.map(|class| class.ok_or_else(|| corrupt("failure_class"))).transpose()?,
            reason: row.reason,
            provider_code: row.provider_code,
            provider_message_id: row.provider_message_id,
            sent_at_ms: row.sent_at_ms,
            delivered_at_ms: row.delivered_at_ms,
            read_at_ms: row.read_at_ms,
            settled_at_ms: row.settled_at_ms,
            quota_period_ms: row.quota_period_ms,
            ignored_message_id: row.ignored_message_id,
            is_opted_out: row.is_opted_out,
            moved_at_ms: None,
        })
    }
}

impl Tx {
    /// Reads deliveries and locks them until the transaction ends; those that do not exist are left out.
    pub(crate) async fn lock_deliveries(
        &mut self,
        mut ids: Vec<Uuid>,
        doing: &'static str,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        ids.sort_unstable();
        ids.dedup();
        let rows: Vec<StoredDelivery> = match self {
            Self::Postgres(tx) => sqlx::query_as(LOCK.postgres()).bind(ids).fetch_all(&mut **tx).await,
            Self::Sqlite(tx) => sqlx::query_as(LOCK.sqlite()).bind(hex_list(&ids)).fetch_all(&mut **tx).await,
        }
        .map_err(StoreError::database(doing))?;
        rows.into_iter().map(DeliveryRow::try_from).collect()
    }

    /// Returns which of the campaigns are cancelled; none becomes cancelled until the transaction
    /// ends. To be called before deliveries are locked.
    pub(crate) async fn hold_cancelled(
        &mut self,
        ids: Vec<Uuid>,
        doing: &'static str,
    ) -> Result<HashSet<CampaignId>, StoreError> {
        let cancelled = CampaignState::Cancelled.as_str();
        let rows = self.hold_campaigns(ids, doing).await?;
        Ok(rows.into_iter().filter(|(_, state)| state == cancelled).map(|(id, _)| CampaignId(id)).collect())
    }

    /// Tells whether a campaign runs; that does not change until the transaction ends. To be called before deliveries
    /// are locked.
    pub(crate) async fn hold_running(&mut self, id: CampaignId, doing: &'static str) -> Result<bool, StoreError> {
        let rows = self.hold_campaigns(vec![id.0], doing).await?;
        Ok(rows.iter().any(|(_, state)| state == CampaignState::Running.as_str()))
    }

    async fn hold_campaigns(
        &mut self,
        mut ids: Vec<Uuid>,
        doing: &'static str,
    ) -> Result<Vec<(Uuid, String)>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        ids.sort_unstable();
        ids.dedup();
        match self {
            Self::Postgres(tx) => sqlx::query_as(HOLD_CAMPAIGNS.postgres()).bind(ids).fetch_all(&mut **tx).await,
            Self::Sqlite(tx) => sqlx::query_as(HOLD_CAMPAIGNS.sqlite()).bind(hex_list(&ids)).fetch_all(&mut **tx).await,
        }
        .map_err(StoreError::database(doing))
    }
}
