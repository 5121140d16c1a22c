//! Watches the ledger: a number that is not 0 must wake somebody.
//!
//! Counting is [`crate::service::ledger`]; it reads every row, so it rests five hundred times as long as it took.

use crate::background::Background;
use crate::error::Result;
use crate::service::ledger::count;

impl Background {
    /// Counts and publishes.
    pub(super) async fn check_ledger(&self) -> Result<()> {
        let ledger = count(&self.store).await?;
        self.metrics.dispatch.ledger_drift.set(ledger.drift);
        self.metrics.dispatch.usage_drift.set(ledger.usage_drift);
        if ledger.drift != 0 {
            tracing::error!(ledger.drift, ledger.accepted, "ledger is off");
        }
        if ledger.usage_drift != 0 {
            tracing::error!(ledger.usage_drift, "usage of plans is off");
        }
        Ok(())
    }
}
