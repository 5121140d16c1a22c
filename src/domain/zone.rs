//! Where a recipient lives, as far as clocks go, and the kinds of recipients that follow from it.
//!
//! Placeholder of the table; see below.

use serde::{Deserialize, Serialize};

/// Whether a recipient has ever written to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Temperature {
    /// Never wrote: a stranger, to whom providers and people are strict.
    Cold,
    /// Has written to the session at least once.
    Warm,
}
