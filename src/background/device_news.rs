//! What happens to linked devices, on its way to the states of their sessions.
//!
//! Decides nothing: which news moves which session is the service's. News that finds the database away waits for it, or a
//! session would show no code, and stand as it stood, until the next news of it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::gateway::connector::DeviceNews;
use crate::service::SessionService;

/// Rest between tries at news that the database did not take.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Hands news to the service of sessions.
#[derive(Debug)]
pub struct DeviceNewsQueue {
    /// Whom to tell.
    pub sessions: SessionService,
    /// What happened.
    pub receiver: mpsc::Receiver<DeviceNews>,
}

impl DeviceNewsQueue {
    /// Works until told to stop, or until nobody can bring news any more.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(news)) = stop.run_until_cancelled(self.receiver.recv()).await {
            while let Err(error) = self.sessions.note_device(news.clone()).await {
                let session_id = news.session_id;
                tracing::warn!(session.id = %session_id, error = chain(&error), "news of a device was not noted");
                let waited = stop.run_until_cancelled(tokio::time::sleep(TRY_AGAIN_AFTER)).await;
                if !error.is_outage() || waited.is_none() {
                    break;
                }
            }
        }
    }
}
