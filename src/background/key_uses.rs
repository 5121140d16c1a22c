//! When API keys were used, from the memory of this node to the database.
//!
//! Runs on every node, since each remembers its own. What a node that dies remembered is lost: at most a minute.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::service::ApiKeyService;

/// How often uses are written: each key at most once in this time.
const BEAT: Duration = Duration::from_secs(60);

/// Writes down when keys were used.
#[derive(Debug)]
pub struct KeyUses {
    /// What remembers the uses.
    pub api_keys: ApiKeyService,
}

impl KeyUses {
    /// Works until told to stop, and then once more.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_some() {
            self.write().await;
        }
        self.write().await;
    }

    async fn write(&self) {
        if let Err(error) = self.api_keys.write_uses().await {
            tracing::warn!(error = chain(&error), "the use of keys was not written down");
        }
    }
}
