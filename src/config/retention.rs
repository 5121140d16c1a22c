//! Section `retention`: how long things are kept that are over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problems::Problems;

/// The longest time that anything may be kept but for ever: a hundred years.
const DAYS_MAX: u64 = 36_500;
/// The shortest time that messages may be kept: longer than any topic should keep their jobs, or a job that is read again
/// would be sent again.
const MESSAGE_DAYS_MIN: u64 = 30;

/// How long things are kept that are over; for ever where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionConfig {
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

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RetentionFile {
    messages_days: u64,
    conversations_days: u64,
    session_events_days: u64,
    webhook_history_days: u64,
    request_log_days: u64,
    idempotency_days: u64,
}

impl Default for RetentionFile {
    fn default() -> Self {
        Self {
            messages_days: 0,
            conversations_days: 0,
            session_events_days: 0,
            webhook_history_days: 30,
            request_log_days: 30,
            idempotency_days: 1,
        }
    }
}

impl RetentionFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<RetentionConfig> {
        if (1..MESSAGE_DAYS_MIN).contains(&self.messages_days) {
            let given = self.messages_days;
            problems.push("retention.messages_days", format!("must be 0 or at least {MESSAGE_DAYS_MIN}, is {given}"));
        }
        let mut days = |key: &str, days: u64| {
            let days = problems.in_range(&format!("retention.{key}"), days, 0..=DAYS_MAX)?;
            Some((0 < days).then(|| Duration::from_secs(days * 86_400)))
        };
        let messages = days("messages_days", self.messages_days);
        let conversations = days("conversations_days", self.conversations_days);
        let session_events = days("session_events_days", self.session_events_days);
        let webhook_history = days("webhook_history_days", self.webhook_history_days);
        let request_log = days("request_log_days", self.request_log_days);
        let idempotency = days("idempotency_days", self.idempotency_days);
        Some(RetentionConfig {
            messages: messages?,
            conversations: conversations?,
            session_events: session_events?,
            webhook_history: webhook_history?,
            request_log: request_log?,
            idempotency: idempotency?,
        })
    }
}
