//! Refresh tokens: each good for one exchange, kept by its hash, grouped in families.
//!
//! A family is everything that came out of one log-in. Knows no token, only hashes.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{TenantId, UserId};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_writer;

const INSERT: Sql =
    Sql::portable("INSERT INTO refresh_tokens (token_hash, family_id, user_id, expires_at_ms) VALUES ($1, $2, $3, $4)");
/// The expiry is checked by the caller: an expired token that is used again is reuse all the same.
const USE: Sql = Sql::portable(
    "UPDATE refresh_tokens SET used_at_ms = $2 WHERE token_hash = $1 AND used_at_ms IS NULL \
     RETURNING family_id, user_id, expires_at_ms, \
         (SELECT u.tenant_id FROM users u WHERE u.user_id = refresh_tokens.user_id) AS tenant_id",
);
const FIND: Sql = Sql::portable("SELECT family_id, user_id FROM refresh_tokens WHERE token_hash = $1");
const DELETE_FAMILY: Sql = Sql::portable("DELETE FROM refresh_tokens WHERE family_id = $1");

/// A refresh token, by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRefreshToken {
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// When it expires, UTC milliseconds.
    pub expires_at_ms: i64,
}

/// What came of presenting a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It was good and is used up; the next one stands in its family.
    Rotated {
        /// Whose data that person works on.
        tenant_id: TenantId,
        /// Whose it is.
        user_id: UserId,
    },
    /// It was used before: its whole family is gone now.
    Reused {
        /// Whose it was.
        user_id: UserId,
    },
    /// It is unknown or expired.
    Refused,
}

/// The refresh tokens in the database.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the refresh tokens.
    #[must_use]
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens { store: self }
    }
}

impl Tokens<'_> {
    /// Adds the first token of a family.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn insert(&self, user_id: UserId, family_id: Uuid, token: NewRefreshToken) -> Result<(), StoreError> {
        with_writer!(self.store.pool(), |db| {
            sqlx::query(INSERT.of(self.store.pool()))
                .bind(token.hash.as_slice())
                .bind(family_id)
                .bind(user_id.0)
                .bind(token.expires_at_ms)
                .execute(db)
                .await
                .map(|_| ())
        })
        .map_err(StoreError::database("add a refresh token"))
    }

    /// Uses a token up and puts the next one into its family; of two calls at once one succeeds
    /// and the other is reuse.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed.
    pub async fn rotate(&self, hash: [u8; 32], next: NewRefreshToken, now_ms: i64) -> Result<Rotation, StoreError> {
        let doing = "exchange a refresh token";
        let mut tx = self.store.begin_write(doing).await?;
        let used = with_tx!(&mut tx, |db| {
            sqlx::query_as::<_, TokenRow>(USE.of(self.store.pool()))
                .bind(hash.as_slice())
                .bind(now_ms)
                .fetch_optional(db)
                .await
        });
        let rotation = match used.map_err(StoreError::database(doing))? {
            Some(row) if now_ms < row.expires_at_ms => {
                let inserted = with_tx!(&mut tx, |db| {
                    sqlx::query(INSERT.of(self.store.pool()))
                        .bind(next.hash.as_slice())
                        .bind(row.family_id)
                        .bind(row.user_id)
                        .bind(next.expires_at_ms)
                        .execute(db)
                        .await
                        .map(|_| ())
                });
                inserted.map_err(StoreError::database(doing))?;
                Rotation::Rotated { tenant_id: TenantId(row.tenant_id), user_id: UserId(row.user_id) }
            }
            Some(_) => Rotation::Refused,
            None => self.revoke_family_of(hash, &mut tx).await?,
        };
        tx.commit(doing).await?;
        Ok(rotation)
    }

    /// Ends the family of a token that is known and was used before.
    async fn revoke_family_of(&self, hash: [u8; 32], tx: &mut Tx) -> Result<Rotation, StoreError> {
        let doing = "revoke a family of refresh tokens";
        let known: Result<Option<(Uuid, Uuid)>, _> = with_tx!(tx, |db| {
            sqlx::query_as(FIND.of(self.store.pool())).bind(hash.as_slice()).fetch_optional(db).await
        });
        let Some((family_id, user_id)) = known.map_err(StoreError::database(doing))? else {
            return Ok(Rotation::Refused);
        };
        with_tx!(tx, |db| {
            sqlx::query(DELETE_FAMILY.of(self.store.pool())).bind(family_id).execute(db).await.map(|_| ())
        })
        .map_err(StoreError::database(doing))?;
        Ok(Rotation::Reused { user_id: UserId(user_id) })
    }
}

#[derive(FromRow)]
struct TokenRow {
    tenant_id: Uuid,
    family_id: Uuid,
    user_id: Uuid,
    expires_at_ms: i64,
}
