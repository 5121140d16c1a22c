//! What goes wrong, as a fault file says it; without one nothing does.
//!
//! # The file
//!
//! TOML; every section may be left out. Probabilities are from 0 to 1. `tests/faults/five_percent.toml` shows all that goes by
//! chance, `tests/faults/limits.toml` what the provider forbids.
//!
//! ```toml
//! [latency]                    # of every answer
//! distribution = "lognormal"   # "fixed" (fixed_ms) | "uniform" (min_ms, max_ms) | "lognormal" (p50_ms, p99_ms)
//! p50_ms = 60.0
//! p99_ms = 400.0
//!
//! [throughput]                 # per number, all recipients together: error 130429 above it
//! per_second = 80.0
//! burst = 80                   # default: per_second, rounded up
//! http = 429                   # or 400
//!
//! [pair]                       # per number and recipient: error 131056 above it
//! model = "borrow_block"       # or "gcra"
//! interval_seconds = 6.0
//! burst = 45
//! http = 429                   # or 400
//!
//! [[errors]]                   # refusals by chance; at most one of them at a time, so their sum is at most 1
//! code = 131000
//! http = 500                   # default: by the code
//! probability = 0.05
//!
//! [[recipients]]               # refusals by recipient: exactly one of exact, prefix, suffix (digits without a plus)
//! suffix = "99"
//! code = 131026
//! asynchronous = true          # a failed receipt instead of a refusal; default false
//!
//! [[outages]]                  # seconds since the start of the simulator
//! start_seconds = 10.0
//! end_seconds = 15.0
//! kind = "unavailable"         # HTTP 503 without a Graph body | "reset": connections are cut
//!
//! [reset]                      # the connection is cut instead of an answer
//! before_acceptance = 0.05
//! after_acceptance = 0.05
//!
//! [hang]                       # no answer, ever
//! before_acceptance = 0.05
//! after_acceptance = 0.05
//!
//! [receipts]
//! sent_ms = 10.0               # since acceptance; also delivered_ms (50), read_ms (100)
//! read_probability = 0.5
//! late_probability = 0.05      # a receipt comes late_ms (2000) later
//! late_ms = 2000.0
//! doubled_probability = 0.05   # a receipt comes twice
//! reordered_probability = 0.05 # the receipts of a message come in reverse order
//! [[receipts.failed]]          # the message fails after all
//! code = 131026
//! probability = 0.05
//!
//! [tier]                       # per account, all its numbers together: different recipients outside their service windows
//! unique_recipients = 250
//! within_seconds = 86400.0     # moving; also of marketing, and open_seconds of window
//! code = 131048                # no document names it; also http, as everywhere
//! asynchronous = true          # a failed receipt instead of a refusal; this is the default
//!
//! [marketing]                  # templates to one recipient, from all numbers together: 131049, asynchronous
//! per_recipient = 2
//!
//! [window]                     # free text to whom has not written for so long: 131047, asynchronous
//! open_seconds = 86400.0
//!
//! [spam]                       # the number may only answer, once it has opened so many chats or from a time on: 131048
//! after_messages = 100         # default 0
//! start_seconds = 10.0         # default 0; end_seconds: default never
//!
//! [timelock]                   # who never wrote to the number is refused: code 131048; start_seconds, end_seconds
//! code = 131048
//!
//! [[downtimes]]                # the number can not send: 133010
//! start_seconds = 10.0
//! end_seconds = 20.0
//! code = 133010
//!
//! [[numbers]]                  # overrides, by phone number id: each section given replaces the one above
//! id = "106540352242922"
//! account = "other"            # default: all numbers are of one account
//! hang = { before_acceptance = 1.0 }
//! ```
//!
//! A refusal by recipient or by chance comes before the limits, so that it uses up nothing of them. Latency is good to the
//! millisecond, the runtime's own grain.
//!
//! # Where it comes from
//!
//! | Section | Source |
//! | --- | --- |
//! | `throughput` | Meta: throughput ("up to 80 messages per second", above it 130429; how it is averaged is not said) |
//! | `pair` | Meta: about the platform, pair rate limits (one message every 6 s, bursts of 45 that borrow, 131056) |
//! | `errors`, `recipients` | Meta: support, error codes |
//! | `tier` | Meta: messaging limits (unique users outside service windows in a moving 24 h, of all numbers together); no code is named |
//! | `marketing` | Meta: support, error codes (131049, "not delivered to maintain healthy ecosystem engagement"; thresholds are not published) |
//! | `window` | Meta: send messages (outside the 24 h window that a message of the user opens, only templates; 131047) |
//! | `spam` | Meta: support, error codes (131048, "too many previous messages were blocked or flagged") |
//! | `timelock` | no document of Meta: linked devices refuse new chats (463) and let those that are there go on |
//! | `downtimes` | Meta: support, error codes (131057, 133010) |
//! | `asynchronous`, `receipts.failed` | Meta: support, error codes ("in the response, in a webhook, or both") |
//! | `receipts` late, doubled, reordered | Meta: webhooks, overview (at least once, repeated for days, no order promised) |
//! | `outages`, `reset`, `hang`, `latency` | no document: what networks and load balancers do |
//!
//! That nothing tells an answer lost after acceptance from a request never taken is Meta's own gap: the messages reference
//! names no idempotency key, only `biz_opaque_callback_data`, which comes back in receipts.

