//! Reads of all lanes at once, which only tests make.

use std::collections::BTreeMap;

use actiwapi_dispatcher::domain::id::SessionId;
use actiwapi_dispatcher::store::lanes::StreamRow;
use actiwapi_dispatcher::store::{Store, StoreError};

/// What concerns the lanes of all sessions.
pub(crate) trait AllLanes {
    /// Returns the streams of all sessions that may still have work.
    async fn streams(&self) -> Result<Vec<StreamRow>, StoreError>;

    /// Returns the sessions with attempts under way, in order.
    async fn sessions_in_flight(&self) -> Result<Vec<SessionId>, StoreError>;

    /// Declares every attempt under way unknown; returns the sessions concerned.
    async fn orphan_in_flight(&self, now_ms: i64) -> Result<Vec<SessionId>, StoreError>;
}

impl AllLanes for Store {
    async fn streams(&self) -> Result<Vec<StreamRow>, StoreError> {
        self.streams_of_sessions(&sessions(self).await?).await
    }

    async fn sessions_in_flight(&self) -> Result<Vec<SessionId>, StoreError> {
        let in_flight = self.attempts_in_flight(&sessions(self).await?).await?;
        let mut sessions: Vec<_> = in_flight.iter().map(|attempt| attempt.session_id).collect();
        sessions.sort_unstable();
        sessions.dedup();
        Ok(sessions)
    }

    async fn orphan_in_flight(&self, now_ms: i64) -> Result<Vec<SessionId>, StoreError> {
        let concerned = self.sessions_in_flight().await?;
        let in_flight = self.attempts_in_flight(&concerned).await?;
        self.orphan(&in_flight, &BTreeMap::new(), now_ms).await?;
        Ok(concerned)
    }
}

async fn sessions(store: &Store) -> Result<Vec<SessionId>, StoreError> {
    Ok(store.lanes().await?.iter().map(|row| row.session_id).collect())
}
