//! The form of a dead letter on its topic: the original, then headers of ours.
//!
//! Ours come last and all of them are always there, so an original that has headers of the same names keeps
//! them: of each name the last one is ours.

use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{DeadLetter, NewDeadLetter};
use crate::broker::producer::Outgoing;
use crate::broker::record::{Record, RecordHeaders};
use crate::config::TopicNames;
use crate::domain::dead_letter::DeadCause;
use crate::domain::partition::PartitionNo;
use crate::limits::{DEAD_HEADER_BYTES_MAX, DEAD_KEY_BYTES_MAX, DEAD_PAYLOAD_BYTES_MAX};

const CAUSE: &str = "dispatcher-cause";
const DETAIL: &str = "dispatcher-detail";
const SOURCE_TOPIC: &str = "dispatcher-source-topic";
const SOURCE_PARTITION: &str = "dispatcher-source-partition";
const SOURCE_OFFSET: &str = "dispatcher-source-offset";
const FAILED_AT: &str = "dispatcher-failed-at";
const PAYLOAD_BYTES: &str = "dispatcher-payload-bytes";
const TRUNCATED: &str = "dispatcher-truncated";

/// Marks a record of the dead topic that is no dead letter: it says which one was replayed.
const REPLAYED: &str = "dispatcher-replayed";

/// Says on the job topic which dead letter a record was.
pub(super) const REPLAY_OF: &str = "dispatcher-replay-of";

/// What a record of the dead topic is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Letter(Box<DeadLetter>),
    /// The dead letter with this id was replayed.
    Replayed(String),
    /// Nothing that we wrote.
    Foreign,
}

/// Makes the record of the dead topic; what is too large is cut.
pub(super) fn outgoing(letter: &NewDeadLetter<'_>, topics: &TopicNames) -> Outgoing {
    let record = letter.record;
    let (key, is_key_cut) = cut(record.key.as_ref(), DEAD_KEY_BYTES_MAX);
    let (payload, is_payload_cut) = cut(record.payload.as_ref(), DEAD_PAYLOAD_BYTES_MAX);
    let mut headers = fitting_headers(&record.headers);
    let is_truncated = is_key_cut || is_payload_cut || headers.len() < record.headers.len();
    let at = letter.at.format(&Rfc3339).unwrap_or_default();
    let ours = [
        (CAUSE, letter.cause.as_str().to_owned()),
        (DETAIL, letter.detail.chars().take(1_000).collect()),
        (SOURCE_TOPIC, topics.jobs.clone()),
        (SOURCE_PARTITION, record.partition.to_string()),
        (SOURCE_OFFSET, record.offset.to_string()),
        (FAILED_AT, at),
        (PAYLOAD_BYTES, record.payload.as_ref().map_or(0, Bytes::len).to_string()),
        (TRUNCATED, is_truncated.to_string()),
    ];
    headers.extend(ours.map(|(name, value)| (name.to_owned(), Some(Bytes::from(value)))));
    Outgoing { topic: topics.dead.clone(), partition: None, key, payload, headers }
}

/// Makes the record that marks a dead letter as replayed.
pub(super) fn marker(id: &str, dead_topic: &str) -> Outgoing {
    let id = Bytes::from(id.to_owned());
    Outgoing {
        topic: dead_topic.to_owned(),
        partition: None,
        key: Some(id.clone()),
        payload: None,
        headers: vec![(REPLAYED.to_owned(), Some(id))],
    }
}

/// Reads a record of the dead topic.
pub(super) fn read(record: Record) -> Kept {
    match read_letter(&record) {
        Some(mut letter) => {
            letter.key = record.key;
            letter.payload = record.payload;
            Kept::Letter(Box::new(letter))
        }
        None => last(&record.headers, REPLAYED).map_or(Kept::Foreign, |(_, id)| Kept::Replayed(id)),
    }
}

fn read_letter(record: &Record) -> Option<DeadLetter> {
    let mut places = Vec::new();
    let mut take = |name: &str| {
        let (place, value) = last(&record.headers, name)?;
        places.push(place);
        Some(value)
    };
    let mut letter = DeadLetter {
        id: format!("{}:{}", record.partition, record.offset),
        cause: DeadCause::parse(&take(CAUSE)?)?,
        detail: take(DETAIL)?,
        source_topic: take(SOURCE_TOPIC)?,
        source_partition: PartitionNo(take(SOURCE_PARTITION)?.parse().ok()?),
        source_offset: take(SOURCE_OFFSET)?.parse().ok()?,
        at: OffsetDateTime::parse(&take(FAILED_AT)?, &Rfc3339).ok()?,
        key: None,
        payload: None,
        headers: Vec::new(),
        n_payload_bytes: take(PAYLOAD_BYTES)?.parse().ok()?,
        is_truncated: take(TRUNCATED)? == "true",
        replayed: false,
    };
    let theirs = record.headers.iter().enumerate().filter(|(place, _)| !places.contains(place));
    letter.headers = theirs.map(|(_, header)| header.clone()).collect();
    Some(letter)
}

/// Returns the last header of a name with its place, if it is text.
fn last(headers: &RecordHeaders, name: &str) -> Option<(usize, String)> {
    let (place, (_, value)) = headers.iter().enumerate().rfind(|(_, (found, _))| found == name)?;
    Some((place, String::from_utf8(value.as_ref()?.to_vec()).ok()?))
}

fn cut(bytes: Option<&Bytes>, n_bytes_max: usize) -> (Option<Bytes>, bool) {
    let is_cut = bytes.is_some_and(|bytes| n_bytes_max < bytes.len());
    (bytes.map(|bytes| bytes.slice(..bytes.len().min(n_bytes_max))), is_cut)
}

/// Keeps headers from the first on as long as there is room.
fn fitting_headers(headers: &RecordHeaders) -> RecordHeaders {
    let mut room = DEAD_HEADER_BYTES_MAX;
    let fits = |(name, value): &&(String, Option<Bytes>)| {
        // About 16 bytes of framing each, so that very many empty ones do not fit either.
        let n_bytes = name.len() + value.as_ref().map_or(0, Bytes::len) + 16;
        let fits = n_bytes <= room;
        room = room.saturating_sub(n_bytes);
        fits
    };
    headers.iter().take_while(fits).cloned().collect()
}
