//! Bounds of reports, of the log of requests, and of what is forgotten.

/// Days of one report: 366 × at most 1,000 sessions and campaigns that sent on a day = 366,000 rows along an index, about 0.3 s.
pub const REPORT_DAYS_MAX: i64 = 366;

/// Transactions added up together: 100 × at most 150 kB of moves = 15 MB.
pub const ROLL_UP_ROWS_MAX: u32 = 100;

/// Requests looked at by one list of the log, the newest: 10,000 along an index take about 10 ms.
pub const REQUEST_LOG_LOOKS_MAX: i64 = 10_000;

/// Requests that wait to be logged: 10,000 × about 250 bytes = 2.5 MB, 2,000 a second for 5 s; more are only counted.
pub const REQUEST_LOG_WAITING_MAX: usize = 10_000;

/// Callers of a day whose requests wait to be counted: 10,000 × about 100 bytes = 1 MB; requests of more are not counted.
pub const REQUEST_SUMS_WAITING_MAX: usize = 10_000;

/// Requests logged by one transaction: 1,000 rows in about 10 ms.
pub const REQUEST_LOG_BATCH_MAX: usize = 1_000;

/// Characters of the pattern of a path, and of a method, that a list is filtered by: 200, twice our longest.
pub const OPERATION_CHARS_MAX: usize = 200;

/// Deliveries removed by one transaction: 500 with their attempts are 1,500 rows in about 30 ms.
pub const REMOVED_DELIVERIES_MAX: u32 = 500;

/// Other old rows removed by one transaction: 1,000 along an index take about 10 ms.
pub const REMOVED_ROWS_MAX: u32 = 1_000;

/// Messages of one contact that are erased by one transaction: 500 rows in about 20 ms.
pub const ERASED_ROWS_MAX: u32 = 500;

/// Looks for what waits for a contact that is to be erased: 20 × 500 messages cancelled at 1 ms each = 10 s of one request.
pub const ERASURE_LOOKS_MAX: usize = 20;
