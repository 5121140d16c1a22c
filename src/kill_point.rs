//! Places where tests let the process die, between each pair of steps of a message's way.
//!
//! Compiled only with the feature `kill-points`, which tests turn on; without it a kill point is
//! nothing at all. Dying is `abort`: no destructor runs and nothing is flushed, as with `kill -9`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every kill point, in the order in which a message passes them.
pub const ALL: &[&str] = &[
    "intake: before deliveries are persisted",
    "topic: before dead letters are kept",
    "topic: before offsets are stored",
    "topic: before jobs of the outbox are written",
    "intake: before the outbox row is removed",
    "intake: after the outbox row is removed",
    "journal: before attempts are written",
    "journal: before lanes are told of attempts",
    "lane: before the gateway is called",
    "lane: before the outcome is reported",
    "journal: before outcomes are written",
    "journal: after outcomes are written",
    "journal: before receipts are written",
    "journal: before the provider is told of receipts",
    "background: before a campaign is completed",
    "background: before deliveries leave a lost session",
    "start: before attempts under way are orphaned",
];

/// The point that was chosen, and how often it is still passed.
static CHOSEN: OnceLock<(&'static str, AtomicU64)> = OnceLock::new();

/// Chooses where this process dies: at the `n`th passing of `name`; `false` for an unknown name.
pub fn choose(name: &str, n: u64) -> bool {
    let known = ALL.iter().copied().find(|point| *point == name);
    known.is_some_and(|point| CHOSEN.set((point, AtomicU64::new(n.max(1)))).is_ok())
}

/// Passes a kill point.
pub fn pass(name: &'static str) {
    if let Some((chosen, left)) = CHOSEN.get()
        && *chosen == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}

/// Lets the process die here when a test has chosen this point.
#[macro_export]
macro_rules! kill_point {
    ($name:literal) => {
        $crate::kill_point::pass($name)
    };
}
