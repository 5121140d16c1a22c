//! Reads a fault file, and collects every mistake in it with its key.
//!
//! Walks the TOML by hand, because a derived reader would stop at the first mistake. Knows nothing of what the rules do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use toml::{Table, Value};

use super::{
    ErrorRule, Faults, Latency, Mishap, Outage, OutageKind, ReceiptRules, RecipientPart, RecipientRule, Rules,
    Throughput,
};
use crate::simulator::codes;
use crate::simulator::throttle::{PairLimit, PairModel};

/// Longest duration that a file may name, in seconds; longer ones are mistakes of unit.
const SECONDS_MAX: f64 = 86_400.0;

pub(super) fn read(text: &str) -> Result<Faults, Vec<String>> {
    let table =
        text.parse::<Table>().map_err(|error| vec![format!("not valid TOML: {}", error.to_string().trim_end())])?;
    let mut problems = Vec::new();
    let mut file = Section::new(String::new(), table, &mut problems);
    let rules = read_rules(&mut file, &Rules::default());
    let recipients = file.list("recipients", read_recipient);
    let outages = file.list("outages", read_outage);
    let numbers = file.list("numbers", |section| read_number(section, &rules));
    file.finish();
    let mut by_id = HashMap::new();
    for (id, rules) in numbers {
        if by_id.insert(id.clone(), Arc::new(rules)).is_some() {
            problems.push(format!("numbers: `{id}` is named twice"));
        }
    }
    if problems.is_empty() {
        Ok(Faults { rules: Arc::new(rules), recipients, outages, numbers: by_id })
    } else {
        Err(problems)
    }
}

fn read_number(section: &mut Section<'_>, base: &Rules) -> (String, Rules) {
    let id = section.text("id").unwrap_or_else(|| {
        section.problem("id", "is missing");
        String::new()
    });
    (id, read_rules(section, base))
}

/// Reads the sections that may stand for all numbers or for one; what is not given is as in `base`.
fn read_rules(section: &mut Section<'_>, base: &Rules) -> Rules {
    let mut rules = base.clone();
    section.part("latency", |part| rules.latency = read_latency(part));
    section.part("throughput", |part| rules.throughput = Some(read_throughput(part)));
    section.part("pair", |part| rules.pair = Some(read_pair(part)));
    section.part("reset", |part| rules.reset = read_mishap(part));
    section.part("hang", |part| rules.hang = read_mishap(part));
    section.part("receipts", |part| rules.receipts = read_receipts(part));
    if section.has("errors") {
        rules.errors = section.list("errors", read_error);
        let sum = rules.errors.iter().map(|error| error.probability).sum();
        section.at_most_one("errors", sum);
    }
    rules
}

fn read_latency(part: &mut Section<'_>) -> Latency {
    match part.choice("distribution", &["fixed", "uniform", "lognormal"]) {
        0 => Latency::Fixed(part.required_ms("fixed_ms")),
        1 => {
            let (min, max) = (part.required_ms("min_ms"), part.required_ms("max_ms"));
            if min > max {
                part.problem("min_ms", "must not be above max_ms");
            }
            Latency::Uniform(min, max)
        }
        _ => {
            let (p50, p99) = (part.required_ms("p50_ms"), part.required_ms("p99_ms"));
            if p50.is_zero() || p99 < p50 {
                part.problem("p50_ms", "must be above 0 and not above p99_ms");
            }
            Latency::LogNormal { p50, p99 }
        }
    }
}

fn read_throughput(part: &mut Section<'_>) -> Throughput {
    let per_second = part.number("per_second").unwrap_or_else(|| {
        part.problem("per_second", "is missing");
        1.0
    });
    if !(0.000_1..=1_000_000.0).contains(&per_second) {
        part.problem("per_second", "must be from 0.0001 to 1000000");
        return Throughput { interval: Duration::ZERO, burst: 1, http: 429 };
    }
    let burst = part.count("burst").unwrap_or_else(|| {
        let whole = Duration::from_secs_f64(per_second.ceil()).as_secs();
        u32::try_from(whole).unwrap_or(u32::MAX).max(1)
    });
    Throughput { interval: Duration::from_secs_f64(1.0 / per_second), burst, http: part.throttling_status() }
}

