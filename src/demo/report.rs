//! The figures of a run, for programs as one JSON object and for people as a page.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::client::Stats;
use super::observed::{DaemonFigures, Ledger};
use super::promises::Promise;

/// Everything that was counted, by whoever counted it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Recipients asked for.
    pub n_recipients: u64,
    /// Sessions asked for.
    pub n_sessions: u32,
    /// Recipients that the upload took.
    pub imported: u64,
    /// The API's counters.
    pub stats: Stats,
    /// The provider's ledger.
    pub ledger: Ledger,
    /// The daemon's metrics and memory.
    pub daemon: DaemonFigures,
    /// From the campaign's start until everything was settled.
    pub elapsed: Duration,
}

/// The JSON object; names and order of the fields are a contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Recipients asked for.
    pub recipients: u64,
    /// Sessions asked for.
    pub sessions: u32,
    /// Deliveries accepted.
    pub accepted: i64,
    /// Taken by the provider.
    pub sent: i64,
    /// Reported as delivered.
    pub delivered: i64,
    /// Reported as read.
    pub read: i64,
    /// Failed, by class.
    pub failed: FailedByClass,
    /// Not sent by our decision.
    pub skipped: i64,
    /// Cancelled by a person.
    pub cancelled: i64,
    /// May have been sent.
    pub unknown: i64,
    /// Waiting or being sent.
    pub pending: i64,
    /// Deliveries that no state accounts for.
    pub ledger_drift: i64,
    /// What the provider's ledger says.
    pub provider: ProviderReport,
    /// Acceptances per second by the provider's times.
    pub sends_per_second: f64,
    /// How late attempts began.
    pub lateness_ms: Lateness,
    /// From the campaign's start until everything was settled.
    pub elapsed_seconds: f64,
    /// The most memory the daemon held.
    pub peak_rss_bytes: u64,
}

/// Failures by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct FailedByClass {
    /// Because of a limit.
    pub limit_exceeded: i64,
    /// Because the session or the provider could not.
    pub whatsapp_unavailable: i64,
}

/// The provider's ledger in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderReport {
    /// Requests that arrived.
    pub received: u64,
    /// Different messages among them.
    pub distinct: u64,
    /// Acceptances beyond the first of the same message.
    pub duplicates: u64,
    /// Arrivals that came earlier than the pace allows.
    pub pace_violations: u64,
}

/// Lateness in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lateness {
    /// Of half of the attempts, at most.
    pub p50: f64,
    /// Of all but a hundredth of them, at most.
    pub p99: f64,
}

impl From<&Facts> for Report {
    fn from(facts: &Facts) -> Self {
        let Facts { stats, ledger, daemon, .. } = facts;
        Self {
            recipients: facts.n_recipients,
            sessions: facts.n_sessions,
            accepted: stats.total,
            sent: stats.sent,
            delivered: stats.delivered,
            read: stats.read,
            failed: FailedByClass {
                limit_exceeded: stats.failed_limit,
                whatsapp_unavailable: stats.failed_unavailable,
            },
            skipped: stats.skipped,
            cancelled: stats.cancelled,
            unknown: stats.unknown,
            pending: stats.pending,
            ledger_drift: facts.ledger_drift(),
            provider: ProviderReport {
                received: ledger.received,
                distinct: ledger.distinct,
                duplicates: ledger.duplicates,
                pace_violations: ledger.pace_violations,
            },
            sends_per_second: rounded(ledger.sends_per_second(), 10.0),
            lateness_ms: Lateness {
                p50: rounded(daemon.lateness_p50_ms, 1_000.0),
                p99: rounded(daemon.lateness_p99_ms, 1_000.0),
            },
            elapsed_seconds: rounded(facts.elapsed.as_secs_f64(), 1_000.0),
            peak_rss_bytes: daemon.peak_rss_bytes,
        }
    }
}

impl Facts {
    /// Returns how far the ledger is off by whoever says more: the daemon's metric, the API, or our own sum.
    #[must_use]
    pub fn ledger_drift(&self) -> i64 {
        let of_sum = (self.stats.total - self.stats.sum()).abs();
        of_sum.max(self.stats.ledger_drift.abs()).max(self.daemon.ledger_drift.abs())
    }
}

