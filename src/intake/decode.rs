//! Records of the job topic become jobs, or dead letters with their cause.
//!
//! Asks nobody: whether a job may be admitted is found out with the database.

use serde_json::Value;

use crate::broker::Record;
use crate::domain::dead_letter::DeadCause;
use crate::domain::job::{Job, JobProblem};
use crate::limits::JOB_RECORD_BYTES_MAX;
use crate::store::admissions::Refusal;

/// Why a record is not taken in: the cause, and more about it for people, without recipients or texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// The cause.
    pub cause: DeadCause,
    /// More about it.
    pub detail: String,
}

impl Dead {
    fn new(cause: DeadCause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into() }
    }
}

impl From<Refusal> for Dead {
    fn from(refusal: Refusal) -> Self {
        let (cause, detail) = match refusal {
            Refusal::UnknownSession => (DeadCause::UnknownSession, "there is no such session"),
            Refusal::ForeignTenant => {
                (DeadCause::ForeignTenant, "the session or the campaign belongs to another tenant")
            }
            Refusal::ConflictingId => {
                (DeadCause::ConflictingId, "a delivery's id was seen before with another content")
            }
            Refusal::Expired => (DeadCause::Expired, "the job came after its own expiry"),
        };
        Self::new(cause, detail)
    }
}

/// Reads one record.
///
/// # Errors
/// [`Dead`] says why the record is not a job.
pub fn decode(record: &Record) -> Result<Job, Dead> {
    let Some(payload) = &record.payload else {
        return Err(Dead::new(DeadCause::Unreadable, "the record has no value"));
    };
    if JOB_RECORD_BYTES_MAX < payload.len() {
        let detail = format!("the value has {} bytes, allowed are {JOB_RECORD_BYTES_MAX}", payload.len());
        return Err(Dead::new(DeadCause::OverSize, detail));
    }
    let job = Job::decode(payload).map_err(|problem| dead_of(&problem))?;
    if holds_null_character(payload) {
        return Err(Dead::new(DeadCause::Unreadable, "a text holds the character U+0000, which no database takes"));
    }
    Ok(job)
}

fn dead_of(problem: &JobProblem) -> Dead {
    match problem {
        // Its own words may quote the value.
        JobProblem::Unreadable(error) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            let what = if error.is_data() { "not of the form of a job" } else { "not JSON" };
            Dead::new(DeadCause::Unreadable, format!("{what}: {place}"))
        }
        JobProblem::UnknownVersion(version) => {
            Dead::new(DeadCause::UnknownVersion, format!("version {version} is not known"))
        }
        JobProblem::DeliveryCount(n) => Dead::new(DeadCause::DeliveryCount, format!("{n} deliveries")),
    }
}

/// Tells whether any text of a JSON value holds U+0000, which can only be written as an escape.
fn holds_null_character(json: &[u8]) -> bool {
    let escape = br"\u0000";
    if !json.windows(escape.len()).any(|window| window == escape) {
        return false;
    }
    serde_json::from_slice(json).is_ok_and(|value| any_text(&value, &|text| text.contains('\0')))
}

fn any_text(value: &Value, is_meant: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_meant(text),
        Value::Array(values) => values.iter().any(|value| any_text(value, is_meant)),
        Value::Object(fields) => fields.iter().any(|(name, value)| is_meant(name) || any_text(value, is_meant)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::partition::PartitionNo;

    fn record(payload: impl Into<Bytes>) -> Record {
        Record {
            partition: PartitionNo::FIRST,
            offset: 0,
            timestamp_ms: None,
            key: None,
            payload: Some(payload.into()),
            headers: Vec::new(),
        }
    }

    fn job(text: &str) -> String {
        let id = "0198e5a0-0000-7000-8000-000000000001";
        format!(
            r#"{{"v":1,"jobId":"{id}","tenantId":"{id}","sessionId":"{id}","campaignId":null,
                "message":{{"type":"text","text":"{text}"}},"deliveries":[{{"id":"{id}","to":"919876543210"}}]}}"#
        )
    }

    fn cause(payload: impl Into<Bytes>) -> Option<DeadCause> {
        decode(&record(payload)).err().map(|dead| dead.cause)
    }

    #[test]
    fn each_record_has_its_cause() {
        assert_eq!(cause(job("Hello")), None);
        assert_eq!(cause(""), Some(DeadCause::Unreadable));
        assert_eq!(cause("[]"), Some(DeadCause::Unreadable));
        assert_eq!(cause(job("Hello").replace("\"v\":1", "\"v\":2")), Some(DeadCause::UnknownVersion));
        assert_eq!(cause(vec![b'x'; JOB_RECORD_BYTES_MAX + 1]), Some(DeadCause::OverSize));
        assert_eq!(decode(&Record { payload: None, ..record("") }).err().unwrap().cause, DeadCause::Unreadable);
    }

    #[test]
    fn the_null_character_is_refused_and_its_written_escape_is_not() {
        assert_eq!(cause(job(r"a\u0000b")), Some(DeadCause::Unreadable));
        assert_eq!(cause(job(r"a\\u0000b")), None);
    }

    #[test]
    fn the_detail_quotes_nothing() {
        let secret = job("Hello").replace("\"919876543210\"", "\"not-a-number-919876543210\"");
        let dead = decode(&record(secret)).unwrap_err();
        assert!(!dead.detail.contains("9198"), "{}", dead.detail);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&record(payload)).is_err());
        }
    }
}
