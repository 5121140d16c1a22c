//! Judges the pace of arrivals: which of them came earlier than a given rate allows.
//!
//! A virtual schedule as in GCRA, run over the times of arrival of one number; an arrival that came too early is counted and
//! does not move the schedule, so that one extra message is one violation. There is none exactly when no window of any length
//! holds more than the burst and what the rate allows in its length. Knows nothing of the ledger.

use std::time::Duration;

/// The pace that was promised for each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Time between two messages.
    pub interval: Duration,
    /// Messages at once after a rest, at least 1.
    pub burst: u32,
    /// How much earlier than the schedule is still right: what the network may do to a sender that keeps it.
    pub tolerance: Duration,
}

impl Schedule {
    /// Makes the schedule of a rate; the tolerance is a twentieth of the interval, and at least 50 ms: what a busy machine may add between a send and its arrival.
    #[must_use]
    pub fn per_second(rate: f64, burst: u32) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX / 64);
        Self { interval, burst: burst.max(1), tolerance: (interval / 20).max(Duration::from_millis(50)) }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// Arrivals that came too early.
    pub violations: u64,
    /// Shortest time between two arrivals of one number, microseconds.
    pub tightest_gap_us: Option<u64>,
    /// The window that goes furthest beyond its schedule, or comes closest to it.
    pub fullest: Option<Window>,
}

/// The arrivals of one number from one to another, of all such windows the one with the least room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The number.
    pub number: u32,
    /// Its arrivals.
    pub messages: u64,
    /// First and last arrival, microseconds.
    pub span_us: (u64, u64),
    /// How much earlier than the schedule the last one came, without any tolerance, nanoseconds; negative when later.
    pub early_ns: i128,
}

/// Judges arrivals of many numbers, which must be in order of number and time; without a schedule it only finds the gap.
///
/// Times are microseconds since any one moment.
#[must_use]
pub fn judge(arrivals: &[(u32, u64)], schedule: Option<&Schedule>) -> Findings {
    debug_assert!(arrivals.is_sorted(), "arrivals must be in order of number and time");
    let mut findings = Findings::default();
    for of_number in arrivals.chunk_by(|one, next| one.0 == next.0) {
        for pair in of_number.windows(2) {
            let gap_us = pair[1].1 - pair[0].1;
            findings.tightest_gap_us = Some(findings.tightest_gap_us.map_or(gap_us, |least| least.min(gap_us)));
        }
        if let Some(schedule) = schedule {
            findings.violations += violations(of_number, schedule);
            findings.fullest =
                findings.fullest.into_iter().chain(fullest(of_number, schedule)).max_by_key(|window| window.early_ns);
        }
    }
    findings
}

fn violations(of_number: &[(u32, u64)], schedule: &Schedule) -> u64 {
    // Nanoseconds, because the interval of a high rate is no whole number of microseconds.
    let interval_ns = schedule.interval.as_nanos();
    let allowed_ns = interval_ns * u128::from(schedule.burst.saturating_sub(1)) + schedule.tolerance.as_nanos();
    let mut due_ns = 0;
    let mut violations = 0;
    for (_, at_us) in of_number {
        let at_ns = u128::from(*at_us) * 1_000;
        if at_ns + allowed_ns < due_ns {
            violations += 1;
        } else {
            due_ns = due_ns.max(at_ns) + interval_ns;
        }
    }
    violations
}

