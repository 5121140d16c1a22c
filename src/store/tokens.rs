//! Refresh tokens: each good for one exchange, kept by its hash, grouped in families.
//!
//! A family is everything that came out of one log-in, and lives as long as it has a row. Whoever adds to a family or
//! ends one holds the row of the person, so that nothing is added to what is being ended. Knows no token, only hashes.

use secrecy::ExposeSecret;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{TenantId, UserId};
use crate::domain::user::Role;
use crate::store::audit::{Actor, Deed};
use crate::store::column::RowPlace;
use crate::store::tx::{Tx, with_tx};
use crate::store::users::UserRecord;
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

const LOCK_USER: Sql = Sql::per_dialect(
    "SELECT password_hash FROM users WHERE user_id = $1 FOR NO KEY UPDATE",
    "SELECT password_hash FROM users WHERE user_id = $1",
);
const INSERT: Sql =
    Sql::portable("INSERT INTO refresh_tokens (token_hash, family_id, user_id, expires_at_ms) VALUES ($1, $2, $3, $4)");
/// The expiry is checked by the caller: an expired token that is used again is reuse all the same.
const USE: Sql = Sql::portable(
    "UPDATE refresh_tokens SET used_at_ms = $2 WHERE token_hash = $1 AND used_at_ms IS NULL \
     RETURNING expires_at_ms",
);
const FIND: Sql = Sql::portable(
    "SELECT r.family_id, r.user_id, u.tenant_id FROM refresh_tokens r JOIN users u ON u.user_id = r.user_id \
     WHERE r.token_hash = $1",
);
const FIND_FAMILY: Sql = Sql::portable(
    "SELECT u.user_id, u.tenant_id, u.role FROM refresh_tokens r JOIN users u ON u.user_id = r.user_id \
     WHERE r.family_id = $1 LIMIT 1",
);
const DELETE_FAMILY: Sql = Sql::portable("DELETE FROM refresh_tokens WHERE family_id = $1");
const DELETE_OTHERS: Sql = Sql::portable("DELETE FROM refresh_tokens WHERE user_id = $1 AND family_id <> $2");
const FORGET: Sql = Sql::portable(
    "DELETE FROM refresh_tokens WHERE token_hash IN ( \
         SELECT token_hash FROM refresh_tokens WHERE expires_at_ms <= $1 ORDER BY expires_at_ms LIMIT $2)",
);

const DOING_ROTATE: &str = "exchange a refresh token";
const DOING_REVOKE: &str = "revoke refresh tokens";

/// A refresh token, by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRefreshToken {
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// When it expires, UTC milliseconds.
    pub expires_at_ms: i64,
}

/// A family that is not revoked, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyRecord {
    /// The family.
    pub id: Uuid,
    /// Who logged in.
    pub user_id: UserId,
    /// Whose data that person works on.
    pub tenant_id: TenantId,
    /// What that person may do now.
    pub role: Role,
}

/// A family, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyOwner {
    /// The family.
    pub family_id: Uuid,
    /// Who logged in.
    pub user_id: UserId,
    /// Whose data that person works on.
    pub tenant_id: TenantId,
}

/// What came of presenting a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It was good and is used up; the next one stands in its family.
    Rotated {
        /// Its family.
        family_id: Uuid,
        /// Whose data that person works on.
        tenant_id: TenantId,
        /// Whose it is.
        user_id: UserId,
    },
    /// It was used before: its whole family is gone now.
    Reused {
        /// Its family.
        family_id: Uuid,
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
    /// Adds the first token of a family; `false` when the password is not the one of `user` any more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn insert(&self, user: &UserRecord, family_id: Uuid, token: NewRefreshToken) -> Result<bool, StoreError> {
        let doing = "add a refresh token";
        let mut tx = self.store.begin_write(doing).await?;
        let password_hash = tx.lock_user(user.id, doing).await?;
        if password_hash.as_deref() != Some(user.password_hash.expose_secret()) {
            return Ok(false);
        }
        tx.insert_token(family_id, user.id, token, doing).await?;
        tx.commit(doing).await?;
        Ok(true)
    }

    /// Uses a token up and puts the next one into its family; of two calls at once one succeeds
    /// and the other is reuse.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed.
    pub async fn rotate(&self, hash: [u8; 32], next: NewRefreshToken, now_ms: i64) -> Result<Rotation, StoreError> {
        let mut tx = self.store.begin_write(DOING_ROTATE).await?;
        let Some(owner) = tx.hold_family_of(hash, DOING_ROTATE).await? else {
            return Ok(Rotation::Refused);
        };
        let FamilyOwner { family_id, user_id, tenant_id } = owner;
        let sql = USE.of(self.store.pool());
        let used = with_tx!(&mut tx, |db| {
            sqlx::query_scalar::<_, i64>(sql).bind(hash.as_slice()).bind(now_ms).fetch_optional(db).await
        });
        let rotation = match used.map_err(StoreError::database(DOING_ROTATE))? {
            Some(expires_at_ms) if now_ms < expires_at_ms => {
                tx.insert_token(family_id, user_id, next, DOING_ROTATE).await?;
                Rotation::Rotated { family_id, tenant_id, user_id }
            }
            Some(_) => Rotation::Refused,
            None if tx.delete_family(family_id, DOING_ROTATE).await? == 0 => Rotation::Refused,
            None => Rotation::Reused { family_id, user_id },
        };
        tx.commit(DOING_ROTATE).await?;
        Ok(rotation)
    }

    /// Ends the family of a token, whether it was used or not; returns whose it was, none when there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed; safe to repeat.
    pub async fn revoke(&self, hash: [u8; 32]) -> Result<Option<FamilyOwner>, StoreError> {
        let mut tx = self.store.begin_write(DOING_REVOKE).await?;
        let Some(owner) = tx.hold_family_of(hash, DOING_REVOKE).await? else {
            return Ok(None);
        };
        tx.delete_family(owner.family_id, DOING_REVOKE).await?;
        tx.commit(DOING_REVOKE).await?;
        Ok(Some(owner))
    }

    /// Ends all families of a person of a tenant; does nothing where there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed; safe to repeat.
    pub async fn revoke_all(
        &self,
        (tenant_id, user_id): (TenantId, UserId),
        actor: &Actor,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        // Nobody ever moves to another tenant, so this may be asked before.
        if self.store.users().find(tenant_id, user_id).await?.is_none() {
            return Ok(());
        }
        let mut tx = self.store.begin_write(DOING_REVOKE).await?;
        tx.lock_user(user_id, DOING_REVOKE).await?;
        if 0 < tx.delete_families(user_id, None, DOING_REVOKE).await? {
            let deed = user_deed("user.logged_out_everywhere", tenant_id, user_id);
            tx.write_deed(actor, &deed, now_ms, DOING_REVOKE).await?;
        }
        tx.commit(DOING_REVOKE).await
    }

    /// Finds a family that is not revoked; the token that names it was proved, so no tenant is asked.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it is not readable.
    pub async fn family(&self, id: Uuid) -> Result<Option<FamilyRecord>, StoreError> {
        let sql = FIND_FAMILY.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, FamilyRow>(sql).bind(id).fetch_optional(db).await
        });
        let row = row.map_err(StoreError::database("find a family of refresh tokens"))?;
        row.map(|row| row.record(id)).transpose()
    }

    /// Removes up to `n_max` tokens that have expired, of all people; returns how many.
    ///
    /// # Errors
    /// [`StoreError::Database`] when none was removed; safe to repeat.
    pub async fn forget_expired(&self, now_ms: i64, n_max: u32) -> Result<u64, StoreError> {
        let sql = FORGET.of(self.store.pool());
        let forgotten = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql).bind(now_ms).bind(i64::from(n_max));
            query.execute(db).await.map(|done| done.rows_affected())
        });
        forgotten.map_err(StoreError::database("forget refresh tokens"))
    }
}

