//! What keeps a campaign from doing harm: a canary, a budget of failures, and other sessions for one that is lost.
//!
//! Judges counts and times that it is given; pausing and going on are done elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a campaign is made with.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Safeguards {
    /// Cold recipients of a session that is lost for good go to the campaign's other sessions.
    pub failover: bool,
    /// Which recipients go first, alone.
    pub canary: Option<Canary>,
    /// Its budget.
    pub guardrails: Option<Guardrails>,
}

/// The first recipients: a number of them, or a share of all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Canary {
    /// So many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// So many of a hundred, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
}

impl Canary {
    /// Returns how many recipients of so many go first; none when that are all of them.
    #[must_use]
    pub fn n_first(self, n_recipients: i64) -> Option<i64> {
        let share = |percent: f64| {
            // In hundredths of a per cent, so that 10 % of 100 are 10.
            let hundredths = (1..=10_000_i64).find(|n| percent * 100.0 <= int_to_f64(*n)).unwrap_or(10_000);
            (n_recipients.saturating_mul(hundredths).saturating_add(9_999)) / 10_000
        };
        let n = self.first.map(i64::from).or_else(|| self.percent.map(share))?.max(1);
        (n < n_recipients).then_some(n)
    }
}

fn int_to_f64(n: i64) -> f64 {
    f64::from(i32::try_from(n).unwrap_or(i32::MAX))
}

/// The budget of a campaign; what is none is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guardrails {
    /// Failures among the deliveries that were tried, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failure_rate: Option<f64>,
    /// Deliveries without a receipt in time among those that the provider took, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_no_receipt_rate: Option<f64>,
    /// Recipients who have opted out, before it or after its message, for each delivery that was tried, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_opt_out_rate: Option<f64>,
    /// Deliveries that must have been tried before a rate says anything.
    #[serde(default = "default_sample")]
    pub min_sample: u32,
    /// How long the canary waits for receipts, seconds.
    #[serde(default = "default_wait")]
    pub no_receipt_after_seconds: u32,
}

fn default_sample() -> u32 {
    50
}

fn default_wait() -> u32 {
    60
}

impl Default for Guardrails {
    fn default() -> Self {
        Self {
            max_failure_rate: None,
            max_no_receipt_rate: None,
            max_opt_out_rate: None,
            min_sample: default_sample(),
            no_receipt_after_seconds: default_wait(),
        }
    }
}

/// What was counted of a campaign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Deliveries that the provider took, whatever became of them.
    pub accepted: i64,
    /// Those of them that nothing was reported of yet.
    pub still_sent: i64,
    /// Failed deliveries.
    pub failed: i64,
    /// Deliveries of which no answer came.
    pub unknown: i64,
    /// Recipients who were passed over because they have opted out, and those who opted out after its message.
    pub opted_out: i64,
    /// Deliveries without a receipt in time.
    pub no_receipt: i64,
}

impl Sample {
    /// Returns what was counted since an earlier sample.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let less = |now: i64, then: i64| now.saturating_sub(then).max(0);
        Self {
            accepted: less(self.accepted, earlier.accepted),
            still_sent: less(self.still_sent, earlier.still_sent),
            failed: less(self.failed, earlier.failed),
            unknown: less(self.unknown, earlier.unknown),
            opted_out: less(self.opted_out, earlier.opted_out),
            no_receipt: less(self.no_receipt, earlier.no_receipt),
        }
    }

    fn tried(&self) -> i64 {
        (self.accepted + self.failed + self.unknown).max(self.opted_out)
    }
}

/// A rate that is beyond its budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breach {
    what: &'static str,
    rate: f64,
    max: f64,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guardrail: {} {} above {}", self.what, PerCent(self.rate), PerCent(self.max))
    }
}

/// A rate as people read it: one place behind the point, none when it is round.
struct PerCent(f64);

impl fmt::Display for PerCent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.1}", self.0 * 100.0);
        write!(f, "{} %", text.strip_suffix(".0").unwrap_or(&text))
    }
}

impl Guardrails {
    /// Returns the first rate that is beyond the budget, once enough deliveries were tried.
    #[must_use]
    pub fn breach(&self, sample: &Sample) -> Option<Breach> {
        if sample.tried() < i64::from(self.min_sample).max(1) {
            return None;
        }
        let rates = [
            ("failure rate", sample.failed, sample.tried(), self.max_failure_rate),
            ("no-receipt rate", sample.no_receipt, sample.accepted, self.max_no_receipt_rate),
            ("opt-out rate", sample.opted_out, sample.tried(), self.max_opt_out_rate),
        ];
        rates.into_iter().find_map(|(what, n, of, max)| {
            let (rate, max) = (rate(n, of), max?);
            (max < rate).then_some(Breach { what, rate, max })
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of deliveries are far below 2^52")]
fn rate(n: i64, of: i64) -> f64 {
    if of <= 0 { 0.0 } else { n as f64 / of as f64 }
}

/// Where a canary stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanaryState {
    /// The first recipients are being written to.
    Sending,
    /// They are all settled, and receipts are waited for.
    Judging,
    /// The others follow, or have followed.
    Passed,
    /// The campaign paused itself.
    Failed,
}

impl CanaryState {
    const ALL: [Self; 4] = [Self::Sending, Self::Judging, Self::Passed, Self::Failed];

    /// Returns the word kept in the database and shown by the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Judging => "judging",
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }

    /// Reads the word kept in the database.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A running campaign as its judge sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Its budget; one that forbids nothing where it has none.
    pub guardrails: Guardrails,
    /// What was counted since its sample began.
    pub sample: Sample,
    /// Its canary, while that is not over.
    pub canary: Option<CanaryStanding>,
}

/// A canary that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanaryStanding {
    /// All its deliveries have come to an end.
    pub is_settled: bool,
    /// When that was first seen, UTC milliseconds.
    pub settled_at_ms: Option<i64>,
}

/// What is to be done about a campaign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Nothing.
    GoOn,
    /// It pauses itself.
    Pause(Breach),
    /// Its canary is settled as of now: receipts are waited for.
    Judge,
    /// Its canary has something to send again.
    SendOn,
    /// Its canary is over: the others follow.
    Pass,
}

impl Standing {
    /// Judges a campaign at a time, UTC milliseconds.
    #[must_use]
    pub fn judge(&self, now_ms: i64) -> Verdict {
        if let Some(breach) = self.guardrails.breach(&self.sample) {
            return Verdict::Pause(breach);
        }
        let Some(canary) = self.canary else { return Verdict::GoOn };
        match (canary.is_settled, canary.settled_at_ms) {
            (false, None) => Verdict::GoOn,
            (false, Some(_)) => Verdict::SendOn,
            (true, None) => Verdict::Judge,
            (true, Some(since_ms)) => {
                let wait_ms = i64::from(self.guardrails.no_receipt_after_seconds) * 1_000;
                if now_ms < since_ms.saturating_add(wait_ms) {
                    return Verdict::GoOn;
                }
                // However few they are: more will not be sent before. What has no receipt by now has none in time.
                let guardrails = Guardrails { min_sample: 1, ..self.guardrails };
                let no_receipt = self.sample.no_receipt.max(self.sample.still_sent);
                let sample = Sample { no_receipt, ..self.sample };
                guardrails.breach(&sample).map_or(Verdict::Pass, Verdict::Pause)
            }
        }
    }
}

#[cfg(test)]
mod tests;
