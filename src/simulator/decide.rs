//! Says what becomes of one request: the only place that knows the order of the faults.
//!
//! Reads no clock and sends nothing. The order: outage, form, downtime of the number, hanging and cutting before acceptance,
//! refusal by recipient, refusal by chance, throughput, pair limit, what is forbidden otherwise, acceptance, and what
//! happens after it.

use std::borrow::Cow;
use std::sync::PoisonError;
use std::time::Duration;

use crate::simulator::codes;
use crate::simulator::dice::{Dice, Roll, stable_hash};
use crate::simulator::faults::{Breach, Faults, Latency, OutageKind, Rules};
use crate::simulator::ledger::Verdict;
use crate::simulator::numbers::{Number, Pairs};
use crate::simulator::policy::{self, Contacts};
use crate::simulator::request::Malformed;

/// Longest latency of an answer; the long tail of a distribution is cut there.
const LATENCY_MAX: Duration = Duration::from_mins(5);

/// One request as the deciding sees it.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) number: &'a Number,
    /// The recipient, as digits if it is a phone number.
    pub(crate) recipient: &'a str,
    pub(crate) is_template: bool,
    /// Whether its form is right.
    pub(crate) form: Result<(), Malformed>,
    pub(crate) arrived_us: u64,
    /// Time since the start of the simulator.
    pub(crate) since_start: Duration,
}

/// What is remembered of earlier requests, beside what the numbers have used.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) pairs: Pairs,
    pub(crate) contacts: Contacts,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    /// How long the answer takes.
    pub(crate) latency: Duration,
    /// Status and words of a refusal.
    pub(crate) refusal: Option<Refusal>,
    /// The code of a failure after acceptance, by the rule of a recipient or because it was forbidden.
    pub(crate) fails_later: Option<u32>,
    /// The rolls of this request, for what comes after.
    pub(crate) dice: Dice,
}

/// What a refused sender is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u32,
    pub(crate) http: u16,
    pub(crate) details: Cow<'static, str>,
}

impl Refusal {
    /// Makes the refusal that goes with a code.
    pub(crate) fn of(code: u32, http: Option<u16>, details: &'static str) -> Self {
        Self { code, http: http.unwrap_or(codes::find(code).http), details: Cow::Borrowed(details) }
    }
}

/// Says what becomes of a request.
pub(crate) fn decide(seed: u64, faults: &Faults, memory: &Memory, case: Case<'_>) -> Decision {
    let recipient_hash = stable_hash(case.recipient.as_bytes());
    let rules = &case.number.rules;
    let nth = if rules.needs_dice() { memory.pairs.count(case.number.index, recipient_hash) } else { 0 };
    let dice = Dice::new(seed, case.number.hash, recipient_hash, nth);
    let mut decision = Decision {
        verdict: Verdict::Accepted,
        latency: latency(rules.latency, dice),
        refusal: None,
        fails_later: None,
        dice,
    };
    match before_acceptance(faults, memory, case, dice) {
        Err(Stopped::Refused(refusal)) => {
            decision.verdict = Verdict::Refused(refusal.code);
            decision.refusal = Some(refusal);
        }
        Err(Stopped::Silent(verdict)) => decision.verdict = verdict,
        Ok(accepted) => {
            decision.verdict = accepted.verdict;
            decision.fails_later = accepted.fails_later;
        }
    }
    decision
}

enum Stopped {
    Refused(Refusal),
    Silent(Verdict),
}

struct Accepted {
    verdict: Verdict,
    fails_later: Option<u32>,
}

fn before_acceptance(faults: &Faults, memory: &Memory, mut case: Case<'_>, dice: Dice) -> Result<Accepted, Stopped> {
    match faults.outage_at(case.since_start) {
        Some(OutageKind::Unavailable) => return Err(Stopped::Silent(Verdict::Unavailable)),
        Some(OutageKind::Reset) => return Err(Stopped::Silent(Verdict::ResetBeforeAcceptance)),
        None => {}
    }
    let rules = &*case.number.rules;
    if let Err(malformed) = std::mem::replace(&mut case.form, Ok(())) {
        let http = codes::find(malformed.code).http;
        return Err(Stopped::Refused(Refusal { code: malformed.code, http, details: malformed.details }));
    }
    if let Some(downtime) = rules.downtime_at(case.since_start) {
        let Breach { code, http, .. } = downtime.breach;
        return Err(Stopped::Refused(Refusal::of(code, Some(http), "The number can not send for now")));
    }
    if dice.happens(Roll::Hang, 0, rules.hang.before_acceptance) {
        return Err(Stopped::Silent(Verdict::HungBeforeAcceptance));
    }
    if dice.happens(Roll::ResetBefore, 0, rules.reset.before_acceptance) {
        return Err(Stopped::Silent(Verdict::ResetBeforeAcceptance));
    }
    let by_recipient = faults.rule_for(case.recipient);
    if let Some(rule) = by_recipient.filter(|rule| !rule.asynchronous) {
        let refusal = Refusal::of(rule.code, Some(rule.http), "Refused by a recipient rule of the simulator");
        return Err(Stopped::Refused(refusal));
    }
    if let Some(refusal) = by_chance(rules, dice).or_else(|| over_limits(&memory.pairs, &case)) {
        return Err(Stopped::Refused(refusal));
    }
    let forbidden = match policy::check(&memory.contacts, &case) {
        Ok(()) => None,
        Err((breach, _)) if breach.asynchronous => Some(breach.code),
        Err((breach, details)) => {
            return Err(Stopped::Refused(Refusal::of(breach.code, Some(breach.http), details)));
        }
    };
    let verdict = if dice.happens(Roll::ResetAfter, 0, rules.reset.after_acceptance) {
        Verdict::AcceptedThenReset
    } else if dice.happens(Roll::HangAfter, 0, rules.hang.after_acceptance) {
        Verdict::AcceptedThenHung
    } else {
        Verdict::Accepted
    };
    Ok(Accepted { verdict, fails_later: by_recipient.map(|rule| rule.code).or(forbidden) })
}

