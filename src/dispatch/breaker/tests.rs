//! Tests of breakers: what opens them, what does not, who probes, and a provider that goes and comes.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::backoff::splitmix;
use crate::domain::failure::{FailureClass, Scope};

const START: Moment = Moment(1_000_000_000_000);
const ME: SessionId = SessionId(Uuid::from_u128(1));
const OTHER: SessionId = SessionId(Uuid::from_u128(2));

fn at(ms: u64) -> Moment {
    START + Duration::from_millis(ms)
}

fn failure(reason: Reason, handling: Handling, retry: Retry) -> Failure {
    let (class, scope) = (FailureClass::WhatsappUnavailable, Scope::Number);
    Failure { class, reason, scope, retry, handling, provider_code: None }
}

fn growing() -> Retry {
    Retry::Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(300), attempts_max: u32::MAX }
}

fn accepted() -> Outcome {
    Outcome::Accepted { provider_message_id: "wamid".to_owned() }
}

fn silence() -> Outcome {
    Outcome::Unknown(failure(Reason::OutcomeUnknown, Handling::Reconcile, Retry::AfterReconcile))
}

fn overloaded() -> Outcome {
    Outcome::Deferred(failure(Reason::ProviderUnavailable, Handling::HoldAccount, growing()))
}

fn expired_token() -> Outcome {
    let retry = Retry::AfterAction { probe: Duration::from_secs(60) };
    Outcome::Deferred(failure(Reason::AuthInvalid, Handling::HoldAccount, retry))
}

fn not_registered() -> Outcome {
    let retry = Retry::AfterAction { probe: Duration::from_secs(60) };
    Outcome::Deferred(failure(Reason::NumberNotReady, Handling::HoldLane, retry))
}

fn unreachable() -> Outcome {
    Outcome::Rejected(failure(Reason::RecipientUnreachable, Handling::FailMessage, Retry::Never))
}

fn sent(recipient: u64, ms: u64) -> Sent {
    Sent { recipient, seed: recipient, released_at: at(ms) }
}

/// A send that left and ended at the same moment.
fn settle(breaker: &mut Breaker, recipient: u64, outcome: &Outcome, ms: u64) -> Noted {
    breaker.settle(&sent(recipient, ms), outcome, at(ms))
}

fn is_open(breaker: &Breaker, ms: u64) -> bool {
    matches!(breaker.verdict(at(ms)), Verdict::Open(_))
}

#[test]
fn a_definite_refusal_opens_at_once_and_only_what_it_is_about() {
    let (mut account, mut number) = (Breaker::new(Extent::Account), Breaker::new(Extent::Number));
    for breaker in [&mut account, &mut number] {
        assert_eq!(settle(breaker, 1, &unreachable(), 1), Noted::Unchanged);
    }
    assert_eq!(settle(&mut number, 1, &expired_token(), 2), Noted::Unchanged);
    assert_eq!(settle(&mut account, 1, &not_registered(), 2), Noted::Unchanged);
    assert_eq!((number.verdict(at(2)), account.verdict(at(2))), (Verdict::Closed, Verdict::Closed));
    let opening = Opening { reason: Reason::AuthInvalid, since: at(3), until: at(60_003) };
    assert_eq!(settle(&mut account, 1, &expired_token(), 3), Noted::Opened(opening));
    assert!(matches!(settle(&mut number, 1, &not_registered(), 3), Noted::Opened(_)));
    assert_eq!(account.verdict(at(60_002)), Verdict::Open(opening));
    assert_eq!(account.verdict(at(60_003)), Verdict::Probe);
}

#[test]
fn one_recipient_is_no_cohort_however_often_it_fails() {
    let (mut account, mut number) = (Breaker::new(Extent::Account), Breaker::new(Extent::Number));
    for n in 0..50 {
        assert_eq!(settle(&mut account, 7, &overloaded(), n + 1), Noted::Unchanged);
        assert_eq!(settle(&mut number, 7, &silence(), n + 1), Noted::Unchanged);
    }
}

