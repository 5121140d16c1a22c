//! Randomness that repeats: a number that follows from a seed and a place in a row.
//!
//! Holds no state, so a draw can be looked at ahead of its time.

use std::time::Duration;

/// What a draw is for; draws for different things are independent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Gap = 1,
    BreakEvery,
    BreakLength,
    ColdGap,
    ColdBreakEvery,
    ColdBreakLength,
}

/// The draws of one lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws {
    pub(super) seed: u64,
}

impl Draws {
    /// Draws from 0 up to but not including 1.
    pub(super) fn share(self, purpose: Purpose, n: u64) -> f64 {
        let bits = u32::try_from(self.bits(purpose, n) >> 32).unwrap_or(u32::MAX);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    /// Draws a whole number; both ends may come.
    pub(super) fn whole(self, purpose: Purpose, n: u64, (least, most): (u32, u32)) -> u32 {
        let n_values = u64::from(most.saturating_sub(least)) + 1;
        least + u32::try_from((self.bits(purpose, n) >> 8) % n_values).unwrap_or(0)
    }

    /// Draws a time between two.
    pub(super) fn time(self, purpose: Purpose, n: u64, (least, most): (Duration, Duration)) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.share(purpose, n))
    }

    /// The output function of splitmix64, at the place `n` of the row that seed and purpose begin.
    fn bits(self, purpose: Purpose, n: u64) -> u64 {
        let start = mix(self.seed ^ (purpose as u64).wrapping_mul(0xa076_1d64_78bd_642f));
        mix(start.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
