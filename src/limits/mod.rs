//! Every bound of the daemon, each with the sum behind it.
//!
//! A bound is here when it protects memory, files or fairness; settings that an operator may want
//! to change are in `config`.

use std::num::NonZeroU32;
use std::time::Duration;

pub use analytics::*;
pub use billing::*;
pub use campaigns::*;
pub use contacts::*;
pub use devices::*;
pub use media::*;
pub use messages::*;
pub use realtime::*;
pub use team::*;
pub use webhooks::*;

mod analytics;
mod billing;
mod campaigns;
mod contacts;
mod devices;
mod media;
mod messages;
mod realtime;
mod team;
mod webhooks;

/// Deliveries of one lane held in memory ahead of their turn: 64 × about 300 bytes = 19 kB for a
/// lane that runs flat out; slow lanes hold what they need for two seconds.
pub const HEADS_PER_LANE_MAX: usize = 64;

/// Deferred deliveries of one lane that wait in memory for their next attempt: as many as heads;
/// a lane with 64 refused messages takes no new bulk until some are through.
pub const RETRIES_PER_LANE_MAX: usize = 64;

/// Streams of one lane served at the same time, of 20 campaigns in 10 zones and more: 256 × about 150 bytes = 38 kB;
/// more wait for a place.
pub const STREAMS_PER_LANE_MAX: usize = 256;

/// Campaigns of one lane that are served, or were while something of their own pace counts, a day at most: 256 with a
/// stream and as many without, × at most 600 bytes with a day of counts = 300 kB; more are not begun before one is over,
/// except for single messages.
pub const CAMPAIGNS_PER_LANE_MAX: usize = 512;

/// Recipients of one lane that are remembered for a few seconds: 1,000/s × 6 s = 6,000, × 24 bytes = 150 kB.
pub const PAIRS_PER_LANE_MAX: usize = 8_192;

/// Deliveries of one lane that wait in memory because their recipients had a message a moment ago: 256 × about 300 bytes =
/// 77 kB; where more come in a row, their stream waits.
pub const PAIRS_WAITING_PER_LANE_MAX: usize = 256;

/// Attempts of one lane durable and waiting for their moment: 32 at 1,000/s cover a commit of 32 ms.
pub const PREPARED_PER_LANE_MAX: usize = 32;

/// Attempts of one lane on the wire: 64 at 80/s cover an answer time of 800 ms.
pub const IN_FLIGHT_PER_LANE_MAX: usize = 64;

/// Attempts of one lane on the wire once half of all places are taken: lanes that hang can then
/// never take the other half from lanes that do not (1,000 hanging lanes × 4 = 4,000).
pub const IN_FLIGHT_PER_LANE_CROWDED_MAX: usize = 4;

/// Attempts on the wire in the whole daemon: 8,192 × about 6 kB of task and buffers = 50 MB.
pub const IN_FLIGHT_MAX: usize = 8_192;

/// Rows of one journal transaction: 1,000 rows take PostgreSQL about 10 ms, the aim of a group commit.
pub const JOURNAL_BATCH_MAX: usize = 1_000;

/// Tries at one transaction that others stood in the way of: with a handful of writers, whoever
/// loses 5 times in a row has met a bug, not bad luck.
pub const WRITE_TRIES_MAX: u32 = 5;

/// Journal entries waiting for the writer: of each of 8,192 places at most an outcome and two
/// limiter states, and the receipts of 2,000 callbacks; 3 × 8,192 + 2,000 = 26,576.
pub const JOURNAL_QUEUE_MAX: usize = 32_768;

/// Attempts of one shard that are not durable yet, beyond the first one of each lane: two shards
/// fill half a commit of 1,000 rows, so that whatever is begun next waits for one commit.
pub const PREPARING_PER_SHARD_MAX: usize = 256;

/// Events waiting for one shard: two for each of the 8,192 sends in flight, while the shard is busy.
pub const SHARD_QUEUE_MAX: usize = 16_384;

