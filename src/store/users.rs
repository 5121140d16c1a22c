//! Users: the people who log in.
//!
//! Knows no passwords, only their hashes.

use secrecy::SecretString;

use crate::domain::id::{TenantId, UserId};
use crate::domain::user::Role;
use crate::store::tenants::TenantRecord;
use crate::store::{Pool, Store, StoreError};

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
    pool: &'a Pool,
}

impl Store {
    /// Returns the users.
    #[must_use]
    pub fn users(&self) -> Users<'_> {
        Users { pool: self.pool() }
    }
}

impl Users<'_> {
    /// Adds a tenant and its owner, both or none; `false` if the address is taken.
    ///
    /// # Errors
    /// [`StoreError::Database`] when neither was written.
    pub async fn insert_with_tenant(&self, tenant: &TenantRecord, owner: &UserRecord) -> Result<bool, StoreError> {
        unimplemented!("{:?} {tenant:?} {owner:?}", self.pool)
    }

    /// Finds a user of a tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, tenant_id: TenantId, id: UserId) -> Result<Option<UserRecord>, StoreError> {
        unimplemented!("{:?} {id} {tenant_id}", self.pool)
    }

    /// Finds whoever logs in with an address; the only look-up that knows no tenant yet.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find_by_email(&self, email: &str) -> Result<Option<UserRecord>, StoreError> {
        unimplemented!("{:?} {email}", self.pool)
    }
}
