//! What is over is forgotten after a while, as far as an operator wants that.
//!
//! Step by step, each a transaction of bounded size, with a rest behind it that is three times as long: lanes are never kept
//! waiting for longer than a step takes. Which rows may go is the store's to say.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Moment;
use crate::error::Result;
use crate::limits::{IDEMPOTENCY_KEPT, WEBHOOK_HISTORY_AGE_MAX};
use crate::service::Tools;
use crate::store::retention::deliveries::OldDeliveries;

/// How long things are kept that are over; for ever where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Messages that are settled, with their attempts, and the recipients of campaigns that are over.
    pub messages: Option<Duration>,
    /// When recipients last wrote.
    pub conversations: Option<Duration>,
    /// What happened to sessions.
    pub session_events: Option<Duration>,
    /// What webhooks were told.
    pub webhook_history: Option<Duration>,
    /// Requests to the API.
    pub request_log: Option<Duration>,
    /// Answers for repeated requests.
    pub idempotency: Option<Duration>,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            messages: None,
            conversations: None,
            session_events: None,
            webhook_history: Some(WEBHOOK_HISTORY_AGE_MAX),
            request_log: None,
            idempotency: Some(IDEMPOTENCY_KEPT),
        }
    }
}

/// Forgets what is old.
#[derive(Debug, Clone)]
pub struct RetentionService {
    tools: Tools,
    settings: RetentionSettings,
}

/// Takes the time of a step, and rests behind it.
struct Step<'a> {
    began_at: Instant,
    stop: &'a CancellationToken,
}

impl<'a> Step<'a> {
    fn begin(stop: &'a CancellationToken) -> Self {
        Self { began_at: Instant::now(), stop }
    }

    /// Rests; `false` when nothing more is to be done.
    async fn rest(self) -> bool {
        let rest = tokio::time::sleep(self.began_at.elapsed() * 3);
        self.stop.run_until_cancelled(rest).await.is_some()
    }
}

impl RetentionService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools, settings: RetentionSettings) -> Self {
        Self { tools, settings }
    }

    /// Returns before when what webhooks were told is forgotten, UTC milliseconds.
    #[must_use]
    pub fn webhook_history_before_ms(&self) -> i64 {
        self.before(self.settings.webhook_history).map_or(i64::MIN, Moment::as_ms)
    }

    fn before(&self, kept: Option<Duration>) -> Option<Moment> {
        kept.map(|kept| self.tools.clock.now() - kept)
    }

    /// Forgets all that is old now, or until it is told to stop.
    ///
    /// # Errors
    /// `Store` when a step failed; safe to repeat.
    pub async fn sweep(&self, stop: &CancellationToken) -> Result<()> {
        if let Some(before) = self.before(self.settings.messages) {
            self.remove_messages(before.as_ms(), stop).await?;
        }
        if let Some(before) = self.before(self.settings.conversations) {
            self.forget_conversations(before.as_ms(), stop).await?;
        }
        if let Some(before) = self.before(self.settings.session_events) {
            loop {
                let step = Step::begin(stop);
                let goes_on = self.tools.store.forget_session_events(before.as_ms()).await?;
                if !step.rest().await || !goes_on {
                    break;
                }
            }
        }
        if let Some(before) = self.before(self.settings.request_log) {
            loop {
                let step = Step::begin(stop);
                let goes_on = self.tools.store.forget_requests(before.as_ms()).await?;
                if !step.rest().await || !goes_on {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn remove_messages(&self, before_ms: i64, stop: &CancellationToken) -> Result<()> {
        let mut n_removed = 0;
        for tenant_id in self.tools.store.tenant_ids().await? {
            let mut from_ms = Some(i64::MIN);
            while let Some(at_ms) = from_ms {
                let step = Step::begin(stop);
                let old = OldDeliveries { tenant_id, from_ms: at_ms, before_ms };
                let removed = self.tools.store.remove_deliveries(old).await?;
                (n_removed, from_ms) = (n_removed + removed.n, removed.next_ms);
                if !step.rest().await {
                    return Ok(());
                }
            }
        }
        loop {
            let step = Step::begin(stop);
            let goes_on = self.tools.store.forget_old_recipients(before_ms).await?;
            if !step.rest().await || !goes_on {
                break;
            }
        }
        if n_removed != 0 {
            tracing::info!(n_removed, "old deliveries removed");
        }
        Ok(())
    }

    async fn forget_conversations(&self, before_ms: i64, stop: &CancellationToken) -> Result<()> {
        let mut place = Some((Uuid::nil(), String::new()));
        while let Some(after) = place {
            let step = Step::begin(stop);
            place = self.tools.store.forget_conversations(&after, before_ms).await?;
            if !step.rest().await {
                break;
            }
        }
        Ok(())
    }
}
