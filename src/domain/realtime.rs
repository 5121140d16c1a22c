//! What people who look on are told while it happens.
//!
//! Hints, at most once: what is true is read by the API. What programs are told for sure is [`crate::domain::webhook`].

use crate::domain::webhook::WebhookEvent;
use crate::domain::words::words;

words! {
    /// What is told.
    RealtimeEvent {
        /// A session has a code to be scanned.
        SessionQr = "session:qr",
        /// A session is in another state.
        SessionStatus = "session:status",
        /// A message is in another state.
        MessageStatus = "message:status",
        /// A recipient wrote to a session.
        MessageNew = "message:new",
        /// The numbers or the state of a campaign are others.
        CampaignProgress = "campaign:progress",
        /// The last delivery of a campaign is settled.
        CampaignCompleted = "campaign:completed",
        /// More or less of the plan is used.
        UsageUpdated = "usage:updated",
    }
}

impl RealtimeEvent {
    /// Says what people who look on are told of what webhooks are told; none for what concerns nobody else.
    #[must_use]
    pub fn of_webhook(event: WebhookEvent) -> Option<Self> {
        match event {
            WebhookEvent::MessageReceived => Some(Self::MessageNew),
            WebhookEvent::SessionQr => Some(Self::SessionQr),
            // What moves sessions, messages and campaigns is told where they move.
            _ => None,
        }
    }
}
