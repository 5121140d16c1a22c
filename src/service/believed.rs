//! What a node believes of rows that it has read: for a moment, and never across a change of its own.
//!
//! Bounded; what finds no room is read again. Other nodes hear of no change, so they believe a row for that moment.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use crate::clock::Moment;

/// Rows that were read, by their keys.
#[derive(Debug)]
pub(super) struct Believed<K: Eq + Hash, V> {
    read: DashMap<K, (Moment, V)>,
    n_forgotten: AtomicU64,
    lasts: Duration,
    n_max: usize,
}

/// What had been forgotten when a row was about to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before(u64);

impl<K: Eq + Hash + Clone, V: Clone> Believed<K, V> {
    /// Believes nothing yet; at most `n_max` rows, each for as long as is said.
    pub(super) fn new(lasts: Duration, n_max: usize) -> Self {
        Self { read: DashMap::new(), n_forgotten: AtomicU64::new(0), lasts, n_max }
    }

    /// Returns what was read of a row a moment ago.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q, now: Moment) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let read = self.read.get(key)?;
        let (read_at, value) = read.value();
        (now.since(*read_at) < self.lasts).then(|| value.clone())
    }

    /// To be asked before a row is read.
    pub(super) fn before(&self) -> Before {
        Before(self.n_forgotten.load(Ordering::Acquire))
    }

    /// Believes what was read, if there is room and nothing was forgotten since.
    pub(super) fn put(&self, key: K, value: V, (read_at, before): (Moment, Before)) {
        if self.n_max <= self.read.len() {
            self.read.retain(|_, (then, _)| read_at.since(*then) < self.lasts);
        }
        if self.read.len() < self.n_max {
            self.read.insert(key.clone(), (read_at, value));
        }
        // Asked last: a change that is not seen here finds what was just put.
        if self.before().0 != before.0 {
            self.read.remove(&key);
        }
    }

    /// Reads rows anew the next time.
    pub(super) fn forget(&self, is_meant: impl Fn(&V) -> bool) {
        self.n_forgotten.fetch_add(1, Ordering::AcqRel);
        self.read.retain(|_, (_, value)| !is_meant(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(2);

    #[test]
    fn a_row_is_believed_for_a_moment() {
        let (believed, now) = (Believed::new(LASTS, 2), Moment::from_ms(0));
        for key in [1, 2, 3] {
            believed.put(key, 'a', (now, believed.before()));
        }
        let all = |at| [1, 2, 3].map(|key| believed.get(&key, at));
        assert_eq!(all(now), [Some('a'), Some('a'), None], "there is room for two");
        assert_eq!(all(now + LASTS), [None; 3]);
        believed.put(3, 'b', (now + LASTS, believed.before()));
        assert_eq!(all(now + LASTS), [None, None, Some('b')], "what is old makes room");
    }

    /// What was read before a change and comes after it is not believed.
    #[test]
    fn a_row_that_changes_while_it_is_read_is_read_anew() {
        let (believed, now) = (Believed::new(LASTS, 2), Moment::from_ms(0));
        let before = believed.before();
        believed.forget(|value| *value == 'a');
        believed.put(1, 'a', (now, before));
        assert_eq!(believed.get(&1, now), None);
        believed.put(1, 'b', (now, believed.before()));
        assert_eq!(believed.get(&1, now), Some('b'));
        believed.forget(|value| *value == 'b');
        assert_eq!(believed.get(&1, now), None);
    }
}