/// Looks at all windows in one pass: of those that end at an arrival, the fullest begins where its rank lies lowest above
/// the line of the rate.
fn fullest(of_number: &[(u32, u64)], schedule: &Schedule) -> Option<Window> {
    let interval_ns = i128::try_from(schedule.interval.as_nanos()).ok()?;
    let height = |rank: i128, at_us: u64| rank * interval_ns - i128::from(at_us) * 1_000;
    let mut lowest: Option<(i128, i128, u64)> = None;
    let mut fullest: Option<Window> = None;
    for ((number, at_us), rank) in of_number.iter().zip(0_i128..) {
        let own = height(rank, *at_us);
        let (low, first, from_us) = lowest.filter(|(low, ..)| *low <= own).unwrap_or((own, rank, *at_us));
        lowest = Some((low, first, from_us));
        let early_ns = own - low + interval_ns * (1 - i128::from(schedule.burst));
        if fullest.is_none_or(|window| window.early_ns < early_ns) {
            let messages = u64::try_from(rank - first + 1).unwrap_or(u64::MAX);
            fullest = Some(Window { number: *number, messages, span_us: (from_us, *at_us), early_ns });
        }
    }
    fullest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(interval_ms: u64, burst: u32, tolerance_ms: u64) -> Schedule {
        let ms = Duration::from_millis;
        Schedule { interval: ms(interval_ms), burst, tolerance: ms(tolerance_ms) }
    }

    fn found(times_ms: &[u64], schedule: &Schedule) -> u64 {
        let arrivals: Vec<_> = times_ms.iter().map(|ms| (0, ms * 1_000)).collect();
        judge(&arrivals, Some(schedule)).violations
    }

    #[test]
    fn one_extra_message_is_one_violation() {
        let second = schedule(1_000, 1, 50);
        assert_eq!(found(&[0, 1_000, 2_000, 3_000], &second), 0);
        assert_eq!(found(&[0, 0, 1_000, 2_000, 3_000], &second), 1);
        assert_eq!(found(&[0, 500, 1_000, 1_500, 2_000], &second), 2);
        assert_eq!(found(&[0, 950, 1_900, 2_850], &second), 1);
        assert_eq!(found(&[0, 0, 0, 1_000, 2_000], &schedule(1_000, 3, 50)), 0);
        assert_eq!(found(&[0, 0, 0, 0, 1_000], &schedule(1_000, 3, 50)), 1);
    }

    #[test]
    fn numbers_are_judged_apart() {
        let arrivals = [(0, 0), (0, 1_000_000), (1, 5), (1, 400_005)];
        let findings = judge(&arrivals, Some(&schedule(1_000, 1, 20)));
        assert_eq!((findings.violations, findings.tightest_gap_us), (1, Some(400_000)));
        assert_eq!(judge(&arrivals[..1], None), Findings::default());
    }

    #[test]
    fn tolerance_follows_the_rate() {
        assert_eq!(Schedule::per_second(10.0, 1).tolerance, Duration::from_millis(50));
        assert_eq!(Schedule::per_second(0.5, 0), schedule(2_000, 1, 100));
    }

    proptest! {
        /// No violation means that no window of any length is too full, and the fullest is the one that looking at all finds.
        #[test]
        fn every_window_is_judged(
            interval_ms in 1_u64..50, burst in 1_u32..5, tolerance_ms in 0_u64..20,
            gaps_ms in prop::collection::vec(0_u64..60, 1..40),
        ) {
            let schedule = schedule(interval_ms, burst, tolerance_ms);
            let mut arrivals = Vec::new();
            for gap_ms in gaps_ms {
                arrivals.push((0, arrivals.last().map_or(0, |(_, at_us)| *at_us) + gap_ms * 1_000));
            }
            let ns = |time: Duration| i128::try_from(time.as_nanos()).unwrap();
            let early_ns = |from: usize, to: usize| {
                let length_ns = i128::from(arrivals[to].1 - arrivals[from].1) * 1_000;
                ns(schedule.interval) * (i128::try_from(to - from).unwrap() + 1 - i128::from(burst)) - length_ns
            };
            let all = (0..arrivals.len()).flat_map(|to| (0..=to).map(move |from| (from, to)));
            let worst = all.map(|(from, to)| early_ns(from, to)).max().unwrap();
            let findings = judge(&arrivals, Some(&schedule));
            prop_assert_eq!(findings.fullest.unwrap().early_ns, worst);
            prop_assert_eq!(findings.violations == 0, worst <= ns(schedule.tolerance));
        }

        /// A sender that keeps the schedule is never blamed for a network that delays each message by up to the tolerance.
        #[test]
        fn conformant_arrivals_are_never_flagged(
            interval_ms in 1_u64..5_000, burst in 1_u32..10, tolerance_ms in 0_u64..200,
            waits in prop::collection::vec((0_u64..10_000, 0.0_f64..=1.0), 1..200),
        ) {
            let schedule = schedule(interval_ms, burst, tolerance_ms);
            // The sender: a bucket of `burst` tokens on its own clock; it waits until it may send, and then some.
            let (mut now_us, mut due_us) = (0, 0);
            let mut arrivals = Vec::new();
            for (wait_us, delayed) in waits {
                let room_us = interval_ms * 1_000 * u64::from(burst - 1);
                now_us = (now_us + wait_us).max(u64::saturating_sub(due_us, room_us));
                due_us = due_us.max(now_us) + interval_ms * 1_000;
                let delay = Duration::from_millis(tolerance_ms).mul_f64(delayed);
                arrivals.push((0, now_us + u64::try_from(delay.as_micros()).unwrap()));
            }
            arrivals.sort_unstable();
            prop_assert_eq!(judge(&arrivals, Some(&schedule)).violations, 0);
        }

        /// At burst 1, two arrivals closer than the interval less the tolerance never both pass.
        #[test]
        fn close_pairs_are_always_flagged(
            interval_ms in 100_u64..5_000, tolerance_ms in 0_u64..100,
            gaps_us in prop::collection::vec(0_u64..10_000_000, 0..50),
            at in any::<prop::sample::Index>(), closeness in 0.0_f64..1.0,
        ) {
            let limit = Duration::from_millis(interval_ms - tolerance_ms.min(interval_ms - 1)).mul_f64(closeness);
            let close_us = u64::try_from(limit.as_micros()).unwrap();
            let mut arrivals = vec![(0, 0)];
            for gap_us in &gaps_us {
                arrivals.push((0, arrivals[arrivals.len() - 1].1 + gap_us));
            }
            let schedule = schedule(interval_ms, 1, tolerance_ms.min(interval_ms - 1));
            let from = at.index(arrivals.len());
            arrivals.push((0, arrivals[from].1 + close_us));
            arrivals.sort_unstable();
            prop_assert!(judge(&arrivals, Some(&schedule)).violations > 0);
        }
    }
}