/// Lanes refilled by one query: 256 × at most 64 rows = 16,384 rows, about 5 MB.
pub const REFILL_LANES_MAX: usize = 256;

/// Deliveries admitted in one transaction: 2,000 rows take PostgreSQL about 30 ms.
pub const ADMIT_DELIVERIES_MAX: usize = 2_000;

/// Rows of the outbox looked at together: 64 single messages or campaigns, each about 1 kB.
pub const OUTBOX_ROWS_MAX: u32 = 64;

/// Recipients of a campaign expanded at a time: 10,000 × about 400 bytes = 4 MB, and with 1,000
/// sessions still 10 deliveries a job.
pub const EXPAND_RECIPIENTS_MAX: u32 = 10_000;

/// Notices from services to the daemon waiting to be read: 1,024 × 17 bytes = 17 kB; a lost one is
/// made good by a full look.
pub const NOTICES_MAX: usize = 1_024;

/// Rows of one page of the API: 100 × about 1 kB of JSON = 100 kB.
pub const PAGE_LIMIT_MAX: u32 = 100;

/// Rows that a page may skip: the database reads them all to skip them, 100,000 in about 20 ms.
pub const PAGE_ROWS_SKIPPED_MAX: i64 = 100_000;

/// Recipients in one JSON body: 10,000 × about 200 bytes = 2 MB; more go by CSV.
pub const RECIPIENTS_PER_BODY_MAX: usize = 10_000;

/// Bytes of one JSON body: 10,000 recipients with a few variables each.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one recipient file: 1,000,000 rows × 250 bytes; streamed, never held.
pub const UPLOAD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of one provider callback, by the provider's documentation: 3 MB.
pub const CALLBACK_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Attempts at one delivery before a deferral becomes a failure: with waits doubling from 1 s to
/// 5 min, 10 attempts span about 25 min.
pub const ATTEMPTS_PER_DELIVERY_MAX: u32 = 10;

/// Questions to one shard waiting for an answer: a full offer of 256 lanes of 4 campaigns each;
/// whoever asks more waits.
pub const COMMANDS_PER_SHARD_MAX: usize = 1_024;

/// Recipients inserted by one statement: 1,000 rows take about 10 ms and hold the campaign's row as long.
pub const RECIPIENTS_PER_INSERT_MAX: usize = 1_000;

/// Sessions of one campaign: 1,000 × 36 bytes of id = 36 kB in one request.
pub const SESSIONS_PER_CAMPAIGN_MAX: usize = 1_000;

/// Deliveries cancelled in one transaction: as many as one group commit settles, 1,000 in about 10 ms.
pub const CANCEL_BATCH_MAX: u32 = 1_000;

/// Rows of one step of an export: 500 × about 300 bytes = 150 kB in memory.
pub const EXPORT_STEP_MAX: u32 = 500;

/// Tries at a change of state while others change it too: each lost try means that another one
/// won, and a state has fewer than 5 moves that a person can make.
pub const CHANGE_TRIES_MAX: usize = 5;

/// Bytes of a recipient file read before its rows are written: 64 KiB hold at most 9,400 rows.
pub const IMPORT_STEP_BYTES_MAX: usize = 64 * 1024;

/// Passwords hashed at once: 2 × 19 MiB of memory and at most two processors.
pub const PASSWORD_HASHES_MAX: usize = 2;

/// Passwords waiting to be hashed: 64 × 25 ms over two at once = about 1 s; more are turned away.
pub const PASSWORD_QUEUE_MAX: usize = 64;

/// Unknown deliveries put back in line at a time: one group commit's worth, 1,000 rows in about 10 ms.
pub const REQUEUE_ROWS_MAX: u32 = 1_000;

/// Bytes of one JSON body that carries no recipients: 4,096 characters of text at four bytes, escaped
/// six-fold, and as much again for the other fields.
pub const SMALL_BODY_BYTES_MAX: usize = 256 * 1024;

