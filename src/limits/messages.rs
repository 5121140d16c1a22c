//! Bounds of single messages: lists, bulk and schedules.

/// Messages that one list looks at, the newest that an index finds: 10,000 entries of it are counted in about 3 ms.
pub const MESSAGES_LOOKED_AT_MAX: i64 = 10_000;

/// Messages that one list looks at where their rows must be compared: 2,500 of them, all on pages of their own, take about
/// 10 ms; more than the 2,000 that one admission gives the same time.
pub const MESSAGES_COMPARED_MAX: i64 = 2_500;

/// Messages of one tenant that wait for their time: 10,000 × about 1 kB = 10 MB, all counted in 2 ms; more are a campaign.
pub const SCHEDULED_PER_TENANT_MAX: i64 = 10_000;

/// Messages in one body: 200 × 16 kB of the longest text with its variants = 3 MB in one transaction; more are a campaign.
pub const BULK_MESSAGES_MAX: usize = 200;
