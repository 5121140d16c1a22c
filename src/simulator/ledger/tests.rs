//! Tests of the book: counts, identities, pages.

use std::collections::HashSet;

use proptest::prelude::*;

use super::view::Beside;
use super::*;

const A: &str = "018f2f6e-0000-7000-8000-0000000000aa";
const B: &str = "018f2f6e-0000-7000-8000-0000000000bb";

fn arrival<'a>(token: Option<&'a str>, verdict: Verdict) -> Arrival<'a> {
    Arrival { number: 0, recipient: "919876543210", token, body: b"{}", at_us: 1_000, verdict, media: None }
}

fn totals_of(arrivals: &[Arrival<'_>]) -> Totals {
    let ledger = Ledger::new(usize::MAX);
    for arrival in arrivals {
        ledger.record(*arrival).unwrap();
    }
    ledger.totals()
}

#[test]
fn only_acceptances_beyond_the_first_are_duplicates() {
    use Verdict as V;
    let table: &[(&[V], u64)] = &[
        (&[V::Accepted], 0),
        (&[V::Refused(131_000), V::Accepted], 0),
        (&[V::ResetBeforeAcceptance, V::HungBeforeAcceptance, V::Unavailable, V::Accepted], 0),
        (&[V::Accepted, V::Refused(131_056)], 0),
        (&[V::Accepted, V::Accepted], 1),
        (&[V::AcceptedThenReset, V::Accepted], 1),
        (&[V::AcceptedThenHung, V::AcceptedThenReset, V::Accepted], 2),
    ];
    for (verdicts, duplicates) in table {
        let arrivals: Vec<_> = verdicts.iter().map(|verdict| arrival(Some(A), *verdict)).collect();
        let totals = totals_of(&arrivals);
        assert_eq!((totals.duplicates, totals.distinct), (*duplicates, 1), "{verdicts:?}");
        assert_eq!(totals.received, verdicts.len() as u64);
        assert_eq!(totals.accepted, verdicts.iter().filter(|verdict| verdict.is_acceptance()).count() as u64);
    }
}

proptest! {
    /// The sums agree with a plain recount of what was put in, whatever came in which order.
    #[test]
    fn sums_agree_with_a_recount(sends in prop::collection::vec((0_usize..6, 0_usize..7), 0..60)) {
        use Verdict as V;
        let verdicts = [
            V::Accepted, V::AcceptedThenReset, V::AcceptedThenHung, V::Refused(130_429), V::Unavailable,
            V::ResetBeforeAcceptance, V::HungBeforeAcceptance,
        ];
        let tokens = [Some(A), Some(B), Some("a.1"), Some("a.2"), Some(""), None];
        let arrivals: Vec<_> = sends.iter().map(|(token, verdict)| arrival(tokens[*token], verdicts[*verdict])).collect();
        let totals = totals_of(&arrivals);
        let accepted: Vec<_> = arrivals.iter().filter(|arrival| arrival.verdict.is_acceptance()).collect();
        let first: HashSet<_> = accepted.iter().map(|arrival| arrival.token).collect();
        prop_assert_eq!(totals.received, arrivals.len() as u64);
        prop_assert_eq!(totals.accepted, accepted.len() as u64);
        prop_assert_eq!(totals.duplicates, (accepted.len() - first.len()) as u64);
        prop_assert_eq!(totals.distinct, arrivals.iter().map(|arrival| arrival.token).collect::<HashSet<_>>().len() as u64);
        for verdict in verdicts {
            prop_assert_eq!(totals.of(verdict), arrivals.iter().filter(|arrival| arrival.verdict == verdict).count() as u64);
        }
    }
}

#[test]
fn messages_are_told_apart_by_token_or_by_content() {
    let accepted = |token| arrival(token, Verdict::Accepted);
    let totals = totals_of(&[accepted(Some(A)), accepted(Some(B)), accepted(Some("a.1")), accepted(Some("a.2"))]);
    assert_eq!((totals.distinct, totals.duplicates), (4, 0));
    // The same token is the same message, whatever else differs.
    let elsewhere = Arrival { number: 1, recipient: "1", body: b"x", ..accepted(Some(A)) };
    assert_eq!(totals_of(&[accepted(Some(A)), elsewhere]).duplicates, 1);
    // Without a token, number, recipient and body tell.
    let plain = accepted(None);
    let others =
        [Arrival { number: 1, ..plain }, Arrival { recipient: "2", ..plain }, Arrival { body: b"[]", ..plain }];
    assert_eq!(totals_of(&[&[plain], &others[..]].concat()).duplicates, 0);
    assert_eq!(totals_of(&[plain, plain]).duplicates, 1);
}

#[test]
fn entries_read_back_as_they_were_written() {
    let ledger = Ledger::new(usize::MAX);
    let upper = A.to_uppercase();
    let tokens = [Some(A), Some(upper.as_str()), Some("a.1"), None];
    let recipients = ["919876543210", "007", "0", "US.1349"];
    for (token, recipient) in tokens.into_iter().zip(recipients) {
        ledger.record(Arrival { recipient, ..arrival(token, Verdict::Refused(131_026)) }).unwrap();
    }
    let page = ledger.page(0, 10, &["5551".into()]).unwrap();
    let page: serde_json::Value = serde_json::from_str(page.get()).unwrap();
    for (index, entry) in page["entries"].as_array().unwrap().iter().enumerate() {
        assert_eq!(entry["token"].as_str(), tokens[index]);
        assert_eq!(entry["recipient"], recipients[index]);
        assert_eq!(
            (&entry["number"], &entry["verdict"], &entry["code"]),
            (&"5551".into(), &"refused".into(), &131_026.into())
        );
    }
    assert!(page["next"].is_null());
}

#[test]
fn pages_cover_every_entry_once() {
    let ledger = Ledger::new(usize::MAX);
    let n = 2 * PAGE + 5;
    for at_us in 0..n as u64 {
        ledger.record(Arrival { at_us, ..arrival(None, Verdict::Accepted) }).unwrap();
    }
    let (mut after, mut times) = (Some(0), Vec::new());
    while let Some(from) = after {
        let page = ledger.page(from, 3_000, &[]).unwrap();
        let page: serde_json::Value = serde_json::from_str(page.get()).unwrap();
        times.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["atUs"].as_u64().unwrap()));
        after = page["next"].as_u64().map(|next| usize::try_from(next).unwrap());
    }
    assert!(times.into_iter().eq(0..n as u64));
    assert_eq!(ledger.arrivals().len(), n);
    assert_eq!(ledger.page(n + 1, 5, &[]).unwrap().get(), r#"{"entries":[],"next":null}"#);
}

