//! The file that has the access token: whoever renews the token writes it there, and no process starts anew.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::gateway::cloud::AccessToken;

/// How often the file is looked at: soon enough for a token that is renewed minutes before the old one ends.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Puts what is in a file in the place of a token.
#[derive(Debug)]
pub(super) struct TokenFile {
    pub(super) file: PathBuf,
    pub(super) access_token: AccessToken,
}

impl TokenFile {
    /// Works until told to stop. A file that is away or empty changes nothing: it is being written.
    pub(super) async fn follow(self, stop: CancellationToken) {
        let mut is_away = false;
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let read = tokio::fs::read_to_string(&self.file).await;
            let was_away = std::mem::replace(&mut is_away, read.is_err());
            match read {
                Ok(token) if !token.trim().is_empty() => {
                    if self.access_token.replace(token.trim()) {
                        tracing::info!("access token of the provider replaced");
                    }
                }
                Ok(_) => {}
                Err(error) if !was_away => tracing::warn!(error = %error, "file of the access token not readable"),
                Err(_) => {}
            }
        }
    }
}
