//! What a person may set for a run by hand, and the seed of everything drawn.
//!
//! `E2E_SEED` repeats a run, `E2E_BINARY` names another executable (a release build), `E2E_KILLS`,
//! `E2E_MESSAGES`, `E2E_SESSIONS`, `E2E_LANES`, `E2E_SECONDS` and `E2E_SLOW_MESSAGES` set sizes; `E2E_STORE` names a database.

use std::path::PathBuf;

use actiwapi_dispatcher::domain::backoff::splitmix;

/// Returns a number from the environment, or what it is without.
pub(super) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, is {text:?}")))
}

/// Returns the executable under test.
pub(super) fn executable() -> PathBuf {
    std::env::var_os("E2E_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_dispatcher").into(), PathBuf::from)
}

/// Tells whether another executable was named; it may have no kill points, and is no debug build.
pub(super) fn is_by_hand() -> bool {
    std::env::var_os("E2E_BINARY").is_some()
}

/// Draws numbers that a seed repeats; says its seed when the test fails.
#[derive(Debug)]
pub(super) struct Draw {
    seed: u64,
    n_drawn: u64,
}

impl Draw {
    /// Starts from `E2E_SEED`, or from a seed that nobody had before.
    pub(super) fn new() -> Self {
        let fresh = uuid::Uuid::new_v4().as_u64_pair().0 >> 32;
        Self { seed: number("E2E_SEED", fresh), n_drawn: 0 }
    }

    /// Returns a number of the range, both ends included.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.n_drawn += 1;
        least + splitmix(self.seed.wrapping_add(self.n_drawn << 32)) % (most - least + 1)
    }
}

impl Drop for Draw {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("E2E_SEED={} repeats this run", self.seed);
        }
    }
}
