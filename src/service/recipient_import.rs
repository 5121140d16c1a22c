//! Recipients of a campaign from a file.

use crate::domain::id::{CampaignId, TenantId};
use crate::domain::recipient_csv::{ImportReport, Row};
use crate::error::Result;
use crate::limits::RECIPIENTS_PER_INSERT_MAX;
use crate::service::Tools;
use crate::service::campaigns::append;
use crate::service::file_import::{FileImport, Rows, count};
use crate::store::campaign_recipients::NewRecipient;

/// Recipients from a file. It is refused with `Conflict` when the campaign is no draft any more, and `NotFound` when it
/// is gone.
pub type RecipientImport = FileImport<RecipientRows>;

/// Rows that become recipients of a campaign.
#[derive(Debug)]
pub struct RecipientRows {
    pub(super) tools: Tools,
    pub(super) tenant_id: TenantId,
    pub(super) campaign_id: CampaignId,
}

impl Rows for RecipientRows {
    type Item = NewRecipient;

    const BATCH_MAX: usize = RECIPIENTS_PER_INSERT_MAX;

    fn sort(row: Row, batch: &mut Vec<NewRecipient>, report: &mut ImportReport) {
        match row {
            Row::Good { recipient, variables, .. } => {
                batch.push(NewRecipient { recipient, variables, time_zone: None });
            }
            Row::Bad { line, problem } => report.add_rejected(line, &problem),
        }
    }

    async fn add(&self, batch: &[NewRecipient], report: &mut ImportReport) -> Result<()> {
        let appended = append(&self.tools, self.tenant_id, self.campaign_id, batch).await?;
        report.add_accepted(count(appended.accepted));
        report.add_duplicates(count(appended.duplicates.len()));
        Ok(())
    }
}
