//! Jobs become rows: the intake's one write.
//!
//! Safe to repeat: the ids come from the job. Reads no topic and stores no offset.

use crate::domain::id::{CampaignId, JobId, SessionId};
use crate::domain::job::{Job, TrafficClass};
use crate::store::{Store, StoreError};

/// A job to be admitted.
#[derive(Debug, Clone, Copy)]
pub struct Admission<'a> {
    /// The job.
    pub job: &'a Job,
    /// The place of its first delivery in its stream; the others follow.
    pub first_seq: i64,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The job.
    pub job_id: JobId,
    /// The session that is to send it.
    pub session_id: SessionId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// The place of its first delivery in its stream.
    pub first_seq: i64,
    /// Deliveries that were not there before.
    pub n_new: usize,
    /// Why nothing of it was persisted.
    pub refused: Option<Refusal>,
}

/// Why a job was not persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The tenant has no such session.
    UnknownSession,
}

impl Store {
    /// Persists jobs with their deliveries, all in one transaction; what is there already stays.
    ///
    /// Answers in the order of the admissions. Deliveries of a cancelled campaign are persisted as cancelled.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written or the commit was not confirmed; safe to
    /// repeat. [`StoreError::Corrupt`] when a message can not be written as JSON.
    pub async fn admit_jobs(&self, admissions: &[Admission<'_>], now_ms: i64) -> Result<Vec<Admitted>, StoreError> {
        todo!("{admissions:?} {now_ms}")
    }
}
