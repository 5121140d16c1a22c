//! Contacts from a file, chunk by chunk as it arrives.
//!
//! Holds one batch of rows at a time, never the file. The columns are those of recipient files; `name`, `email`,
//! `timezone` and `optin` are the contact's own, every other one is an attribute.

use std::fmt;

use crate::domain::contact::{ContactProblem, check_attributes, check_email, check_name};
use crate::domain::id::TenantId;
use crate::domain::message::{Variables, VariablesProblem};
use crate::domain::opt_out::OptSource;
use crate::domain::plan::Meter;
use crate::domain::recipient::Recipient;
use crate::domain::recipient_csv::{FileProblem, ImportReport, RecipientCsv, Row};
use crate::domain::zone::ZoneProblem;
use crate::error::{Error, Result};
use crate::limits::{CONTACT_STEP_MAX, IMPORT_STEP_BYTES_MAX};
use crate::service::Tools;
use crate::service::contacts::zone;
use crate::service::file_import::FileImport;
use crate::store::contacts::NewContact;

/// Rows added together.
const BATCH_ROWS_MAX: usize = CONTACT_STEP_MAX as usize;

/// An import under way.
///
/// Batches that were added stay when it is broken off; the same file can be sent again, and what was added counts as
/// duplicate then.
pub struct ContactImport {
    tools: Tools,
    tenant_id: TenantId,
    csv: RecipientCsv,
    batch: Vec<NewContact>,
    report: ImportReport,
}

/// Why a row is left out, though its phone is good.
#[derive(Debug, thiserror::Error)]
enum RowProblem {
    #[error("{0}: {1}")]
    Field(&'static str, #[source] ContactProblem),
    #[error("time zone: {0}")]
    Zone(#[from] ZoneProblem),
    #[error("optin: must be yes or no")]
    OptIn,
    #[error(transparent)]
    Attributes(#[from] VariablesProblem),
}

impl ContactImport {
    /// Starts an import; made by [`crate::service::ContactService::import`].
    #[must_use]
    pub fn new(tools: Tools, tenant_id: TenantId) -> Self {
        Self { tools, tenant_id, csv: RecipientCsv::new(), batch: vec![], report: ImportReport::default() }
    }

    /// Takes the next bytes of the file; adds a batch of contacts whenever one is full.
    ///
    /// # Errors
    /// `Validation` when the file has no column of phones; `LimitExceeded` when a row has no room in the plan, with as
    /// many before it added as had; `SubscriptionInactive`.
    pub async fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        for step in chunk.chunks(IMPORT_STEP_BYTES_MAX) {
            let Self { csv, batch, report, .. } = self;
            csv.feed(step, &mut |row| sort(row, batch, report)).map_err(|problem| refused(&problem))?;
            while BATCH_ROWS_MAX <= self.batch.len() {
                let rest = self.batch.split_off(BATCH_ROWS_MAX);
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
        let by = (OptSource::Import, self.tools.clock.now().as_ms());
        let inserted = self.tools.store.contacts().insert(self.tenant_id, &self.batch, by).await??;
        self.report.add_accepted(count(inserted.added.len()));
        self.report.add_duplicates(count(inserted.duplicates.len()));
        self.batch.clear();
        if inserted.n_refused == 0 { Ok(()) } else { Err(Error::LimitExceeded(Meter::Contacts)) }
    }
}

impl fmt::Debug for ContactImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContactImport").field("report", &self.report).finish_non_exhaustive()
    }
}

fn sort(row: Row, batch: &mut Vec<NewContact>, report: &mut ImportReport) {
    match row {
        Row::Good { line, recipient, variables } => match contact(recipient, &variables) {
            Ok(contact) => batch.push(contact),
            Err(problem) => report.add_rejected(line, &problem),
        },
        Row::Bad { line, problem } => report.add_rejected(line, &problem),
    }
}

fn contact(phone: Recipient, cells: &Variables) -> Result<NewContact, RowProblem> {
    let (name, email, time_zone) = (String::new(), None, None);
    let attributes = Variables::default();
    let mut contact = NewContact { phone, name, email, time_zone, attributes, is_out: false };
    for (column, cell) in cells.iter() {
        match plain(column).as_str() {
            "name" => contact.name = check_name(cell).map_err(|problem| RowProblem::Field("name", problem))?,
            "email" => contact.email = check_email(cell).map_err(|problem| RowProblem::Field("email", problem))?,
            "timezone" => contact.time_zone = Some(zone(cell)?),
            "optin" => contact.is_out = !is_yes(cell).ok_or(RowProblem::OptIn)?,
            _ => contact.attributes.insert(column, cell.to_owned())?,
        }
    }
    check_attributes(&contact.attributes).map_err(|problem| RowProblem::Field("attributes", problem))?;
    Ok(contact)
}

/// Returns the name of a column without what does not count.
fn plain(column: &str) -> String {
    column.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).flat_map(char::to_lowercase).collect()
}

fn is_yes(cell: &str) -> Option<bool> {
    match cell.to_lowercase().as_str() {
        "yes" | "true" | "1" | "y" => Some(true),
        "no" | "false" | "0" | "n" => Some(false),
        _ => None,
    }
}

fn refused(problem: &FileProblem) -> Error {
    Error::invalid("file", problem.to_string())
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl FileImport for ContactImport {
    async fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        self.feed(chunk).await
    }

    async fn finish(self) -> Result<ImportReport> {
        self.finish().await
    }
}
