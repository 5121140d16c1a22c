//! What tenants order and pay, and what they get for it.
//!
//! What can happen to a subscription is [`crate::domain::billing::life_cycle`]; sums are worked out by whoever orders.

use crate::domain::id::TenantId;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Store, StoreError};

pub mod addons;
pub mod confirm;
pub mod coupons;
pub mod invoices;
pub mod orders;
pub mod payments;
pub mod subscriptions;

/// Orders, payments and subscriptions in the database.
#[derive(Debug, Clone, Copy)]
pub struct Billing<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns orders, payments and subscriptions.
    #[must_use]
    pub fn billing(&self) -> Billing<'_> {
        Billing { store: self }
    }
}

const ADD_ACCOUNT: &str = "INSERT INTO billing_accounts (tenant_id) VALUES ($1) ON CONFLICT (tenant_id) DO NOTHING";
/// PostgreSQL only: SQLite has one writer.
const HOLD_ACCOUNT: &str = "SELECT tenant_id FROM billing_accounts WHERE tenant_id = $1 FOR UPDATE";

impl Tx {
    /// Lets nobody else order or pay for the tenant until this ends. To be called before anything else is locked.
    async fn hold_account(&mut self, tenant_id: TenantId, doing: &'static str) -> Result<(), StoreError> {
        with_tx!(&mut *self, |db| sqlx::query(ADD_ACCOUNT).bind(tenant_id.0).execute(db).await.map(drop))
            .map_err(StoreError::database(doing))?;
        match self {
            Self::Postgres(tx) => sqlx::query(HOLD_ACCOUNT)
                .bind(tenant_id.0)
                .execute(&mut **tx)
                .await
                .map(drop)
                .map_err(StoreError::database(doing)),
            Self::Sqlite(_) => Ok(()),
        }
    }
}
