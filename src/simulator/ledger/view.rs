//! The ledger over HTTP: sums, the judgement of the pace, and pages of entries.
//!
//! `GET /ledger` takes `ratePerSecond`, `burst` (1) and `toleranceMs` to count violations of a pace, or `entries=true` with
//! `after` (0: the index to begin at) and `limit` (1000, at most 10000) for raw entries in order.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::pace::{Schedule, Window, judge};
use super::{Book, Entry, Kind, Ledger, TEXT_RECIPIENT, Totals, Verdict};
use crate::simulator::LEDGER_PAGE_MAX;

/// What is asked of the ledger.
#[derive(Debug, PartialEq)]
pub(crate) enum Question {
    Sums(Option<Schedule>),
    Entries { after: usize, limit: usize },
}

/// Sums as they are answered; times are milliseconds since the epoch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sums {
    received: u64,
    accepted: u64,
    refused: u64,
    distinct: u64,
    duplicates: u64,
    unrecorded: u64,
    incomplete: u64,
    receipts_dropped: u64,
    receipts_waiting: u64,
    first_at_ms: Option<u64>,
    last_at_ms: Option<u64>,
    pace_violations: u64,
    tightest_gap_ms: Option<f64>,
    fullest_window: Option<WindowView>,
    by_verdict: std::collections::BTreeMap<&'static str, u64>,
    by_code: std::collections::BTreeMap<u32, u64>,
    numbers: usize,
}

/// A window of arrivals of one number.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WindowView {
    messages: u64,
    first_at_ms: u64,
    length_ms: f64,
    /// How much earlier than the pace allows its last message came; negative when later.
    early_ms: f64,
}

impl From<Window> for WindowView {
    fn from(window: Window) -> Self {
        let (first_us, last_us) = window.span_us;
        Self {
            messages: window.messages,
            first_at_ms: first_us / 1_000,
            length_ms: (last_us - first_us) as f64 / 1_000.0,
            early_ms: window.early_ns as f64 / 1_000_000.0,
        }
    }
}

/// Counts that others keep.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside {
    /// Sending numbers seen.
    pub(crate) numbers: usize,
    /// Requests whose body never came to its end.
    pub(crate) incomplete: u64,
    /// Receipts given up because too many waited.
    pub(crate) receipts_dropped: u64,
    /// Receipts not yet taken by the receiver.
    pub(crate) receipts_waiting: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<'a> {
    entries: Vec<EntryView<'a>>,
    /// Where the next page begins; null when this was the last one so far.
    next: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryView<'a> {
    index: usize,
    number: &'a str,
    recipient: String,
    token: Option<String>,
    at_us: u64,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    /// The hash of the file that went along.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_sha256: Option<String>,
}

impl Question {
    /// Reads the query of an address.
    ///
    /// # Errors
    /// What is wrong, with the parameter's name.
    pub(crate) fn read(query: &str) -> Result<Self, String> {
        let (mut rate, mut burst, mut tolerance, mut after, mut limit, mut entries) = (None, 1, None, 0, 1_000, false);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "ratePerSecond" => rate = Some(parse::<f64>(key, value, |rate| (0.000_001..=1e9).contains(rate))?),
                "burst" => burst = parse(key, value, |burst: &u32| *burst > 0)?,
                "toleranceMs" => tolerance = Some(parse::<f64>(key, value, |ms| (0.0..=1e9).contains(ms))?),
                "after" => after = parse(key, value, |_: &usize| true)?,
                "limit" => limit = parse(key, value, |limit: &usize| (1..=LEDGER_PAGE_MAX).contains(limit))?,
                "entries" => entries = parse(key, value, |_: &bool| true)?,
                _ => return Err(format!("{key}: unknown parameter")),
            }
        }
        if entries {
            return Ok(Self::Entries { after, limit });
        }
        let schedule = rate.map(|rate| {
            let usual = Schedule::per_second(rate, burst);
            let tolerance = tolerance.map_or(usual.tolerance, |ms| Duration::from_secs_f64(ms / 1_000.0));
            Schedule { tolerance, ..usual }
        });
        Ok(Self::Sums(schedule))
    }
}

