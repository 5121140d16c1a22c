//! The failure tables, one golden line per code, and the answers without a code.

use std::collections::HashSet;

use super::table::Line;
use super::*;

fn refused(code: i64, subcode: Option<i64>) -> Vec<u8> {
    let subcode = subcode.map_or(String::new(), |subcode| format!(r#","error_subcode":{subcode}"#));
    format!(r#"{{"error":{{"message":"x","type":"OAuthException","code":{code}{subcode},"fbtrace_id":"A"}}}}"#).into()
}

/// Returns every code that a table names, with its subcode; of a range the first and the last.
fn codes(table: &[Line]) -> impl Iterator<Item = (i64, Option<i64>)> {
    table.iter().flat_map(|line| {
        let ends = [line.first, line.last].into_iter().take(if line.first == line.last { 1 } else { 2 });
        ends.map(|code| (code, line.subcode))
    })
}

fn all_failures() -> Vec<Failure> {
    let cloud = codes(cloud::TABLE).map(|(code, subcode)| failure_of_code(code, subcode, false));
    let disconnects =
        codes(web::DISCONNECTS).map(|(code, _)| failure_of_disconnect(code, DisconnectContext::default()));
    let acks = codes(web::ACKS).map(|(code, _)| failure_of_ack(code, None));
    let others = [
        failure_of_code(987_654, None, true),
        outcome_of_answer(429, b"", None).failure().unwrap().clone(),
        outcome_of_silence("net:timeout").failure().unwrap().clone(),
        outcome_of_no_connection().failure().unwrap().clone(),
        upload::outcome_of_broken_upload().failure().unwrap().clone(),
        upload::outcome_of_missing_media().failure().unwrap().clone(),
        upload::outcome_of_unreadable_media().failure().unwrap().clone(),
        upload::outcome_while_uploading(true).failure().unwrap().clone(),
        upload::outcome_while_uploading(false).failure().unwrap().clone(),
    ];
    cloud.chain(disconnects).chain(acks).chain(others).collect()
}

fn golden(failure: &Failure) -> String {
    let seconds = |wait: Duration| wait.as_secs_f64().to_string();
    let times = |n: u32| if n == u32::MAX { String::new() } else { format!(" x{n}") };
    let retry = match failure.retry {
        Retry::Never => "never".to_owned(),
        Retry::AfterReconcile => "after_reconcile".to_owned(),
        Retry::After(wait) => format!("after {}s", seconds(wait)),
        Retry::AfterAction { probe } => format!("after_action, probe {}s", seconds(probe)),
        Retry::Backoff { first, longest, attempts_max } => {
            format!("auto {}s..{}s{}", seconds(first), seconds(longest), times(attempts_max))
        }
        Retry::Steps { waits, attempts_max } => {
            let waits: Vec<_> = waits.iter().map(|wait| seconds(*wait)).collect();
            format!("auto {}s{}", waits.join(","), times(attempts_max))
        }
    };
    let scope = format!("{:?}", failure.scope).to_lowercase();
    let code = failure.provider_code.as_deref().unwrap_or_default();
    let (class, reason) = (failure.class.as_str(), failure.reason.as_str());
    format!("{code} {class} {reason} {scope} [{retry}] {}", failure.handling.as_str())
}

#[test]
fn tables_are_ascending_and_without_overlap() {
    for table in [cloud::TABLE, web::DISCONNECTS, web::ACKS] {
        for pair in table.windows(2) {
            let follows = if pair[1].subcode.is_some() {
                (pair[0].first, pair[0].last) == (pair[1].first, pair[1].last)
            } else {
                pair[0].last < pair[1].first
            };
            assert!(pair[0].first <= pair[0].last && follows, "at {}", pair[1].first);
        }
    }
}

#[test]
fn every_code_has_its_golden_line() {
    let lines: Vec<_> = all_failures().iter().map(golden).collect();
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len());
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_status_does_not_matter_where_there_is_a_code() {
    for (code, subcode) in codes(cloud::TABLE) {
        let outcome = outcome_of_answer(400, &refused(code, subcode), None);
        assert_eq!(outcome.failure(), Some(&failure_of_code(code, subcode, false)));
        for status in [401, 429, 500, 503] {
            assert_eq!(outcome, outcome_of_answer(status, &refused(code, subcode), None), "{code} {status}");
        }
    }
}

#[test]
fn every_handling_is_reached_and_fits_scope_and_retry() {
    let failures = all_failures();
    let reached: HashSet<_> = failures.iter().map(|failure| failure.handling).collect();
    for handling in Handling::ALL {
        assert!(reached.contains(handling), "nothing leads to {handling:?}");
    }
    for failure in &failures {
        let line = golden(failure);
        assert_eq!(failure.handling.is_lane_wide(), Scope::Number <= failure.scope, "{line}");
        assert_eq!(failure.handling == Handling::HoldAccount, Scope::Account <= failure.scope, "{line}");
        assert_eq!(failure.handling == Handling::FailMessage, failure.retry == Retry::Never, "{line}");
        assert_eq!(failure.handling == Handling::Reconcile, failure.retry == Retry::AfterReconcile, "{line}");
        assert_eq!(
            failure.handling == Handling::HoldStream,
            failure.scope == Scope::Template && failure.retry != Retry::Never,
            "{line}"
        );
        assert_eq!(failure.handling == Handling::HoldPair, failure.scope == Scope::Pair, "{line}");
    }
}

#[test]
fn a_subcode_counts_where_it_changes_the_meaning() {
    let of = |code, subcode| failure_of_code(code, subcode, false);
    assert_eq!((of(100, None).reason, of(100, Some(33)).reason), (Reason::RequestRejected, Reason::ObjectMissing));
    assert_eq!(of(100, Some(34)), of(100, None));
    assert_eq!(of(190, Some(463)).provider_code.as_deref(), Some("graph:190/463"));
    // Meta's own example of 130429 carries one that means nothing to us.
    assert_eq!(of(130_429, Some(2_494_055)).provider_code.as_deref(), Some("graph:130429"));
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
    assert_eq!(outcome_of_answer(400, &refused(987_654, None), None).as_str(), "rejected");
}

#[test]
fn the_providers_wait_is_honoured_within_bounds() {
    let wait_of = |seconds| {
        let outcome = outcome_of_answer(429, &refused(130_429, None), Some(Duration::from_secs(seconds)));
        outcome.failure().unwrap().retry
    };
    assert_eq!(wait_of(7), Retry::After(Duration::from_secs(7)));
    assert_eq!(wait_of(0), Retry::After(SECOND));
    assert_eq!(wait_of(1_000_000), Retry::After(HOUR));
}

#[test]
fn a_disconnect_is_final_only_when_it_is_known_to_be() {
    let of = |code, context| failure_of_disconnect(code, context);
    let usual = DisconnectContext::default();
    let lost: Vec<_> = (0..2_000).filter(|code| of(*code, usual).handling == Handling::LoseSession).collect();
    assert_eq!(lost, [401, 403, 406, 411]);
    assert_eq!(of(599, usual).reason, Reason::SessionDisconnected);
    // A logout right after a restart is a false one.
    let restarted = of(401, DisconnectContext { restarted_just_now: true, ..usual });
    assert_eq!((restarted.reason, restarted.provider_code.as_deref()), (Reason::SessionRestarting, Some("waweb:401")));
    // One code, two name spaces, two meanings.
    assert_eq!(of(463, usual).reason, Reason::SessionDisconnected);
    assert_eq!(failure_of_ack(463, None).reason, Reason::NewChatTimelock);
}

#[test]
fn bans_and_time_locks_hold_as_long_as_the_provider_says() {
    let expires_in = Some(Duration::from_secs(7_200));
    let banned = failure_of_disconnect(402, DisconnectContext { expires_in, ..DisconnectContext::default() });
    assert_eq!((banned.retry, banned.handling), (Retry::After(Duration::from_secs(7_200)), Handling::HoldLane));
    assert_eq!(failure_of_ack(463, expires_in).retry, Retry::After(Duration::from_secs(7_200)));
    assert_eq!(failure_of_ack(479, expires_in).retry, failure_of_ack(479, None).retry);
}

#[test]
fn uploads_are_never_unknown() {
    let of = |status, body: &str| upload::name_of_upload(status, body.as_bytes(), None);
    assert_eq!(of(200, r#"{"id":"17"}"#), Ok("17".to_owned()));
    for (status, body, expected) in
        [(200, "{}", "deferred"), (500, "", "deferred"), (503, "x", "deferred"), (413, "", "rejected")]
    {
        assert_eq!(of(status, body).unwrap_err().as_str(), expected, "{status} {body}");
    }
    let refused = upload::name_of_upload(400, &refused(131_053, None), None).unwrap_err();
    assert!(upload::may_be_unknown_media(&refused) && refused.as_str() == "rejected");
    assert!(!upload::may_be_unknown_media(&upload::outcome_of_broken_upload()));
}
