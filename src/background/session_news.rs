//! What dispatch learns about sessions while it sends, on its way to the sessions' states.
//!
//! Decides nothing: which event moves which state is the domain's. News that finds no place is lost; the next
//! refusal of the same session brings it again.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::failure::Reason;
use crate::domain::id::SessionId;
use crate::domain::session::SessionEvent;
use crate::error::chain;
use crate::limits::SESSION_NEWS_MAX;
use crate::service::SessionService;

/// What happened to a session, and why.
pub type SessionReport = (SessionId, SessionEvent, Reason);

/// Makes the queue of news.
#[must_use]
pub fn session_news(sessions: SessionService) -> (mpsc::Sender<SessionReport>, SessionNews) {
    let (sender, receiver) = mpsc::channel(SESSION_NEWS_MAX);
    (sender, SessionNews { sessions, receiver })
}

/// Hands news to the service of sessions.
#[derive(Debug)]
pub struct SessionNews {
    sessions: SessionService,
    receiver: mpsc::Receiver<SessionReport>,
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
