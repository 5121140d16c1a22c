//! Bounds of contacts, and of campaigns that are for them.

/// Contacts read or written at a time: 1,000 × about 500 bytes = 500 kB, and 1,000 rows take about 20 ms.
pub const CONTACT_STEP_MAX: u32 = 1_000;

/// Contacts named in one body: 1,000 × 39 bytes of id = 39 kB, and one transaction's worth.
pub const CONTACTS_PER_BODY_MAX: usize = 1_000;

/// Groups that a campaign names: 100 × 39 bytes of id = 4 kB.
pub const GROUPS_PER_CAMPAIGN_MAX: usize = 100;

/// Contacts that groups bring into one campaign: 500,000 are 500 transactions of about 25 ms = 13 s, under half of what a
/// request may take.
pub const CONTACTS_PER_CAMPAIGN_MAX: i64 = 500_000;

/// Longest time that counts as a short time ago: 90 days, as long as anybody plans campaigns ahead.
pub const SKIP_DUPLICATES_HOURS_MAX: u32 = 90 * 24;
