//! Files that are taken in chunk by chunk as they arrive, whatever they hold.

use std::future::Future;

pub use crate::domain::recipient_csv::{ImportReport, LineProblem};
use crate::error::Result;

/// An import under way. What was taken in until it is broken off stays.
pub trait FileImport: Send {
    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// What the import refuses; it is over then.
    fn feed(&mut self, chunk: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// Takes the end of the file.
    ///
    /// # Errors
    /// As [`Self::feed`].
    fn finish(self) -> impl Future<Output = Result<ImportReport>> + Send;
}
