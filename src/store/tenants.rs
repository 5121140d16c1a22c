//! Tenants: the customers whose data is kept apart.
//!
//! A tenant is made together with its owner, in [`crate::store::users`].

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::TenantId;
use crate::store::tx::Tx;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

const FIND: Sql = Sql::portable("SELECT tenant_id, name, created_at_ms FROM tenants WHERE tenant_id = $1");

const HOLD: &str = "SELECT tenant_id FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE";

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
    store: &'a Store,
}

impl Store {
    /// Returns the tenants.
    #[must_use]
    pub fn tenants(&self) -> Tenants<'_> {
        Tenants { store: self }
    }
}

impl Tenants<'_> {
    /// Finds a tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, id: TenantId) -> Result<Option<TenantRecord>, StoreError> {
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, TenantRow>(FIND.of(self.store.pool())).bind(id.0).fetch_optional(db).await
        });
        let row = row.map_err(StoreError::database("find a tenant"))?;
        Ok(row.map(|row| TenantRecord {
            id: TenantId(row.tenant_id),
            name: row.name,
            created_at_ms: row.created_at_ms,
        }))
    }
}

impl Tx {
    /// Lets nobody else hold the tenant until this ends: for whoever counts what a tenant has before adding to it.
    pub(in crate::store) async fn hold_tenant(&mut self, id: TenantId, doing: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Postgres(tx) => {
                sqlx::query(HOLD).bind(id.0).execute(&mut **tx).await.map(drop).map_err(StoreError::database(doing))
            }
            // Nobody else writes.
            Self::Sqlite(_) => Ok(()),
        }
    }
}

#[derive(FromRow)]
struct TenantRow {
    tenant_id: Uuid,
    name: String,
    created_at_ms: i64,
}
