//! Recipients of a campaign from a file, chunk by chunk as it arrives.
//!
//! Holds one batch of rows at a time, never the file.

use std::fmt;

use crate::domain::id::{CampaignId, TenantId};
use crate::domain::recipient_csv::{FileProblem, RecipientCsv, Row};
pub use crate::domain::recipient_csv::{ImportReport, LineProblem};
use crate::error::{Error, Result};
use crate::limits::{IMPORT_STEP_BYTES_MAX, RECIPIENTS_PER_INSERT_MAX};
use crate::service::Tools;
use crate::service::campaigns::append;
use crate::service::file_import::FileImport;
use crate::store::campaign_recipients::NewRecipient;

/// An import under way.
///
/// Batches that were added stay when it is broken off; the same file can be sent again, and what
/// was added counts as duplicate then.
pub struct RecipientImport {
    tools: Tools,
    tenant_id: TenantId,
    campaign_id: CampaignId,
    csv: RecipientCsv,
    batch: Vec<NewRecipient>,
    report: ImportReport,
}

impl RecipientImport {
    /// Starts an import; made by [`crate::service::CampaignService::import_recipients`].
    #[must_use]
    pub fn new(tools: Tools, tenant_id: TenantId, campaign_id: CampaignId) -> Self {
        let (csv, report) = (RecipientCsv::new(), ImportReport::default());
        Self { tools, tenant_id, campaign_id, csv, batch: vec![], report }
    }

    /// Takes the next bytes of the file; adds a batch of recipients whenever one is full.
    ///
    /// # Errors
    /// `Validation` when the file has no column of phone numbers; `Conflict` when the campaign is no
    /// draft any more; `NotFound` when it is gone.
    pub async fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        for step in chunk.chunks(IMPORT_STEP_BYTES_MAX) {
            let Self { csv, batch, report, .. } = self;
            csv.feed(step, &mut |row| sort(row, batch, report)).map_err(|problem| refused(&problem))?;
            while RECIPIENTS_PER_INSERT_MAX <= self.batch.len() {
                let rest = self.batch.split_off(RECIPIENTS_PER_INSERT_MAX);
                self.add_batch().await?;
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
        csv.finish(&mut |row| sort(row, batch, report)).map_err(|problem| refused(&problem))?;
        self.add_batch().await?;
        Ok(self.report)
    }

    async fn add_batch(&mut self) -> Result<()> {
        let appended = append(&self.tools, self.tenant_id, self.campaign_id, &self.batch).await?;
        self.report.add_accepted(count(appended.accepted));
        self.report.add_duplicates(count(appended.duplicates.len()));
        self.batch.clear();
        Ok(())
    }
}

impl fmt::Debug for RecipientImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        f.debug_struct("RecipientImport").field("report", report).finish_non_exhaustive()
    }
}

fn sort(row: Row, batch: &mut Vec<NewRecipient>, report: &mut ImportReport) {
    match row {
        Row::Good { recipient, variables, .. } => batch.push(NewRecipient { recipient, variables, time_zone: None }),
        Row::Bad { line, problem } => report.add_rejected(line, &problem),
    }
}

fn refused(problem: &FileProblem) -> Error {
    Error::invalid("file", problem.to_string())
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl FileImport for RecipientImport {
    async fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        self.feed(chunk).await
    }

    async fn finish(self) -> Result<ImportReport> {
        self.finish().await
    }
}
