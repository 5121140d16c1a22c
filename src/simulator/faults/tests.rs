//! Tests of the fault file: the example is read in full, and mistakes are all named at once.

use super::*;
use crate::simulator::throttle::PairModel;

const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/five_percent.toml"));

#[test]
fn example_has_five_percent_of_every_kind() {
    let faults = Faults::from_toml(EXAMPLE).expect("the example is right");
    let rules = &faults.rules;
    let five = |mishap: Mishap| mishap == Mishap { before_acceptance: 0.05, after_acceptance: 0.05 };
    assert!(five(rules.reset) && five(rules.hang), "{rules:?}");
    assert!((rules.errors.iter().map(|error| error.probability).sum::<f64>() - 0.05).abs() < 1e-9);
    assert!((rules.receipts.failed.iter().map(|(_, p)| p).sum::<f64>() - 0.05).abs() < 1e-9);
    assert_eq!(rules.receipts.late_probability.to_bits(), 0.05_f64.to_bits());
    assert_eq!(rules.receipts.doubled_probability.to_bits(), 0.05_f64.to_bits());
    assert_eq!(rules.receipts.reordered_probability.to_bits(), 0.05_f64.to_bits());
    assert!(rules.throughput.is_some() && rules.pair.is_some());
    assert!(!faults.outages.is_empty() && !faults.recipients.is_empty());
}

#[test]
fn limits_are_read_with_their_defaults() {
    let limits = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/limits.toml"));
    let faults = Faults::from_toml(limits).expect("the example is right");
    let bare = "tier = { unique_recipients = 250 }\nmarketing = { per_recipient = 2 }\nwindow = {}";
    let bare = Faults::from_toml(bare).expect("defaults are right");
    let written_out = |faults: &Faults| (faults.rules.tier, faults.rules.marketing, faults.rules.window);
    assert_eq!(written_out(&faults), written_out(&bare));
    assert!(faults.rules.tier.is_some_and(|tier| tier.breach.asynchronous && tier.breach.code == 131_048));
    assert_eq!(faults.rules_of("restricted").spam.map(|spam| spam.after_messages), Some(100));
    assert!(faults.rules_of("locked").timelock.is_some_and(|lock| !lock.breach.asynchronous));
    let elsewhere = faults.rules_of("elsewhere");
    assert_eq!((&*elsewhere.account, elsewhere.tier), ("other", faults.rules.tier));
    let down = |seconds| elsewhere.downtime_at(Duration::from_secs(seconds)).map(|downtime| downtime.breach.code);
    assert_eq!([down(4), down(5), down(9), down(10)], [None, Some(133_010), Some(133_010), None]);
    let problems = Faults::from_toml("tier = { within_seconds = 1 }\nspam = { start_seconds = 2, end_seconds = 1 }");
    assert_eq!(
        problems.unwrap_err(),
        ["tier.unique_recipients: is missing", "spam.end_seconds: must be above start_seconds",]
    );
}

#[test]
fn empty_file_is_no_fault() {
    let faults = Faults::from_toml("").expect("nothing is wrong with nothing");
    assert_eq!(*faults.rules, Rules::default());
    assert_eq!(faults.outage_at(Duration::from_secs(1)), None);
}

#[test]
fn overrides_replace_single_sections_of_one_number() {
    let text = r#"
        throughput = { per_second = 80 }
        hang = { after_acceptance = 0.5 }
        [[numbers]]
        id = "1"
        hang = { before_acceptance = 1 }
        [[numbers]]
        id = "2"
        throughput = { per_second = 0.5, http = 400 }
        pair = { model = "gcra" }
    "#;
    let faults = Faults::from_toml(text).expect("a right file");
    let one = faults.rules_of("1");
    assert_eq!(one.hang, Mishap { before_acceptance: 1.0, after_acceptance: 0.0 });
    let eighty = Throughput { interval: Duration::from_micros(12_500), burst: 80, http: 429 };
    assert_eq!(one.throughput, Some(eighty));
    let two = faults.rules_of("2");
    assert_eq!(two.throughput, Some(Throughput { interval: Duration::from_secs(2), burst: 1, http: 400 }));
    assert_eq!(two.pair.map(|pair| pair.model), Some(PairModel::Gcra));
    assert_eq!(faults.rules_of("3").hang.after_acceptance.to_bits(), 0.5_f64.to_bits());
}