fn by_chance(rules: &Rules, dice: Dice) -> Option<Refusal> {
    if rules.errors.is_empty() {
        return None;
    }
    let mut left = dice.unit(Roll::Code, 0);
    for error in &rules.errors {
        if left < error.probability {
            return Some(Refusal::of(error.code, Some(error.http), "Refused by chance of the simulator"));
        }
        left -= error.probability;
    }
    None
}

fn over_limits(pairs: &Pairs, case: &Case<'_>) -> Option<Refusal> {
    let rules = &*case.number.rules;
    if let Some(throughput) = rules.throughput {
        let mut bucket = case.number.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if !bucket.take(case.arrived_us, throughput.interval, throughput.burst) {
            let details = "Message failed to send because there were too many messages sent from this phone number in a short period of time";
            return Some(Refusal::of(130_429, Some(throughput.http), details));
        }
    }
    let limit = rules.pair.as_ref()?;
    let recipient_hash = stable_hash(case.recipient.as_bytes());
    if pairs.take(case.number.index, recipient_hash, case.arrived_us, limit) {
        return None;
    }
    let details = "Message failed to send because there were too many messages sent from this phone number to the same phone number in a short period of time";
    Some(Refusal::of(131_056, Some(limit.http), details))
}

fn latency(latency: Latency, dice: Dice) -> Duration {
    match latency {
        Latency::Fixed(fixed) => fixed,
        Latency::Uniform(min, max) => min + (max - min).mul_f64(dice.unit(Roll::Latency, 0)),
        Latency::LogNormal { p50, p99 } => {
            // Box and Muller's way from two even rolls to a normal one; 2.326 is the 99th percentile of it.
            let radius = (-2.0 * (1.0 - dice.unit(Roll::Latency, 0)).ln()).sqrt();
            let normal = radius * (std::f64::consts::TAU * dice.unit(Roll::LatencyAngle, 0)).cos();
            let sigma = (p99.as_secs_f64() / p50.as_secs_f64()).ln() / 2.326;
            let seconds = p50.as_secs_f64() * (sigma * normal).exp();
            Duration::try_from_secs_f64(seconds).unwrap_or(LATENCY_MAX).min(LATENCY_MAX)
        }
    }
}

impl Rules {
    /// Tells whether anything of these rules is left to chance, so that requests of a pair must be counted.
    fn needs_dice(&self) -> bool {
        let receipts = &self.receipts;
        let chances = [
            self.reset.before_acceptance,
            self.reset.after_acceptance,
            self.hang.before_acceptance,
            self.hang.after_acceptance,
            receipts.late_probability,
            receipts.doubled_probability,
            receipts.reordered_probability,
        ];
        chances.iter().any(|chance| *chance > 0.0)
            || !self.errors.is_empty()
            || !receipts.failed.is_empty()
            || !matches!(self.latency, Latency::Fixed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lognormal_latency_meets_its_percentiles() {
        let shape = Latency::LogNormal { p50: Duration::from_millis(60), p99: Duration::from_millis(400) };
        let mut drawn: Vec<_> = (0..20_000).map(|nth| latency(shape, Dice::new(1, 2, 3, nth))).collect();
        drawn.sort();
        let (p50, p99) = (drawn[10_000].as_millis(), drawn[19_800].as_millis());
        assert!((57..=63).contains(&p50) && (360..=440).contains(&p99), "p50 {p50} ms, p99 {p99} ms");
    }

    #[test]
    fn uniform_latency_stays_within() {
        let (min, max) = (Duration::from_millis(5), Duration::from_millis(9));
        assert!(
            (0..1_000).all(|nth| (min..max).contains(&latency(Latency::Uniform(min, max), Dice::new(1, 2, 3, nth))))
        );
    }
}