/// Says what somebody did to an account.
pub(crate) fn user_deed(action: &str, tenant_id: TenantId, user_id: UserId) -> Deed {
    let details = serde_json::json!({});
    Deed { action: action.to_owned(), subject: user_id.to_string(), tenant_id: Some(tenant_id), details }
}

impl Tx {
    /// Holds the row of a person to the end of the transaction and returns the hash of the password; none when there is
    /// no such person.
    pub(crate) async fn lock_user(
        &mut self,
        user_id: UserId,
        doing: &'static str,
    ) -> Result<Option<String>, StoreError> {
        let sql = match self {
            Self::Postgres(_) => LOCK_USER.postgres(),
            Self::Sqlite(_) => LOCK_USER.sqlite(),
        };
        with_tx!(self, |db| sqlx::query_scalar(sql).bind(user_id.0).fetch_optional(db).await)
            .map_err(StoreError::database(doing))
    }

    /// Finds the family of a token and holds whose it is.
    async fn hold_family_of(&mut self, hash: [u8; 32], doing: &'static str) -> Result<Option<FamilyOwner>, StoreError> {
        let sql = FIND.postgres();
        let known: Option<(Uuid, Uuid, Uuid)> =
            with_tx!(self, |db| sqlx::query_as(sql).bind(hash.as_slice()).fetch_optional(db).await)
                .map_err(StoreError::database(doing))?;
        let Some((family_id, user_id, tenant_id)) = known else { return Ok(None) };
        let owner = FamilyOwner { family_id, user_id: UserId(user_id), tenant_id: TenantId(tenant_id) };
        // Who was removed just now has no families any more.
        let is_there = self.lock_user(owner.user_id, doing).await?.is_some();
        Ok(is_there.then_some(owner))
    }

    async fn insert_token(
        &mut self,
        family_id: Uuid,
        user_id: UserId,
        token: NewRefreshToken,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let sql = INSERT.postgres();
        with_tx!(self, |db| {
            let query = sqlx::query(sql).bind(token.hash.as_slice()).bind(family_id).bind(user_id.0);
            query.bind(token.expires_at_ms).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(doing))
    }

    async fn delete_family(&mut self, family_id: Uuid, doing: &'static str) -> Result<u64, StoreError> {
        let sql = DELETE_FAMILY.postgres();
        with_tx!(self, |db| sqlx::query(sql).bind(family_id).execute(db).await.map(|done| done.rows_affected()))
            .map_err(StoreError::database(doing))
    }

    /// Ends the families of a person, whose row must be held, but for one; returns how many tokens that were.
    pub(crate) async fn delete_families(
        &mut self,
        user_id: UserId,
        but: Option<Uuid>,
        doing: &'static str,
    ) -> Result<u64, StoreError> {
        let sql = DELETE_OTHERS.postgres();
        with_tx!(self, |db| {
            let query = sqlx::query(sql).bind(user_id.0).bind(but.unwrap_or(Uuid::nil()));
            query.execute(db).await.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(doing))
    }
}

#[derive(FromRow)]
struct FamilyRow {
    user_id: Uuid,
    tenant_id: Uuid,
    role: String,
}

impl FamilyRow {
    fn record(self, id: Uuid) -> Result<FamilyRecord, StoreError> {
        let place = RowPlace { table: "users", key: self.user_id };
        let role = place.known("role", Role::parse(&self.role))?;
        Ok(FamilyRecord { id, user_id: UserId(self.user_id), tenant_id: TenantId(self.tenant_id), role })
    }
}
