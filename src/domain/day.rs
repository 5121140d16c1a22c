//! Days of reports: to which a message belongs, and how the messages of one stand.
//!
//! Days are those of UTC, counted from 1970. Everything follows from columns of the delivery alone, so the numbers of a day
//! can be counted anew from the rows at any time.

use crate::domain::delivery::DeliveryState;
use crate::domain::failure::FailureClass;
use crate::domain::quota::{Claim, claim};

/// Milliseconds of a day, which is what a day is in UTC.
pub const DAY_MS: i64 = 86_400_000;

/// Numbers of [`DayCounts`].
pub const N_DAY_COUNTS: usize = 10;

/// Returns the day of a time, UTC milliseconds, counted from 1970.
#[must_use]
pub fn day_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(DAY_MS)
}

/// The columns of a delivery that decide where it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands.
    pub state: DeliveryState,
    /// The class of its failure.
    pub class: Option<FailureClass>,
    /// When it was accepted by us, UTC milliseconds.
    pub created_at_ms: i64,
    /// When the provider took it, UTC milliseconds.
    pub sent_at_ms: Option<i64>,
    /// When it came to an end, UTC milliseconds.
    pub settled_at_ms: Option<i64>,
    /// What it takes of its plan; see [`crate::domain::quota`].
    pub quota_period_ms: Option<i64>,
}

impl Standing {
    /// Returns the day to which it belongs: on which it was sent; if it was not, on which it was settled; while it waits, on
    /// which it was accepted. What is told of it later changes nothing about that.
    #[must_use]
    pub fn day(&self) -> i64 {
        day_of(match self.state {
            DeliveryState::Pending | DeliveryState::Sending => self.created_at_ms,
            _ => self.sent_at_ms.or(self.settled_at_ms).unwrap_or(self.created_at_ms),
        })
    }

    /// Returns what it counts as: 1 for how it stands, and 1 if it counts for the plan.
    #[must_use]
    pub fn counts(&self) -> DayCounts {
        let mut counts = DayCounts::default();
        *counts.of_mut(self.state, self.class) += 1;
        let is_used = matches!(claim(self.state, self.quota_period_ms), Claim::Used(_));
        counts.used = i64::from(is_used);
        counts
    }
}

/// How messages of a day stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayCounts {
    /// They wait, or are being sent.
    pub waiting: i64,
    /// The provider took them.
    pub sent: i64,
    /// They were delivered.
    pub delivered: i64,
    /// They were read.
    pub read: i64,
    /// They failed because of a limit.
    pub failed_limit: i64,
    /// They failed because the session or the provider could not.
    pub failed_unavailable: i64,
    /// They were not sent by our decision.
    pub skipped: i64,
    /// A person cancelled them.
    pub cancelled: i64,
    /// They may have been sent.
    pub unknown: i64,
    /// Of all these, those that count for the plan.
    pub used: i64,
}

impl DayCounts {
    fn of_mut(&mut self, state: DeliveryState, class: Option<FailureClass>) -> &mut i64 {
        match state {
            DeliveryState::Pending | DeliveryState::Sending => &mut self.waiting,
            DeliveryState::Sent => &mut self.sent,
            DeliveryState::Delivered => &mut self.delivered,
            DeliveryState::Read => &mut self.read,
            DeliveryState::Failed if class == Some(FailureClass::LimitExceeded) => &mut self.failed_limit,
            DeliveryState::Failed => &mut self.failed_unavailable,
            DeliveryState::Skipped => &mut self.skipped,
            DeliveryState::Cancelled => &mut self.cancelled,
            DeliveryState::Unknown => &mut self.unknown,
        }
    }

    /// Returns the numbers in their order.
    #[must_use]
    pub fn values(&self) -> [i64; N_DAY_COUNTS] {
        [
            self.waiting,
            self.sent,
            self.delivered,
            self.read,
            self.failed_limit,
            self.failed_unavailable,
            self.skipped,
            self.cancelled,
            self.unknown,
            self.used,
        ]
    }

