//! Requests to the API, from the memory of this node to the log.
//!
//! Runs on every node, since each remembers its own. What a node that dies remembered is lost: at most 5 s.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::service::RequestLogService;

/// How often requests are written.
const BEAT: Duration = Duration::from_secs(5);

/// Writes down requests.
#[derive(Debug)]
pub(super) struct RequestLogWriter {
    pub(super) requests: RequestLogService,
}

impl RequestLogWriter {
    /// Works until told to stop, and then once more.
    pub(super) async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_some() {
            self.write().await;
        }
        self.write().await;
    }

    async fn write(&self) {
        if let Err(error) = self.requests.write().await {
            tracing::warn!(error = chain(&error), "requests were not written down");
        }
    }
}
