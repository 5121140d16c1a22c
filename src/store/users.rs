//! Users: the people who log in.
//!
//! Knows no passwords, only their hashes.

use secrecy::{ExposeSecret, SecretString};
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::billing::life_cycle::Event;
use crate::domain::id::{TenantId, UserId};
use crate::domain::mail::MailKind;
use crate::domain::plan::{SubscriptionState, TRIAL_PLAN};
use crate::domain::user::Role;
use crate::store::audit::Actor;
use crate::store::column::RowPlace;
use crate::store::tenants::TenantRecord;
use crate::store::tokens::user_deed;
use crate::store::tx::with_tx;
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

const INSERT_TENANT: Sql = Sql::portable("INSERT INTO tenants (tenant_id, name, created_at_ms) VALUES ($1, $2, $3)");
pub(in crate::store) const INSERT_USER: Sql = Sql::portable(
    "INSERT INTO users (user_id, tenant_id, email, name, password_hash, role, created_at_ms, email_verified_at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (email) DO NOTHING",
);
macro_rules! find {
    ($where:literal) => {
        Sql::portable(concat!(
            "SELECT u.user_id, u.tenant_id, t.name AS tenant_name, u.email, u.email_verified_at_ms, u.name, \
                 u.password_hash, u.role, u.created_at_ms \
             FROM users u JOIN tenants t ON t.tenant_id = u.tenant_id WHERE ",
            $where
        ))
    };
}
const FIND: Sql = find!("u.user_id = $1 AND u.tenant_id = $2");
const FIND_BY_EMAIL: Sql = find!("u.email = $1");

const CHANGE_ROLE: Sql =
    Sql::portable("UPDATE users SET role = $4 WHERE user_id = $1 AND tenant_id = $2 AND role = $3");
const CHANGE_NAME: Sql = Sql::portable("UPDATE users SET name = $3 WHERE user_id = $1 AND tenant_id = $2");
const CHANGE_EMAIL: Sql = Sql::portable(
    "UPDATE users SET email = $3, email_verified_at_ms = NULL WHERE user_id = $1 AND tenant_id = $2 AND email <> $3",
);
const CHANGE_PASSWORD: Sql =
    Sql::portable("UPDATE users SET password_hash = $3 WHERE user_id = $1 AND tenant_id = $2 AND password_hash = $4");

const DOING_PROFILE: &str = "change the profile of a user";
const DOING_PASSWORD: &str = "change the password of a user";

/// A person who may log in.
#[derive(Debug, Clone)]
pub struct UserRecord {
    /// The person.
    pub id: UserId,
    /// Whose data the person works on.
    pub tenant_id: TenantId,
    /// The name of that tenant.
    pub tenant_name: String,
    /// Address to log in with, lower case, unique among all tenants.
    pub email: String,
    /// When it was proved that mail to that address arrives, UTC milliseconds; none when it was not.
    pub email_verified_at_ms: Option<i64>,
    /// What the person is called.
    pub name: String,
    /// Argon2id, in its text form.
    pub password_hash: SecretString,
    /// What the person may do.
    pub role: Role,
    /// When the person was added, UTC milliseconds.
    pub created_at_ms: i64,
}

/// What a person changes about themselves; what is none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// What the person is called.
    pub name: Option<String>,
    /// Address to log in with, lower case.
    pub email: Option<String>,
}

/// The users in the database.
#[derive(Debug, Clone, Copy)]
pub struct Users<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the users.
    #[must_use]
    pub fn users(&self) -> Users<'_> {
        Users { store: self }
    }
}

