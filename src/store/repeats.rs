//! Who got a message of the tenant's campaigns a short time ago, for campaigns that pass over them.
//!
//! Nothing is read where no campaign asks for it. Whoever counts for a tenant holds its row, so that two nodes never
//! write to the same recipient at once for two such campaigns.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::json;
use uuid::Uuid;

use crate::domain::id::{CampaignId, DeliveryId, TenantId};
use crate::domain::recipient::Recipient;
use crate::store::bind::{Hex, to_json};
use crate::store::journal::Begin;
use crate::store::moves::DeliveryRow;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, StoreError};

const HOUR_MS: i64 = 3_600_000;

/// PostgreSQL only: SQLite has one writer.
const HOLD: &str = "SELECT 1 FROM tenants WHERE tenant_id = ANY($1) ORDER BY tenant_id FOR NO KEY UPDATE";

/// What is on its way, or may have arrived, counts as well; what has no time yet is of now.
const FIND: Sql = Sql::per_dialect(
    "SELECT u.delivery_id FROM json_to_recordset(CAST($1 AS JSON)) \
         AS u (delivery_id uuid, tenant_id uuid, recipient text, since_ms int8) \
     WHERE EXISTS (SELECT 1 FROM deliveries e WHERE e.tenant_id = u.tenant_id AND e.recipient = u.recipient \
         AND e.delivery_id <> u.delivery_id AND e.campaign_id <> CAST($2 AS UUID) \
         AND e.state IN ('sending', 'sent', 'delivered', 'read', 'unknown') \
         AND u.since_ms <= COALESCE(e.sent_at_ms, e.settled_at_ms, u.since_ms))",
    "SELECT unhex(u.value ->> 'delivery_id') FROM json_each($1) AS u \
     WHERE EXISTS (SELECT 1 FROM deliveries e WHERE e.tenant_id = unhex(u.value ->> 'tenant_id') \
         AND e.recipient = u.value ->> 'recipient' AND e.delivery_id <> unhex(u.value ->> 'delivery_id') \
         AND e.campaign_id <> $2 \
         AND e.state IN ('sending', 'sent', 'delivered', 'read', 'unknown') \
         AND u.value ->> 'since_ms' <= COALESCE(e.sent_at_ms, e.settled_at_ms, u.value ->> 'since_ms'))",
);

/// Who got a message a short time ago, in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// Deliveries whose recipients did before the transaction.
    found: HashSet<DeliveryId>,
    /// Recipients of campaigns who do in it; kept only where somebody asks.
    begun: Option<HashSet<(TenantId, Recipient)>>,
}

impl Repeats {
    /// Tells whether the recipient is passed over.
    pub(crate) fn is_repeat(&self, tenant_id: TenantId, begin: &Begin) -> bool {
        let now = || self.begun.as_ref().is_some_and(|begun| begun.contains(&(tenant_id, begin.recipient.clone())));
        begin.pass_over.written_within_hours.is_some() && (self.found.contains(&begin.delivery_id) || now())
    }

    /// Notes who gets a message now.
    pub(crate) fn begun(&mut self, tenant_id: TenantId, begin: &Begin) {
        if let Some(begun) = self.begun.as_mut().filter(|_| !begin.campaign_id.is_direct()) {
            begun.insert((tenant_id, begin.recipient.clone()));
        }
    }
}

impl Tx {
    /// Returns whose recipients got a message a short time ago, and holds their tenants until the transaction ends.
    ///
    /// To be called behind the tiers and before anything is written; see [`crate::store::tx`].
    pub(crate) async fn hold_repeats(
        &mut self,
        begins: &[Begin],
        rows: &[DeliveryRow],
        doing: &'static str,
    ) -> Result<Repeats, StoreError> {
        let tenants: HashMap<DeliveryId, TenantId> = match begins.iter().any(is_asking) {
            true => rows.iter().map(|row| (row.delivery_id, row.tenant_id)).collect(),
            false => return Ok(Repeats::default()),
        };
        let asking = begins.iter().filter(|begin| is_asking(begin));
        let asking: Vec<(&Begin, TenantId)> =
            asking.filter_map(|begin| Some((begin, *tenants.get(&begin.delivery_id)?))).collect();
        let held: BTreeSet<Uuid> = asking.iter().map(|(_, tenant_id)| tenant_id.0).collect();
        let found = self.find_repeats(&asking, held).await.map_err(StoreError::database(doing))?;
        Ok(Repeats { found: found.into_iter().map(DeliveryId).collect(), begun: Some(HashSet::new()) })
    }

    async fn find_repeats(
        &mut self,
        asking: &[(&Begin, TenantId)],
        tenants: BTreeSet<Uuid>,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        if let Self::Postgres(tx) = self {
            let ids: Vec<Uuid> = tenants.into_iter().collect();
            sqlx::query(HOLD).bind(ids).execute(&mut **tx).await?;
        }
        let rows = to_json(asking, |(begin, tenant_id)| {
            let hours = begin.pass_over.written_within_hours.unwrap_or(0);
            json!({
                "delivery_id": Hex(begin.delivery_id.0), "tenant_id": Hex(tenant_id.0),
                "recipient": begin.recipient.as_str(), "since_ms": begin.started_at_ms - i64::from(hours) * HOUR_MS,
            })
        });
        let sql = match self {
            Self::Postgres(_) => FIND.postgres(),
            Self::Sqlite(_) => FIND.sqlite(),
        };
        with_tx!(self, |db| sqlx::query_scalar(sql).bind(rows).bind(CampaignId::DIRECT.0).fetch_all(db).await)
    }
}

fn is_asking(begin: &Begin) -> bool {
    begin.pass_over.written_within_hours.is_some()
}
