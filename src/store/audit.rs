//! Who did what to whom: written with the deed itself, never changed, read by operators.
//!
//! Ids and words only: no phone number, no address, no text of a message.

use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{TenantId, UserId};
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// Who does something: a person with a request, or the system itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// The person; none for the system.
    pub user_id: Option<UserId>,
    /// The name of the request, if there was one.
    pub request_id: Option<String>,
}

impl Actor {
    /// The system itself.
    pub const SYSTEM: Self = Self { user_id: None, request_id: None };
}

/// A deed.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    /// What was done, such as `lane.suspended`.
    pub action: String,
    /// To what: the id of a thing, or `everything`.
    pub subject: String,
    /// Whose thing it is; none for everything.
    pub tenant_id: Option<TenantId>,
    /// What else is to be known: an object of ids, words and numbers.
    pub details: Value,
}

/// A deed as it was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Its id, ordered by time.
    pub id: Uuid,
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// By whom.
    pub actor: Actor,
    /// What.
    pub deed: Deed,
}

const INSERT: Sql = Sql::portable(
    "INSERT INTO audit_log (audit_id, at_ms, actor_id, tenant_id, action, subject, details, request_id) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
);
const LIST: Sql = Sql::portable(
    "SELECT audit_id, at_ms, actor_id, tenant_id, action, subject, details, request_id FROM audit_log \
     ORDER BY audit_id DESC LIMIT $1 OFFSET $2",
);
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM audit_log");

const DOING: &str = "read the audit log";

#[derive(FromRow)]
struct StoredDeed {
    audit_id: Uuid,
    at_ms: i64,
    actor_id: Option<Uuid>,
    tenant_id: Option<Uuid>,
    action: String,
    subject: String,
    details: String,
    request_id: Option<String>,
}

impl TryFrom<StoredDeed> for AuditRecord {
    type Error = StoreError;

    fn try_from(row: StoredDeed) -> Result<Self, StoreError> {
        let place = RowPlace { table: "audit_log", key: row.audit_id };
        let details = place.json("details", &row.details)?;
        let tenant_id = row.tenant_id.map(TenantId);
        Ok(Self {
            id: row.audit_id,
            at_ms: row.at_ms,
            actor: Actor { user_id: row.actor_id.map(UserId), request_id: row.request_id },
            deed: Deed { action: row.action, subject: row.subject, tenant_id, details },
        })
    }
}

impl Store {
    /// Returns a page of the audit log, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when a row is not readable.
    pub async fn audit_log(&self, page: PageRequest) -> Result<Page<AuditRecord>, StoreError> {
        let (count, list) = (COUNT.of(self.pool()), LIST.of(self.pool()));
        let total: i64 = with_reader!(self.pool(), |db| sqlx::query_scalar(count).fetch_one(db).await)
            .map_err(StoreError::database(DOING))?;
        let rows = with_reader!(self.pool(), |db| {
            let query = sqlx::query_as::<_, StoredDeed>(list).bind(i64::from(page.limit())).bind(page.offset());
            query.fetch_all(db).await
        })
        .map_err(StoreError::database(DOING))?;
        let items = rows.into_iter().map(AuditRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }
}

impl Store {
    /// Writes a deed down that was done elsewhere than in the database.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn write_down(&self, actor: &Actor, deed: &Deed, at_ms: i64) -> Result<(), StoreError> {
        let doing = "write down a deed";
        let mut tx = self.begin_write(doing).await?;
        tx.write_deed(actor, deed, at_ms, doing).await?;
        tx.commit(doing).await
    }
}

impl Tx {
    /// Writes a deed down with the transaction that does it.
    pub(crate) async fn write_deed(
        &mut self,
        actor: &Actor,
        deed: &Deed,
        at_ms: i64,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let sql = INSERT.postgres();
        with_tx!(self, |db| {
            sqlx::query(sql)
                .bind(Uuid::now_v7())
                .bind(at_ms)
                .bind(actor.user_id.map(|id| id.0))
                .bind(deed.tenant_id.map(|id| id.0))
                .bind(&deed.action)
                .bind(&deed.subject)
                .bind(deed.details.to_string())
                .bind(&actor.request_id)
                .execute(db)
                .await
                .map(drop)
        })
        .map_err(StoreError::database(doing))
    }
}
