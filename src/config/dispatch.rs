//! Section `dispatch`: shards, the pacing of sessions that have none of their own, and deadlines.

use std::num::NonZeroU16;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problems::Problems;
use crate::domain::pacing::{Pacing, RATE_PER_MINUTE_MAX};

/// Lanes and pacing.
#[derive(Debug, Clone)]
pub struct DispatchConfig {
    /// Tasks that the sessions are spread over.
    pub shards: NonZeroU16,
    /// Pacing of sessions that have none of their own.
    pub default_pacing: Pacing,
    /// How long an unknown delivery waits for receipts before its campaign's policy decides.
    pub unknown_grace: Duration,
    /// After how long an accepted delivery should have a receipt.
    pub no_receipt_after: Duration,
    /// How long a drain waits for attempts on the wire.
    pub drain_deadline: Duration,
    /// How long a node may send for a partition without having renewed its lease.
    pub lease: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DispatchFile {
    shards: u64,
    default_rate_per_minute: f64,
    default_burst: u32,
    unknown_grace_ms: u64,
    no_receipt_after_ms: u64,
    drain_deadline_ms: u64,
    lease_ms: u64,
}

impl Default for DispatchFile {
    fn default() -> Self {
        Self {
            shards: 0,
            default_rate_per_minute: 60.0,
            default_burst: 1,
            unknown_grace_ms: 60_000,
            no_receipt_after_ms: 60_000,
            drain_deadline_ms: 10_000,
            lease_ms: 10_000,
        }
    }
}

impl DispatchFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<DispatchConfig> {
        let shards = problems.in_range("dispatch.shards", self.shards, 0..=256);
        let (rate_per_minute, burst) = (self.default_rate_per_minute, self.default_burst);
        let rate_alone = Pacing::new(rate_per_minute, 1);
        let burst_alone = Pacing::new(RATE_PER_MINUTE_MAX, burst);
        let rate_alone = problems.or_push("dispatch.default_rate_per_minute", rate_alone);
        let burst_alone = problems.or_push("dispatch.default_burst", burst_alone);
        let default_pacing = rate_alone.and(burst_alone).and(Pacing::new(rate_per_minute, burst).ok());
        let unknown_grace = problems.millis("dispatch.unknown_grace_ms", self.unknown_grace_ms, 1_000..=86_400_000);
        let no_receipt_after =
            problems.millis("dispatch.no_receipt_after_ms", self.no_receipt_after_ms, 5_000..=86_400_000);
        let drain_deadline = problems.millis("dispatch.drain_deadline_ms", self.drain_deadline_ms, 0..=600_000);
        let lease = problems.millis("dispatch.lease_ms", self.lease_ms, 1_000..=120_000);
        let shards = u16::try_from(shards?).ok().and_then(NonZeroU16::new).unwrap_or_else(one_per_core);
        Some(DispatchConfig {
            shards,
            default_pacing: default_pacing?,
            unknown_grace: unknown_grace?,
            no_receipt_after: no_receipt_after?,
            drain_deadline: drain_deadline?,
            lease: lease?,
        })
    }
}

fn one_per_core() -> NonZeroU16 {
    let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(n_cores).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
}
