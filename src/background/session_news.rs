//! What dispatch learns about sessions while it sends, on its way to the sessions' states.
//!
//! Decides nothing: which event moves which state is the domain's. News that finds no place is lost; the next
//! refusal of the same session brings it again.

use tokio_util::sync::CancellationToken;

use crate::dispatch::LostSessions;
use crate::error::chain;
use crate::service::SessionService;

/// Hands news to the service of sessions.
#[derive(Debug)]
pub struct SessionNews {
    /// Whom to tell.
    pub sessions: SessionService,
    /// What happened.
    pub receiver: LostSessions,
}

impl SessionNews {
    /// Works until told to stop, or until nobody can bring news any more.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(Some((session_id, event, reason))) = stop.run_until_cancelled(self.receiver.recv()).await {
            if let Err(error) = self.sessions.report(session_id, event, reason).await {
                tracing::warn!(session.id = %session_id, error = chain(&error), "the state of a session was not noted");
            }
        }
    }
}
