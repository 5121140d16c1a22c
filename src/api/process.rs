//! What operators ask of the process that answers: to drain, and what it keeps of records that could not be admitted.
//!
//! Implemented by the daemon, because only that knows the queue and how to stop.

use futures::future::BoxFuture;
use time::OffsetDateTime;

use crate::domain::dead_letter::DeadCause;
use crate::domain::partition::PartitionNo;
use crate::error::Result;

/// The process behind the front.
pub trait Process: Send + Sync {
    /// Returns what the node is called.
    fn node(&self) -> &str;

    /// Begins to stop: nothing more is taken, what is on the wire finishes, the rest is handed back.
    fn drain(&self);

    /// Reads the records that could not be admitted, the newest first; none where there is no broker.
    fn dead_letters(&self) -> BoxFuture<'_, Result<Vec<KeptRecord>>>;

    /// Puts one back to be admitted again.
    fn replay<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Replayed>>;
}

/// A record that could not be admitted, without what is personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRecord {
    /// Its place, `PARTITION:OFFSET`.
    pub id: String,
    /// Why it is kept.
    pub cause: DeadCause,
    /// More about it, for people.
    pub detail: String,
    /// The topic it came from.
    pub source_topic: String,
    /// The partition it came from.
    pub source_partition: PartitionNo,
    /// Its place there.
    pub source_offset: i64,
    /// When it was kept.
    pub at: OffsetDateTime,
    /// Bytes of its value.
    pub n_bytes: u64,
    /// Whether it was too large and only its beginning is kept.
    pub is_truncated: bool,
    /// Whether it was replayed.
    pub is_replayed: bool,
}

/// What came of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// It is durable in the queue once more.
    Done,
    /// There is no such record.
    NotThere,
    /// Only its beginning was kept, so nothing was written.
    Truncated,
}
