//! Files that nobody needs any more are removed.
//!
//! Which these are is the service's to say.

use crate::background::Background;
use crate::error::Result;

impl Background {
    /// Removes what came with single messages a while ago, and what nobody knows of.
    pub(super) async fn sweep_media(&self) -> Result<()> {
        self.services.media.sweep().await
    }
}
