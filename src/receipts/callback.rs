//! Reads the provider's callback (Meta: webhooks/reference/messages/status).
//!
//! Takes what concerns our deliveries and leaves the rest: inbound messages and account events
//! have no place yet, statuses without our token are not ours. Checks no signature.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::id::DeliveryId;
use crate::domain::receipt::{Receipt, ReceiptKind};
use crate::gateway::classify::failure_of_code;

/// Why a callback can not be read.
#[derive(Debug, thiserror::Error)]
pub enum CallbackProblem {
    /// Not JSON, or not of the documented form.
    #[error("the callback is not of the documented form")]
    Unreadable(#[source] serde_json::Error),
}

/// Returns the receipts in a callback, in their order.
///
/// # Errors
/// [`CallbackProblem::Unreadable`] when the envelope is not of the documented form. A single status
/// that can not be read is left out: the others must not be lost with it.
pub fn parse_callback(body: &[u8]) -> Result<Vec<Receipt>, CallbackProblem> {
    let callback: Callback = serde_json::from_slice(body).map_err(CallbackProblem::Unreadable)?;
    let changes = callback.entry.into_iter().flat_map(|entry| entry.changes);
    let statuses = changes.filter(|change| change.field == "messages").flat_map(|change| {
        let value: Option<Value> = serde_json::from_str(change.value.get()).ok();
        value.map(|value| value.statuses).unwrap_or_default()
    });
    Ok(statuses.filter_map(|status| receipt(serde_json::from_str(status.get()).ok()?)).collect())
}

fn receipt(status: Status) -> Option<Receipt> {
    let delivery_id = DeliveryId(Uuid::parse_str(status.biz_opaque_callback_data.as_deref()?).ok()?);
    let kind = match status.status.as_str() {
        "sent" => ReceiptKind::Sent,
        "delivered" => ReceiptKind::Delivered,
        // Only who read a voice message can have played it.
        "read" | "played" => ReceiptKind::Read,
        "failed" => ReceiptKind::Failed,
        _ => return None,
    };
    let failure = (kind == ReceiptKind::Failed).then(|| {
        let code = status.errors.first().map_or(131_000, |error| error.code);
        failure_of_code(code, None, false)
    });
    let at_s: i64 = status.timestamp.parse().unwrap_or(0);
    Some(Receipt {
        delivery_id,
        kind,
        at_ms: at_s.saturating_mul(1_000),
        provider_message_id: Some(status.id),
        failure,
    })
}

#[derive(Deserialize)]
struct Callback {
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    field: String,
    value: Box<RawValue>,
}

#[derive(Deserialize)]
struct Value {
    #[serde(default)]
    statuses: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Status {
    id: String,
    status: String,
    timestamp: String,
    biz_opaque_callback_data: Option<String>,
    #[serde(default)]
    errors: Vec<StatusError>,
}

#[derive(Deserialize)]
struct StatusError {
    code: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Reason;

    const TOKEN: &str = "01920000-0000-7000-8000-000000000001";

    fn callback(statuses: &str) -> Vec<u8> {
        let value = format!(r#"{{"messaging_product":"whatsapp","statuses":[{statuses}]}}"#);
        format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[
                {{"field":"account_update","value":{{"event":"DISABLED_UPDATE"}}}},
                {{"field":"messages","value":{value}}}]}}]}}"#
        )
        .into_bytes()
    }

    fn status(word: &str, extra: &str) -> String {
        format!(
            r#"{{"id":"wamid.1","status":"{word}","timestamp":"1800000000","recipient_id":"1","biz_opaque_callback_data":"{TOKEN}"{extra}}}"#
        )
    }

    #[test]
    fn reads_all_kinds_in_order() {
        let body = ["sent", "delivered", "read", "played"].map(|word| status(word, "")).join(",");
        let kinds: Vec<_> = parse_callback(&callback(&body)).unwrap().into_iter().map(|r| r.kind.as_str()).collect();
        assert_eq!(kinds, ["sent", "delivered", "read", "read"]);
    }

    #[test]
    fn a_failure_is_classified_by_its_code() {
        let body = status("failed", r#","errors":[{"code":131026,"title":"x"}]"#);
        let receipts = parse_callback(&callback(&body)).unwrap();
        let failure = receipts[0].failure.as_ref().unwrap();
        assert_eq!((failure.reason, receipts[0].at_ms), (Reason::RecipientUnreachable, 1_800_000_000_000));
        assert_eq!(receipts[0].delivery_id.to_string(), TOKEN);
    }

    #[test]
    fn one_odd_status_does_not_lose_the_others() {
        let foreign = r#"{"id":"wamid.2","status":"sent","timestamp":"1","biz_opaque_callback_data":"not ours"}"#;
        let body = format!(r#"{foreign},{{"id":7}},{},{}"#, status("deleted", ""), status("read", ""));
        assert_eq!(parse_callback(&callback(&body)).unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_a_callback_is_refused() {
        for body in ["", "{}", "[]", r#"{"entry":{}}"#, "\u{0}"] {
            assert!(parse_callback(body.as_bytes()).is_err(), "{body:?}");
        }
        assert_eq!(parse_callback(br#"{"entry":[]}"#).unwrap(), []);
    }
}
