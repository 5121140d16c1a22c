//! What was sent to people by mail and is shown once: kept by its hash, good for a while and for one address.
//!
//! Knows no token, only hashes.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::domain::id::{TenantId, UserId};
use crate::domain::mail::MailKind;
use crate::store::audit::Actor;
use crate::store::tokens::user_deed;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

const INSERT: Sql = Sql::portable(
    "INSERT INTO account_tokens (token_hash, user_id, kind, email, expires_at_ms) VALUES ($1, $2, $3, $4, $5)",
);
/// The newest stay.
const THIN_OUT: Sql = Sql::portable(
    "DELETE FROM account_tokens WHERE user_id = $1 AND kind = $2 AND token_hash NOT IN ( \
         SELECT token_hash FROM account_tokens WHERE user_id = $1 AND kind = $2 \
         ORDER BY expires_at_ms DESC, token_hash LIMIT $3)",
);
/// One that was sent to an address which the person has left is none.
const FIND: Sql = Sql::portable(
    "SELECT u.user_id, u.tenant_id FROM account_tokens a JOIN users u ON u.user_id = a.user_id AND u.email = a.email \
     WHERE a.token_hash = $1 AND a.kind = $2 AND $3 < a.expires_at_ms",
);
const DELETE_OF_KIND: Sql = Sql::portable("DELETE FROM account_tokens WHERE user_id = $1 AND kind = $2");
const DELETE_ALL: Sql = Sql::portable("DELETE FROM account_tokens WHERE user_id = $1");
/// Mail that arrived proves the address, whatever it was sent for.
const VERIFY: Sql =
    Sql::portable("UPDATE users SET email_verified_at_ms = COALESCE(email_verified_at_ms, $2) WHERE user_id = $1");
const SET_PASSWORD: Sql = Sql::portable("UPDATE users SET password_hash = $2 WHERE user_id = $1");
const FORGET: Sql = Sql::portable(
    "DELETE FROM account_tokens WHERE token_hash IN ( \
         SELECT token_hash FROM account_tokens WHERE expires_at_ms <= $1 ORDER BY expires_at_ms LIMIT $2)",
);

const DOING_KEEP: &str = "keep a token sent by mail";
const DOING_FIND: &str = "find a token sent by mail";
const DOING_VERIFY: &str = "verify an address";
const DOING_RESET: &str = "reset a password";

/// A token that is sent by mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccountToken {
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// Whose it is.
    pub user_id: UserId,
    /// What it is for.
    pub kind: MailKind,
    /// To which address it is sent.
    pub email: String,
    /// When it expires, UTC milliseconds.
    pub expires_at_ms: i64,
}

/// The tokens sent by mail in the database.
#[derive(Debug, Clone, Copy)]
pub struct AccountTokens<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the tokens sent by mail.
    #[must_use]
    pub fn account_tokens(&self) -> AccountTokens<'_> {
        AccountTokens { store: self }
    }
}

