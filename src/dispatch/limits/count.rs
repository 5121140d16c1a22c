//! How many sends there were in a moving window, in few numbers.
//!
//! Sends are counted in grains of time. A grain counts until all of it is out of the window, so no window of that
//! length, wherever it begins, holds more sends than the cap it is asked about.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// Sends in a moving window.
#[derive(Debug, Clone, PartialEq)]
pub struct MovingCount {
    span: Duration,
    grain: Duration,
    /// Number of the first grain that is kept, counted from the epoch.
    first: u64,
    /// Sends in it and the grains after it; never begins with a zero.
    counts: VecDeque<u32>,
}

/// A [`MovingCount`] as it is saved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedCount {
    /// Number of the first grain.
    pub first: u64,
    /// Sends in it and the grains after it.
    pub counts: Vec<u32>,
}

impl MovingCount {
    /// Makes an hour in grains of a minute.
    #[must_use]
    pub fn hour() -> Self {
        Self::new(Duration::from_secs(3_600), Duration::from_secs(60))
    }

    /// Makes a day in grains of a quarter of an hour.
    #[must_use]
    pub fn day() -> Self {
        Self::new(Duration::from_secs(86_400), Duration::from_secs(900))
    }

    fn new(span: Duration, grain: Duration) -> Self {
        Self { span, grain, first: 0, counts: VecDeque::new() }
    }

    /// Goes on from what was saved. Grains after `now` come from a clock that was wrong, and count as of now.
    #[must_use]
    pub fn restored(mut self, saved: &SavedCount, now: Moment) -> Self {
        let present = self.grain_of(now);
        for (number, count) in (saved.first..).zip(&saved.counts).filter(|(_, count)| **count != 0) {
            self.add_in(number.min(present), *count);
        }
        self
    }

    /// Returns what to save.
    #[must_use]
    pub fn saved(&self) -> SavedCount {
        SavedCount { first: self.first, counts: self.counts.iter().copied().collect() }
    }

    /// Counts a send.
    pub fn add(&mut self, at: Moment) {
        self.forget(at);
        self.add_in(self.grain_of(at), 1);
    }

    /// Moves a send to another moment.
    pub fn shift(&mut self, from: Moment, to: Moment) {
        let (from, to) = (self.grain_of(from), self.grain_of(to));
        let Some(index) = from.checked_sub(self.first).and_then(|index| usize::try_from(index).ok()) else { return };
        if from == to {
            return;
        }
        if let Some(count) = self.counts.get_mut(index).filter(|count| **count != 0) {
            *count -= 1;
            self.add_in(to, 1);
            self.forget(Moment::default());
        }
    }

    /// Takes back a send that did not go after all.
    pub fn take_back(&mut self, at: Moment) {
        let index = self.grain_of(at).checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(count) = index.and_then(|index| self.counts.get_mut(index)) {
            *count = count.saturating_sub(1);
            self.forget(Moment::default());
        }
    }

    /// Returns the sends that the window ending at `at` may hold.
    #[must_use]
    pub fn at(&self, at: Moment) -> u32 {
        (self.first..).zip(&self.counts).filter(|(number, _)| at < self.end_of(*number)).map(|(_, count)| count).sum()
    }

    /// Returns the first moment from `now` on at which fewer than `cap` sends count, with `n_more` that have not
    /// left and so count at any moment.
    #[must_use]
    pub fn earliest(&self, now: Moment, n_more: u32, cap: u32) -> Moment {
        let mut n = self.at(now).saturating_add(n_more);
        if n < cap {
            return now;
        }
        for (number, count) in (self.first..).zip(&self.counts) {
            let end = self.end_of(number);
            if now < end {
                n -= count;
                if n < cap {
                    return end;
                }
            }
        }
        // As many as the cap have yet to leave: none of them will before now.
        self.end_of(self.grain_of(now))
    }

    /// When a grain counts no longer.
    fn end_of(&self, number: u64) -> Moment {
        Moment((number + 1).saturating_mul(nanos(self.grain))) + self.span
    }

    fn grain_of(&self, at: Moment) -> u64 {
        at.0 / nanos(self.grain)
    }

    fn add_in(&mut self, number: u64, count: u32) {
        if self.counts.is_empty() {
            self.first = number;
        }
        // A grain before the first: the clock was set back. Later is the careful side.
        let index = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += count;
    }

    /// Drops what no window will hold again.
    fn forget(&mut self, now: Moment) {
        while let Some(count) = self.counts.front() {
            if *count != 0 && now < self.end_of(self.first) {
                return;
            }
            self.counts.pop_front();
            self.first += 1;
        }
    }
}

fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}
