//! What the moves of one transaction take of the plans of their tenants.
//!
//! The numbers move with the rows, so both are written together or neither. Decides nothing: see
//! [`crate::domain::quota`] and [`crate::store::usage`].

use std::collections::{BTreeSet, HashSet};

use super::{DeliveryRow, Moves};
use crate::domain::delivery::DeliveryState;
use crate::domain::id::{DeliveryId, TenantId};
use crate::domain::receipt::ReceiptKind;
use crate::store::journal::JournalBatch;
use crate::store::tiers::Tiers;
use crate::store::usage::Budgets;

impl Moves<'_> {
    /// Lets deliveries take from these allowances.
    pub(crate) fn spending(mut self, budgets: Budgets) -> Self {
        self.budgets = budgets;
        self
    }

    /// Lets attempts count for these accounts of the provider.
    pub(crate) fn counting(mut self, tiers: Tiers) -> Self {
        self.tiers = tiers;
        self
    }

    /// Returns the allowances with what was taken from them.
    pub(crate) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Returns the provider's accounts with whom they wrote to.
    pub(crate) fn tiers(&self) -> &Tiers {
        &self.tiers
    }
}

impl DeliveryRow {
    /// Takes from the tenant's allowance what the move from a state costs, or gives it back.
    pub(super) fn spend(&mut self, from: DeliveryState, budgets: &mut Budgets) {
        self.quota_period_ms = budgets.moved(self.tenant_id, self.quota_period_ms, (from, self.state));
    }
}

/// Returns the tenants of which a batch may take or give back anything.
///
/// Most receipts only tell more about a message that was sent: for these, nobody has to wait.
pub(crate) fn spenders(rows: &[DeliveryRow], batch: &JournalBatch) -> BTreeSet<TenantId> {
    let begins: HashSet<DeliveryId> = batch.begins.iter().map(|begin| begin.delivery_id).collect();
    let failed = batch.receipts.iter().filter(|receipt| receipt.kind == ReceiptKind::Failed);
    let failed: HashSet<DeliveryId> = failed.map(|receipt| receipt.delivery_id).collect();
    let spends = |row: &&DeliveryRow| {
        let is_sent = matches!(
            row.state,
            DeliveryState::Sent | DeliveryState::Delivered | DeliveryState::Read | DeliveryState::Unknown
        );
        begins.contains(&row.delivery_id)
            || row.quota_period_ms.is_some() && (!is_sent || failed.contains(&row.delivery_id))
    };
    rows.iter().filter(spends).map(|row| row.tenant_id).collect()
}

/// Returns the tenants of deliveries that are counted.
pub(crate) fn counted_tenants(rows: &[DeliveryRow]) -> BTreeSet<TenantId> {
    rows.iter().filter(|row| row.quota_period_ms.is_some()).map(|row| row.tenant_id).collect()
}
