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
pub struct Pairs(HashMap<u64, Moment>);

impl Pairs {
    /// Lets a recipient have nothing before a moment.
    pub fn hold(&mut self, recipient: &Recipient, until: Moment, now: Moment) {
        if PAIRS_PER_LANE_MAX <= self.0.len() {
            self.0.retain(|_, until| now < *until);
            if PAIRS_PER_LANE_MAX <= self.0.len() {
                // The provider itself refuses what is forgotten here.
                self.0.clear();
            }
        }
        let known = self.0.entry(key(recipient)).or_default();
        *known = until.max(*known);
    }

    /// Returns until when a recipient may have nothing, if so.
    #[must_use]
    pub fn held_until(&self, recipient: &Recipient, now: Moment) -> Option<Moment> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&key(recipient)).copied().filter(|until| now < *until)
    }
}

/// Tells recipients apart.
#[must_use]
pub fn key(recipient: &Recipient) -> u64 {
    let mut hasher = DefaultHasher::new();
    recipient.as_str().hash(&mut hasher);
    hasher.finish()
}
