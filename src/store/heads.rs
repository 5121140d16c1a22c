//! The deliveries next in line, fetched for many lanes at once.
//!
//! Finds pending work along columns that never change; keeps no cursor of its own.

use crate::domain::campaign::OnUnknown;
use crate::domain::id::{CampaignId, DeliveryId, JobId, SessionId, TenantId};
use crate::domain::job::TrafficClass;
use crate::domain::message::{MessageSpec, Variables};
use crate::domain::recipient::Recipient;
use crate::store::{Store, StoreError};

/// Asks for the next pending deliveries of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRequest {
    /// The lane.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Only deliveries behind this place.
    pub after_seq: i64,
    /// At most so many.
    pub limit: u32,
}

/// A pending delivery, with what its attempt needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The lane.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The job it came with.
    pub job_id: JobId,
    /// Its place in the stream.
    pub seq: i64,
    /// Who gets it.
    pub recipient: Recipient,
    /// Values for the message's variables.
    pub variables: Variables,
    /// Attempts made so far.
    pub n_attempts: u32,
    /// Not to be tried before, UTC milliseconds.
    pub due_at_ms: i64,
}

/// What deliveries of one job have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// The job.
    pub job_id: JobId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Which session sends.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// What becomes of deliveries without an answer.
    pub on_unknown: OnUnknown,
    /// Not to be sent before, UTC milliseconds.
    pub not_before_ms: Option<i64>,
    /// To be skipped from then on, UTC milliseconds.
    pub expires_at_ms: Option<i64>,
    /// What is sent.
    pub message: MessageSpec,
}

impl Store {
    /// Returns the pending deliveries behind each request's place, in stream order, one list per request.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn fetch_heads(&self, requests: &[HeadRequest]) -> Result<Vec<Vec<Head>>, StoreError> {
        todo!("{requests:?}")
    }

    /// Returns the jobs that exist among the given ones, in no order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn find_jobs(&self, job_ids: &[JobId]) -> Result<Vec<JobRow>, StoreError> {
        todo!("{job_ids:?}")
    }
}