    /// Returns how many messages there are.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.values().iter().sum::<i64>() - self.used
    }

    /// Returns how many the provider took, whatever was told of them since.
    #[must_use]
    pub fn taken(&self) -> i64 {
        self.sent + self.delivered + self.read
    }

    /// Returns how many failed.
    #[must_use]
    pub fn failed(&self) -> i64 {
        self.failed_limit + self.failed_unavailable
    }
}

impl From<[i64; N_DAY_COUNTS]> for DayCounts {
    fn from(values: [i64; N_DAY_COUNTS]) -> Self {
        let [waiting, sent, delivered, read, failed_limit, failed_unavailable, skipped, cancelled, unknown, used] =
            values;
        Self { waiting, sent, delivered, read, failed_limit, failed_unavailable, skipped, cancelled, unknown, used }
    }
}

impl std::ops::AddAssign for DayCounts {
    fn add_assign(&mut self, more: Self) {
        let (mine, more) = (self.values(), more.values());
        *self = Self::from(std::array::from_fn(|at| mine[at] + more[at]));
    }
}

impl std::ops::Neg for DayCounts {
    type Output = Self;

    fn neg(self) -> Self {
        Self::from(self.values().map(|n| -n))
    }
}

/// Shares of messages, each from 0 to 1; none where there is nothing to divide.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Of those that the provider took, how many arrived.
    pub delivery: Option<f64>,
    /// Of those that arrived, how many were read.
    pub read: Option<f64>,
    /// Of those that were tried and of which it is known, how many failed.
    pub failure: Option<f64>,
}

impl Rates {
    /// Works out the shares from how many were taken, arrived, were read and failed.
    #[must_use]
    pub fn of(taken: i64, arrived: i64, read: i64, failed: i64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a share of more than 2^53 messages may be a little off")]
        let share = |part: i64, whole: i64| (0 < whole).then(|| part as f64 / whole as f64);
        Self { delivery: share(arrived, taken), read: share(read, arrived), failure: share(failed, taken + failed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITING: Standing = Standing {
        state: DeliveryState::Pending,
        class: None,
        created_at_ms: DAY_MS,
        sent_at_ms: None,
        settled_at_ms: None,
        quota_period_ms: Some(5),
    };

    #[test]
    fn a_message_belongs_to_the_day_on_which_it_was_sent() {
        assert_eq!(WAITING.day(), 1);
        let skipped = Standing { state: DeliveryState::Skipped, settled_at_ms: Some(3 * DAY_MS), ..WAITING };
        assert_eq!(skipped.day(), 3);
        let read = Standing { state: DeliveryState::Read, sent_at_ms: Some(2 * DAY_MS), ..skipped };
        assert_eq!((read.day(), Standing { settled_at_ms: Some(9 * DAY_MS), ..read }.day()), (2, 2));
        let again = Standing { state: DeliveryState::Pending, ..read };
        assert_eq!(again.day(), 1, "it waits again");
        assert_eq!([day_of(-1), day_of(0), day_of(DAY_MS - 1), day_of(DAY_MS)], [-1, 0, 0, 1]);
    }

    #[test]
    fn every_state_counts_once() {
        let mut sum = DayCounts::default();
        for state in DeliveryState::ALL {
            sum += Standing { state, ..WAITING }.counts();
        }
        assert_eq!(sum.values(), [2, 1, 1, 1, 0, 1, 1, 1, 1, 4]);
        assert_eq!((sum.total(), sum.taken(), sum.failed()), (9, 3, 1));
        sum += -sum;
        assert_eq!(sum, DayCounts::default());
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        assert_eq!(Rates::of(0, 0, 0, 0), Rates::default());
        let rates = Rates::of(4, 2, 1, 4);
        assert_eq!((rates.delivery, rates.read, rates.failure), (Some(0.5), Some(0.5), Some(0.5)));
    }
}
