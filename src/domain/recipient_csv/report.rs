//! What became of the rows of an import, counted, with the first problems kept.
//!
//! Knows no file format: lists in JSON are counted the same way.

use std::fmt::Display;

use serde::Serialize;

/// Problems that a report names, at most; the rest is only counted.
pub const PROBLEMS_MAX: usize = 100;

/// Counts of an import. `accepted + duplicates + rejected` is the number of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Rows kept.
    pub accepted: u64,
    /// Rows whose recipient was there already.
    pub duplicates: u64,
    /// Rows left out.
    pub rejected: u64,
    /// The first rows left out, in order of the file.
    pub first_problems: Vec<LineProblem>,
}

/// Why one row was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineProblem {
    /// Physical line of the file, the first being 1; for lists, the place in the list.
    pub line: u64,
    /// Why, in a sentence.
    pub problem: String,
}

impl ImportReport {
    /// Counts rows that were kept.
    pub fn add_accepted(&mut self, n_rows: u64) {
        self.accepted += n_rows;
    }

    /// Counts rows whose recipient was there already.
    pub fn add_duplicates(&mut self, n_rows: u64) {
        self.duplicates += n_rows;
    }

    /// Counts one row that was left out, and keeps its problem if it is among the first.
    pub fn add_rejected(&mut self, line: u64, problem: &impl Display) {
        self.rejected += 1;
        if self.first_problems.len() < PROBLEMS_MAX {
            self.first_problems.push(LineProblem { line, problem: problem.to_string() });
        }
    }
}
