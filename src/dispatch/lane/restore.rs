//! The limits of a lane as they go on from what the database holds of it.
//!
//! The same for lanes that open and for forecasts; decides nothing else.

use std::sync::Arc;

use crate::clock::Moment;
use crate::dispatch::limits::{LaneLimits, LaneMemory};
use crate::dispatch::pacer::{ShardTime, state_after_full_burst};
use crate::domain::backoff::splitmix;
use crate::domain::pacing::LaneRules;
use crate::store::lanes::LaneRow;

/// Makes the limits of a lane from its row and what was saved of them.
#[must_use]
pub fn restored_limits(
    row: &LaneRow,
    rules: &Arc<LaneRules>,
    saved: Option<&LaneMemory>,
    time: &ShardTime,
) -> LaneLimits {
    // A message that nobody saved the pace of has left by then at the latest.
    let left_by = row.left_by_us.map(|us| state_after_full_burst(rules.pacing, Moment::from_us(us)));
    let tat = row.tat_us.map(Moment::from_us).max(left_by);
    let seed = splitmix(row.session_id.0.as_u64_pair().1);
    LaneLimits::new(Arc::clone(rules), saved, tat, seed, time)
}
