//! What is old is removed, by the node that owns the first partition.
//!
//! Which these are, and how fast, is the service's to say.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::background::Background;
use crate::domain::partition::PartitionNo;
use crate::error::chain;

/// How often it is looked for what is old.
const BEAT: Duration = Duration::from_secs(600);

impl Background {
    /// Removes what is old until told to stop.
    pub(super) async fn remove_old(self, stop: CancellationToken) {
        loop {
            let is_ours = self.dispatch.leases().of(PartitionNo::FIRST).is_some();
            if is_ours && let Err(error) = self.services.retention.sweep(&stop).await {
                tracing::warn!(error = chain(&error), "what is old was not removed, will try again");
            }
            if stop.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_none() {
                return;
            }
        }
    }
}
