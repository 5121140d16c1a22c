//! A record as it came: bytes, whatever they are.
//!
//! Decides nothing about what is in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::domain::partition::PartitionNo;

/// Names and values of headers, in order; a name may be there more than once.
pub type RecordHeaders = Vec<(String, Option<Bytes>)>;

/// Stands for a header's name that is no UTF-8: the client library can not show it.
pub(super) const UNREADABLE_NAME: &str = "\u{fffd}";

/// One record of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The partition it came through. A foreign producer may place records by a hash of its own, so this says
    /// nothing about who owns the session.
    pub partition: PartitionNo,
    /// Its place in the partition.
    pub offset: i64,
    /// When it was written, milliseconds since the epoch, by whoever wrote it or by the broker.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub payload: Option<Bytes>,
    /// Its headers. One whose name is no UTF-8 has the name U+FFFD and no value.
    pub headers: RecordHeaders,
}

impl Record {
    /// Copies a record out of the client's buffers.
    pub(super) fn copy(message: &BorrowedMessage<'_>) -> Self {
        let copied = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
        Self {
            // Kafka numbers partitions from 0; more than 65,536 of them are refused at the start.
            partition: PartitionNo(u16::try_from(message.partition()).unwrap_or(u16::MAX)),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: copied(message.key()),
            payload: copied(message.payload()),
            headers: message.headers().map(copy_headers).unwrap_or_default(),
        }
    }

    /// Returns how many bytes it holds, the names of headers included.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + length(value)).sum();
        length(&self.key) + length(&self.payload) + headers
    }
}

fn copy_headers(headers: &impl Headers) -> RecordHeaders {
    let copy = |index| {
        // The library panics at a name that is no UTF-8; a poison record must not end the consumer.
        let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(index))).unwrap_or_default();
        match header {
            Some(header) => (header.key.to_owned(), header.value.map(Bytes::copy_from_slice)),
            None => (UNREADABLE_NAME.to_owned(), None),
        }
    };
    (0..headers.count()).map(copy).collect()
}