#[test]
fn three_of_the_last_five_recipients_are_a_cohort() {
    // Who fails, in turn; the last one opens it.
    for pattern in ["xxx", "x.xx", "x.x.x", "xx..x", ".......x.x.x"] {
        let mut breaker = Breaker::new(Extent::Account);
        for (n, seen) in (1..).zip(pattern.chars()) {
            let outcome = if seen == 'x' { overloaded() } else { accepted() };
            let noted = settle(&mut breaker, n, &outcome, n);
            assert_eq!(matches!(noted, Noted::Opened(_)), n == pattern.len() as u64, "{pattern} at {n}");
        }
    }
    for pattern in ["xx", "xx...x", "x..x..x..x..x", "x...x...x"] {
        let mut breaker = Breaker::new(Extent::Account);
        for (n, seen) in (1..).zip(pattern.chars()) {
            let outcome = if seen == 'x' { overloaded() } else { unreachable() };
            assert_eq!(settle(&mut breaker, n, &outcome, n), Noted::Unchanged, "{pattern} at {n}");
        }
    }
}

#[test]
fn silence_opens_only_in_a_row_and_only_for_its_number() {
    let mut number = Breaker::new(Extent::Number);
    for n in 1..100 {
        let outcome = if n % 3 == 0 { accepted() } else { silence() };
        assert_eq!(settle(&mut number, n, &outcome, n), Noted::Unchanged, "at {n}");
    }
    for n in [100, 101] {
        assert_eq!(settle(&mut number, n, &silence(), n), Noted::Unchanged, "at {n}");
    }
    let Noted::Opened(opening) = settle(&mut number, 102, &silence(), 102) else { panic!("the third in a row") };
    assert_eq!(opening.reason, Reason::ProviderUnavailable);
    assert!(opening.until <= at(1_102), "{opening:?}");
    let mut account = Breaker::new(Extent::Account);
    for n in 1..100 {
        assert_eq!(settle(&mut account, n, &silence(), n), Noted::Unchanged);
    }
}

#[test]
fn what_left_before_the_opening_says_nothing() {
    let mut breaker = Breaker::new(Extent::Account);
    settle(&mut breaker, 1, &expired_token(), 1_000);
    for outcome in [accepted(), expired_token(), unreachable()] {
        assert_eq!(breaker.settle(&sent(2, 999), &outcome, at(70_000)), Noted::Unchanged);
    }
    assert_eq!(breaker.verdict(at(70_000)), Verdict::Probe);
    // One that slipped through right after it: its failure is no strike, its answer is an answer.
    assert_eq!(breaker.settle(&sent(3, 1_001), &expired_token(), at(1_500)), Noted::Unchanged);
    assert_eq!(breaker.verdict(at(61_000)), Verdict::Probe);
    assert_eq!(breaker.settle(&sent(4, 1_002), &unreachable(), at(1_600)), Noted::Closed);
    assert_eq!(breaker.verdict(at(1_600)), Verdict::Closed);
    // Those that had hung since before are still no news.
    assert_eq!(breaker.settle(&sent(5, 900), &expired_token(), at(80_000)), Noted::Unchanged);
}

