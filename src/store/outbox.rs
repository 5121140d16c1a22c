//! What is to be turned into jobs, and the jobs that a campaign makes.
//!
//! Whoever removes a row has handed its jobs on; jobs made twice are the same jobs.

use uuid::Uuid;

use crate::domain::id::CampaignId;
use crate::domain::job::Job;
use crate::store::{Store, StoreError};

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Its id, ordered by time.
    pub outbox_id: Uuid,
    /// The campaign, [`CampaignId::DIRECT`] for single messages.
    pub campaign_id: CampaignId,
    /// A whole job; none when the campaign is to be expanded.
    pub job: Option<Job>,
    /// The recipient to go on from when the campaign is expanded.
    pub next_seq: i64,
}

/// Jobs made from a window of a campaign's recipients.
#[derive(Debug, Clone, PartialEq)]
pub struct Expansion {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// The recipient to go on from.
    pub next_seq: i64,
    /// No recipient is left.
    pub finished: bool,
}

impl Store {
    /// Returns the oldest rows of the outbox.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a job can not be read.
    pub async fn outbox_next(&self, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        todo!("{limit}")
    }

    /// Removes rows whose jobs were handed on.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn outbox_remove(&self, outbox_ids: &[Uuid]) -> Result<(), StoreError> {
        todo!("{outbox_ids:?}")
    }

    /// Notes that a campaign's jobs below `next_seq` were handed on; never goes back.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn outbox_advance(&self, outbox_id: Uuid, next_seq: i64) -> Result<(), StoreError> {
        todo!("{outbox_id} {next_seq}")
    }

    /// Makes jobs from the next recipients of a campaign, at most `n_recipients_max`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn expand_campaign(
        &self,
        campaign_id: CampaignId,
        next_seq: i64,
        n_recipients_max: u32,
    ) -> Result<Expansion, StoreError> {
        todo!("{campaign_id} {next_seq} {n_recipients_max}")
    }
}
