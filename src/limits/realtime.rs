//! Bounds of those who look on.

/// Changes put down for people who look on, of one tenant by one transaction: 100 × about 300 bytes = 30 kB.
pub const REALTIME_NEWS_PER_ROW_MAX: usize = 100;

/// Transactions of which is read at a time what they made happen: 200 × at most 30 kB = 6 MB, every quarter of a second.
pub const REALTIME_ROWS_MAX: u32 = 200;

/// Campaigns looked at together: 1,000 along their keys take about 5 ms.
pub const REALTIME_CAMPAIGNS_MAX: u32 = 1_000;

/// News of one tenant told at a time, those of campaigns and usage apart: 100 four times a second are more than anybody
/// reads.
pub const REALTIME_NEWS_PER_BEAT_MAX: usize = 100;

/// Beats that a client may be behind: 16 × 250 ms = 4 s; one that is slower is dropped.
pub const REALTIME_BEATS_BEHIND_MAX: usize = 16;

/// Packets that wait for a slow client, one beat's of everything and as many again: 512 × about 400 bytes = 200 kB.
pub const REALTIME_PACKETS_MAX: usize = 512;

/// Clients of one tenant on one node: 50 people with a page open.
pub const REALTIME_CLIENTS_PER_TENANT_MAX: usize = 50;

/// Clients of a node: 1,000 × at most 200 kB of packets = 200 MB if all of them stand still at once.
pub const REALTIME_CLIENTS_MAX: usize = 1_000;

/// Bytes of one packet of a client: they say who they are, about 1 kB, and nothing else.
pub const REALTIME_PACKET_BYTES_MAX: usize = 16 * 1024;

/// Event streams of one tenant on one node: 20 pages that show a campaign.
pub const EVENT_STREAMS_PER_TENANT_MAX: usize = 20;

/// Event streams of a node: 500, an eighth of its connections.
pub const EVENT_STREAMS_MAX: usize = 500;

/// Tenants whose usage is read in one beat: 50 × about 1 ms; the others follow in the next.
pub const REALTIME_USAGES_PER_BEAT_MAX: usize = 50;
