//! Bounds of campaigns that are scheduled, copied and removed.

use std::time::Duration;

/// How far ahead a campaign or a message may be scheduled: 366 days, a year and a day of grace.
pub const SCHEDULE_AHEAD_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Campaigns whose time has come, looked at together: 100 × about 5 ms = 0.5 s.
pub const DUE_CAMPAIGNS_MAX: u32 = 100;

/// Recipients of a removed campaign forgotten in one transaction: 10,000 rows along their key take about 50 ms.
pub const RECIPIENTS_FORGOTTEN_MAX: i64 = 10_000;

/// Recipients that a copy of a campaign takes along: 500,000 are 500 transactions of about 25 ms = 13 s, under half of
/// what a request may take.
pub const RECIPIENTS_COPIED_MAX: i64 = 500_000;
