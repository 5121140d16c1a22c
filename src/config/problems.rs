//! The list of everything that is wrong with the settings.
//!
//! Collects; decides nothing.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, `section.key`; empty when a file as a whole is unreadable.
    pub key: String,
    /// What is wrong, without the key.
    pub text: String,
    /// The file or the variable that says it; none for defaults.
    pub origin: Option<String>,
}

/// Every mistake, in the order of the keys.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    list: Vec<Problem>,
    origins: HashMap<String, String>,
}

impl Problems {
    /// Tells whether everything is right.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the mistakes.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Adds a mistake at a key.
    pub(super) fn push(&mut self, key: &str, text: impl Into<String>) {
        let origin = self.origins.get(key).cloned();
        self.list.push(Problem { key: key.to_owned(), text: text.into(), origin });
    }

    /// Remembers which source set a key, so that a mistake names it; the strongest source comes last.
    pub(super) fn note_origin(&mut self, key: &str, origin: impl Into<String>) {
        self.origins.insert(key.to_owned(), origin.into());
    }

    /// Puts the mistakes into the order of their keys.
    pub(super) fn sort(&mut self) {
        self.list.sort_by(|a, b| a.key.cmp(&b.key));
    }

    /// Reads a word that must be one of a few.
    pub(super) fn one_of<T: Copy>(&mut self, key: &str, word: &str, known: &[(&str, T)]) -> Option<T> {
        let found = known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<String> = known.iter().map(|(name, _)| format!("{name:?}")).collect();
            self.push(key, format!("must be {}, is {word:?}", names.join(" or ")));
        }
        found
    }

    /// Reads a time in milliseconds that must lie in a range.
    pub(super) fn millis(&mut self, key: &str, value: u64, range: RangeInclusive<u64>) -> Option<Duration> {
        self.in_range(key, value, range).map(Duration::from_millis)
    }

    /// Passes on a number when it lies in a range.
    pub(super) fn in_range(&mut self, key: &str, value: u64, range: RangeInclusive<u64>) -> Option<u64> {
        if range.contains(&value) {
            return Some(value);
        }
        self.push(key, format!("must be between {} and {}, is {value}", range.start(), range.end()));
        None
    }

    /// Passes on a value, or notes why there is none.
    pub(super) fn or_push<T>(&mut self, key: &str, value: Result<T, impl fmt::Display>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(problem) => {
                self.push(key, problem.to_string());
                None
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)?;
        match &self.origin {
            Some(origin) => write!(f, " (in {origin})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.list.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}
