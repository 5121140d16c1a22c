//! A table of a fault file, read key by key, with every mistake noted under its full key.
//!
//! Knows kinds of values and their ranges, and nothing of what the keys mean.

use std::time::Duration;

use toml::{Table, Value};

/// Longest duration that a file may name, in seconds; longer ones are mistakes of unit.
const SECONDS_MAX: f64 = 86_400.0;

/// One table of the file; keys are taken out as they are read, and what is left in the end is unknown.
pub(super) struct Section<'a> {
    path: String,
    table: Table,
    problems: &'a mut Vec<String>,
}

impl<'a> Section<'a> {
    pub(super) fn new(path: String, table: Table, problems: &'a mut Vec<String>) -> Self {
        Self { path, table, problems }
    }

    fn key(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    pub(super) fn problem(&mut self, key: &str, what: &str) {
        self.problems.push(format!("{}: {what}", self.key(key)));
    }

    pub(super) fn finish(self) {
        for key in self.table.keys() {
            self.problems.push(format!("{}: unknown key", self.key(key)));
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
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

    pub(super) fn part(&mut self, key: &str, read: impl FnOnce(&mut Section<'_>)) {
        let table =
            self.take(key, "a section", |value| if let Value::Table(table) = value { Some(table) } else { None });
        if let Some(table) = table {
            let mut part = Section::new(self.key(key), table, self.problems);
            read(&mut part);
            part.finish();
        }
    }

    pub(super) fn list<T>(&mut self, key: &str, mut read: impl FnMut(&mut Section<'_>) -> T) -> Vec<T> {
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

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let text = |value: Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        self.take(key, "a text that is not empty", text)
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", |value| value.as_bool())
    }

    pub(super) fn number(&mut self, key: &str) -> Option<f64> {
        self.take(key, "a number", |value| as_number(&value))
    }

    pub(super) fn count(&mut self, key: &str) -> Option<u32> {
        let count = |value: Value| value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        self.take(key, "a whole number above 0", count)
    }

    pub(super) fn probability(&mut self, key: &str) -> Option<f64> {
        let within = |value: Value| as_number(&value).filter(|p| (0.0..=1.0).contains(p));
        self.take(key, "a number from 0 to 1", within)
    }

    pub(super) fn required_probability(&mut self) -> f64 {
        if !self.has("probability") {
            self.problem("probability", "is missing");
        }
        self.probability("probability").unwrap_or(0.0)
    }

    pub(super) fn required_code(&mut self) -> u32 {
        if !self.has("code") {
            self.problem("code", "is missing");
        }
        // Longer than the longest of Meta, which has seven digits, is a slip.
        let code = |value: Value| value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n < 10_000_000);
        self.take("code", "a whole number from 0 to 9999999", code).unwrap_or(0)
    }

    /// Takes a code that may be left out.
    pub(super) fn code_or(&mut self, usual: u32) -> u32 {
        if self.has("code") { self.required_code() } else { usual }
    }

    pub(super) fn required_count(&mut self, key: &str) -> u32 {
        if !self.has(key) {
            self.problem(key, "is missing");
        }
        self.count(key).unwrap_or(1)
    }

    pub(super) fn status(&mut self) -> Option<u16> {
        let status =
            |value: Value| value.as_integer().and_then(|n| u16::try_from(n).ok()).filter(|n| (400..600).contains(n));
        self.take("http", "a status from 400 to 599", status)
    }

    pub(super) fn throttling_status(&mut self) -> u16 {
        let status =
            |value: Value| value.as_integer().and_then(|n| u16::try_from(n).ok()).filter(|n| [400, 429].contains(n));
        self.take("http", "429 or 400", status).unwrap_or(429)
    }

    pub(super) fn seconds(&mut self, key: &str) -> Option<Duration> {
        let within = |value: Value| as_number(&value).filter(|s| (0.0..=SECONDS_MAX).contains(s));
        self.take(key, "a number from 0 to 86400", within).map(Duration::from_secs_f64)
    }

    pub(super) fn ms(&mut self, key: &str) -> Option<Duration> {
        let within = |value: Value| as_number(&value).filter(|ms| (0.0..=SECONDS_MAX * 1_000.0).contains(ms));
        self.take(key, "a number from 0 to 86400000", within).map(|ms| Duration::from_secs_f64(ms / 1_000.0))
    }

    pub(super) fn required_seconds(&mut self, key: &str) -> Duration {
        if !self.has(key) {
            self.problem(key, "is missing");
        }
        self.seconds(key).unwrap_or_default()
    }

    pub(super) fn required_ms(&mut self, key: &str) -> Duration {
        if !self.has(key) {
            self.problem(key, "is missing");
        }
        self.ms(key).unwrap_or_default()
    }

    /// Takes one of several words and returns its place; the first one when the key is missing or wrong.
    pub(super) fn choice(&mut self, key: &str, words: &[&str]) -> usize {
        let place = |value: Value| words.iter().position(|word| value.as_str() == Some(*word));
        let must_be = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        self.take(key, &must_be, place).unwrap_or(0)
    }

    pub(super) fn at_most_one(&mut self, key: &str, sum: f64) {
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
