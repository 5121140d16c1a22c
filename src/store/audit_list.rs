//! What a tenant reads of its audit log: lists and exports, newest first, along indexes.
//!
//! Never scans: a list looks at no more than [`AUDIT_LOOKED_AT_MAX`] rows that the best index finds, and says how far back
//! that led. Writes nothing.

use uuid::Uuid;

use crate::domain::id::TenantId;
use crate::limits::{AUDIT_EXPORT_STEP_MAX, AUDIT_LOOKED_AT_MAX};
use crate::store::audit::{AuditRecord, StoredDeed, columns};
use crate::store::page::PageRequest;
use crate::store::tx::with_tx;
use crate::store::{Store, StoreError};

/// Which rows are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only what this person or key did.
    pub actor_id: Option<Uuid>,
    /// Only this.
    pub action: Option<String>,
    /// Only what was done to this.
    pub subject: Option<String>,
    /// At this time or later, UTC milliseconds.
    pub from_ms: i64,
    /// At this time or earlier, UTC milliseconds.
    pub to_ms: i64,
}

impl Default for AuditFilter {
    fn default() -> Self {
        Self { actor_id: None, action: None, subject: None, from_ms: 0, to_ms: i64::MAX }
    }
}

/// A page of the audit log of a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// The rows of this page, newest first.
    pub items: Vec<AuditRecord>,
    /// How many there are among those that were looked at.
    pub total: u64,
    /// How far back they reach, UTC milliseconds, where there are more; the next list can end there.
    pub looked_back_to_ms: Option<i64>,
}

/// Where an export goes on: behind this row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor {
    at_ms: i64,
    id: Uuid,
}

/// The statements along one index. `$1` is the tenant, `$2` to `$4` actor, action and subject, `$5` and `$6` the time.
struct Along {
    count: &'static str,
    page: &'static str,
    step: &'static str,
}

/// What is not in the index is compared outside, among the newest rows that are looked at.
macro_rules! along {
    ($indexed:literal) => {
        Along {
            count: concat!(
                "SELECT COUNT(*) FILTER (WHERE ($2 IS NULL OR w.actor_id = $2) AND ($3 IS NULL OR w.action = $3) \
                     AND ($4 IS NULL OR w.subject = $4)), COUNT(*), MIN(w.at_ms) \
                 FROM (SELECT actor_id, action, subject, at_ms FROM audit_log WHERE ",
                $indexed,
                " AND at_ms BETWEEN $5 AND $6 ORDER BY at_ms DESC, audit_id DESC LIMIT $7) AS w"
            ),
            page: concat!(
                "SELECT w.* FROM (SELECT ",
                columns!(),
                " FROM audit_log WHERE ",
                $indexed,
                " AND at_ms BETWEEN $5 AND $6 ORDER BY at_ms DESC, audit_id DESC LIMIT $7) AS w \
                 WHERE ($2 IS NULL OR w.actor_id = $2) AND ($3 IS NULL OR w.action = $3) AND ($4 IS NULL OR w.subject = $4) \
                 ORDER BY w.at_ms DESC, w.audit_id DESC LIMIT $8 OFFSET $9"
            ),
            // The others are compared in memory, so that each step looks at the same number of rows.
            step: concat!(
                "SELECT ",
                columns!(),
                " FROM audit_log WHERE ",
                $indexed,
                " AND at_ms BETWEEN $5 AND $6 AND (at_ms < $6 OR audit_id < $7) \
                 ORDER BY at_ms DESC, audit_id DESC LIMIT $8"
            ),
        }
    };
}

const OF_TENANT: Along = along!("tenant_id = $1");
const OF_ACTOR: Along = along!("tenant_id = $1 AND actor_id = $2");
const OF_ACTION: Along = along!("tenant_id = $1 AND action = $3");
const OF_SUBJECT: Along = along!("tenant_id = $1 AND subject = $4");

const DOING: &str = "read the audit log of a tenant";
const DOING_EXPORT: &str = "export the audit log of a tenant";

