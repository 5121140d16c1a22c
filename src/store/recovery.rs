//! Moves that nobody's attempt makes: after a crash, on cancel, at the end of a campaign.
//!
//! Steps of bounded size that are safe to repeat; when to take them is decided elsewhere.

use crate::domain::campaign::Counters;
use crate::domain::id::{CampaignId, SessionId};
use crate::store::{Store, StoreError};

impl Store {
    /// Declares every attempt under way unknown, because the process that made it is gone.
    ///
    /// Returns the sessions concerned. To be called before the first attempt of this process.
    ///
    /// # Errors
    /// [`StoreError::Database`] when a step failed; safe to repeat.
    pub async fn orphan_in_flight(&self, now_ms: i64) -> Result<Vec<SessionId>, StoreError> {
        todo!("{now_ms}")
    }

    /// Puts unknown deliveries back in line where the job's policy is to resend, at most `limit`.
    ///
    /// Only those that became unknown before `settled_before_ms`. Returns the streams concerned
    /// with the lowest place put back.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn requeue_unknown(
        &self,
        settled_before_ms: i64,
        limit: u32,
    ) -> Result<Vec<(SessionId, CampaignId, i64)>, StoreError> {
        todo!("{settled_before_ms} {limit}")
    }

    /// Cancels pending deliveries of one stream behind a place, looking at most at `limit` rows.
    ///
    /// Returns how many were cancelled, and the place to go on from unless the stream has ended.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn cancel_pending(
        &self,
        campaign_id: CampaignId,
        session_id: SessionId,
        after_seq: i64,
        limit: u32,
    ) -> Result<(usize, Option<i64>), StoreError> {
        todo!("{campaign_id} {session_id} {after_seq} {limit}")
    }

    /// Completes a running or paused campaign whose outbox is empty and whose deliveries are all settled.
    ///
    /// Returns whether it was completed by this call.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn finish_if_settled(&self, campaign_id: CampaignId, now_ms: i64) -> Result<bool, StoreError> {
        todo!("{campaign_id} {now_ms}")
    }

    /// Returns every campaign's counters as stored and as counted from the rows just now.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn recount(&self) -> Result<Vec<(CampaignId, Counters, Counters)>, StoreError> {
        todo!()
    }
}
