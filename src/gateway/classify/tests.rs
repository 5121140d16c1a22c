//! The failure table, one golden line per code, and the answers without a code.

use super::*;

fn refused(code: i64) -> Vec<u8> {
    format!(r#"{{"error":{{"message":"(#{code}) x","type":"OAuthException","code":{code},"fbtrace_id":"A"}}}}"#).into()
}

#[test]
fn the_table_is_ascending_and_without_overlap() {
    for pair in TABLE.windows(2) {
        assert!(pair[0].first <= pair[0].last && pair[0].last < pair[1].first, "at {}", pair[1].first);
    }
}

#[test]
fn every_code_has_its_golden_line() {
    let mut text = String::new();
    for line in TABLE {
        for code in [line.first, line.last].into_iter().take(if line.first == line.last { 1 } else { 2 }) {
            // The HTTP status must not matter.
            let outcome = outcome_of_answer(400, &refused(code), None);
            assert_eq!(outcome, outcome_of_answer(500, &refused(code), None));
            let failure = outcome.failure().unwrap();
            assert_eq!(failure.provider_code, Some(format!("graph:{code}")));
            let (class, reason) = (failure.class.as_str(), failure.reason.as_str());
            let scope = format!("{:?}", failure.scope).to_lowercase();
            text += &format!("{code} {class} {reason} {scope} {}\n", outcome.as_str());
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn answers_without_a_code() {
    let of = |status, body: &str| outcome_of_answer(status, body.as_bytes(), None);
    let accepted = of(200, r#"{"messages":[{"id":"wamid.1"}]}"#);
    assert_eq!(accepted, Outcome::Accepted { provider_message_id: "wamid.1".to_owned() });
    for (status, body, expected) in [
        (200, "{}", "unknown"),
        (200, r#"{"messages":[]}"#, "unknown"),
        (429, "", "deferred"),
        (500, "", "unknown"),
        (503, "<html>", "unknown"),
        (504, "", "unknown"),
        (408, "", "unknown"),
        (404, "", "rejected"),
        (400, "not json", "rejected"),
        (302, "", "rejected"),
    ] {
        assert_eq!(of(status, body).as_str(), expected, "{status} {body}");
    }
    assert_eq!(outcome_of_silence("net:timeout").as_str(), "unknown");
    assert_eq!(outcome_of_no_connection().as_str(), "deferred");
}

#[test]
fn an_unknown_code_follows_the_providers_hint() {
    let transient = br#"{"error":{"code":987654,"is_transient":true}}"#;
    assert_eq!(outcome_of_answer(400, transient, None).as_str(), "deferred");
    assert_eq!(outcome_of_answer(400, &refused(987_654), None).as_str(), "rejected");
}

#[test]
fn the_providers_wait_is_honoured_within_bounds() {
    let wait_of = |seconds| {
        let outcome = outcome_of_answer(429, &refused(130_429), Some(Duration::from_secs(seconds)));
        outcome.failure().unwrap().retry
    };
    assert_eq!(wait_of(7), Retry::After(Duration::from_secs(7)));
    assert_eq!(wait_of(0), Retry::After(SECOND));
    assert_eq!(wait_of(1_000_000), Retry::After(HOUR));
}