#[test]
fn one_probes_and_the_others_wait_for_what_comes_of_it() {
    let mut breaker = Breaker::new(Extent::Account);
    settle(&mut breaker, 1, &expired_token(), 1);
    assert!(matches!(breaker.take(ME, at(60_000)), Verdict::Open(_)));
    assert_eq!(breaker.take(ME, at(60_001)), Verdict::Probe);
    assert!(matches!(breaker.take(OTHER, at(60_002)), Verdict::Open(_)));
    // Not sent after all; only who has it can give it back.
    breaker.give_back(OTHER);
    assert!(is_open(&breaker, 60_003));
    breaker.give_back(ME);
    assert_eq!(breaker.take(OTHER, at(60_004)), Verdict::Probe);
    // It fails: open again, since the first time.
    let Noted::Opened(again) = breaker.settle(&sent(2, 60_004), &expired_token(), at(60_050)) else { panic!() };
    assert_eq!((again.since, again.until), (at(1), at(120_050)));
    // One whose answer never comes is not waited for for ever.
    assert_eq!(breaker.take(ME, at(120_050)), Verdict::Probe);
    assert!(is_open(&breaker, 240_049));
    assert_eq!(breaker.take(OTHER, at(240_050)), Verdict::Probe);
    assert_eq!(breaker.settle(&sent(3, 240_050), &unreachable(), at(240_060)), Noted::Closed);
    assert_eq!(breaker.take(ME, at(240_061)), Verdict::Closed);
}

#[test]
fn a_probe_that_meets_another_refusal_is_neither_answer_nor_strike() {
    let mut number = Breaker::new(Extent::Number);
    settle(&mut number, 1, &not_registered(), 1);
    assert_eq!(number.take(ME, at(60_001)), Verdict::Probe);
    assert_eq!(settle(&mut number, 2, &expired_token(), 60_002), Noted::Unchanged);
    assert_eq!(number.take(ME, at(60_003)), Verdict::Probe);
}

#[test]
fn a_wait_named_by_the_provider_is_kept() {
    let mut breaker = Breaker::new(Extent::Account);
    let retry = Retry::After(Duration::from_secs(17));
    let limited = Outcome::Deferred(failure(Reason::AppRateLimit, Handling::HoldAccount, retry));
    let Noted::Opened(opening) = settle(&mut breaker, 1, &limited, 1) else { panic!() };
    assert_eq!(opening.until, at(17_001));
}

#[test]
fn accounts_are_apart_and_closings_are_told() {
    let breakers = Breakers::default();
    let mut closings = breakers.closings();
    assert!(matches!(breakers.settle("a", &sent(1, 1), &expired_token(), at(1)), Noted::Opened(_)));
    assert!(matches!(breakers.take("a", ME, at(2)), Verdict::Open(_)));
    assert_eq!(breakers.take("b", ME, at(2)), Verdict::Closed);
    assert_eq!(breakers.take("a", ME, at(60_001)), Verdict::Probe);
    breakers.give_back("a", OTHER);
    assert!(!closings.has_changed().unwrap());
    breakers.give_back("a", ME);
    assert_eq!(breakers.verdict("a", at(60_001)), Verdict::Probe);
    assert!(closings.has_changed().unwrap(), "who waits for its answer may have it now");
    closings.mark_unchanged();
    assert_eq!(breakers.settle("a", &sent(2, 60_001), &accepted(), at(60_002)), Noted::Closed);
    assert!(closings.has_changed().unwrap());
    assert_eq!(breakers.verdict("a", at(60_002)), Verdict::Closed);
}

/// A probe without an answer says nothing; the next one waits all the same, longer each time.
#[test]
fn a_silent_probe_is_not_followed_by_another_at_once() {
    let mut breaker = Breaker::new(Extent::Account);
    let Noted::Opened(mut opening) = settle(&mut breaker, 1, &expired_token(), 0) else { panic!("not opened") };
    for n in 2..6 {
        let now = opening.until;
        assert_eq!(breaker.take(ME, now), Verdict::Probe);
        let sent = Sent { recipient: n, seed: n, released_at: now };
        let ended_at = now + Duration::from_secs(10);
        let Noted::Opened(next) = breaker.settle(&sent, &silence(), ended_at) else { panic!("not opened again") };
        assert!(ended_at < next.until && next.until <= ended_at + Duration::from_secs(60));
        assert_eq!((next.reason, next.since), (opening.reason, opening.since));
        opening = next;
    }
}

