//! What webhooks were told is forgotten after a while, and what waits for them is counted and bounded.
//!
//! Delivers nothing.

use crate::background::Background;
use crate::domain::webhook::DisabledReason;
use crate::error::Result;
use crate::limits::{WEBHOOK_FORGET_ROWS_MAX, WEBHOOK_HISTORY_MAX, WEBHOOK_WAITING_MAX};
use crate::store::webhook_history::WebhookKeeping;

impl Background {
    /// Forgets, bounds, counts and publishes.
    pub(super) async fn tend_webhooks(&self) -> Result<()> {
        let now = self.clock.now();
        let keeping = WebhookKeeping {
            before_ms: self.services.retention.webhook_history_before_ms(),
            n_per_webhook: WEBHOOK_HISTORY_MAX,
            n_rows: WEBHOOK_FORGET_ROWS_MAX,
        };
        self.store.forget_webhooks(keeping).await?;
        for id in self.store.disable_overfull_webhooks(WEBHOOK_WAITING_MAX).await? {
            self.metrics.webhooks.disabled.inc();
            tracing::warn!(webhook.id = %id, reason = DisabledReason::Backlog.as_str(), "a webhook is told nothing more");
        }
        let backlog = self.store.webhook_backlog().await?;
        let age_ms = backlog.oldest_ms.map_or(0, |oldest_ms| (now.as_ms() - oldest_ms).max(0));
        self.metrics.webhooks.waiting.set(backlog.n_waiting);
        self.metrics.webhooks.oldest_age.set(age_ms / 1_000);
        Ok(())
    }
}