fn read_pair(part: &mut Section<'_>) -> PairLimit {
    let model = match part.choice("model", &["borrow_block", "gcra"]) {
        0 => PairModel::BorrowBlock,
        _ => PairModel::Gcra,
    };
    let interval = part.seconds("interval_seconds").unwrap_or(Duration::from_secs(6));
    if interval.is_zero() {
        part.problem("interval_seconds", "must be above 0");
    }
    PairLimit { model, interval, burst: part.count("burst").unwrap_or(45), http: part.throttling_status() }
}

fn read_mishap(part: &mut Section<'_>) -> Mishap {
    Mishap {
        before_acceptance: part.probability("before_acceptance").unwrap_or(0.0),
        after_acceptance: part.probability("after_acceptance").unwrap_or(0.0),
    }
}

fn read_receipts(part: &mut Section<'_>) -> ReceiptRules {
    let base = ReceiptRules::default();
    let rules = ReceiptRules {
        sent: part.ms("sent_ms").unwrap_or(base.sent),
        delivered: part.ms("delivered_ms").unwrap_or(base.delivered),
        read: part.ms("read_ms").unwrap_or(base.read),
        read_probability: part.probability("read_probability").unwrap_or(base.read_probability),
        late_probability: part.probability("late_probability").unwrap_or(0.0),
        late: part.ms("late_ms").unwrap_or(base.late),
        doubled_probability: part.probability("doubled_probability").unwrap_or(0.0),
        reordered_probability: part.probability("reordered_probability").unwrap_or(0.0),
        failed: part.list("failed", |item| (item.required_code(), item.required_probability())),
    };
    part.at_most_one("failed", rules.failed.iter().map(|(_, probability)| probability).sum());
    rules
}

fn read_error(item: &mut Section<'_>) -> ErrorRule {
    let code = item.required_code();
    let http = item.status().unwrap_or(codes::find(code).http);
    ErrorRule { code, http, probability: item.required_probability() }
}

fn read_recipient(item: &mut Section<'_>) -> RecipientRule {
    let code = item.required_code();
    let http = item.status().unwrap_or(codes::find(code).http);
    let asynchronous = item.flag("asynchronous").unwrap_or(false);
    let given = [
        item.text("exact").map(RecipientPart::Exact),
        item.text("prefix").map(RecipientPart::Prefix),
        item.text("suffix").map(RecipientPart::Suffix),
    ];
    let mut parts = given.into_iter().flatten();
    let (first, more) = (parts.next(), parts.next().is_some());
    if first.is_none() || more {
        item.problem("", "needs exactly one of exact, prefix and suffix");
    }
    RecipientRule { part: first.unwrap_or(RecipientPart::Exact(String::new())), code, http, asynchronous }
}

fn read_outage(item: &mut Section<'_>) -> Outage {
    let start = item.required_seconds("start_seconds");
    let end = item.required_seconds("end_seconds");
    if end <= start {
        item.problem("end_seconds", "must be above start_seconds");
    }
    let kind = match item.choice("kind", &["unavailable", "reset"]) {
        0 => OutageKind::Unavailable,
        _ => OutageKind::Reset,
    };
    Outage { start, end, kind }
}

/// One table of the file; keys are taken out as they are read, and what is left in the end is unknown.
struct Section<'a> {
    path: String,
    table: Table,
    problems: &'a mut Vec<String>,
}

impl<'a> Section<'a> {
    fn new(path: String, table: Table, problems: &'a mut Vec<String>) -> Self {
        Self { path, table, problems }
    }

