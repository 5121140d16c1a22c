//! The one source of time: wall-clock time that only ever moves forward.
//!
//! Everything else takes a [`Clock`] or a time as an argument. A [`SystemClock`] reads the wall
//! clock once, at its making, and then adds what the monotonic clock measured, so that a jump of
//! the wall clock can neither cause a burst nor a stall.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use crate::domain::moment::Moment;

/// A moment up to which something may be done, moved by whoever grants it; clones share it.
#[derive(Debug, Clone)]
pub struct Deadline(Arc<AtomicU64>);

impl Deadline {
    /// Makes one that ends at `moment`.
    #[must_use]
    pub fn at(moment: Moment) -> Self {
        Self(Arc::new(AtomicU64::new(moment.0)))
    }

    /// Moves it, for everybody who looks at it.
    pub fn set(&self, moment: Moment) {
        self.0.store(moment.0, Ordering::Release);
    }

    /// Returns when it is.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment(self.0.load(Ordering::Acquire))
    }

    /// Tells whether it has passed.
    #[must_use]
    pub fn has_passed(&self, now: Moment) -> bool {
        self.0.load(Ordering::Acquire) <= now.0
    }
}

/// Tells the time.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's.
    System(SystemClock),
    /// One that stands until a test moves it.
    Manual(ManualClock),
}

impl Clock {
    /// Makes the clock of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self::System(SystemClock::start())
    }

    /// Makes a clock that shows `moment` now and then measures: nodes that share a database share its time.
    #[must_use]
    pub fn starting_at(moment: Moment) -> Self {
        Self::System(SystemClock { epoch: moment, started_at: tokio::time::Instant::now() })
    }

    /// Returns the present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        match self {
            Self::System(clock) => clock.now(),
            Self::Manual(clock) => clock.now(),
        }
    }

    /// Returns the instant of the runtime at which `moment` will be reached.
    ///
    /// With a manual clock this is the present: tests drive the time themselves.
    #[must_use]
    pub fn instant_of(&self, moment: Moment) -> tokio::time::Instant {
        match self {
            Self::System(clock) => clock.started_at + moment.since(clock.epoch),
            Self::Manual(_) => tokio::time::Instant::now(),
        }
    }
}

/// The machine's clock, read once and then measured.
#[derive(Debug, Clone)]
pub struct SystemClock {
    epoch: Moment,
    started_at: tokio::time::Instant,
}

impl SystemClock {
    /// Reads the wall clock and starts measuring.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this file owns the clock")]
    pub fn start() -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { epoch: Moment::default() + wall, started_at: tokio::time::Instant::now() }
    }

    fn now(&self) -> Moment {
        self.epoch + self.started_at.elapsed()
    }
}

/// A clock that tests move by hand; clones share the time.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    now: Arc<AtomicU64>,
}

impl ManualClock {
    /// Makes a clock that stands at `moment`.
    #[must_use]
    pub fn at(moment: Moment) -> Self {
        Self { now: Arc::new(AtomicU64::new(moment.0)) }
    }

    /// Moves it forward.
    pub fn advance(&self, by: std::time::Duration) {
        let by_ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.now.fetch_add(by_ns, Ordering::Relaxed);
    }

    fn now(&self) -> Moment {
        Moment(self.now.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn system_clock_follows_the_monotonic_clock() {
        let clock = Clock::system();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now().since(before), Duration::from_secs(3));
        let later = clock.now() + Duration::from_millis(5);
        assert_eq!(clock.instant_of(later) - tokio::time::Instant::now(), Duration::from_millis(5));
    }
}
