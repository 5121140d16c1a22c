//! Files of rows that are taken in chunk by chunk as they arrive, whatever the rows become.
//!
//! Holds one batch at a time, never the file.

use std::fmt;
use std::future::Future;

pub use crate::domain::recipient_csv::{ImportReport, LineProblem};
use crate::domain::recipient_csv::{RecipientCsv, Row};
use crate::error::{Error, Result};
use crate::limits::IMPORT_STEP_BYTES_MAX;

/// What the rows of a file become.
pub trait Rows: Send {
    /// What a row becomes.
    type Item: Send;

    /// Items added together.
    const BATCH_MAX: usize;

    /// Makes an item of a row, or puts down why not.
    fn sort(row: Row, batch: &mut Vec<Self::Item>, report: &mut ImportReport);

    /// Adds a batch, and puts down what became of it.
    ///
    /// # Errors
    /// What the import refuses; it is over then.
    fn add(&self, batch: &[Self::Item], report: &mut ImportReport) -> impl Future<Output = Result<()>> + Send;
}

/// An import under way.
///
/// Batches that were added stay when it is broken off; the same file can be sent again, and what was added counts as
/// duplicate then.
pub struct FileImport<R: Rows> {
    rows: R,
    csv: RecipientCsv,
    batch: Vec<R::Item>,
    report: ImportReport,
}

impl<R: Rows> FileImport<R> {
    /// Starts an import; nothing is read yet.
    pub(super) fn new(rows: R) -> Self {
        Self { rows, csv: RecipientCsv::new(), batch: vec![], report: ImportReport::default() }
    }

    /// Takes the next bytes of the file; adds a batch whenever one is full.
    ///
    /// # Errors
    /// `Validation` when the file has no column of phones; what [`Rows::add`] refuses with.
    pub async fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        for step in chunk.chunks(IMPORT_STEP_BYTES_MAX) {
            let Self { csv, batch, report, .. } = self;
            let fed = csv.feed(step, &mut |row| R::sort(row, batch, report));
            fed.map_err(|problem| Error::invalid("file", problem.to_string()))?;
            while R::BATCH_MAX <= self.batch.len() {
                let rest = self.batch.split_off(R::BATCH_MAX);
                self.rows.add(&self.batch, &mut self.report).await?;
                self.batch = rest;
            }
        }
        Ok(())
    }

    /// Takes the end of the file and adds the last batch.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub async fn finish(mut self) -> Result<ImportReport> {
        let csv = std::mem::take(&mut self.csv);
        let Self { batch, report, .. } = &mut self;
        let finished = csv.finish(&mut |row| R::sort(row, batch, report));
        finished.map_err(|problem| Error::invalid("file", problem.to_string()))?;
        self.rows.add(&self.batch, &mut self.report).await?;
        Ok(self.report)
    }
}

impl<R: Rows> fmt::Debug for FileImport<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileImport").field("report", &self.report).finish_non_exhaustive()
    }
}

/// Counts rows as reports do.
pub(super) fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
