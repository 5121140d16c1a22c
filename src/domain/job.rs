//! A job as it is on the topic: version 1, at most 500 deliveries for one session.
//!
//! Reading one checks everything that can be checked without the database. Moves nothing.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::domain::campaign::OnUnknown;
use crate::domain::id::{CampaignId, DeliveryId, JobId, SessionId, TenantId};
use crate::domain::message::{MessageSpec, Variables};
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::domain::zone::Zone;

/// Deliveries in one job, at most; keeps a record under a megabyte with full variables.
pub const DELIVERIES_PER_JOB_MAX: NonZeroUsize = NonZeroUsize::new(500).expect("500 is not zero");

/// The version of the wire form that this code writes and reads.
pub const JOB_VERSION: u32 = 1;

/// What kind of traffic a delivery is; transactional ones overtake the others inside a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficClass {
    /// One message that somebody waits for.
    Transactional,
    /// Part of a campaign.
    #[default]
    Bulk,
}

impl TrafficClass {
    /// Returns the word on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Bulk => "bulk",
        }
    }

    /// Reads the word on the wire.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Transactional, Self::Bulk].into_iter().find(|class| class.as_str() == word)
    }
}

/// One record of the job topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Job {
    /// Version of the wire form; 1.
    pub v: u32,
    /// The job.
    pub job_id: JobId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Which session sends; also the record's key.
    pub session_id: SessionId,
    /// The campaign, or none for single messages.
    pub campaign_id: Option<CampaignId>,
    /// Kind of traffic.
    #[serde(default)]
    pub traffic_class: TrafficClass,
    /// What becomes of deliveries without an answer.
    #[serde(default)]
    pub on_unknown: OnUnknown,
    /// What becomes of deliveries for which the plan has no message left.
    #[serde(default)]
    pub on_limit: OnLimit,
    /// Not to be sent before this time.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub not_before: Option<OffsetDateTime>,
    /// To be skipped from this time on.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// What is sent.
    pub message: MessageSpec,
    /// To whom.
    pub deliveries: Vec<JobDelivery>,
}

/// One delivery inside a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobDelivery {
    /// Its id, chosen by whoever wrote the job; makes redelivery harmless.
    pub id: DeliveryId,
    /// Who gets it.
    pub to: Recipient,
    /// Values for the message's variables.
    #[serde(default)]
    pub variables: Variables,
    /// Where the recipient lives, for sending hours; by the phone number's country when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
}

/// Why a record is not a job.
#[derive(Debug, thiserror::Error)]
pub enum JobProblem {
    /// Not JSON, or not of the form of version 1.
    #[error("the record is not a job of version {JOB_VERSION}")]
    Unreadable(#[source] serde_json::Error),
    /// A version this code does not know.
    #[error("the job has version {0}, known is {JOB_VERSION}")]
    UnknownVersion(u64),
    /// Too many deliveries, or none.
    #[error("the job has {0} deliveries, allowed are 1 to {DELIVERIES_PER_JOB_MAX}")]
    DeliveryCount(usize),
}

impl Job {
    /// Reads a record of the job topic.
    ///
    /// # Errors
    /// [`JobProblem`] says what is wrong; the record belongs to the dead letters then.
    pub fn decode(bytes: &[u8]) -> Result<Self, JobProblem> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }
        let versioned: Versioned = serde_json::from_slice(bytes).map_err(JobProblem::Unreadable)?;
        if versioned.v != u64::from(JOB_VERSION) {
            return Err(JobProblem::UnknownVersion(versioned.v));
        }
        let job: Self = serde_json::from_slice(bytes).map_err(JobProblem::Unreadable)?;
        if job.deliveries.is_empty() || DELIVERIES_PER_JOB_MAX.get() < job.deliveries.len() {
            return Err(JobProblem::DeliveryCount(job.deliveries.len()));
        }
        Ok(job)
    }

    /// Writes the record.
    ///
    /// # Errors
    /// Only when a time has a year that RFC 3339 can not write.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Returns the campaign, [`CampaignId::DIRECT`] for single messages.
    #[must_use]
    pub fn campaign(&self) -> CampaignId {
        self.campaign_id.unwrap_or(CampaignId::DIRECT)
    }
}