/// Binds what every statement begins with.
macro_rules! bind_filter {
    ($query:expr, $tenant_id:expr, $filter:expr) => {
        $query
            .bind($tenant_id.0)
            .bind($filter.actor_id)
            .bind($filter.action.as_deref())
            .bind($filter.subject.as_deref())
            .bind($filter.from_ms)
    };
}

impl AuditFilter {
    /// Returns the statements along the index that leaves the fewest.
    fn along(&self) -> &'static Along {
        match (&self.subject, self.actor_id, &self.action) {
            (Some(_), ..) => &OF_SUBJECT,
            // Whoever does one thing often does little else; what is looked for is mostly done seldom.
            (None, _, Some(_)) => &OF_ACTION,
            (None, Some(_), None) => &OF_ACTOR,
            (None, None, None) => &OF_TENANT,
        }
    }

    /// Tells whether a row is wanted.
    fn wants(&self, record: &AuditRecord) -> bool {
        self.actor_id.is_none_or(|id| record.actor.id() == Some(id))
            && self.action.as_ref().is_none_or(|action| *action == record.deed.action)
            && self.subject.as_ref().is_none_or(|subject| *subject == record.deed.subject)
    }
}

impl Store {
    /// Lists what was done to what a tenant has, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when a row is not readable.
    pub async fn audit_of_tenant(
        &self,
        tenant_id: TenantId,
        filter: &AuditFilter,
        page: PageRequest,
    ) -> Result<AuditPage, StoreError> {
        let mut tx = self.begin_snapshot_by_key(DOING).await?;
        let along = filter.along();
        let looked = with_tx!(&mut tx, |db| {
            let query = bind_filter!(sqlx::query_as::<_, (i64, i64, Option<i64>)>(along.count), tenant_id, filter);
            query.bind(filter.to_ms).bind(AUDIT_LOOKED_AT_MAX).fetch_one(db).await
        });
        let (n_wanted, n_seen, oldest_ms) = looked.map_err(StoreError::database(DOING))?;
        let rows = with_tx!(&mut tx, |db| {
            let query = bind_filter!(sqlx::query_as::<_, StoredDeed>(along.page), tenant_id, filter);
            let query = query.bind(filter.to_ms).bind(AUDIT_LOOKED_AT_MAX);
            query.bind(i64::from(page.limit())).bind(page.offset()).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING))?;
        tx.commit(DOING).await?;
        Ok(AuditPage {
            items: rows.into_iter().map(AuditRecord::try_from).collect::<Result<_, _>>()?,
            total: n_wanted.unsigned_abs(),
            looked_back_to_ms: oldest_ms.filter(|_| AUDIT_LOOKED_AT_MAX <= n_seen),
        })
    }

    /// Reads the next step of an export, newest first, with where to go on.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when a row is not readable.
    pub async fn export_audit(
        &self,
        tenant_id: TenantId,
        filter: &AuditFilter,
        after: Option<AuditCursor>,
    ) -> Result<(Vec<AuditRecord>, Option<AuditCursor>), StoreError> {
        // Behind no row at all is before the largest id.
        let after = after.unwrap_or(AuditCursor { at_ms: filter.to_ms, id: Uuid::max() });
        let mut tx = self.begin_snapshot_by_key(DOING_EXPORT).await?;
        let sql = filter.along().step;
        let rows = with_tx!(&mut tx, |db| {
            let query = bind_filter!(sqlx::query_as::<_, StoredDeed>(sql), tenant_id, filter);
            query.bind(after.at_ms).bind(after.id).bind(AUDIT_EXPORT_STEP_MAX).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_EXPORT))?;
        tx.commit(DOING_EXPORT).await?;
        let is_full = i64::try_from(rows.len()).is_ok_and(|n| AUDIT_EXPORT_STEP_MAX <= n);
        let records = rows.into_iter().map(AuditRecord::try_from).collect::<Result<Vec<_>, _>>()?;
        let last = records.last().filter(|_| is_full);
        let next = last.map(|last| AuditCursor { at_ms: last.at_ms, id: last.id });
        Ok((records.into_iter().filter(|record| filter.wants(record)).collect(), next))
    }
}
