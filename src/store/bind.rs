//! Values in the form in which the databases take many of them at once.
//!
//! PostgreSQL takes one array per column, SQLite one JSON text with a list per row, in which ids
//! are hex digits. Knows no tables.

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use uuid::Uuid;

/// An id inside a JSON text for SQLite, which reads it by `unhex`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hex(pub(crate) Uuid);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.as_simple())
    }
}

/// Makes one array per column: what `value_of` picks from each row.
pub(crate) fn column<'a, R, T>(rows: &'a [R], value_of: impl FnMut(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value_of).collect()
}

/// Makes one JSON text with what `row_of` makes of each row.
pub(crate) fn to_json<'a, R, T: Serialize>(rows: &'a [R], row_of: impl FnMut(&'a R) -> T) -> String {
    let rows: Vec<T> = rows.iter().map(row_of).collect();
    serde_json::to_string(&rows).expect("lists of plain values can be written as JSON")
}

/// Makes one JSON text with a list of ids.
pub(crate) fn hex_list(ids: &[Uuid]) -> String {
    to_json(ids, |id| Hex(*id))
}

/// Makes the integer that the databases have from a small count.
pub(crate) fn to_i32(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Reads a small count; the columns hold no negative ones.
pub(crate) fn to_u32(count: i32) -> u32 {
    u32::try_from(count).unwrap_or(0)
}

/// Writes a payload that nobody queries.
pub(crate) fn written<T: Serialize>(payload: &T) -> String {
    serde_json::to_string(payload).expect("messages and variables are texts and can be written as JSON")
}

/// Makes UTC milliseconds from a time on the wire.
pub(crate) fn ms_of(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).expect("years of RFC 3339 have few enough milliseconds")
}

/// Makes a time on the wire from UTC milliseconds; none when no calendar has it.
pub(crate) fn time_of(ms: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()
}