mod file;
mod section;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::simulator::throttle::PairLimit;

/// What the provider's moving windows last: 24 hours.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Everything that is to go wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    pub(crate) rules: Arc<Rules>,
    pub(crate) recipients: Vec<RecipientRule>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) numbers: HashMap<String, Arc<Rules>>,
}

impl Faults {
    /// Reads a fault file.
    ///
    /// # Errors
    /// Every mistake of the file, each with the key it is at; unknown keys are mistakes.
    pub fn from_toml(text: &str) -> Result<Self, Vec<String>> {
        file::read(text)
    }

    /// Sets one fixed latency for all answers of all numbers, whatever the file said.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        for rules in std::iter::once(&mut self.rules).chain(self.numbers.values_mut()) {
            Arc::make_mut(rules).latency = Latency::Fixed(latency);
        }
        self
    }

    /// Returns the rules of one number.
    pub(crate) fn rules_of(&self, number: &str) -> Arc<Rules> {
        Arc::clone(self.numbers.get(number).unwrap_or(&self.rules))
    }

    /// Returns what is out at a time since the start.
    pub(crate) fn outage_at(&self, since_start: Duration) -> Option<OutageKind> {
        let within = |outage: &&Outage| (outage.start..outage.end).contains(&since_start);
        self.outages.iter().find(within).map(|outage| outage.kind)
    }

    /// Returns the rule that a recipient falls under, the first one of the file.
    pub(crate) fn rule_for(&self, recipient: &str) -> Option<&RecipientRule> {
        self.recipients.iter().find(|rule| rule.matches(recipient))
    }
}

/// What goes wrong at one number.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rules {
    pub(crate) latency: Latency,
    pub(crate) throughput: Option<Throughput>,
    pub(crate) pair: Option<PairLimit>,
    pub(crate) errors: Vec<ErrorRule>,
    pub(crate) reset: Mishap,
    pub(crate) hang: Mishap,
    pub(crate) receipts: ReceiptRules,
    /// The account of the number; the empty name is that of all numbers which are given none.
    pub(crate) account: Box<str>,
    pub(crate) downtimes: Vec<Downtime>,
    pub(crate) tier: Option<Tier>,
    pub(crate) marketing: Option<MarketingCap>,
    pub(crate) window: Option<ServiceWindow>,
    pub(crate) spam: Option<SpamLimit>,
    pub(crate) timelock: Option<Timelock>,
}

/// How long an answer takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Anything between, all alike.
    Uniform(Duration, Duration),
    /// Most near the middle, few far out.
    LogNormal { p50: Duration, p99: Duration },
}

impl Default for Latency {
    fn default() -> Self {
        Self::Fixed(Duration::ZERO)
    }
}

/// Throughput of a number (Meta: throughput, "up to 80 messages per second"; above it 130429).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Throughput {
    pub(crate) interval: Duration,
    pub(crate) burst: u32,
    /// Status of the refusal: Meta's older tables name 429 and 400 for the same code.
    pub(crate) http: u16,
}

