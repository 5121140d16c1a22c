//! Keys of programs that call the API: found by their beginning, kept by their hash.
//!
//! Knows no key, only hashes. Every change is written down in the audit log with it.

use ipnet::IpNet;
use serde_json::json;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::api_key::Scope;
use crate::domain::id::{ApiKeyId, TenantId, UserId};
use crate::store::audit::{Actor, Deed};
use crate::store::bind::{Hex, column, to_json, written};
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Pool, Sql, Store, StoreError};
use crate::with_reader;

macro_rules! columns {
    ($start:literal, $end:literal) => {
        Sql::portable(concat!(
            $start,
            " api_key_id, tenant_id, name, prefix, key_hash, scopes, allowed_ips, created_by, created_at_ms, \
              expires_at_ms, last_used_at_ms ",
            $end
        ))
    };
}

const INSERT: Sql = Sql::portable(
    "INSERT INTO api_keys (api_key_id, tenant_id, name, prefix, key_hash, scopes, allowed_ips, created_by, \
         created_at_ms, expires_at_ms) \
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 WHERE (SELECT COUNT(*) FROM api_keys WHERE tenant_id = $2) < $11",
);
const LIST: Sql = columns!("SELECT", "FROM api_keys WHERE tenant_id = $1 ORDER BY api_key_id DESC LIMIT $2 OFFSET $3");
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM api_keys WHERE tenant_id = $1");
const FIND: Sql = columns!("SELECT", "FROM api_keys WHERE api_key_id = $1 AND tenant_id = $2");
const FIND_BY_PREFIX: Sql = columns!("SELECT", "FROM api_keys WHERE prefix = $1");
const CHANGE: Sql = columns!(
    "UPDATE api_keys SET name = COALESCE($3, name), scopes = COALESCE($4, scopes), \
         allowed_ips = COALESCE($5, allowed_ips), expires_at_ms = CASE WHEN $6 THEN $7 ELSE expires_at_ms END \
     WHERE api_key_id = $1 AND tenant_id = $2 RETURNING",
    ""
);
const ROTATE: Sql =
    columns!("UPDATE api_keys SET prefix = $3, key_hash = $4 WHERE api_key_id = $1 AND tenant_id = $2 RETURNING", "");
const DELETE: Sql = Sql::portable("DELETE FROM api_keys WHERE api_key_id = $1 AND tenant_id = $2");
/// Several nodes note uses; the latest counts.
const NOTE_USES: Sql = Sql::per_dialect(
    "UPDATE api_keys k SET last_used_at_ms = u.at_ms FROM UNNEST($1::uuid[], $2::int8[]) AS u (api_key_id, at_ms) \
     WHERE k.api_key_id = u.api_key_id AND (k.last_used_at_ms IS NULL OR k.last_used_at_ms < u.at_ms)",
    "UPDATE api_keys SET last_used_at_ms = u.value ->> 1 FROM json_each($1) AS u \
     WHERE api_key_id = unhex(u.value ->> 0) AND (last_used_at_ms IS NULL OR last_used_at_ms < u.value ->> 1)",
);

const DOING_ADD: &str = "add an API key";
const DOING_READ: &str = "read API keys";
const DOING_CHANGE: &str = "change an API key";
const DOING_ROTATE: &str = "rotate an API key";
const DOING_DELETE: &str = "delete an API key";
const DOING_NOTE: &str = "note the use of API keys";

/// What is kept of the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSecret {
    /// How the key begins, unique among all keys; no secret.
    pub prefix: String,
    /// SHA-256 of the whole key.
    pub hash: [u8; 32],
}

/// What people set about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTerms {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From where it may be used; from everywhere when empty.
    pub allowed_ips: Vec<IpNet>,
    /// From when on it is refused, UTC milliseconds.
    pub expires_at_ms: Option<i64>,
}

/// What is to be different; what is none stays, also when somebody else changes it just then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyTermsChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it may do.
    pub scopes: Option<Vec<Scope>>,
    /// From where it may be used; from everywhere when empty.
    pub allowed_ips: Option<Vec<IpNet>>,
    /// From when on it is refused, UTC milliseconds; an inner none takes the end away.
    pub expires_at_ms: Option<Option<i64>>,
}

