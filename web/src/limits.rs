//! All bounds, each with the sum behind it.

use std::time::Duration;

/// Bytes of a request's body: the longest text has 4,096 characters, at most 16 KiB, and JSON may write each of them in six.
pub const BODY_BYTES_MAX: usize = 128 * 1024;

/// Connections at once: the daemon keeps one per session that sends, two for what is told, and a few more.
pub const CONNECTIONS_MAX: usize = 1_024;

/// How long a question for news waits for some.
pub const NEWS_WAIT: Duration = Duration::from_secs(25);

/// Events of one answer; at about 300 bytes each these are 150 kB, an incoming text of 4,096 characters makes it 2 MB.
pub const EVENTS_PER_ANSWER_MAX: u32 = 500;

/// Events kept; at 300 bytes each these are 30 MB of disk.
pub const EVENTS_KEPT_MAX: i64 = 100_000;

/// How long events are kept.
pub const EVENTS_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Events between two looks at what is old.
pub const EVENTS_PER_PRUNING: i64 = 1_000;

/// Events of one session that wait to be handled; what does not fit is dropped and counted by whatsapp-rust.
pub const SESSION_EVENTS_MAX: usize = 1_024;

/// Messages of one session that wait to be written or acknowledged.
pub const SENDS_MAX: usize = 32;

/// How long the server's word about a message is awaited.
pub const ACK_WAIT: Duration = Duration::from_secs(20);

/// How long it may take until a message is written: keys of new recipients are asked for first.
pub const WRITE_WAIT: Duration = Duration::from_secs(30);

/// For how long "is typing" is shown at most.
pub const TYPING_MAX: Duration = Duration::from_secs(30);

/// Bytes of a file that is sent: what WhatsApp takes as a document.
pub const FILE_BYTES_MAX: u64 = 100 * 1024 * 1024;

/// Files that are read and sent at once, over all sessions: 400 MB of memory at worst, twice that while they are encrypted.
pub const FILES_AT_ONCE_MAX: usize = 4;

/// Characters of an incoming text that are told on.
pub const INCOMING_CHARS_MAX: usize = 4_096;

/// How often numbers may be looked up by one session.
pub const CHECK_EVERY: Duration = Duration::from_secs(2);

/// How many look-ups may come at once.
pub const CHECKS_AT_ONCE_MAX: u32 = 20;

/// How long a look-up is believed.
pub const CHECK_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Look-ups kept; at about 80 bytes each these are 4 MB.
pub const CHECKS_KEPT_MAX: usize = 50_000;

/// How long anything else is waited for that is asked of WhatsApp.
pub const ASK_WAIT: Duration = Duration::from_secs(15);

/// How often it is looked at how clients stand: failed connects raise no event.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The mean time between the starts of two sessions that were connected before.
pub const START_EVERY: Duration = Duration::from_millis(50);

/// How long everything may take to be closed.
pub const STOP_WAIT: Duration = Duration::from_secs(10);

/// How long a code that is typed in may be used, as WhatsApp documents nowhere and everybody observes.
pub const PAIRING_CODE_KEPT: Duration = Duration::from_secs(180);
