//! What an admission looks up before it takes jobs in: whose sessions and campaigns they are, and what was cancelled on its way.
//!
//! Writes nothing; the statements about sessions and campaigns are in [`mod@super::write`].

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{Candidate, Refusal};
use crate::domain::campaign::CampaignState;
use crate::domain::delivery::DeliveryState;
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::job::Job;
use crate::store::Sql;
use crate::store::bind::{hex_list, ms_of};
use crate::store::tx::Tx;

/// Whoever cancels such a message waits until it is a delivery, or has cancelled it before.
const HOLD_MESSAGES: Sql = Sql::per_dialect(
    "SELECT outbox_id, cancelled_at_ms IS NOT NULL FROM outbox WHERE outbox_id = ANY($1) ORDER BY outbox_id FOR UPDATE",
    "SELECT outbox_id, cancelled_at_ms IS NOT NULL FROM outbox \
     WHERE outbox_id IN (SELECT unhex(value) FROM json_each($1))",
);

/// What is known of sessions and campaigns; campaigns stay as they are until the transaction ends.
#[derive(Default)]
pub(super) struct Known {
    pub(super) sessions: HashMap<SessionId, TenantId>,
    pub(super) campaigns: HashMap<CampaignId, (TenantId, String)>,
    /// Recipients that ever wrote to a session.
    pub(super) wrote: HashSet<(SessionId, String)>,
    /// Single messages that a person cancelled on their way here.
    pub(super) taken_back: HashSet<Uuid>,
}

impl Known {
    /// Says why a job is not persisted, if it is not.
    pub(super) fn refusal(&self, job: &Job, now_ms: i64) -> Option<Refusal> {
        let Some(tenant_id) = self.sessions.get(&job.session_id) else {
            return Some(Refusal::UnknownSession);
        };
        let campaign = self.campaigns.get(&job.campaign());
        if *tenant_id != job.tenant_id || campaign.is_some_and(|(tenant_id, _)| *tenant_id != job.tenant_id) {
            return Some(Refusal::ForeignTenant);
        }
        // An expired job of our own campaign is admitted, and its lane skips it: the campaign counts
        // every recipient.
        let expired = campaign.is_none() && job.expires_at.is_some_and(|at| ms_of(at) <= now_ms);
        expired.then_some(Refusal::Expired)
    }

    /// Returns the state in which a new delivery begins.
    pub(super) fn first_state(&self, campaign_id: CampaignId, delivery_id: DeliveryId) -> DeliveryState {
        let campaign = self.campaigns.get(&campaign_id).map(|(_, state)| state.as_str());
        let is_over = campaign == Some(CampaignState::Cancelled.as_str());
        if is_over || self.taken_back.contains(&delivery_id.0) {
            DeliveryState::Cancelled
        } else {
            DeliveryState::Pending
        }
    }
}

impl Tx {
    /// Holds the single messages of the candidates that are in the outbox; returns those that were cancelled there.
    pub(super) async fn hold_messages(&mut self, candidates: &[Candidate<'_>]) -> Result<HashSet<Uuid>, sqlx::Error> {
        let single = candidates.iter().filter(|candidate| candidate.job.campaign().is_direct());
        let mut ids: Vec<Uuid> = single.flat_map(Candidate::deliveries).map(|(delivery, _)| delivery.id.0).collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        ids.sort_unstable();
        let rows: Vec<(Uuid, bool)> = match self {
            Self::Postgres(tx) => sqlx::query_as(HOLD_MESSAGES.postgres()).bind(ids).fetch_all(&mut **tx).await?,
            Self::Sqlite(tx) => {
                sqlx::query_as(HOLD_MESSAGES.sqlite()).bind(hex_list(&ids)).fetch_all(&mut **tx).await?
            }
        };
        Ok(rows.into_iter().filter(|(_, is_cancelled)| *is_cancelled).map(|(id, _)| id).collect())
    }
}
