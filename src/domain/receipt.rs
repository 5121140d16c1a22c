//! What the provider reports after it took a message.
//!
//! Only the value; reading it from the wire is `receipts`, moving the delivery is
//! [`crate::domain::delivery`].

use serde::{Deserialize, Serialize};

use crate::domain::failure::Failure;
use crate::domain::id::DeliveryId;

/// The kinds of report, in the order in which they may follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptKind {
    /// The provider sent it on.
    Sent,
    /// It reached the phone.
    Delivered,
    /// It was read.
    Read,
    /// It will not arrive.
    Failed,
}

impl ReceiptKind {
    /// Returns the word used on the wire and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
        }
    }
}

/// One report about one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The delivery, from the token that the provider echoed.
    pub delivery_id: DeliveryId,
    /// What is reported.
    pub kind: ReceiptKind,
    /// When it happened by the provider's clock, UTC milliseconds.
    pub at_ms: i64,
    /// The provider's own name of the message.
    pub provider_message_id: Option<String>,
    /// Why it failed; only with [`ReceiptKind::Failed`].
    pub failure: Option<Failure>,
}
