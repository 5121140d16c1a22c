//! An answer of the front, and how it is shown in snapshots.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

/// One answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(super) fn data(&self) -> Value {
        let body = self.json();
        assert_eq!(body["success"], true, "{body}");
        body["data"].clone()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |value| value.to_str().unwrap())
    }

    /// Shows status and body, with ids, times and tokens replaced by their kind.
    pub(super) fn golden(&self) -> String {
        let mut body = self.json();
        redact(&mut body);
        format!("{}\n{}", self.status.as_u16(), serde_json::to_string_pretty(&body).unwrap())
    }

    /// Shows a failure: what it is on the first line, then each field's problem.
    pub(super) fn refusal(&self) -> String {
        let body = self.json();
        assert_eq!(body["success"], false, "{body}");
        let (code, message) = (body["code"].as_str().unwrap(), body["message"].as_str().unwrap());
        let mut text = format!("{} {code}: {message}", self.status.as_u16());
        for (field, problem) in body["errors"].as_object().into_iter().flatten() {
            text += &format!("\n{field}: {}", problem.as_str().unwrap());
        }
        text
    }
}

fn redact(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(redact),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name.ends_with("Token") && !text.is_empty() => *text = "[token]".to_owned(),
                    value => redact(value),
                }
            }
        }
        Value::String(text) if uuid::Uuid::parse_str(text).is_ok() => *text = "[id]".to_owned(),
        Value::String(text) if is_time(text) => *text = "[time]".to_owned(),
        _ => {}
    }
}

/// Tells whether a text is a time of exactly the documented form.
fn is_time(text: &str) -> bool {
    let form = "0000-00-00T00:00:00.000Z";
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, place)| match place {
            b'0' => byte.is_ascii_digit(),
            mark => byte == mark,
        })
}
