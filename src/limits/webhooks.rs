//! Bounds of webhooks.

use std::time::Duration;

/// Webhooks of one tenant: 100 × what each message then costs, a row of about 600 bytes for each of its events.
pub const WEBHOOKS_PER_TENANT_MAX: i64 = 100;

/// Characters of the address of a webhook: 2,048, what browsers and proxies take.
pub const WEBHOOK_URL_CHARS_MAX: usize = 2_048;

/// Addresses that a node delivers to at the same time: 1,024 × 256 things due of about 1 kB each = 256 MB at most.
pub const WEBHOOK_TURNS_MAX: usize = 1_024;

/// Things due read together for one address: 256 × about 1 kB.
pub const WEBHOOKS_DUE_MAX: u32 = 256;

/// First attempts on the wire of addresses where things arrive: 256 × about 20 kB = 5 MB; at 100 ms each 2,560/s.
pub const WEBHOOK_FIRST_PLACES: usize = 256;

/// Further attempts on the wire of addresses that have one already: as many again, 256 × about 20 kB.
pub const WEBHOOK_MORE_PLACES: usize = 256;

/// Attempts on the wire of addresses where nothing arrives: 64 × 10 s of silence are 6 attempts a second.
pub const WEBHOOK_FAILING_PLACES: usize = 64;

/// Attempts on the wire of one address: 64 at 50 ms are 1,280/s, and a quarter of the further places.
pub const WEBHOOK_WINDOW_MAX: usize = 64;

/// Bytes of a receiver's answer that are read, so that the connection can be used again: 16 kB.
pub const WEBHOOK_ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Things that wait for one webhook where nothing arrives, before it is switched off: 500,000 × about 600 bytes = 300 MB.
pub const WEBHOOK_WAITING_MAX: i64 = 500_000;

/// Rows of its past kept of one webhook, the newest: 50,000 × about 600 bytes = 30 MB.
pub const WEBHOOK_HISTORY_MAX: u32 = 50_000;

/// How long anything is kept for a webhook: 30 days, ten times as long as one may fail.
pub const WEBHOOK_HISTORY_AGE_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Rows of the past of webhooks removed in one transaction: 1,000 take about 10 ms.
pub const WEBHOOK_FORGET_ROWS_MAX: u32 = 1_000;
