//! Recipients that had a message from this number a moment ago, or about whom the provider complained, and the deliveries
//! that wait for that.
//!
//! Bounded; forgotten with the process, because then a few seconds have passed, or the provider says so again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::clock::Moment;
use crate::dispatch::lane::work::Work;
use crate::domain::id::CampaignId;
use crate::domain::recipient::Recipient;
use crate::domain::zone::Band;
use crate::limits::{PAIRS_PER_LANE_MAX, PAIRS_WAITING_PER_LANE_MAX};

/// Least time between two deliveries to one recipient that go back to their streams: the first one may not have been
/// begun yet, and then the second would only come back.
const NEXT_AFTER: Duration = Duration::from_secs(1);

/// When each of these recipients may have the next message.
#[derive(Debug, Default)]
pub struct Pairs {
    held: HashMap<u64, Moment>,
    /// Recipients of messages that are begun and have not left.
    begun: HashMap<u64, u32>,
    /// Deliveries that wait, by recipient, in the order of their places.
    waiting: HashMap<u64, VecDeque<Box<Work>>>,
    /// When the first one of each of these recipients goes back to its stream.
    due: BTreeSet<(Moment, u64)>,
    n_waiting: usize,
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

    /// Lets a delivery wait for its recipient.
    ///
    /// # Errors
    /// Gives it back when there is no place.
    pub fn wait(&mut self, work: Box<Work>, until: Moment) -> Result<(), Box<Work>> {
        if PAIRS_WAITING_PER_LANE_MAX <= self.n_waiting {
            return Err(work);
        }
        let key = key(&work.recipient);
        let queue = self.waiting.entry(key).or_default();
        if queue.is_empty() {
            self.due.insert((until, key));
        }
        let place = queue.iter().position(|other| other.stream() == work.stream() && work.seq < other.seq);
        let place = place.unwrap_or(queue.len());
        queue.insert(place, work);
        self.n_waiting += 1;
        Ok(())
    }

    /// Returns when the next delivery goes back to its stream.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes a delivery whose time has come, one of a recipient; the next one has its time later.
    pub fn take_due(&mut self, now: Moment) -> Option<Box<Work>> {
        let (_, key) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.due.pop_first();
        let queue = self.waiting.get_mut(&key)?;
        let work = queue.pop_front()?;
        self.n_waiting -= 1;
        if queue.is_empty() {
            self.waiting.remove(&key);
        } else {
            let held_until = self.held.get(&key).copied().unwrap_or_default();
            self.due.insert((held_until.max(now + NEXT_AFTER), key));
        }
        Some(work)
    }

    /// Tells whether deliveries wait, of all streams.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.n_waiting != 0
    }

    /// Tells whether deliveries of a stream wait.
    #[must_use]
    pub fn has_waiting_of(&self, stream: (CampaignId, Band)) -> bool {
        self.waiting.values().flatten().any(|work| work.stream() == stream)
    }

    /// Drops the deliveries that wait of those campaigns; returns them.
    pub fn close(&mut self, is_over: impl Fn(CampaignId) -> bool) -> Vec<Box<Work>> {
        let mut closed = Vec::new();
        for queue in self.waiting.values_mut() {
            let (over, left): (VecDeque<_>, _) = queue.drain(..).partition(|work| is_over(work.campaign_id));
            *queue = left;
            closed.extend(over);
        }
        self.waiting.retain(|_, queue| !queue.is_empty());
        let waiting = &self.waiting;
        self.due.retain(|(_, key)| waiting.contains_key(key));
        self.n_waiting -= closed.len();
        closed
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
