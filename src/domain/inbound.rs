//! What a recipient wrote to a number of ours, as far as it matters for sending.
//!
//! Only the value; reading it from the wire is `receipts`. The text is kept only to tell those who asked for it.

use crate::domain::opt_out::OptWord;
use crate::domain::recipient::Recipient;

/// A message from a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundMessage {
    /// The provider's own name of the message.
    pub provider_message_id: String,
    /// The provider's name of the number that it was written to.
    pub phone_number_id: String,
    /// Who wrote it.
    pub from: Recipient,
    /// When, by the provider's clock, UTC milliseconds.
    pub at_ms: i64,
    /// What it is, in the provider's word: `text`, `image`, `button`.
    pub kind: String,
    /// The text, if it is one.
    pub text: Option<String>,
    /// What it asks for, if all of it is one of the words for that.
    pub asks: Option<OptWord>,
}