#[test]
fn latency_from_outside_is_that_of_all_numbers() {
    let text = "numbers = [{ id = '1', latency = { distribution = 'uniform', min_ms = 1, max_ms = 2 } }]";
    let latency = Duration::from_millis(7);
    let faults = Faults::from_toml(text).expect("a right file").with_latency(latency);
    assert_eq!(["1", "2"].map(|id| faults.rules_of(id).latency), [Latency::Fixed(latency); 2]);
}

#[test]
fn outages_and_recipients_are_found() {
    let text = r#"
        outages = [{ start_seconds = 1, end_seconds = 2.5 }, { start_seconds = 4, end_seconds = 5, kind = "reset" }]
        recipients = [{ suffix = "99", code = 131026, asynchronous = true }, { exact = "1555", code = 131030 },
                      { prefix = "44", code = 130497 }]
    "#;
    let faults = Faults::from_toml(text).expect("a right file");
    let out = |ms| faults.outage_at(Duration::from_millis(ms));
    assert_eq!(
        [out(999), out(1_000), out(2_499), out(2_500)],
        [None, Some(OutageKind::Unavailable), Some(OutageKind::Unavailable), None]
    );
    assert_eq!(out(4_500), Some(OutageKind::Reset));
    let code = |recipient| faults.rule_for(recipient).map(|rule| (rule.code, rule.http, rule.asynchronous));
    assert_eq!(code("4499"), Some((131_026, 400, true)));
    assert_eq!(code("1555"), Some((131_030, 400, false)));
    assert_eq!(code("15551"), None);
    assert_eq!(code("441"), Some((130_497, 403, false)));
}

#[test]
fn every_mistake_is_named_at_once() {
    let text = r#"
        speed = 3
        reset = { after_acceptance = 1.5, in_between = 0.1 }
        hang = 7
        errors = [{ code = 131000, probability = 0.7 }, { code = 131016, probability = 0.6, http = 200 }, { probability = "x" }]
        recipients = [{ code = 1 }, { code = 1, prefix = "1", suffix = "2" }, 5]
        outages = [{ start_seconds = 5, end_seconds = 5, kind = "flood" }, { end_seconds = 1 }]
        [latency]
        distribution = "uniform"
        min_ms = 9
        max_ms = 3
        [throughput]
        burst = 0
        http = 503
        [pair]
        model = "strict"
        interval_seconds = 0
        [receipts]
        late_ms = -1
        failed = [{ code = 99999999, probability = 0.1 }]
        [[numbers]]
        hang = { before_acceptance = true }
        [[numbers]]
        id = "1"
        nmae = "x"
        [[numbers]]
        id = "1"
    "#;
    let mut problems = Faults::from_toml(text).expect_err("everything is wrong");
    problems.sort();
    insta::assert_snapshot!(problems.join("\n"), @r#"
    errors: the probabilities add up to more than 1
    errors[1].http: must be a status from 400 to 599
    errors[2].code: is missing
    errors[2].probability: must be a number from 0 to 1
    hang: must be a section
    latency.min_ms: must not be above max_ms
    numbers: `1` is named twice
    numbers[0].hang.before_acceptance: must be a number from 0 to 1
    numbers[0].id: is missing
    numbers[1].nmae: unknown key
    outages[0].end_seconds: must be above start_seconds
    outages[0].kind: must be "unavailable" or "reset"
    outages[1].start_seconds: is missing
    pair.interval_seconds: must be above 0
    pair.model: must be "borrow_block" or "gcra"
    receipts.failed[0].code: must be a whole number from 0 to 9999999
    receipts.late_ms: must be a number from 0 to 86400000
    recipients[0]: needs exactly one of exact, prefix and suffix
    recipients[1]: needs exactly one of exact, prefix and suffix
    recipients[2]: must be a section
    reset.after_acceptance: must be a number from 0 to 1
    reset.in_between: unknown key
    speed: unknown key
    throughput.burst: must be a whole number above 0
    throughput.http: must be 429 or 400
    throughput.per_second: is missing
    "#);
}

#[test]
fn broken_toml_is_one_problem() {
    let problems = Faults::from_toml("latency = {").expect_err("no TOML");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("not valid TOML: "), "{problems:?}");
}
