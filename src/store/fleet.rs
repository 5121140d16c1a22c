//! How many sessions, campaigns, deliveries and subscriptions there are, by state, all tenants together.
//!
//! Reads tables with a row for each of them and the counters of campaigns, never the deliveries.

use crate::store::sql::now_ms;
use crate::store::{Pool, Sql, Store, StoreError};
use crate::with_reader;

macro_rules! count {
    ($now_ms:expr) => {
        concat!(
            "SELECT 'sessions', state, COUNT(*) FROM sessions WHERE deleted_at_ms IS NULL GROUP BY state \
             UNION ALL SELECT 'campaigns', state, COUNT(*) FROM campaigns WHERE deleted_at_ms IS NULL GROUP BY state \
             UNION ALL SELECT 'subscriptions', state, COUNT(*) FROM subscriptions GROUP BY state \
             UNION ALL SELECT 'suspensions', scope, COUNT(*) FROM suspensions \
                 WHERE until_ms IS NULL OR ",
            $now_ms,
            " < until_ms GROUP BY scope \
             UNION ALL SELECT 'deliveries', CASE WHEN campaigns.state = 'paused' THEN 'paused' ELSE 'pending' END, \
                 CAST(COALESCE(SUM(pending), 0) AS BIGINT) FROM campaign_counters \
                 LEFT JOIN campaigns ON campaigns.campaign_id = campaign_counters.campaign_id GROUP BY 2 \
             UNION ALL SELECT 'deliveries', 'sending', CAST(COALESCE(SUM(sending), 0) AS BIGINT) FROM campaign_counters \
             UNION ALL SELECT 'deliveries', 'unknown', CAST(COALESCE(SUM(unknown), 0) AS BIGINT) FROM campaign_counters \
             UNION ALL SELECT 'plan_messages', 'limit', CAST(COALESCE(SUM(max_messages), 0) AS BIGINT) FROM usage \
                 WHERE max_messages IS NOT NULL \
             UNION ALL SELECT 'plan_messages', 'used', \
                 CAST(COALESCE(SUM(messages_used + messages_sending), 0) AS BIGINT) FROM usage WHERE max_messages IS NOT NULL \
             UNION ALL SELECT 'plan_messages', 'reserved', CAST(COALESCE(SUM(messages_reserved), 0) AS BIGINT) FROM usage \
                 WHERE max_messages IS NOT NULL \
             UNION ALL SELECT 'tenants', 'exhausted', COUNT(*) FROM usage \
                 WHERE max_messages IS NOT NULL AND 0 < messages_waiting"
        )
    };
}

const COUNT: Sql = Sql::per_dialect(count!(now_ms!(postgres)), count!(now_ms!(sqlite)));

/// A number of things of a kind in a state.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct FleetCount(
    /// What is counted.
    pub String,
    /// Its state.
    pub String,
    /// How many there are.
    pub i64,
);

impl Store {
    /// Counts all there is; states of which there is nothing are left out.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn count_fleet(&self) -> Result<Vec<FleetCount>, StoreError> {
        let sql = COUNT.of(self.pool());
        with_reader!(self.pool(), |db| sqlx::query_as(sql).fetch_all(db).await)
            .map_err(StoreError::database("count sessions, campaigns and plans"))
    }

    /// Returns how many connections to the database are idle, in use, and may be.
    #[must_use]
    pub fn n_connections(&self) -> [u32; 3] {
        let of = |size: u32, idle: usize, max: u32| {
            let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(size);
            [idle, size - idle, max]
        };
        match self.pool() {
            Pool::Postgres(pool) => of(pool.size(), pool.num_idle(), pool.options().get_max_connections()),
            Pool::Sqlite { reader, .. } => of(reader.size(), reader.num_idle(), reader.options().get_max_connections()),
        }
    }
}