impl Report {
    /// Writes the page for people.
    #[must_use]
    pub fn to_page(&self, promises: &[Promise]) -> String {
        let mut page = String::new();
        let failed = self.failed.limit_exceeded + self.failed.whatsapp_unavailable;
        let by_class = format!(
            "LIMIT_EXCEEDED {}, WHATSAPP_UNAVAILABLE {}",
            grouped(self.failed.limit_exceeded),
            grouped(self.failed.whatsapp_unavailable)
        );
        let rows = [
            ("accepted", self.accepted, format!("of {} recipients over {} sessions", self.recipients, self.sessions)),
            ("sent", self.sent, "taken by the provider, nothing further reported".to_owned()),
            ("delivered", self.delivered, "on the phone".to_owned()),
            ("read", self.read, String::new()),
            ("failed", failed, by_class),
            ("skipped", self.skipped, String::new()),
            ("cancelled", self.cancelled, String::new()),
            ("unknown", self.unknown, "no answer and no receipt; not sent again".to_owned()),
            ("pending", self.pending, String::new()),
        ];
        // Writing to a text can not fail.
        for (state, count, remark) in rows {
            writeln!(page, "{}", format!("{state:>10} {:>12}   {remark}", grouped(count)).trim_end()).ok();
        }
        let ProviderReport { received, distinct, duplicates, pace_violations } = self.provider;
        writeln!(
            page,
            "\n{:.1} sends a second, {:.1} s; attempts began {:.1} ms late (p50), {:.1} ms (p99); daemon held at most {} MB\n\
             the provider's ledger: {received} requests for {distinct} messages, {duplicates} duplicates, \
             {pace_violations} pace violations\n",
            self.sends_per_second,
            self.elapsed_seconds,
            self.lateness_ms.p50,
            self.lateness_ms.p99,
            self.peak_rss_bytes / 1_000_000,
        )
        .ok();
        for promise in promises {
            writeln!(page, "{promise}").ok();
        }
        page
    }
}

/// Rounds for readers; `parts` is how many steps a whole has.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Writes a number with commas between its thousands.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if 0 < at && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::demo::promises;

    /// A run in which everything went well.
    pub(in crate::demo) fn good_facts() -> Facts {
        Facts {
            n_recipients: 10_000,
            n_sessions: 20,
            imported: 10_000,
            stats: Stats {
                total: 10_000,
                sent: 100,
                delivered: 4_000,
                read: 5_000,
                failed_limit: 300,
                failed_unavailable: 550,
                skipped: 20,
                cancelled: 10,
                unknown: 20,
                ..Stats::default()
            },
            ledger: Ledger {
                received: 10_400,
                accepted: 9_115,
                distinct: 9_970,
                first_at_ms: Some(1_000_000),
                last_at_ms: Some(1_005_123),
                ..Ledger::default()
            },
            daemon: DaemonFigures {
                ledger_drift: 0,
                lateness_p50_ms: 0.412_345,
                lateness_p99_ms: 3.25,
                peak_rss_bytes: 64_000_000,
            },
            elapsed: Duration::from_millis(5_250),
        }
    }

    #[test]
    fn json_has_exactly_the_fields_in_their_order() {
        let json = serde_json::to_string(&Report::from(&good_facts())).expect("JSON");
        insta::assert_snapshot!(json.replace(",\"", ",\n\""), @r#"
        {"recipients":10000,
        "sessions":20,
        "accepted":10000,
        "sent":100,
        "delivered":4000,
        "read":5000,
        "failed":{"LIMIT_EXCEEDED":300,
        "WHATSAPP_UNAVAILABLE":550},
        "skipped":20,
        "cancelled":10,
        "unknown":20,
        "pending":0,
        "ledgerDrift":0,
        "provider":{"received":10400,
        "distinct":9970,
        "duplicates":0,
        "paceViolations":0},
        "sendsPerSecond":1779.2,
        "latenessMs":{"p50":0.412,
        "p99":3.25},
        "elapsedSeconds":5.25,
        "peakRssBytes":64000000}
        "#);
    }

    #[test]
    fn the_page_is_for_people() {
        let mut facts = good_facts();
        facts.ledger.duplicates = 2;
        insta::assert_snapshot!(Report::from(&facts).to_page(&promises::check(&facts)), @r#"
          accepted       10,000   of 10000 recipients over 20 sessions
              sent          100   taken by the provider, nothing further reported
         delivered        4,000   on the phone
              read        5,000
            failed          850   LIMIT_EXCEEDED 300, WHATSAPP_UNAVAILABLE 550
           skipped           20
         cancelled           10
           unknown           20   no answer and no receipt; not sent again
           pending            0

        1779.2 sends a second, 5.2 s; attempts began 0.4 ms late (p50), 3.2 ms (p99); daemon held at most 64 MB
        the provider's ledger: 10400 requests for 9970 messages, 2 duplicates, 0 pace violations

        kept    every recipient is accepted: 10000 given, 10000 uploaded, 10000 accepted
        kept    nothing accepted is lost: 10000 accepted, 10000 in all states, drift 0
        kept    every message comes to an end: 0 pending, 0 campaigns open
        BROKEN  nothing is sent twice: 2 duplicates in the provider's ledger
        kept    no session exceeds its pace: 0 violations in the provider's ledger
        kept    nothing counts as sent that the provider did not take: 9100 sent, delivered or read; 9113 taken by the provider
        kept    the provider took nothing that we do not know of: 9113 taken by the provider; 9970 sent, delivered, read, failed or unknown
        kept    the provider's ledger is complete: 0 requests not put down
        "#);
    }

    #[test]
    fn the_worst_drift_is_reported() {
        let mut facts = good_facts();
        assert_eq!(facts.ledger_drift(), 0);
        facts.stats.sent -= 3;
        assert_eq!(facts.ledger_drift(), 3);
        facts.daemon.ledger_drift = -7;
        assert_eq!(facts.ledger_drift(), 7);
        facts.stats.ledger_drift = 9;
        assert_eq!(facts.ledger_drift(), 9);
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567, -1_000].map(grouped).join(" "), "0 999 1,000 1,234,567 -1,000");
    }
}
