//! Recipients that had a message from this number a moment ago, or about whom the provider complained.
//!
//! Bounded; forgotten with the process, because then a few seconds have passed, or the provider says so again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::clock::Moment;
use crate::domain::recipient::Recipient;
use crate::limits::PAIRS_PER_LANE_MAX;

/// When each of these recipients may have the next message.
#[derive(Debug, Default)]
pub struct Pairs {
    held: HashMap<u64, Moment>,
    /// Recipients of messages that are begun and have not left.
    begun: HashMap<u64, u32>,
}

impl Pairs {
    /// Lets a recipient have nothing before a moment.
    pub fn hold(&mut self, recipient: &Recipient, until: Moment, now: Moment) {
        if PAIRS_PER_LANE_MAX <= self.held.len() {
            self.held.retain(|_, until| now < *until);
            if PAIRS_PER_LANE_MAX <= self.held.len() {
                // The provider itself refuses what is forgotten here.
                self.held.clear();
            }
        }
        let known = self.held.entry(key(recipient)).or_default();
        *known = until.max(*known);
    }

    /// Returns until when a recipient may have nothing, if so.
    #[must_use]
    pub fn held_until(&self, recipient: &Recipient, now: Moment) -> Option<Moment> {
        if self.held.is_empty() {
            return None;
        }
        self.held.get(&key(recipient)).copied().filter(|until| now < *until)
    }

    /// Tells whether a message to a recipient is begun and has not left.
    #[must_use]
    pub fn is_begun(&self, recipient: &Recipient) -> bool {
        !self.begun.is_empty() && self.begun.contains_key(&key(recipient))
    }

    /// Takes note of a message that is begun.
    pub fn begin(&mut self, recipient: &Recipient) {
        *self.begun.entry(key(recipient)).or_default() += 1;
    }

    /// Takes note of one that has left, or will not.
    pub fn end(&mut self, recipient: &Recipient) {
        let key = key(recipient);
        if let Some(n) = self.begun.get_mut(&key) {
            *n -= 1;
            if *n == 0 {
                self.begun.remove(&key);
            }
        }
    }
}

/// Tells recipients apart.
#[must_use]
pub fn key(recipient: &Recipient) -> u64 {
    let mut hasher = DefaultHasher::new();
    recipient.as_str().hash(&mut hasher);
    hasher.finish()
}