/// The key of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// The key.
    pub id: ApiKeyId,
    /// Whose data the program works on.
    pub tenant_id: TenantId,
    /// What people set.
    pub terms: KeyTerms,
    /// What is kept of the secret.
    pub secret: KeptSecret,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made, UTC milliseconds.
    pub created_at_ms: i64,
    /// When it was used, UTC milliseconds, to about a minute.
    pub last_used_at_ms: Option<i64>,
}

/// The API keys in the database.
#[derive(Debug, Clone, Copy)]
pub struct ApiKeys<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the API keys.
    #[must_use]
    pub fn api_keys(&self) -> ApiKeys<'_> {
        ApiKeys { store: self }
    }
}

impl ApiKeys<'_> {
    /// Adds a key; `false` when the tenant has `n_max` already.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn insert(&self, key: &ApiKeyRecord, n_max: i64, actor: &Actor) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_ADD).await?;
        tx.hold_tenant(key.tenant_id, DOING_ADD).await?;
        let sql = INSERT.of(self.store.pool());
        let n_added = with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql)
                .bind(key.id.0)
                .bind(key.tenant_id.0)
                .bind(&key.terms.name)
                .bind(&key.secret.prefix)
                .bind(key.secret.hash.as_slice())
                .bind(written(&key.terms.scopes))
                .bind(to_json(&key.terms.allowed_ips, IpNet::to_string))
                .bind(key.created_by.0)
                .bind(key.created_at_ms)
                .bind(key.terms.expires_at_ms)
                .bind(n_max);
            query.execute(db).await.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(DOING_ADD))?;
        if n_added == 0 {
            return Ok(false);
        }
        let deed = deed("created", key.tenant_id, key.id, &key.terms);
        tx.write_deed(actor, &deed, key.created_at_ms, DOING_ADD).await?;
        tx.commit(DOING_ADD).await?;
        Ok(true)
    }

    /// Returns a page of a tenant's keys, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when a row is not readable.
    pub async fn list(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<ApiKeyRecord>, StoreError> {
        let (count, list) = (COUNT.of(self.store.pool()), LIST.of(self.store.pool()));
        let total: i64 =
            with_reader!(self.store.pool(), |db| { sqlx::query_scalar(count).bind(tenant_id.0).fetch_one(db).await })
                .map_err(StoreError::database(DOING_READ))?;
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, KeyRow>(list).bind(tenant_id.0).bind(i64::from(page.limit()));
            query.bind(page.offset()).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_READ))?;
        let items = rows.into_iter().map(ApiKeyRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Finds a key of a tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it is not readable.
    pub async fn find(&self, tenant_id: TenantId, id: ApiKeyId) -> Result<Option<ApiKeyRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, KeyRow>(sql).bind(id.0).bind(tenant_id.0).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(ApiKeyRecord::try_from).transpose()
    }

    /// Finds the key that begins like this; the only look-up that knows no tenant yet.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it is not readable.
    pub async fn find_by_prefix(&self, prefix: &str) -> Result<Option<ApiKeyRecord>, StoreError> {
        let sql = FIND_BY_PREFIX.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, KeyRow>(sql).bind(prefix).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(ApiKeyRecord::try_from).transpose()
    }

    /// Changes terms of a key of a tenant; `None` when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn change(
        &self,
        (tenant_id, id): (TenantId, ApiKeyId),
        change: &KeyTermsChange,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<Option<ApiKeyRecord>, StoreError> {
        let mut tx = self.store.begin_write(DOING_CHANGE).await?;
        let sql = CHANGE.of(self.store.pool());
        let row = with_tx!(&mut tx, |db| {
            let query = sqlx::query_as::<_, KeyRow>(sql)
                .bind(id.0)
                .bind(tenant_id.0)
                .bind(&change.name)
                .bind(change.scopes.as_ref().map(written))
                .bind(change.allowed_ips.as_deref().map(|networks| to_json(networks, IpNet::to_string)))
                .bind(change.expires_at_ms.is_some())
                .bind(change.expires_at_ms.flatten());
            query.fetch_optional(db).await
        })
        .map_err(StoreError::database(DOING_CHANGE))?;
        tx.finish(row, ("changed", actor, now_ms), DOING_CHANGE).await
    }

    /// Gives a key of a tenant another secret, and the one before ends; `None` when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn rotate(
        &self,
        (tenant_id, id): (TenantId, ApiKeyId),
        secret: &KeptSecret,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<Option<ApiKeyRecord>, StoreError> {
        let mut tx = self.store.begin_write(DOING_ROTATE).await?;
        let sql = ROTATE.of(self.store.pool());
        let row = with_tx!(&mut tx, |db| {
            let query = sqlx::query_as::<_, KeyRow>(sql).bind(id.0).bind(tenant_id.0);
            query.bind(&secret.prefix).bind(secret.hash.as_slice()).fetch_optional(db).await
        })
        .map_err(StoreError::database(DOING_ROTATE))?;
        tx.finish(row, ("rotated", actor, now_ms), DOING_ROTATE).await
    }

    /// Removes a key of a tenant; `false` when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn delete(
        &self,
        tenant_id: TenantId,
        id: ApiKeyId,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_DELETE).await?;
        let sql = DELETE.of(self.store.pool());
        let n_removed = with_tx!(&mut tx, |db| {
            sqlx::query(sql).bind(id.0).bind(tenant_id.0).execute(db).await.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(DOING_DELETE))?;
        if n_removed == 0 {
            return Ok(false);
        }
        let (action, subject) = ("api_key.deleted".to_owned(), id.to_string());
        let deed = Deed { action, subject, tenant_id: Some(tenant_id), details: json!({}) };
        tx.write_deed(actor, &deed, now_ms, DOING_DELETE).await?;
        tx.commit(DOING_DELETE).await?;
        Ok(true)
    }

    /// Notes when keys were used, UTC milliseconds; whoever calls has proved that they know them.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn note_uses(&self, uses: &[(ApiKeyId, i64)]) -> Result<(), StoreError> {
        let sql = NOTE_USES.of(self.store.pool());
        let noted = match self.store.pool() {
            Pool::Postgres(db) => {
                let query = sqlx::query(sql).bind(column(uses, |(id, _)| id.0)).bind(column(uses, |(_, at_ms)| *at_ms));
                query.execute(db).await.map(drop)
            }
            Pool::Sqlite { writer: db, .. } => {
                let rows = to_json(uses, |(id, at_ms)| (Hex(id.0), *at_ms));
                sqlx::query(sql).bind(rows).execute(db).await.map(drop)
            }
        };
        noted.map_err(StoreError::database(DOING_NOTE))
    }
}