impl AccountTokens<'_> {
    /// Keeps a token; of the same kind a person has the newest `n_max`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn keep(&self, token: &NewAccountToken, n_max: u32) -> Result<(), StoreError> {
        let mut tx = self.store.begin_write(DOING_KEEP).await?;
        let (insert, thin_out) = (INSERT.of(self.store.pool()), THIN_OUT.of(self.store.pool()));
        with_tx!(&mut tx, |db| {
            let query = sqlx::query(insert).bind(token.hash.as_slice()).bind(token.user_id.0);
            let query = query.bind(token.kind.as_str()).bind(&token.email).bind(token.expires_at_ms);
            query.execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_KEEP))?;
        with_tx!(&mut tx, |db| {
            let query = sqlx::query(thin_out).bind(token.user_id.0).bind(token.kind.as_str()).bind(i64::from(n_max));
            query.execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_KEEP))?;
        tx.commit(DOING_KEEP).await
    }

    /// Tells whether a token would be taken now.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn is_good(&self, hash: [u8; 32], kind: MailKind, now_ms: i64) -> Result<bool, StoreError> {
        let sql = FIND.of(self.store.pool());
        let found = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, (Uuid, Uuid)>(sql).bind(hash.as_slice()).bind(kind.as_str()).bind(now_ms);
            query.fetch_optional(db).await
        });
        Ok(found.map_err(StoreError::database(DOING_FIND))?.is_some())
    }

    /// Uses up a token and notes that mail to the person arrives; returns whose it was, none when it is not good.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed.
    pub async fn verify_email(&self, hash: [u8; 32], now_ms: i64) -> Result<Option<(TenantId, UserId)>, StoreError> {
        let mut tx = self.store.begin_write(DOING_VERIFY).await?;
        let Some((tenant_id, user_id)) = tx.hold_token(hash, MailKind::VerifyEmail, now_ms).await? else {
            return Ok(None);
        };
        tx.note_verified(user_id, now_ms, DOING_VERIFY).await?;
        tx.delete_account_tokens(user_id, Some(MailKind::VerifyEmail), DOING_VERIFY).await?;
        tx.commit(DOING_VERIFY).await?;
        Ok(Some((tenant_id, user_id)))
    }

    /// Uses up a token and gives the person another password; none when it is not good. All families of refresh tokens
    /// end with it, and so do other mails that would set a password.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed.
    pub async fn reset_password(
        &self,
        hash: [u8; 32],
        password_hash: &SecretString,
        now_ms: i64,
    ) -> Result<Option<UserId>, StoreError> {
        let mut tx = self.store.begin_write(DOING_RESET).await?;
        let Some((tenant_id, user_id)) = tx.hold_token(hash, MailKind::ResetPassword, now_ms).await? else {
            return Ok(None);
        };
        let sql = SET_PASSWORD.of(self.store.pool());
        with_tx!(&mut tx, |db| {
            sqlx::query(sql).bind(user_id.0).bind(password_hash.expose_secret()).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_RESET))?;
        tx.note_verified(user_id, now_ms, DOING_RESET).await?;
        tx.delete_families(user_id, None, DOING_RESET).await?;
        tx.delete_account_tokens(user_id, Some(MailKind::ResetPassword), DOING_RESET).await?;
        let actor = Actor::user(user_id);
        tx.write_deed(&actor, &user_deed("user.password_reset", tenant_id, user_id), now_ms, DOING_RESET).await?;
        tx.commit(DOING_RESET).await?;
        Ok(Some(user_id))
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
        forgotten.map_err(StoreError::database("forget tokens sent by mail"))
    }
}

impl Tx {
    /// Finds whose token it is and holds the row of that person; none when it is not good, or was used just now.
    async fn hold_token(
        &mut self,
        hash: [u8; 32],
        kind: MailKind,
        now_ms: i64,
    ) -> Result<Option<(TenantId, UserId)>, StoreError> {
        let Some((_, user_id)) = self.find_token(hash, kind, now_ms).await? else { return Ok(None) };
        self.lock_user(user_id, DOING_FIND).await?;
        self.find_token(hash, kind, now_ms).await
    }

    async fn find_token(
        &mut self,
        hash: [u8; 32],
        kind: MailKind,
        now_ms: i64,
    ) -> Result<Option<(TenantId, UserId)>, StoreError> {
        let sql = FIND.postgres();
        let found = with_tx!(self, |db| {
            let query = sqlx::query_as::<_, (Uuid, Uuid)>(sql).bind(hash.as_slice()).bind(kind.as_str()).bind(now_ms);
            query.fetch_optional(db).await
        });
        let found = found.map_err(StoreError::database(DOING_FIND))?;
        Ok(found.map(|(user_id, tenant_id)| (TenantId(tenant_id), UserId(user_id))))
    }

    async fn note_verified(&mut self, user_id: UserId, now_ms: i64, doing: &'static str) -> Result<(), StoreError> {
        let sql = VERIFY.postgres();
        with_tx!(self, |db| sqlx::query(sql).bind(user_id.0).bind(now_ms).execute(db).await.map(drop))
            .map_err(StoreError::database(doing))
    }

    /// Makes worthless what was sent to a person by mail, of one kind or all.
    pub(crate) async fn delete_account_tokens(
        &mut self,
        user_id: UserId,
        kind: Option<MailKind>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        with_tx!(self, |db| {
            match kind {
                Some(kind) => {
                    let query = sqlx::query(DELETE_OF_KIND.postgres()).bind(user_id.0).bind(kind.as_str());
                    query.execute(db).await.map(drop)
                }
                None => sqlx::query(DELETE_ALL.postgres()).bind(user_id.0).execute(db).await.map(drop),
            }
        })
        .map_err(StoreError::database(doing))
    }
}
