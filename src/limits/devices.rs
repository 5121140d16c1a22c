//! Bounds of linked devices, and of what operators have read for them.

/// Bytes of an answer about linked devices that are read: 5,000 group chats of 200 bytes each, or 4,000 devices that changed.
pub const DEVICE_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a code to be scanned: 2,331, as many as a picture of the largest kind holds with its usual correction; codes have 250.
pub const QR_BYTES_MAX: usize = 2_331;

/// News of linked devices waiting to be noted: 1,024 × about 300 bytes with a code each = 300 kB; whoever tells more waits.
pub const DEVICE_NEWS_MAX: usize = 1_024;

/// Counts of the ledger made for people at once: 1, because each reads every row, 5,000,000 in about 5 s.
pub const LEDGER_COUNTS_MAX: usize = 1;

/// Readings of the dead topic made for people at once: 1, because each holds 10,000 dead letters of about 500 bytes.
pub const DEAD_LETTER_READS_MAX: usize = 1;
