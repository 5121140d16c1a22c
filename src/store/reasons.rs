//! Failed and skipped deliveries of campaigns by reason, moved in the transaction of the deliveries.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::id::{CampaignId, TenantId};
use crate::store::bind::{Hex, column, to_json};
use crate::store::tx::Tx;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// By how much each reason of each campaign moves.
pub(crate) type ReasonDeltas = BTreeMap<(CampaignId, String), i64>;

const ADD: Sql = Sql::per_dialect(
    "INSERT INTO campaign_reasons AS c (campaign_id, reason, n) \
     SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::int8[]) \
     ON CONFLICT (campaign_id, reason) DO UPDATE SET n = c.n + EXCLUDED.n",
    "INSERT INTO campaign_reasons AS c (campaign_id, reason, n) \
     SELECT unhex(value ->> 0), value ->> 1, value ->> 2 FROM json_each($1) WHERE true \
     ON CONFLICT (campaign_id, reason) DO UPDATE SET n = c.n + EXCLUDED.n",
);

const LIST: Sql = Sql::portable(
    "SELECT r.reason, r.n FROM campaign_reasons r JOIN campaigns c ON c.campaign_id = r.campaign_id \
     WHERE r.campaign_id = $1 AND c.tenant_id = $2 AND r.n <> 0 ORDER BY r.n DESC, r.reason",
);

impl Store {
    /// Returns how many deliveries of a campaign failed or were skipped for each reason, most first; nothing if it is
    /// not the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn campaign_reasons(
        &self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = LIST.of(self.pool());
        with_reader!(self.pool(), |db| {
            sqlx::query_as::<_, (String, i64)>(sql).bind(campaign_id.0).bind(tenant_id.0).fetch_all(db).await
        })
        .map_err(StoreError::database("read the reasons of failures"))
    }
}

impl Tx {
    /// Moves counts of reasons; to be called just before the counters, whose rows every writer waits for last.
    pub(crate) async fn add_to_reasons(
        &mut self,
        deltas: &ReasonDeltas,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        if deltas.is_empty() {
            return Ok(());
        }
        let rows: Vec<(Uuid, &str, i64)> =
            deltas.iter().map(|((campaign_id, reason), n)| (campaign_id.0, reason.as_str(), *n)).collect();
        match self {
            Self::Postgres(tx) => sqlx::query(ADD.postgres())
                .bind(column(&rows, |row| row.0))
                .bind(column(&rows, |row| row.1))
                .bind(column(&rows, |row| row.2))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |row| (Hex(row.0), row.1, row.2));
                sqlx::query(ADD.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
        .map_err(StoreError::database(doing))
    }
}
