//! Contacts from a file.
//!
//! The columns are those of recipient files; `name`, `email`,
//! `timezone` and `optin` are the contact's own, every other one is an attribute.

use crate::domain::contact::{ContactProblem, check_attributes, check_email, check_name};
use crate::domain::id::TenantId;
use crate::domain::message::{Variables, VariablesProblem};
use crate::domain::opt_out::OptSource;
use crate::domain::plan::Meter;
use crate::domain::recipient::Recipient;
use crate::domain::recipient_csv::{ImportReport, Row};
use crate::domain::zone::ZoneProblem;
use crate::error::{Error, Result};
use crate::limits::CONTACT_STEP_MAX;
use crate::service::Tools;
use crate::service::contacts::zone;
use crate::service::file_import::{FileImport, Rows, count};
use crate::store::contacts::NewContact;

/// Contacts from a file. A row that has no room in the plan ends it with `LimitExceeded`; as many before it are added as
/// had.
pub type ContactImport = FileImport<ContactRows>;

/// Rows that become contacts of a tenant.
#[derive(Debug)]
pub struct ContactRows {
    pub(super) tools: Tools,
    pub(super) tenant_id: TenantId,
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

impl Rows for ContactRows {
    type Item = NewContact;

    const BATCH_MAX: usize = CONTACT_STEP_MAX as usize;

    fn sort(row: Row, batch: &mut Vec<NewContact>, report: &mut ImportReport) {
        match row {
            Row::Good { line, recipient, variables } => match contact(recipient, &variables) {
                Ok(contact) => batch.push(contact),
                Err(problem) => report.add_rejected(line, &problem),
            },
            Row::Bad { line, problem } => report.add_rejected(line, &problem),
        }
    }

    async fn add(&self, batch: &[NewContact], report: &mut ImportReport) -> Result<()> {
        let by = (OptSource::Import, self.tools.clock.now().as_ms());
        let inserted = self.tools.store.contacts().insert(self.tenant_id, batch, by).await??;
        report.add_accepted(count(inserted.added.len()));
        report.add_duplicates(count(inserted.duplicates.len()));
        if inserted.n_refused == 0 { Ok(()) } else { Err(Error::LimitExceeded(Meter::Contacts)) }
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
