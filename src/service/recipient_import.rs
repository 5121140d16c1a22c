//! Recipients of a campaign from a file, chunk by chunk as it arrives.
//!
//! Holds one batch of rows at a time, never the file.

use crate::domain::id::{CampaignId, TenantId};
use crate::error::Result;
use crate::service::Tools;

/// What became of a recipient file; good rows are kept whatever the others are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Rows that became recipients.
    pub accepted: u64,
    /// Rows whose recipient the campaign or the file had before.
    pub duplicates: u64,
    /// Rows that are not recipients.
    pub rejected: u64,
    /// The first bad lines.
    pub bad_lines: Vec<BadLine>,
}

/// A line that is not a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Which line of the file, from 1.
    pub line: u64,
    /// What is wrong with it, without its content.
    pub problem: String,
}

/// An import under way.
#[derive(Debug)]
pub struct RecipientImport {
    tools: Tools,
    tenant_id: TenantId,
    campaign_id: CampaignId,
}

impl RecipientImport {
    /// Starts an import; made by [`crate::service::CampaignService::import_recipients`].
    #[must_use]
    pub fn new(tools: Tools, tenant_id: TenantId, campaign_id: CampaignId) -> Self {
        Self {
            tools,
            tenant_id,
            campaign_id,
        }
    }

    /// Takes the next bytes of the file; adds a batch of recipients whenever one is full.
    ///
    /// # Errors
    /// `Validation` when the file has no column of phone numbers; `Conflict` when the campaign is no
    /// draft any more; `NotFound` when it is gone.
    pub async fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        unimplemented!("{:?} {} {} {chunk:?}", self.tools, self.tenant_id, self.campaign_id)
    }

    /// Takes the end of the file and adds the last batch.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub async fn finish(self) -> Result<ImportReport> {
        unimplemented!()
    }
}
