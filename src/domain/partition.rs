//! Which partition a session belongs to, and the fence that guards one.
//!
//! The partition of a session follows from its id alone, by the hash that Java clients of Kafka use for
//! keys. So the owner of a session is known without asking, whatever partition a record came through.

use std::fmt;
use std::num::NonZeroU16;

use crate::domain::id::SessionId;

/// Names a partition of the job topic, and with it the sessions that belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionNo(pub u16);

impl PartitionNo {
    /// The partition whose owner also does what only one node should do.
    pub const FIRST: Self = Self(0);

    /// Returns the partition that a session belongs to: murmur2 of the id as text, as a Java client
    /// would place a record with that key.
    #[must_use]
    pub fn of(session_id: SessionId, n_partitions: NonZeroU16) -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let key = session_id.0.hyphenated().encode_lower(&mut text);
        let hash = murmur2(key.as_bytes()) & 0x7fff_ffff;
        let no = hash % u32::from(n_partitions.get());
        Self(u16::try_from(no).expect("a remainder is below its divisor"))
    }
}

impl fmt::Display for PartitionNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to write for one partition: grows with each lease, so that an older one is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The partition.
    pub partition: PartitionNo,
    /// Counts the leases of that partition.
    pub number: i64,
}

/// The hash of Kafka's own clients: murmur2, 32 bits, with their seed.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mix = |k: u32| {
        let k = k.wrapping_mul(M);
        (k ^ (k >> 24)).wrapping_mul(M)
    };
    let length = u32::try_from(bytes.len()).expect("a key has fewer than 2^32 bytes");
    let mut hash = SEED ^ length;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_mul(M) ^ mix(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Kafka's own test of its hash (`UtilsTest.testMurmur2`).
    #[test]
    fn the_hash_is_the_one_of_kafka() {
        let signed = |text: &str| murmur2(text.as_bytes()).cast_signed();
        assert_eq!(signed("21"), -973_932_308);
        assert_eq!(signed("foobar"), -790_332_482);
        assert_eq!(signed("a-little-bit-long-string"), -985_981_536);
        assert_eq!(signed("a-little-bit-longer-string"), -1_486_304_829);
        assert_eq!(signed("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58_897_971);
        assert_eq!(signed("abc"), 479_470_107);
    }

    #[test]
    fn sessions_are_spread_evenly() {
        let n_partitions = NonZeroU16::new(64).expect("64 is not zero");
        let mut counts = [0_u32; 64];
        for n in 0..64_000_u128 {
            let session_id =
                SessionId(uuid::Uuid::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)));
            counts[usize::from(PartitionNo::of(session_id, n_partitions).0)] += 1;
        }
        assert!(counts.iter().all(|n| (800..1_200).contains(n)), "{counts:?}");
    }
}
