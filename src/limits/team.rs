//! Bounds of teams and of what is written down of their calls.

use std::time::Duration;

/// How long an invitation is good: 7 days, a holiday of whoever is invited.
pub const INVITATION_LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// How long an invitation that is over is remembered, so that whoever comes late is told why: 30 days.
pub const INVITATION_REMEMBERED: Duration = Duration::from_secs(30 * 86_400);

/// Invitations of one tenant that are open: 100, each a mail to somebody who did not ask for it.
pub const INVITATIONS_PER_TENANT_MAX: i64 = 100;

/// Calls waiting to be written down: 4,096 × about 400 bytes = 1.6 MB; whoever comes then waits.
pub const CALLS_WAITING_MAX: usize = 4_096;

/// Calls written down in one transaction: 500 rows take about 15 ms.
pub const CALLS_BATCH_MAX: usize = 500;

/// How long a send may wait to be written down together with others: 20 ms are at most 50 transactions a second.
pub const CALLS_LINGER: Duration = Duration::from_millis(20);

/// How long an answer waits until its call is written down, when the database does not answer: 5 s.
pub const CALL_WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of an answer in which the id of what was made is looked for: 64 kB.
pub const CALL_ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Rows of the audit log that a list looks at: 10,000 along an index take about 10 ms.
pub const AUDIT_LOOKED_AT_MAX: i64 = 10_000;

/// Rows of one step of its export: 1,000 × about 400 bytes = 400 kB.
pub const AUDIT_EXPORT_STEP_MAX: i64 = 1_000;