/// Tries to log in to one account from one address at once: 3 people behind one address × 3 tries each.
pub const LOGIN_BURST_MAX: NonZeroU32 = NonZeroU32::new(10).expect("10 is not zero");

/// Time until one more such try: 4 a minute are 2 million a year, none of the passwords we allow.
pub const LOGIN_INTERVAL: Duration = Duration::from_secs(15);

/// Tries to log in to one account from everywhere at once: 50, five addresses' worth.
pub const ACCOUNT_BURST_MAX: NonZeroU32 = NonZeroU32::new(50).expect("50 is not zero");

/// Time until one more such try: 6 a minute are 3 million a year, from however many addresses they come.
pub const ACCOUNT_INTERVAL: Duration = Duration::from_secs(10);

/// Mails asked for to one address at once, and tokens of them that are good together: 5, as many as the impatient ask for.
pub const MAIL_BURST_MAX: NonZeroU32 = NonZeroU32::new(5).expect("5 is not zero");

/// Time until one more such mail: 12 an hour are a nuisance, and no flood.
pub const MAIL_INTERVAL: Duration = Duration::from_secs(300);

/// Calls for credentials from one address at once: an office of 100 people that starts its day.
pub const VISITOR_BURST_MAX: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");

/// Time until one more such call: at 2/s × 25 ms of hashing, one address can keep 5 % of a processor busy.
pub const VISITOR_INTERVAL: Duration = Duration::from_millis(500);

/// Places of one table of the throttle: 65,536 × 8 bytes = 512 kB; 6,500 who try at once share one with 10 %.
pub const THROTTLE_PLACES: usize = 65_536;

/// Bodies over the small bound read at the same time: 32 × 4 MiB × about 3 while they are parsed = 400 MB.
pub const LARGE_BODIES_MAX: usize = 32;

/// Connections to the front: 4,096 × about 20 kB of buffers = 80 MB; more wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 4_096;

/// Partitions of the job topic: a node with 1,024 of them claims and renews them in one statement of 20 kB.
pub const PARTITIONS_MAX: u16 = 1_024;

/// Answers of shards about closed partitions, one of each shard for each partition: 1,024 × 256 = 262,144 of 2 bytes.
pub const CLOSED_QUEUE_MAX: usize = 262_144;

/// Stale fences waiting to be looked at: all of 64 partitions; one that is lost is found at the next renewal.
pub const STALE_QUEUE_MAX: usize = 64;

/// Records of the job topic handed over together: 500 × 500 deliveries are 125 transactions' worth, and
/// 500 records of 2 kB are 1 MB.
pub const RECORD_BATCH_MAX: usize = 500;

/// Bytes of records handed over together: 4 full jobs of 1 MiB each.
pub const RECORD_BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest time that a record waits for others: 5 ms, about one commit to disk.
pub const RECORD_BATCH_WAIT: Duration = Duration::from_millis(5);

/// Batches of records that wait for intake: 8 × 4 MiB = 32 MiB at most.
pub const RECORD_BATCHES_MAX: usize = 8;

/// Kilobytes that the Kafka client fetches ahead: 16 MiB, a second of 8,000 jobs of 2 kB each.
pub const FETCH_AHEAD_KBYTES_MAX: u32 = 16_384;

/// Time that intake may be full before partitions are paused: pausing throws away what was fetched
/// ahead, 16 MiB, which a busy second of 10,000 records is not worth.
pub const PRESSURE_MAX: Duration = Duration::from_secs(1);

/// Changes of membership that wait to be read: each is the whole truth, so 16 are a rebalance storm of
/// half a minute at 2 s each.
pub const MEMBERSHIPS_MAX: usize = 16;

/// Control messages that wait to be read: 1,024 × about 64 bytes = 64 kB; the reader then waits.
pub const CONTROL_MESSAGES_MAX: usize = 1_024;

