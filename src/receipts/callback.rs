//! Callbacks of the provider, read: bytes in, receipts out.
//!
//! What a callback carries beside statuses, and statuses without our token, is not about our deliveries and skipped.

use serde::Deserialize;

use crate::domain::id::DeliveryId;
use crate::domain::receipt::{Receipt, ReceiptKind};

/// Why bytes are not a callback.
#[derive(Debug, thiserror::Error)]
#[error("the body is not a callback of the provider")]
pub struct CallbackProblem(#[source] serde_json::Error);

#[derive(Deserialize)]
struct Callback {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    value: Value,
}

#[derive(Deserialize)]
struct Value {
    #[serde(default)]
    statuses: Vec<Status>,
}

#[derive(Deserialize)]
struct Status {
    id: Option<String>,
    status: String,
    timestamp: String,
    biz_opaque_callback_data: Option<String>,
}

/// Reads a callback.
///
/// # Errors
/// [`CallbackProblem`] when the bytes are not of the provider's form.
pub fn parse_callback(bytes: &[u8]) -> Result<Vec<Receipt>, CallbackProblem> {
    let callback: Callback = serde_json::from_slice(bytes).map_err(CallbackProblem)?;
    let changes = callback.entry.into_iter().flat_map(|entry| entry.changes);
    Ok(changes.flat_map(|change| change.value.statuses).filter_map(receipt).collect())
}

fn receipt(status: Status) -> Option<Receipt> {
    let kind = match status.status.as_str() {
        "sent" => ReceiptKind::Sent,
        "delivered" => ReceiptKind::Delivered,
        "read" => ReceiptKind::Read,
        "failed" => ReceiptKind::Failed,
        _ => return None,
    };
    let delivery_id: DeliveryId = status.biz_opaque_callback_data?.parse().ok()?;
    let at_ms = status.timestamp.parse::<i64>().ok()?.saturating_mul(1_000);
    Some(Receipt { delivery_id, kind, at_ms, provider_message_id: status.id, failure: None })
}
