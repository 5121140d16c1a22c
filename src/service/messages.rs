//! Single messages.
//!
//! Only accepts them: the outbox hands them to the lanes, ahead of bulk.

use crate::domain::id::{SessionId, TenantId};
use crate::error::Result;
use crate::service::Tools;
use crate::store::messages::DeliveryRecord;

/// A text to send.
#[derive(Debug, Clone)]
pub struct NewText {
    /// Which session sends.
    pub session_id: SessionId,
    /// The address as written by people.
    pub to: String,
    /// The text, as it is.
    pub text: String,
}

/// Accepts single messages.
#[derive(Debug, Clone)]
pub struct MessageService {
    tools: Tools,
}

impl MessageService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Accepts a text; it is durable when this returns.
    ///
    /// # Errors
    /// `Validation` by the fields `sessionId`, `to`, `text`; `NotFound` when the session is not the
    /// tenant's; `Conflict` when it was never paired, is logged out or banned.
    pub async fn send_text(&self, tenant_id: TenantId, new: NewText) -> Result<DeliveryRecord> {
        unimplemented!("{:?} {tenant_id} {new:?}", self.tools)
    }
}