/// Kilobytes that wait to be written to Kafka: 64 MiB, 30,000 jobs of 2 kB each; whoever writes more waits.
pub const PRODUCE_QUEUE_KBYTES_MAX: u32 = 65_536;

/// Bytes of a record that the outbox writes: below the 1,048,588 that a topic takes unless it is set otherwise, with
/// 120 kB to spare for key, framing and clients that count the batch.
pub const OUTBOX_RECORD_BYTES_MAX: usize = 900 * 1024;

/// Bytes of a job's record: 500 deliveries × 2 kB of variables; a larger one becomes a dead letter.
pub const JOB_RECORD_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a value kept in a dead letter: 2 MiB, twice a job's; of a longer one the beginning.
pub const DEAD_PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of a key kept in a dead letter: 64 KiB; a job's key has 36 bytes.
pub const DEAD_KEY_BYTES_MAX: usize = 64 * 1024;

/// Bytes of headers, names and values, kept in a dead letter: 256 KiB; tracing headers have about 100 bytes.
pub const DEAD_HEADER_BYTES_MAX: usize = 256 * 1024;

/// Bytes of the largest record that we write: a dead letter of 2 MiB + 64 KiB + 256 KiB, and 128 KiB for our
/// own headers and the framing.
pub const RECORD_BYTES_MAX: usize = 2 * 1024 * 1024 + 448 * 1024;

/// Dead letters shown in one list, the newest: 10,000 × about 500 bytes = 5 MB.
pub const DEAD_LETTERS_LISTED_MAX: usize = 10_000;

/// Bytes of records taken in together: 4 batches of 4 MiB, decoded about 4 times as large = 64 MB.
pub const TAKEN_TOGETHER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Nudges for other nodes waiting to be published: 4,096 × about 60 bytes = 250 kB; one that is lost is made
/// good by the next full look.
pub const NUDGES_MAX: usize = 4_096;

/// Transactions whose events are relayed together: 64, a second of commits of 16 ms each.
pub const EVENT_BATCHES_MAX: u32 = 64;

/// Bytes of events after which no further transaction is relayed with them: 4 MiB, and 2,000 events × 400 bytes
/// of the last one; with the records made of them about 10 MB.
pub const EVENT_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// News of the group waiting to be read: only the last counts, 16 cover a storm.
pub const MEMBERSHIP_QUEUE_MAX: usize = 16;

/// Bytes of recipients that `submit` holds before it cuts them into jobs: with 10,000 of them at most, 8 MiB
/// are 800 bytes each.
pub const SUBMIT_BYTES_HELD_MAX: usize = 8 * 1024 * 1024;

/// Jobs that `submit` writes together: 64 × 500 deliveries are 32,000, a second of the daemon's work and more.
pub const SUBMIT_JOBS_MAX: usize = 64;

/// Bytes of jobs from which `submit` writes them, however few: 4 full jobs of 1 MiB each.
pub const SUBMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Dead letters read ahead while others are replayed: 8 × 2.4 MiB are 19 MiB at most.
pub const REPLAY_AHEAD_MAX: usize = 8;

/// Sessions looked at together when those of one partition are listed: 10,000 × 16 bytes = 160 kB at a time.
pub const SESSIONS_PER_LOOK_MAX: u32 = 10_000;

/// Rows of a provider's tier that no longer count, removed by one transaction of the journal: twice as many as the
/// 1,000 that it may add, so that they never heap up.
pub const TIER_ROWS_REMOVED_MAX: i64 = 2_000;

/// News of sessions waiting to be noted: 1,024 sessions that lose their connection at once, 24 bytes each.
pub const SESSION_NEWS_MAX: usize = 1_024;

/// Places of a stream looked at by one step of what a person asked: 10,000 along an index take about 10 ms.
pub const RECALL_LOOKS_MAX: u32 = 10_000;