impl Users<'_> {
    /// Adds a tenant and its owner, both or none; `false` if the address is taken. An owner whose address is not
    /// verified is sent a mail to verify it. With an end of its trial the tenant has a subscription from the start.
    ///
    /// # Errors
    /// [`StoreError::Database`] when neither was written.
    pub async fn insert_with_tenant(
        &self,
        tenant: &TenantRecord,
        owner: &UserRecord,
        trial_until_ms: Option<i64>,
    ) -> Result<bool, StoreError> {
        let doing = "add a tenant and its owner";
        let mut tx = self.store.begin_write(doing).await?;
        let inserted = with_tx!(&mut tx, |db| {
            sqlx::query(INSERT_TENANT.of(self.store.pool()))
                .bind(tenant.id.0)
                .bind(&tenant.name)
                .bind(tenant.created_at_ms)
                .execute(db)
                .await
                .map(|_| ())
        });
        inserted.map_err(StoreError::database(doing))?;
        let inserted = with_tx!(&mut tx, |db| {
            sqlx::query(INSERT_USER.of(self.store.pool()))
                .bind(owner.id.0)
                .bind(owner.tenant_id.0)
                .bind(&owner.email)
                .bind(&owner.name)
                .bind(owner.password_hash.expose_secret())
                .bind(owner.role.as_str())
                .bind(owner.created_at_ms)
                .bind(owner.email_verified_at_ms)
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        if inserted.map_err(StoreError::database(doing))? == 0 {
            // Not committed, so the tenant is gone with it.
            return Ok(false);
        }
        if trial_until_ms.is_some() {
            let (plan, state) = (TRIAL_PLAN.to_owned(), SubscriptionState::Trialing);
            let trial = Event::Set { plan, state, period_end_ms: trial_until_ms };
            let begun = (&Actor::SYSTEM, tenant.created_at_ms);
            tx.step_subscription(tenant.id, &trial, begun, doing).await?.ok();
        }
        if owner.email_verified_at_ms.is_none() {
            tx.ask_for_mail(&owner.email, MailKind::VerifyEmail, owner.created_at_ms, doing).await?;
        }
        tx.commit(doing).await?;
        Ok(true)
    }

    /// Finds a user of a tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, tenant_id: TenantId, id: UserId) -> Result<Option<UserRecord>, StoreError> {
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, UserRow>(FIND.of(self.store.pool()))
                .bind(id.0)
                .bind(tenant_id.0)
                .fetch_optional(db)
                .await
        });
        let row = row.map_err(StoreError::database("find a user"))?;
        row.map(UserRecord::try_from).transpose()
    }

    /// Finds whoever logs in with an address; the only look-up that knows no tenant yet.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find_by_email(&self, email: &str) -> Result<Option<UserRecord>, StoreError> {
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, UserRow>(FIND_BY_EMAIL.of(self.store.pool())).bind(email).fetch_optional(db).await
        });
        let row = row.map_err(StoreError::database("find a user by address"))?;
        row.map(UserRecord::try_from).transpose()
    }

    /// Changes what a user of a tenant says about themselves; `false` if the address is somebody else's. Another address
    /// is not verified, and what was sent to the one before is no longer good.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed; safe to repeat.
    pub async fn change_profile(
        &self,
        (tenant_id, id): (TenantId, UserId),
        change: &ProfileChange,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_PROFILE).await?;
        if let Some(name) = &change.name {
            let sql = CHANGE_NAME.of(self.store.pool());
            with_tx!(&mut tx, |db| {
                sqlx::query(sql).bind(id.0).bind(tenant_id.0).bind(name).execute(db).await.map(drop)
            })
            .map_err(StoreError::database(DOING_PROFILE))?;
        }
        if let Some(email) = &change.email {
            let sql = CHANGE_EMAIL.of(self.store.pool());
            let changed = with_tx!(&mut tx, |db| {
                let query = sqlx::query(sql).bind(id.0).bind(tenant_id.0).bind(email);
                query.execute(db).await.map(|done| done.rows_affected())
            })
            .map_err(StoreError::database(DOING_PROFILE));
            if changed.as_ref().is_err_and(StoreError::is_unique_violation) {
                return Ok(false);
            }
            if 0 < changed? {
                tx.delete_account_tokens(id, None, DOING_PROFILE).await?;
                tx.ask_for_mail(email, MailKind::VerifyEmail, now_ms, DOING_PROFILE).await?;
                let deed = user_deed("user.email_changed", tenant_id, id);
                tx.write_deed(actor, &deed, now_ms, DOING_PROFILE).await?;
            }
        }
        tx.commit(DOING_PROFILE).await?;
        Ok(true)
    }

    /// Gives `user` another password; `false` if it is not the one that `user` has any more. Families of refresh tokens
    /// but `kept_family` end with it, and so do mails that would set another one.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed.
    pub async fn change_password(
        &self,
        user: &UserRecord,
        password_hash: &SecretString,
        kept_family: Option<Uuid>,
        (actor, now_ms): (&Actor, i64),
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_PASSWORD).await?;
        tx.lock_user(user.id, DOING_PASSWORD).await?;
        let sql = CHANGE_PASSWORD.of(self.store.pool());
        let changed = with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql).bind(user.id.0).bind(user.tenant_id.0).bind(password_hash.expose_secret());
            let query = query.bind(user.password_hash.expose_secret());
            query.execute(db).await.map(|done| done.rows_affected())
        });
        if changed.map_err(StoreError::database(DOING_PASSWORD))? == 0 {
            return Ok(false);
        }
        tx.delete_families(user.id, kept_family, DOING_PASSWORD).await?;
        tx.delete_account_tokens(user.id, Some(MailKind::ResetPassword), DOING_PASSWORD).await?;
        let deed = user_deed("user.password_changed", user.tenant_id, user.id);
        tx.write_deed(actor, &deed, now_ms, DOING_PASSWORD).await?;
        tx.commit(DOING_PASSWORD).await?;
        Ok(true)
    }

    /// Gives a user of a tenant another role; `false` if the user did not have `from`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written; safe to repeat.
    pub async fn change_role(&self, tenant_id: TenantId, id: UserId, from: Role, to: Role) -> Result<bool, StoreError> {
        let changed = with_writer!(self.store.pool(), |db| {
            sqlx::query(CHANGE_ROLE.of(self.store.pool()))
                .bind(id.0)
                .bind(tenant_id.0)
                .bind(from.as_str())
                .bind(to.as_str())
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        Ok(0 < changed.map_err(StoreError::database("change the role of a user"))?)
    }
}

#[derive(FromRow)]
struct UserRow {
    user_id: Uuid,
    tenant_id: Uuid,
    tenant_name: String,
    email: String,
    email_verified_at_ms: Option<i64>,
    name: String,
    password_hash: String,
    role: String,
    created_at_ms: i64,
}

impl TryFrom<UserRow> for UserRecord {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "users", key: row.user_id };
        Ok(Self {
            id: UserId(row.user_id),
            tenant_id: TenantId(row.tenant_id),
            tenant_name: row.tenant_name,
            email: row.email,
            email_verified_at_ms: row.email_verified_at_ms,
            name: row.name,
            password_hash: row.password_hash.into(),
            role: place.known("role", Role::parse(&row.role))?,
            created_at_ms: row.created_at_ms,
        })
    }
}