#[test]
fn full_ledger_refuses_and_counts() {
    let ledger = Ledger::new(1);
    assert_eq!(ledger.record(arrival(Some(A), Verdict::Accepted)), Ok(()));
    assert_eq!(ledger.record(arrival(Some(B), Verdict::Accepted)), Err(Full));
    let totals = ledger.totals();
    assert_eq!((totals.received, totals.unrecorded), (1, 1));
    ledger.reset();
    assert_eq!(ledger.totals(), Totals::default());
}

#[test]
fn sums_have_the_documented_form() {
    let ledger = Ledger::new(10);
    ledger.record(arrival(Some(A), Verdict::Accepted)).unwrap();
    ledger.record(Arrival { at_us: 3_500, ..arrival(Some(B), Verdict::Refused(131_056)) }).unwrap();
    let sums = ledger.sums(Some(&pace::Schedule::per_second(1.0, 1)), Beside { numbers: 1, ..Beside::default() });
    insta::assert_snapshot!(serde_json::to_string_pretty(&sums).unwrap(), @r#"
    {
      "received": 2,
      "accepted": 1,
      "refused": 1,
      "distinct": 2,
      "duplicates": 0,
      "unrecorded": 0,
      "incomplete": 0,
      "receiptsDropped": 0,
      "receiptsWaiting": 0,
      "firstAtMs": 1,
      "lastAtMs": 3,
      "paceViolations": 1,
      "tightestGapMs": 2.5,
      "fullestWindow": {
        "messages": 2,
        "firstAtMs": 1,
        "lengthMs": 2.5,
        "earlyMs": 997.5
      },
      "byVerdict": {
        "accepted": 1,
        "acceptedThenHung": 0,
        "acceptedThenReset": 0,
        "hungBeforeAcceptance": 0,
        "refused": 1,
        "resetBeforeAcceptance": 0,
        "unavailable": 0
      },
      "byCode": {
        "131056": 1
      },
      "numbers": 1
    }
    "#);
}

#[test]
fn entry_stays_small() {
    assert!(size_of::<Entry>() <= 48, "{} bytes", size_of::<Entry>());
}