/// Deliveries moved by one step of what a person asked: as many as one group commit, 1,000 in about 20 ms.
pub const RECALL_MOVES_MAX: u32 = 1_000;

/// Steps taken before whoever asked is answered: 50 × about 30 ms = 1.5 s, and 50,000 deliveries; the daemon takes
/// the others.
pub const RECALL_STEPS_PER_REQUEST_MAX: u32 = 50;

/// Deliveries that leave a lost session in one transaction: 500 rows with their index take about 15 ms.
pub const FAILOVER_ROWS_MAX: u32 = 500;

/// Transactions of a beat that move deliveries of one stream: 20 × 500 = 10,000 deliveries; the next beat goes on.
pub const FAILOVER_STEPS_MAX: usize = 20;

/// Milliseconds of outcomes looked at together for missing receipts: at 10,000/s 5 s are 50,000 rows, about 0.2 s.
pub const NO_RECEIPT_LOOK_MS_MAX: i64 = 5_000;

/// Streams looked at in one forecast: a message takes 2 looks at each stream of its lane, 2,000,000 messages in lanes of
/// 3 streams are 12,000,000, about 4 s of one processor.
pub const FORECAST_LOOKS_MAX: u64 = 12_000_000;

/// How far a forecast goes: 400 days, a campaign of a year and some.
pub const FORECAST_SPAN_MAX: Duration = Duration::from_secs(400 * 86_400);

/// Messages of one stream that a forecast counts: 2,000,000 along an index take about 2 s; it goes no further anyway.
pub const FORECAST_MESSAGES_MAX: i64 = 2_000_000;

/// Recipients that a forecast reads: 200,000 × about 2 µs are 0.4 s; the others are thought to be like them.
pub const FORECAST_RECIPIENTS_MAX: i64 = 200_000;

/// Forecasts made at once: 1, so that they take one processor at most.
pub const FORECASTS_MAX: usize = 1;

/// Forecasts waiting or being made: 8 × at most 4 s are what somebody may wait; whoever comes then is turned away.
pub const FORECAST_QUEUE_MAX: usize = 8;

/// Keys of one tenant: 100, a handful for each of its programs.
pub const API_KEYS_PER_TENANT_MAX: i64 = 100;

/// Networks that one key may be used from: 100 × 18 characters = 2 kB of its row.
pub const API_KEY_NETWORKS_MAX: usize = 100;

/// How long a node goes on believing what it read of a key: 2 s, after which every node refuses a revoked one; at 100
/// requests a second it saves 199 of 200 reads.
pub const API_KEY_BELIEVED: Duration = Duration::from_secs(2);

/// Keys that a node remembers, read ones and used ones: 10,000 × about 500 bytes = 5 MB.
pub const API_KEYS_REMEMBERED_MAX: usize = 10_000;

/// How long a node goes on believing what it read of a log-in: 2 s; at 10 requests a second it saves 19 of 20 reads.
pub const LOGIN_BELIEVED: Duration = Duration::from_secs(2);

/// Log-ins that a node remembers: 20,000 × about 120 bytes = 2.4 MB.
pub const LOGINS_REMEMBERED_MAX: usize = 20_000;

/// Characters of an idempotency key: three UUIDs with dashes and 20 to spare.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;

/// How long an answer is kept for whoever asks again with the same idempotency key: 24 hours.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How long the request of an idempotency key may be under way: 10 minutes, as long as `server.request_timeout_ms` may be.
pub const IDEMPOTENCY_UNDER_WAY_MAX: Duration = Duration::from_secs(600);

/// Answers, and expired tokens of one kind, forgotten in one transaction: 1,000 rows along an index take about 10 ms.
pub const IDEMPOTENCY_ROWS_REMOVED_MAX: u32 = 1_000;

/// Requests of keys and people until those who rest are forgotten: 65,536 × at most 64 bytes each = 4 MB.
pub const CALLERS_SWEPT_EVERY: u64 = 65_536;
