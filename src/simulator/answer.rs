//! Writes answers: success as Meta's messages reference shows it, errors in the Graph form of its error code page.
//!
//! Decides nothing; strings are escaped to plain ASCII, as Meta's own are.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::simulator::codes;
use crate::simulator::decide::Refusal;
use crate::simulator::dice::mix;

/// What every handler answers with.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Answers with success: the provider took the message, which is no delivery yet.
pub(crate) fn accepted(to: &str, wa_id: &str, message_id: &str) -> Answer {
    let mut text = String::with_capacity(192);
    text.push_str(r#"{"messaging_product":"whatsapp","contacts":[{"input":"#);
    push_json(&mut text, to);
    text.push_str(r#","wa_id":"#);
    push_json(&mut text, wa_id);
    text.push_str(r#"}],"messages":[{"id":"#);
    push_json(&mut text, message_id);
    text.push_str("}]}");
    json(StatusCode::OK, text)
}

/// Answers with a Graph error.
pub(crate) fn refused(refusal: &Refusal, trace: u64) -> Answer {
    let title = codes::find(refusal.code).title;
    let mut text = String::with_capacity(320);
    text.push_str(r#"{"error":{"message":"#);
    push_json(&mut text, &format!("(#{}) {title}", refusal.code));
    text.push_str(r#","type":"OAuthException","code":"#);
    text.push_str(&refusal.code.to_string());
    text.push_str(r#","error_data":{"messaging_product":"whatsapp","details":"#);
    push_json(&mut text, &refusal.details);
    text.push_str(&format!(r#"}},"fbtrace_id":"A{:016X}"}}}}"#, mix(trace)));
    json(StatusCode::from_u16(refusal.http).unwrap_or(StatusCode::BAD_REQUEST), text)
}

/// Answers as something in front of the provider does: without a Graph body.
pub(crate) fn unavailable() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(b"upstream unavailable\n")));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

/// Answers that something was done.
pub(crate) fn done() -> Answer {
    json(StatusCode::OK, r#"{"success":true}"#.to_owned())
}

/// Answers with a JSON text.
pub(crate) fn json(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Writes a JSON string in ASCII: what lies above U+007F becomes `\uXXXX`, as Meta does before it signs.
pub(crate) fn push_json(text: &mut String, value: &str) {
    text.push('"');
    let plain = |byte: u8| (0x20..0x7F).contains(&byte) && byte != b'"' && byte != b'\\';
    if value.bytes().all(plain) {
        text.push_str(value);
    } else {
        push_escaped(text, value);
    }
    text.push('"');
}

fn push_escaped(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            ' '..='~' => text.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_become_ascii_and_read_back() {
        for value in ["plain", "q\"b\\s/", "line\nfeed\u{7f}", "äöü", "😀 ok"] {
            let mut text = String::new();
            push_json(&mut text, value);
            assert!(text.is_ascii(), "{text}");
            assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
        }
    }
}
