//! Sessions: the WhatsApp identities of a tenant, their state and pacing.
//!
//! Limiter state and backlog belong to the lanes, not here.

use crate::domain::id::{SessionId, TenantId};
use crate::domain::session::SessionState;
use crate::store::page::{Page, PageRequest};
use crate::store::{Pool, Store, StoreError};

/// One WhatsApp identity.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// The session.
    pub id: SessionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub state: SessionState,
    /// Its phone number, digits with country code, once known.
    pub phone_number: Option<String>,
    /// The provider's own name of the number, once known.
    pub phone_number_id: Option<String>,
    /// Steady rate, sends per minute; none for the configured default.
    pub rate_per_minute: Option<f64>,
    /// Sends at once after a rest; none for the configured default.
    pub burst: Option<u32>,
    /// When it was made, UTC milliseconds.
    pub created_at_ms: i64,
}

/// The sessions in the database.
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'a> {
    pool: &'a Pool,
}

impl Store {
    /// Returns the sessions.
    #[must_use]
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions { pool: self.pool() }
    }
}

impl Sessions<'_> {
    /// Lists a page of the tenant's sessions, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn list(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<SessionRecord>, StoreError> {
        unimplemented!("{:?} {page:?} {tenant_id}", self.pool)
    }

    /// Finds a session of the tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, tenant_id: TenantId, id: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        unimplemented!("{:?} {id} {tenant_id}", self.pool)
    }
}
