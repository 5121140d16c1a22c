//! A point in time as a value; where it comes from is the clock's.

use std::time::Duration;

/// A moment: nanoseconds since the UNIX epoch, UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// Returns whole milliseconds since the epoch, the form kept in the database.
    #[must_use]
    pub fn as_ms(self) -> i64 {
        i64::try_from(self.0 / 1_000_000).expect("nanoseconds of u64 are few enough milliseconds")
    }

    /// Makes a moment from milliseconds since the epoch; negative ones become the epoch.
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        Self(u64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000))
    }

    /// Returns whole microseconds since the epoch.
    #[must_use]
    pub fn as_us(self) -> i64 {
        i64::try_from(self.0 / 1_000).expect("nanoseconds of u64 are few enough microseconds")
    }

    /// Makes a moment from microseconds since the epoch; negative ones become the epoch.
    #[must_use]
    pub fn from_us(us: i64) -> Self {
        Self(u64::try_from(us).unwrap_or(0).saturating_mul(1_000))
    }

    /// Returns the time from `earlier` to this moment; zero when it lies before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(earlier.as_nanos()).unwrap_or(u64::MAX)))
    }
}
