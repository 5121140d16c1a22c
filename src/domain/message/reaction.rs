//! A sign below a message that somebody wrote.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::part::PartProblem;

/// Characters of the provider's name of a message, at most; its own have under 100.
pub const MESSAGE_ID_CHARS_MAX: usize = 256;
/// Characters of a sign, at most: a family with its joiners has 11.
pub const EMOJI_CHARS_MAX: usize = 16;

/// A sign below a message that somebody wrote.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reaction {
    /// The message as the provider names it, as it came by the webhook `message.received`.
    pub message_id: String,
    /// The sign; an empty one takes away what was there.
    pub emoji: String,
}

impl Reaction {
    /// Checks the form of both.
    pub(super) fn check(&self) -> Result<(), PartProblem> {
        let is_id = |c: char| c.is_ascii_graphic();
        if !(1..=MESSAGE_ID_CHARS_MAX).contains(&self.message_id.len()) || !self.message_id.chars().all(is_id) {
            let sentence = "The messageId must be the provider's name of a message that somebody wrote.";
            return Err(PartProblem::new("messageId", sentence));
        }
        let is_plain = |c: char| c.is_ascii_alphabetic() || c.is_control() || c.is_whitespace();
        if EMOJI_CHARS_MAX < self.emoji.chars().count() || self.emoji.chars().any(is_plain) {
            return Err(PartProblem::new("emoji", "The emoji must be one emoji, or empty to take one away."));
        }
        Ok(())
    }
}

impl fmt::Debug for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reaction")
    }
}
