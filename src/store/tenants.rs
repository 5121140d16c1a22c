//! Tenants: the customers whose data is kept apart.
//!
//! A tenant is made together with its owner, in [`crate::store::users`].

use crate::domain::id::TenantId;
use crate::store::{Pool, Store, StoreError};

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRecord {
    /// The tenant.
    pub id: TenantId,
    /// The name of its business.
    pub name: String,
    /// When it registered, UTC milliseconds.
    pub created_at_ms: i64,
}

/// The tenants in the database.
#[derive(Debug, Clone, Copy)]
pub struct Tenants<'a> {
    pool: &'a Pool,
}

impl Store {
    /// Returns the tenants.
    #[must_use]
    pub fn tenants(&self) -> Tenants<'_> {
        Tenants { pool: self.pool() }
    }
}

impl Tenants<'_> {
    /// Finds a tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, id: TenantId) -> Result<Option<TenantRecord>, StoreError> {
        unimplemented!("{:?} {id}", self.pool)
    }
}