impl Tx {
    /// Writes down what was done to a key, if it was there, and commits.
    async fn finish(
        mut self,
        row: Option<KeyRow>,
        (what, actor, now_ms): (&str, &Actor, i64),
        doing: &'static str,
    ) -> Result<Option<ApiKeyRecord>, StoreError> {
        let Some(key) = row.map(ApiKeyRecord::try_from).transpose()? else {
            return Ok(None);
        };
        self.write_deed(actor, &deed(what, key.tenant_id, key.id, &key.terms), now_ms, doing).await?;
        self.commit(doing).await?;
        Ok(Some(key))
    }
}

fn deed(what: &str, tenant_id: TenantId, id: ApiKeyId, terms: &KeyTerms) -> Deed {
    let details = json!({ "scopes": terms.scopes, "expiresAtMs": terms.expires_at_ms });
    Deed { action: format!("api_key.{what}"), subject: id.to_string(), tenant_id: Some(tenant_id), details }
}

#[derive(FromRow)]
struct KeyRow {
    api_key_id: Uuid,
    tenant_id: Uuid,
    name: String,
    prefix: String,
    key_hash: Vec<u8>,
    scopes: String,
    allowed_ips: String,
    created_by: Uuid,
    created_at_ms: i64,
    expires_at_ms: Option<i64>,
    last_used_at_ms: Option<i64>,
}

impl TryFrom<KeyRow> for ApiKeyRecord {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "api_keys", key: row.api_key_id };
        let networks: Vec<String> = place.json("allowed_ips", &row.allowed_ips)?;
        let networks = networks.iter().map(|text| place.known("allowed_ips", text.parse().ok()));
        Ok(Self {
            id: ApiKeyId(row.api_key_id),
            tenant_id: TenantId(row.tenant_id),
            terms: KeyTerms {
                name: row.name,
                scopes: place.json("scopes", &row.scopes)?,
                allowed_ips: networks.collect::<Result<_, _>>()?,
                expires_at_ms: row.expires_at_ms,
            },
            secret: KeptSecret { prefix: row.prefix, hash: place.known("key_hash", row.key_hash.try_into().ok())? },
            created_by: UserId(row.created_by),
            created_at_ms: row.created_at_ms,
            last_used_at_ms: row.last_used_at_ms,
        })
    }
}