    fn key(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    fn problem(&mut self, key: &str, what: &str) {
        self.problems.push(format!("{}: {what}", self.key(key)));
    }

    fn finish(self) {
        for key in self.table.keys() {
            self.problems.push(format!("{}: unknown key", self.key(key)));
        }
    }

    fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Takes a value that `read` understands; says what it must be if it is something else.
    fn take<T>(&mut self, key: &str, must_be: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let read = read(self.table.remove(key)?);
        if read.is_none() {
            self.problem(key, &format!("must be {must_be}"));
        }
        read
    }

    fn part(&mut self, key: &str, read: impl FnOnce(&mut Section<'_>)) {
        let table =
            self.take(key, "a section", |value| if let Value::Table(table) = value { Some(table) } else { None });
        if let Some(table) = table {
            let mut part = Section::new(self.key(key), table, self.problems);
            read(&mut part);
            part.finish();
        }
    }

    fn list<T>(&mut self, key: &str, mut read: impl FnMut(&mut Section<'_>) -> T) -> Vec<T> {
        let items = self
            .take(key, "a list of sections", |value| if let Value::Array(items) = value { Some(items) } else { None });
        let mut list = Vec::new();
        for (at, item) in items.unwrap_or_default().into_iter().enumerate() {
            let path = self.key(&format!("{key}[{at}]"));
            let Value::Table(table) = item else {
                self.problems.push(format!("{path}: must be a section"));
                continue;
            };
            let mut item = Section::new(path, table, self.problems);
            list.push(read(&mut item));
            item.finish();
        }
        list
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let text = |value: Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        self.take(key, "a text that is not empty", text)
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", |value| value.as_bool())
    }

    fn number(&mut self, key: &str) -> Option<f64> {
        self.take(key, "a number", |value| as_number(&value))
    }

    fn count(&mut self, key: &str) -> Option<u32> {
        let count = |value: Value| value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        self.take(key, "a whole number above 0", count)
    }

    fn probability(&mut self, key: &str) -> Option<f64> {
        let within = |value: Value| as_number(&value).filter(|p| (0.0..=1.0).contains(p));
        self.take(key, "a number from 0 to 1", within)
    }

    fn required_probability(&mut self) -> f64 {
        if !self.has("probability") {
            self.problem("probability", "is missing");
        }
        self.probability("probability").unwrap_or(0.0)
    }

    fn required_code(&mut self) -> u32 {
        if !self.has("code") {
            self.problem("code", "is missing");
        }
        // Longer than the longest of Meta, which has seven digits, is a slip.
        let code = |value: Value| value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n < 10_000_000);
        self.take("code", "a whole number from 0 to 9999999", code).unwrap_or(0)
    }

    fn status(&mut self) -> Option<u16> {
        let status =
            |value: Value| value.as_integer().and_then(|n| u16::try_from(n).ok()).filter(|n| (400..600).contains(n));
        self.take("http", "a status from 400 to 599", status)
    }

    fn throttling_status(&mut self) -> u16 {
        let status =
            |value: Value| value.as_integer().and_then(|n| u16::try_from(n).ok()).filter(|n| [400, 429].contains(n));
        self.take("http", "429 or 400", status).unwrap_or(429)
    }

    fn seconds(&mut self, key: &str) -> Option<Duration> {
        let within = |value: Value| as_number(&value).filter(|s| (0.0..=SECONDS_MAX).contains(s));
        self.take(key, "a number from 0 to 86400", within).map(Duration::from_secs_f64)
    }

    fn ms(&mut self, key: &str) -> Option<Duration> {
        let within = |value: Value| as_number(&value).filter(|ms| (0.0..=SECONDS_MAX * 1_000.0).contains(ms));
        self.take(key, "a number from 0 to 86400000", within).map(|ms| Duration::from_secs_f64(ms / 1_000.0))
    }

    fn required_seconds(&mut self, key: &str) -> Duration {
        if !self.has(key) {
            self.problem(key, "is missing");
        }
        self.seconds(key).unwrap_or_default()
    }

    fn required_ms(&mut self, key: &str) -> Duration {
        if !self.has(key) {
            self.problem(key, "is missing");
        }
        self.ms(key).unwrap_or_default()
    }

    /// Takes one of several words and returns its place; the first one when the key is missing or wrong.
    fn choice(&mut self, key: &str, words: &[&str]) -> usize {
        let place = |value: Value| words.iter().position(|word| value.as_str() == Some(*word));
        let must_be = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        self.take(key, &must_be, place).unwrap_or(0)
    }

    fn at_most_one(&mut self, key: &str, sum: f64) {
        // A little over one is what adding decimal fractions leaves.
        if sum > 1.000_001 {
            self.problem(key, "the probabilities add up to more than 1");
        }
    }
}

fn as_number(value: &Value) -> Option<f64> {
    // A file's whole numbers are small; a float holds them exactly.
    value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
}
