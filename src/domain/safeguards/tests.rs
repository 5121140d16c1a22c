//! Canaries and budgets by table.

use super::*;

const BUDGET: Guardrails = Guardrails {
    max_failure_rate: Some(0.05),
    max_no_receipt_rate: Some(0.5),
    max_opt_out_rate: Some(0.01),
    min_sample: 100,
    no_receipt_after_seconds: 60,
};

fn canary(first: Option<u32>, percent: Option<f64>) -> Canary {
    Canary { first, percent }
}

#[test]
fn the_first_ones_are_at_least_one_and_never_all() {
    for (canary, n_recipients, expected) in [
        (canary(Some(10), None), 100, Some(10)),
        (canary(Some(10), None), 10, None),
        (canary(Some(10), None), 3, None),
        (canary(None, Some(10.0)), 100, Some(10)),
        (canary(None, Some(10.0)), 101, Some(11)),
        (canary(None, Some(0.01)), 2, Some(1)),
        (canary(None, Some(0.01)), 1, None),
        (canary(None, Some(33.33)), 3, Some(1)),
        (canary(None, Some(100.0)), 50, None),
        (canary(None, Some(1.0)), 0, None),
    ] {
        assert_eq!(canary.n_first(n_recipients), expected, "{canary:?} of {n_recipients}");
    }
}

#[test]
fn a_rate_beyond_its_budget_says_so() {
    let sample = Sample { accepted: 88, failed: 12, ..Sample::default() };
    assert_eq!(
        BUDGET.breach(&sample).map(|breach| breach.to_string()).as_deref(),
        Some("guardrail: failure rate 12 % above 5 %")
    );
    let few = Sample { accepted: 87, failed: 12, ..Sample::default() };
    assert_eq!(BUDGET.breach(&few), None, "too few to say anything");
    let inside = Sample { accepted: 95, failed: 5, ..Sample::default() };
    assert_eq!(BUDGET.breach(&inside), None, "as much as it may be");
    let silent = Sample { accepted: 120, no_receipt: 61, ..Sample::default() };
    assert_eq!(
        BUDGET.breach(&silent).map(|breach| breach.to_string()).as_deref(),
        Some("guardrail: no-receipt rate 50.8 % above 50 %")
    );
    let unwelcome = Sample { accepted: 190, failed: 3, opted_out: 3, ..Sample::default() };
    assert_eq!(
        BUDGET.breach(&unwelcome).map(|breach| breach.to_string()).as_deref(),
        Some("guardrail: opt-out rate 1.6 % above 1 %")
    );
    let free = Guardrails::default();
    assert_eq!(free.breach(&Sample { failed: 1_000, ..Sample::default() }), None, "what is none is not looked at");
}

#[test]
fn a_new_sample_counts_from_where_it_began() {
    let then = Sample { accepted: 10, failed: 90, ..Sample::default() };
    let now = Sample { accepted: 110, failed: 89, ..Sample::default() };
    assert_eq!(
        now.since(&then),
        Sample { accepted: 100, ..Sample::default() },
        "one that is tried again is no failure"
    );
}

#[test]
fn a_canary_waits_for_receipts_and_is_judged_however_small() {
    let standing = |sample, is_settled, settled_at_ms| Standing {
        guardrails: BUDGET,
        sample,
        canary: Some(CanaryStanding { is_settled, settled_at_ms }),
    };
    let good = Sample { accepted: 4, still_sent: 1, ..Sample::default() };
    assert_eq!(standing(good, false, None).judge(7), Verdict::GoOn);
    assert_eq!(standing(good, true, None).judge(7), Verdict::Judge);
    assert_eq!(standing(good, false, Some(0)).judge(70_000), Verdict::SendOn, "one went back in line");
    assert_eq!(standing(good, true, Some(0)).judge(59_999), Verdict::GoOn);
    assert_eq!(standing(good, true, Some(0)).judge(60_000), Verdict::Pass);
    let silent = Sample { accepted: 4, still_sent: 3, ..Sample::default() };
    let verdict = standing(silent, true, Some(0)).judge(60_000);
    let Verdict::Pause(breach) = verdict else { panic!("{verdict:?}") };
    assert_eq!(breach.to_string(), "guardrail: no-receipt rate 75 % above 50 %");
    let skipped = Sample::default();
    assert_eq!(standing(skipped, true, Some(0)).judge(60_000), Verdict::Pass, "nobody was written to");
}

#[test]
fn a_campaign_without_a_canary_is_judged_at_any_time() {
    let standing = |failed| Standing {
        guardrails: BUDGET,
        sample: Sample { accepted: 900, failed, ..Sample::default() },
        canary: None,
    };
    assert_eq!(standing(10).judge(0), Verdict::GoOn);
    assert!(matches!(standing(100).judge(0), Verdict::Pause(_)));
}

#[test]
fn words_and_forms_read_back() {
    for state in CanaryState::ALL {
        assert_eq!(CanaryState::parse(state.as_str()), Some(state));
    }
    let text = serde_json::to_string(&BUDGET).unwrap();
    assert_eq!(serde_json::from_str::<Guardrails>(&text).unwrap(), BUDGET);
    assert_eq!(serde_json::from_str::<Guardrails>("{}").unwrap(), Guardrails::default());
    assert!(serde_json::from_str::<Guardrails>(r#"{"maxRate":1}"#).is_err());
}
