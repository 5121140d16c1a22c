//! Randomness that does not depend on the order of events: every roll is a hash of seed, number, recipient and count.
//!
//! Two runs with one seed roll the same for the n-th request of a number to a recipient, however the requests interleave. It
//! is no cryptographic randomness.

/// What a roll decides; each has a stream of its own, so that a new one changes no other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Roll {
    Hang = 1,
    Code,
    ResetBefore,
    ResetAfter,
    HangAfter,
    Latency,
    LatencyAngle,
    Failed,
    Read,
    Late,
    Doubled,
    Reordered,
}

/// The rolls of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice {
    base: u64,
}

impl Dice {
    /// Makes the rolls of the `nth` request of the number to the recipient.
    pub(crate) fn new(seed: u64, number_hash: u64, recipient_hash: u64, nth: u32) -> Self {
        let mut base = mix(seed);
        for part in [number_hash, recipient_hash, u64::from(nth)] {
            base = mix(base ^ part);
        }
        Self { base }
    }

    /// Returns a number from 0 up to, not including, 1; `index` tells rolls of one kind apart.
    pub(crate) fn unit(self, roll: Roll, index: u64) -> f64 {
        let bits = mix(self.base ^ mix((roll as u64) << 32 | index));
        // The upper 53 bits are what a float can hold exactly.
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Tells whether something of this probability happens.
    pub(crate) fn happens(self, roll: Roll, index: u64, probability: f64) -> bool {
        probability > 0.0 && self.unit(roll, index) < probability
    }
}

/// Scrambles 64 bits, one to one (the finaliser of splitmix64).
pub(crate) fn mix(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Hashes bytes the same way in every run (FNV-1a, 64 bits).
pub(crate) fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolls_repeat_and_spread() {
        let share = |seed: u64| {
            let hits = (0..20_000).filter(|n| Dice::new(seed, 1, 2, *n).happens(Roll::Code, 0, 0.05)).count();
            hits as f64 / 20_000.0
        };
        assert!((0.045..0.055).contains(&share(7)), "{}", share(7));
        assert_eq!(share(7).to_bits(), share(7).to_bits());
        let one = Dice::new(7, 1, 2, 3);
        assert_eq!(one.unit(Roll::Code, 0).to_bits(), Dice::new(7, 1, 2, 3).unit(Roll::Code, 0).to_bits());
        for other in [Dice::new(8, 1, 2, 3), Dice::new(7, 2, 1, 3), Dice::new(7, 1, 2, 4)] {
            assert_ne!(one.unit(Roll::Code, 0).to_bits(), other.unit(Roll::Code, 0).to_bits());
        }
        assert_ne!(one.unit(Roll::Code, 0).to_bits(), one.unit(Roll::Read, 0).to_bits());
        assert_ne!(one.unit(Roll::Late, 0).to_bits(), one.unit(Roll::Late, 1).to_bits());
    }
}
