//! Who did what to whom: written down for good, with the deed itself or right behind a call.
//!
//! The table is only added to, which its triggers see to. Ids and words only: no phone number, no address, no text of a
//! message. How a tenant reads its own is [`crate::store::audit_list`].

use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{ApiKeyId, TenantId, UserId};
use crate::store::bind::{Hex, column, to_json};
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// Who does something: a person or a program with a request, or the system itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// The person; none for a program and for the system.
    pub user_id: Option<UserId>,
    /// The key of a program; none for a person and for the system.
    pub key_id: Option<ApiKeyId>,
    /// The name of the request, if there was one.
    pub request_id: Option<String>,
}

impl Actor {
    /// The system itself.
    pub const SYSTEM: Self = Self { user_id: None, key_id: None, request_id: None };

    /// Makes the actor of a person without a request.
    #[must_use]
    pub fn user(id: UserId) -> Self {
        Self { user_id: Some(id), ..Self::SYSTEM }
    }

    /// Returns the id of the person or the key.
    pub(super) fn id(&self) -> Option<Uuid> {
        self.key_id.map(|id| id.0).or(self.user_id.map(|id| id.0))
    }
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

/// A call of the API that changed something.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// By whom.
    pub actor: Actor,
    /// What.
    pub deed: Deed,
}

/// The columns of a deed.
macro_rules! columns {
    () => {
        "audit_id, at_ms, actor_id, is_key, tenant_id, action, subject, details, request_id"
    };
}
pub(super) use columns;

const INSERT: Sql =
    Sql::portable(concat!("INSERT INTO audit_log (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"));
const INSERT_CALLS: Sql = Sql::per_dialect(
    concat!(
        "INSERT INTO audit_log (",
        columns!(),
        ", is_call) SELECT *, TRUE FROM UNNEST($1::uuid[], $2::int8[], $3::uuid[], $4::bool[], $5::uuid[], $6::text[], \
         $7::text[], $8::text[], $9::text[]) ON CONFLICT (audit_id) DO NOTHING"
    ),
    concat!(
        "INSERT INTO audit_log (",
        columns!(),
        ", is_call) SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), value ->> 3, unhex(value ->> 4), \
         value ->> 5, value ->> 6, value ->> 7, value ->> 8, 1 FROM json_each($1) WHERE true \
         ON CONFLICT (audit_id) DO NOTHING"
    ),
);
const LIST: Sql = Sql::portable(concat!(
    "SELECT ",
    columns!(),
    " FROM audit_log WHERE NOT is_call ORDER BY audit_id DESC LIMIT $1 OFFSET $2"
));
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM audit_log WHERE NOT is_call");

const DOING: &str = "read the audit log";
const DOING_CALLS: &str = "write calls down";

#[derive(FromRow)]
pub(super) struct StoredDeed {
    audit_id: Uuid,
    at_ms: i64,
    actor_id: Option<Uuid>,
    is_key: bool,
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
        let key_id = row.actor_id.filter(|_| row.is_key).map(ApiKeyId);
        let user_id = row.actor_id.filter(|_| !row.is_key).map(UserId);
        Ok(Self {
            id: row.audit_id,
            at_ms: row.at_ms,
            actor: Actor { user_id, key_id, request_id: row.request_id },
            deed: Deed { action: row.action, subject: row.subject, tenant_id, details },
        })
    }
}

impl Store {
    /// Returns a page of the deeds of all tenants, newest first; calls are not among them.
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

    /// Writes calls down, all or none; those with their ids that were written before stay as they are.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not known whether they were; safe to repeat.
    pub async fn write_calls(&self, calls: &[(Uuid, CallRecord)]) -> Result<(), StoreError> {
        let mut tx = self.begin_write(DOING_CALLS).await?;
        match &mut tx {
            Tx::Postgres(db) => sqlx::query(INSERT_CALLS.postgres())
                .bind(column(calls, |(id, _)| *id))
                .bind(column(calls, |(_, call)| call.at_ms))
                .bind(column(calls, |(_, call)| call.actor.id()))
                .bind(column(calls, |(_, call)| call.actor.key_id.is_some()))
                .bind(column(calls, |(_, call)| call.deed.tenant_id.map(|id| id.0)))
                .bind(column(calls, |(_, call)| call.deed.action.as_str()))
                .bind(column(calls, |(_, call)| call.deed.subject.as_str()))
                .bind(column(calls, |(_, call)| call.deed.details.to_string()))
                .bind(column(calls, |(_, call)| call.actor.request_id.as_deref()))
                .execute(&mut **db)
                .await
                .map(drop),
            Tx::Sqlite(db) => {
                let rows = to_json(calls, |(id, CallRecord { at_ms, actor, deed })| {
                    let (actor_id, is_key) = (actor.id().map(Hex), i32::from(actor.key_id.is_some()));
                    let (tenant_id, details) = (deed.tenant_id.map(|id| Hex(id.0)), deed.details.to_string());
                    let (action, subject, request_id) = (&deed.action, &deed.subject, &actor.request_id);
                    (Hex(*id), at_ms, actor_id, is_key, tenant_id, action, subject, details, request_id)
                });
                sqlx::query(INSERT_CALLS.sqlite()).bind(rows).execute(&mut **db).await.map(drop)
            }
        }
        .map_err(StoreError::database(DOING_CALLS))?;
        tx.commit(DOING_CALLS).await
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
                .bind(actor.id())
                .bind(actor.key_id.is_some())
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
