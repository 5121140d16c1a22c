//! What webhooks were told is forgotten after a while, and what waits for them is counted.
//!
//! Delivers nothing.

use crate::background::Background;
use crate::error::Result;
use crate::limits::{WEBHOOK_FORGET_ROWS_MAX, WEBHOOK_HISTORY_AGE_MAX, WEBHOOK_HISTORY_MAX};
use crate::store::webhook_history::WebhookKeeping;

impl Background {
    /// Forgets, counts and publishes.
    pub(super) async fn tend_webhooks(&self) -> Result<()> {
        let now = self.clock.now();
        let keeping = WebhookKeeping {
            before_ms: (now - WEBHOOK_HISTORY_AGE_MAX).as_ms(),
            n_per_webhook: WEBHOOK_HISTORY_MAX,
            n_rows: WEBHOOK_FORGET_ROWS_MAX,
        };
        self.store.forget_webhooks(keeping).await?;
        let backlog = self.store.webhook_backlog().await?;
        let age_ms = backlog.oldest_ms.map_or(0, |oldest_ms| (now.as_ms() - oldest_ms).max(0));
        self.metrics.webhooks.waiting.set(backlog.n_waiting);
        self.metrics.webhooks.oldest_age.set(age_ms / 1_000);
        Ok(())
    }
}
