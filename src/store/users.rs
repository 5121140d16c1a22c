//! Users: the people who log in.
//!
//! Knows no passwords, only their hashes.

use secrecy::{ExposeSecret, SecretString};
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{TenantId, UserId};
use crate::domain::user::Role;
use crate::store::column::RowPlace;
use crate::store::tenants::TenantRecord;
use crate::store::tx::with_tx;
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

const INSERT_TENANT: Sql = Sql::portable("INSERT INTO tenants (tenant_id, name, created_at_ms) VALUES ($1, $2, $3)");
const INSERT_USER: Sql = Sql::portable(
    "INSERT INTO users (user_id, tenant_id, email, name, password_hash, role, created_at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (email) DO NOTHING",
);
const FIND: Sql = Sql::portable(
    "SELECT u.user_id, u.tenant_id, t.name AS tenant_name, u.email, u.name, u.password_hash, u.role, u.created_at_ms \
     FROM users u JOIN tenants t ON t.tenant_id = u.tenant_id WHERE u.user_id = $1 AND u.tenant_id = $2",
);
const FIND_BY_EMAIL: Sql = Sql::portable(
    "SELECT u.user_id, u.tenant_id, t.name AS tenant_name, u.email, u.name, u.password_hash, u.role, u.created_at_ms \
     FROM users u JOIN tenants t ON t.tenant_id = u.tenant_id WHERE u.email = $1",
);

const CHANGE_ROLE: Sql =
    Sql::portable("UPDATE users SET role = $4 WHERE user_id = $1 AND tenant_id = $2 AND role = $3");

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
    /// What the person is called.
    pub name: String,
    /// Argon2id, in its text form.
    pub password_hash: SecretString,
    /// What the person may do.
    pub role: Role,
    /// When the person was added, UTC milliseconds.
    pub created_at_ms: i64,
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
    /// Adds a tenant and its owner, both or none; `false` if the address is taken.
    ///
    /// # Errors
    /// [`StoreError::Database`] when neither was written.
    pub async fn insert_with_tenant(&self, tenant: &TenantRecord, owner: &UserRecord) -> Result<bool, StoreError> {
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
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        if inserted.map_err(StoreError::database(doing))? == 0 {
            // Not committed, so the tenant is gone with it.
            return Ok(false);
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
            name: row.name,
            password_hash: row.password_hash.into(),
            role: place.known("role", Role::parse(&row.role))?,
            created_at_ms: row.created_at_ms,
        })
    }
}
