//! Beginning slowly after a connect: the pace grows from a tenth to the whole in six steps.
//!
//! Whole numbers throughout, so the announced moment is exact.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// Shares of the pace in the steps, in percent; 100 after the last.
const SHARES: [u128; 6] = [10, 25, 40, 55, 70, 85];

/// Where a lane stands in its slow start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlowStart {
    /// When the session was connected.
    #[serde(with = "super::memory::ns")]
    pub since: Moment,
    /// The last send since; none before the first, which may go at once.
    #[serde(with = "super::memory::ns_or_none", skip_serializing_if = "Option::is_none")]
    pub last: Option<Moment>,
}

impl SlowStart {
    /// When the next send may go, if `length` is the time until the full pace, which has `interval` between sends.
    pub(super) fn due(&self, length: Duration, interval: Duration) -> Moment {
        let step_ns = length.as_nanos() / 6;
        let Some(last) = self.last.filter(|_| step_ns != 0) else { return self.since };
        // Time in which the full pace would have come as far, in hundredths of nanoseconds.
        let mut left = interval.as_nanos() * 100;
        let mut at_ns = last.since(self.since).as_nanos();
        for (step, share) in (1..).zip(SHARES) {
            let room_ns = (step_ns * step).saturating_sub(at_ns);
            let needed_ns = left.div_ceil(share);
            if needed_ns <= room_ns {
                return self.after(at_ns + needed_ns);
            }
            left -= room_ns * share;
            at_ns += room_ns;
        }
        self.after(at_ns + left.div_ceil(100))
    }

    fn after(&self, ns: u128) -> Moment {
        self.since + Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}