/// A provider that is out for a while, and senders that ask the breaker before each message, one every 10 ms.
///
/// Returns how many messages left during the outage, and how long after its end they all went again.
fn outage(seed: u64, outage_s: u64) -> (usize, Duration) {
    let mut breaker = Breaker::new(Extent::Account);
    let (begins, ends) = (at(5_000), at(5_000 + outage_s * 1_000));
    let mut n_into_it = 0;
    let mut out: VecDeque<(Sent, Outcome, Moment)> = VecDeque::new();
    for n in 1.. {
        let now = at(n * 10);
        while out.front().is_some_and(|(.., answered_at)| *answered_at <= now)
            && let Some((sent, outcome, answered_at)) = out.pop_front()
        {
            breaker.settle(&sent, &outcome, answered_at);
        }
        if ends < now && breaker.verdict(now) == Verdict::Closed {
            return (n_into_it, now.since(ends));
        }
        if matches!(breaker.take(ME, now), Verdict::Open(_)) {
            continue;
        }
        let is_out = begins <= now && now < ends;
        n_into_it += usize::from(is_out);
        let outcome = if is_out { overloaded() } else { accepted() };
        let sent = Sent { recipient: n, seed: splitmix(seed ^ n), released_at: now };
        out.push_back((sent, outcome, now + Duration::from_millis(50)));
    }
    unreachable!("the loop returns")
}

#[test]
fn few_messages_run_into_an_outage_and_it_is_noticed_when_it_ends() {
    for outage_s in [1, 30, 600] {
        let runs: Vec<_> = (0..50).map(|seed| outage(seed, outage_s)).collect();
        let most = runs.iter().map(|(n_into_it, _)| *n_into_it).max().unwrap();
        // Eight leave at 100/s until the third answer after 50 ms; then probes, ever further apart.
        assert!(most <= 8 + 16, "{outage_s} s: {most} messages");
        let mut late: Vec<_> = runs.iter().map(|(_, late)| *late).collect();
        late.sort();
        assert!(late[49] <= Duration::from_millis(300_100), "{outage_s} s: {:?}", late[49]);
        assert!(late[25] <= Duration::from_secs(2 + outage_s), "{outage_s} s: usually {:?}", late[25]);
    }
}

proptest! {
    /// Whatever happens: open until a real answer to something that left after the opening, never longer than the rule, one
    /// probe at a time.
    #[test]
    fn an_open_breaker_lets_through_one_message_at_a_time(
        steps in prop::collection::vec((0u64..400_000, 0usize..7, 0u64..4, 0u64..2_000), 1..200), is_account: bool,
    ) {
        let extent = if is_account { Extent::Account } else { Extent::Number };
        let outcomes = [accepted(), unreachable(), silence(), overloaded(), expired_token(), not_registered(), accepted()];
        let mut breaker = Breaker::new(extent);
        let mut now = at(0);
        for (wait_ms, which, recipient, ago_ms) in steps {
            now = now + Duration::from_millis(wait_ms);
            let before = breaker.verdict(now);
            match breaker.take(ME, now) {
                Verdict::Probe => {
                    let meanwhile = breaker.take(OTHER, now);
                    prop_assert!(matches!(meanwhile, Verdict::Open(_)), "a second probe: {:?}", meanwhile);
                }
                verdict => prop_assert_eq!(verdict, before),
            }
            let released_at = now - Duration::from_millis(ago_ms);
            let is_older = released_at <= breaker.opened_at;
            let noted = breaker.settle(&Sent { recipient, seed: wait_ms, released_at }, &outcomes[which], now);
            match noted {
                Noted::Opened(opening) => {
                    prop_assert!(!is_older && opening.since <= now && now < opening.until);
                    prop_assert!(opening.until <= now + Duration::from_secs(300));
                    prop_assert_eq!(breaker.verdict(now), Verdict::Open(opening));
                }
                Noted::Closed => prop_assert!(before != Verdict::Closed && !is_older && which != 2),
                Noted::Unchanged => prop_assert_eq!(breaker.verdict(now) == Verdict::Closed, before == Verdict::Closed),
            }
        }
    }
}
