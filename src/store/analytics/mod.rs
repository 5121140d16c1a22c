//! What tenants are told of days and requests: sums that are kept as things happen, and the log of requests.
//!
//! No read here looks at messages. What a message counts as is decided by [`crate::domain::day`].

use crate::domain::id::TenantId;
use crate::store::Store;

pub mod campaigns;

pub mod feed;

pub mod messages;

pub mod requests;

pub mod request_log;

pub mod usage;

/// Days of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantDays {
    /// Whose.
    pub tenant_id: TenantId,
    /// The first, counted from 1970 in UTC.
    pub first: i64,
    /// The last.
    pub last: i64,
}

/// Sums and the log of requests.
#[derive(Debug, Clone, Copy)]
pub struct Analytics<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns what tenants are told of days and requests.
    #[must_use]
    pub fn analytics(&self) -> Analytics<'_> {
        Analytics { store: self }
    }
}