impl Rules {
    /// Tells whether it matters who wrote to whom.
    pub(crate) fn has_policy(&self) -> bool {
        self.tier.is_some()
            || self.marketing.is_some()
            || self.window.is_some()
            || self.spam.is_some()
            || self.timelock.is_some()
    }

    /// Returns the downtime that a number is in.
    pub(crate) fn downtime_at(&self, since_start: Duration) -> Option<&Downtime> {
        self.downtimes.iter().find(|downtime| downtime.span.contains(since_start))
    }
}

/// How a message that breaks a rule fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) code: u32,
    pub(crate) http: u16,
    /// Whether it comes as a failed receipt after an acceptance.
    pub(crate) asynchronous: bool,
}

/// A time since the start of the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: Duration,
    pub(crate) end: Duration,
}

impl Span {
    pub(crate) fn contains(self, since_start: Duration) -> bool {
        (self.start..self.end).contains(&since_start)
    }
}

/// A time in which a number can not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Downtime {
    pub(crate) span: Span,
    pub(crate) breach: Breach,
}

/// Different recipients of an account outside their service windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tier {
    pub(crate) unique_recipients: u32,
    pub(crate) within: Duration,
    pub(crate) breach: Breach,
}

/// Templates to one recipient, whoever sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MarketingCap {
    pub(crate) per_recipient: u32,
    pub(crate) within: Duration,
    pub(crate) breach: Breach,
}

/// How long after a recipient's message free text may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServiceWindow {
    pub(crate) open_for: Duration,
    pub(crate) breach: Breach,
}

/// A number that may only answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpamLimit {
    /// Messages outside service windows that it may send before.
    pub(crate) after_messages: u32,
    pub(crate) span: Span,
    pub(crate) breach: Breach,
}

/// A number that may write only to those who have written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timelock {
    pub(crate) span: Span,
    pub(crate) breach: Breach,
}

/// A refusal by chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ErrorRule {
    pub(crate) code: u32,
    pub(crate) http: u16,
    pub(crate) probability: f64,
}

/// Something that may happen before or after the provider took responsibility.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Mishap {
    pub(crate) before_acceptance: f64,
    pub(crate) after_acceptance: f64,
}

/// When receipts come, and what is wrong with them (Meta: webhooks overview: at least once, in no promised order).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReceiptRules {
    pub(crate) sent: Duration,
    pub(crate) delivered: Duration,
    pub(crate) read: Duration,
    pub(crate) read_probability: f64,
    pub(crate) late_probability: f64,
    pub(crate) late: Duration,
    pub(crate) doubled_probability: f64,
    pub(crate) reordered_probability: f64,
    /// Codes of failures after the acceptance, with their probabilities.
    pub(crate) failed: Vec<(u32, f64)>,
}

impl Default for ReceiptRules {
    fn default() -> Self {
        Self {
            sent: Duration::from_millis(10),
            delivered: Duration::from_millis(50),
            read: Duration::from_millis(100),
            read_probability: 0.5,
            late_probability: 0.0,
            late: Duration::from_secs(2),
            doubled_probability: 0.0,
            reordered_probability: 0.0,
            failed: Vec::new(),
        }
    }
}

/// A refusal or failure of certain recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecipientRule {
    pub(crate) part: RecipientPart,
    pub(crate) code: u32,
    pub(crate) http: u16,
    /// Whether it comes as a failed receipt after an acceptance.
    pub(crate) asynchronous: bool,
}

impl RecipientRule {
    fn matches(&self, recipient: &str) -> bool {
        match &self.part {
            RecipientPart::Exact(text) => recipient == text,
            RecipientPart::Prefix(text) => recipient.starts_with(text.as_str()),
            RecipientPart::Suffix(text) => recipient.ends_with(text.as_str()),
        }
    }
}

/// Which recipients a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecipientPart {
    Exact(String),
    Prefix(String),
    Suffix(String),
}

/// A time in which nothing is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outage {
    pub(crate) start: Duration,
    pub(crate) end: Duration,
    pub(crate) kind: OutageKind,
}

/// What a sender sees of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutageKind {
    /// HTTP 503 from something in front of the provider, without a Graph body.
    Unavailable,
    /// The connection is cut, before anything was accepted.
    Reset,
}

#[cfg(test)]
mod tests;