pub(crate) fn parse<T: std::str::FromStr>(key: &str, value: &str, right: impl FnOnce(&T) -> bool) -> Result<T, String> {
    value.parse().ok().filter(right).ok_or_else(|| format!("{key}: `{value}` is not a value it can take"))
}

impl Ledger {
    /// Adds everything up; takes a second for ten million entries, so it is no work for an async thread.
    pub(crate) fn sums(&self, schedule: Option<&Schedule>, beside: Beside) -> Sums {
        let findings = judge(&self.arrivals(), schedule);
        let totals = self.totals();
        Sums {
            received: totals.received,
            accepted: totals.accepted,
            refused: totals.received - totals.accepted,
            distinct: totals.distinct,
            duplicates: totals.duplicates,
            unrecorded: totals.unrecorded,
            incomplete: beside.incomplete,
            receipts_dropped: beside.receipts_dropped,
            receipts_waiting: beside.receipts_waiting,
            first_at_ms: totals.span_us.map(|(first, _)| first / 1_000),
            last_at_ms: totals.span_us.map(|(_, last)| last / 1_000),
            pace_violations: findings.violations,
            tightest_gap_ms: findings.tightest_gap_us.map(|gap_us| gap_us as f64 / 1_000.0),
            fullest_window: findings.fullest.map(WindowView::from),
            by_verdict: words(&totals),
            by_code: totals.by_code,
            numbers: beside.numbers,
        }
    }

    /// Returns a page of entries as JSON text.
    pub(crate) fn page(
        &self,
        after: usize,
        limit: usize,
        numbers: &[Box<str>],
    ) -> Result<Box<RawValue>, serde_json::Error> {
        let book = self.lock();
        let until = book.n_entries().min(after.saturating_add(limit));
        let entries = (after..until).filter_map(|index| Some(book.view(index, book.entry(index)?, numbers))).collect();
        let page = Page { entries, next: (until < book.n_entries()).then_some(until) };
        drop(book);
        serde_json::value::to_raw_value(&page)
    }
}

fn words(totals: &Totals) -> std::collections::BTreeMap<&'static str, u64> {
    Verdict::WORDS.into_iter().zip(totals.by_verdict).collect()
}

impl Book {
    fn view<'a>(&self, index: usize, entry: &Entry, numbers: &'a [Box<str>]) -> EntryView<'a> {
        let token = match entry.kind {
            Kind::Uuid => Some(uuid::Uuid::from_u64_pair(entry.key[0], entry.key[1]).to_string()),
            Kind::Text => Some(self.texts.get(entry.key[1]).to_owned()),
            Kind::None => None,
        };
        let recipient = if entry.recipient & TEXT_RECIPIENT == 0 {
            entry.recipient.to_string()
        } else {
            self.texts.get(entry.recipient & !TEXT_RECIPIENT).to_owned()
        };
        let verdict = Verdict::WORDS[usize::from(entry.verdict)];
        EntryView {
            index,
            number: numbers.get(entry.number as usize).map_or("", |id| id),
            recipient,
            token,
            at_us: entry.at_us,
            verdict,
            code: (verdict == "refused").then_some(entry.code),
            media_sha256: self.media.get(&index).map(|place| self.texts.get(*place).to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_and_mistakes_named() {
        let ask = |query: &str| Question::read(query);
        assert_eq!(ask(""), Ok(Question::Sums(None)));
        assert_eq!(ask("ratePerSecond=2&burst=3"), Ok(Question::Sums(Some(Schedule::per_second(2.0, 3)))));
        let strict = Schedule { tolerance: Duration::from_micros(1_500), ..Schedule::per_second(2.0, 1) };
        assert_eq!(ask("toleranceMs=1.5&ratePerSecond=2"), Ok(Question::Sums(Some(strict))));
        assert_eq!(ask("entries=true&after=7&limit=10000"), Ok(Question::Entries { after: 7, limit: 10_000 }));
        for (query, named) in
            [("ratePerSecond=0", "ratePerSecond"), ("limit=10001&entries=true", "limit"), ("rate=1", "rate")]
        {
            assert!(ask(query).is_err_and(|problem| problem.starts_with(named)), "{query}");
        }
    }
}
