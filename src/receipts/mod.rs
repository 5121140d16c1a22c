//! What the provider reports after it took a message, from its callback to the delivery.
//!
//! Knows nothing of HTTP: the signature is checked by the front, before the bytes come here.

use futures::future::BoxFuture;

use crate::domain::receipt::Receipt;

pub use callback::{Callback, CallbackProblem, parse_callback};

mod callback;

/// Takes receipts off the front's hands.
pub trait ReceiptSink: Send + Sync {
    /// Keeps the receipts; the future ends when they are durable.
    ///
    /// # Errors
    /// [`SinkClosed`] when they can not be kept now; the provider then has to send them again.
    fn submit(&self, receipts: Vec<Receipt>) -> BoxFuture<'_, Result<(), SinkClosed>>;
}

/// The receipts can not be kept now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("receipts are not being taken")]
pub struct SinkClosed;
