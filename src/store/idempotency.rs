//! Requests that count once: claimed by the client's own key before they are done, answered from here when they
//! come again.
//!
//! A claim without an answer is never given to a second request: what became of the first is not known. Knows no
//! HTTP; an answer is a number and a text.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::TenantId;
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// A row whose time is over is as good as none, also when nobody has removed it yet.
const CLAIM: Sql = Sql::portable(
    "INSERT INTO idempotency_keys AS k (tenant_id, operation, idempotency_key, claim_id, fingerprint, claimed_at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (tenant_id, operation, idempotency_key) DO UPDATE SET claim_id = EXCLUDED.claim_id, \
         fingerprint = EXCLUDED.fingerprint, claimed_at_ms = EXCLUDED.claimed_at_ms, status = NULL, answer = NULL \
     WHERE k.claimed_at_ms < $7",
);
const FIND: Sql = Sql::portable(
    "SELECT fingerprint, claimed_at_ms, status, answer FROM idempotency_keys \
     WHERE tenant_id = $1 AND operation = $2 AND idempotency_key = $3",
);
const ANSWER: Sql = Sql::portable(
    "UPDATE idempotency_keys SET status = $5, answer = $6 \
     WHERE tenant_id = $1 AND operation = $2 AND idempotency_key = $3 AND claim_id = $4",
);
const RELEASE: Sql = Sql::portable(
    "DELETE FROM idempotency_keys \
     WHERE tenant_id = $1 AND operation = $2 AND idempotency_key = $3 AND claim_id = $4",
);
const FORGET: Sql = Sql::per_dialect(
    "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY( \
         SELECT ctid FROM idempotency_keys WHERE claimed_at_ms < $1 ORDER BY claimed_at_ms LIMIT $2))",
    "DELETE FROM idempotency_keys WHERE rowid IN ( \
         SELECT rowid FROM idempotency_keys WHERE claimed_at_ms < $1 ORDER BY claimed_at_ms LIMIT $2)",
);

const DOING_CLAIM: &str = "claim an idempotency key";
const DOING_ANSWER: &str = "keep the answer of an idempotency key";
const DOING_RELEASE: &str = "release an idempotency key";
const DOING_FORGET: &str = "forget idempotency keys";

/// A request as its client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestName {
    /// Whose request.
    pub tenant_id: TenantId,
    /// What is asked for.
    pub operation: String,
    /// The client's own key.
    pub key: String,
}

/// A name that is taken for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The name.
    pub name: RequestName,
    /// Tells this claim from later ones on the same name.
    pub claim_id: Uuid,
}

/// What was known of a name before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierRequest {
    /// Of which request.
    pub fingerprint: [u8; 32],
    /// Since when, UTC milliseconds.
    pub claimed_at_ms: i64,
    /// How it was answered; none while that is not known.
    pub answer: Option<StoredAnswer>,
}

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub text: String,
}

/// The requests that count once, in the database.
#[derive(Debug, Clone, Copy)]
pub struct Idempotency<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the requests that count once.
    #[must_use]
    pub fn idempotency(&self) -> Idempotency<'_> {
        Idempotency { store: self }
    }
}

impl Idempotency<'_> {
    /// Takes a name for one request, unless it was taken from `kept_from_ms` on; tells whether it was free.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not certain to be taken.
    pub async fn claim(
        &self,
        claim: &Claim,
        fingerprint: [u8; 32],
        (now_ms, kept_from_ms): (i64, i64),
    ) -> Result<bool, StoreError> {
        let sql = CLAIM.of(self.store.pool());
        let n_taken = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql)
                .bind(claim.name.tenant_id.0)
                .bind(&claim.name.operation)
                .bind(&claim.name.key)
                .bind(claim.claim_id)
                .bind(fingerprint.as_slice())
                .bind(now_ms)
                .bind(kept_from_ms);
            query.execute(db).await.map(|done| done.rows_affected())
        });
        Ok(0 < n_taken.map_err(StoreError::database(DOING_CLAIM))?)
    }

    /// Returns what is known of a name; `None` when nothing is, or no more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it is not readable.
    pub async fn find(&self, name: &RequestName) -> Result<Option<EarlierRequest>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, RequestRow>(sql).bind(name.tenant_id.0).bind(&name.operation);
            query.bind(&name.key).fetch_optional(db).await
        });
        let Some(row) = row.map_err(StoreError::database(DOING_CLAIM))? else {
            return Ok(None);
        };
        let corrupt = |column| StoreError::corrupt("idempotency_keys", column, name.tenant_id);
        let status = row.status.map(|status| u16::try_from(status).map_err(|_| corrupt("status"))).transpose()?;
        Ok(Some(EarlierRequest {
            fingerprint: row.fingerprint.try_into().map_err(|_| corrupt("fingerprint"))?,
            claimed_at_ms: row.claimed_at_ms,
            answer: status.zip(row.answer).map(|(status, text)| StoredAnswer { status, text }),
        }))
    }

    /// Keeps the answer of a claim.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not certain to be kept.
    pub async fn answer(&self, claim: &Claim, answer: &StoredAnswer) -> Result<(), StoreError> {
        let sql = ANSWER.of(self.store.pool());
        let kept = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql)
                .bind(claim.name.tenant_id.0)
                .bind(&claim.name.operation)
                .bind(&claim.name.key)
                .bind(claim.claim_id)
                .bind(i32::from(answer.status))
                .bind(&answer.text);
            query.execute(db).await.map(drop)
        });
        kept.map_err(StoreError::database(DOING_ANSWER))
    }

    /// Gives the name of a claim back, for a request that changed nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not certain to be free.
    pub async fn release(&self, claim: &Claim) -> Result<(), StoreError> {
        let sql = RELEASE.of(self.store.pool());
        let released = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql)
                .bind(claim.name.tenant_id.0)
                .bind(&claim.name.operation)
                .bind(&claim.name.key)
                .bind(claim.claim_id);
            query.execute(db).await.map(drop)
        });
        released.map_err(StoreError::database(DOING_RELEASE))
    }

    /// Removes up to `n_max` names that were taken before `before_ms`, the oldest first, of all tenants; returns how
    /// many.
    ///
    /// # Errors
    /// [`StoreError::Database`] when none was removed; safe to repeat.
    pub async fn forget(&self, before_ms: i64, n_max: u32) -> Result<u64, StoreError> {
        let sql = FORGET.of(self.store.pool());
        let forgotten = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql).bind(before_ms).bind(i64::from(n_max));
            query.execute(db).await.map(|done| done.rows_affected())
        });
        forgotten.map_err(StoreError::database(DOING_FORGET))
    }
}

#[derive(FromRow)]
struct RequestRow {
    fingerprint: Vec<u8>,
    claimed_at_ms: i64,
    status: Option<i32>,
    answer: Option<String>,
}
