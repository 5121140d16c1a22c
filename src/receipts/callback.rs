//! Reads the provider's callback (Meta: webhooks/reference/messages/status, webhooks/overview).
//!
//! Takes what concerns our deliveries, and who wrote to a number when; leaves the rest: account events have no place yet,
//! statuses without our token are not ours. Checks no signature.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::id::DeliveryId;
use crate::domain::inbound::InboundMessage;
use crate::domain::opt_out::OptWords;
use crate::domain::receipt::{Receipt, ReceiptKind};
use crate::domain::recipient::Recipient;
use crate::gateway::classify::failure_of_code;

/// Why a callback can not be read.
#[derive(Debug, thiserror::Error)]
pub enum CallbackProblem {
    /// Not JSON, or not of the documented form.
    #[error("the callback is not of the documented form")]
    Unreadable(#[source] serde_json::Error),
}

/// What a callback tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callback {
    /// Reports about our deliveries, in their order.
    pub receipts: Vec<Receipt>,
    /// What recipients wrote, in its order.
    pub inbound: Vec<InboundMessage>,
}

/// Reads a callback.
///
/// # Errors
/// [`CallbackProblem::Unreadable`] when the envelope is not of the documented form. A single status or message
/// that can not be read is left out: the others must not be lost with it.
pub fn parse_callback(body: &[u8], words: &OptWords) -> Result<Callback, CallbackProblem> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(CallbackProblem::Unreadable)?;
    let mut callback = Callback::default();
    let changes = envelope.entry.into_iter().flat_map(|entry| entry.changes);
    for change in changes.filter(|change| change.field == "messages") {
        let Ok(value) = serde_json::from_str::<Value>(change.value.get()) else { continue };
        let statuses = value.statuses.iter().filter_map(|status| receipt(serde_json::from_str(status.get()).ok()?));
        callback.receipts.extend(statuses);
        let Some(phone_number_id) = value.metadata.and_then(|metadata| metadata.phone_number_id) else { continue };
        let messages = value.messages.iter();
        let read = |text: &RawValue| inbound(serde_json::from_str(text.get()).ok()?, &phone_number_id, words);
        let messages = messages.filter_map(|text| read(text));
        callback.inbound.extend(messages);
    }
    Ok(callback)
}

/// Reads who wrote when; what the system says in a chat, and what is said in a group, opens no conversation.
fn inbound(message: Message, phone_number_id: &str, words: &OptWords) -> Option<InboundMessage> {
    if message.kind == "system" || message.group_id.is_some() {
        return None;
    }
    // The provider may know numbers that our numbering plans do not.
    let from = Recipient::parse(&message.from).ok().or_else(|| Recipient::from_stored(&message.from))?;
    let at_s: i64 = message.timestamp.parse().ok()?;
    let asks = message.said().and_then(|text| words.read(text));
    let text = message.text.get("body").and_then(serde_json::Value::as_str).map(str::to_owned);
    Some(InboundMessage {
        provider_message_id: message.id,
        phone_number_id: phone_number_id.to_owned(),
        from,
        at_ms: at_s.saturating_mul(1_000),
        kind: message.kind,
        text,
        asks,
    })
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
struct Envelope {
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
    metadata: Option<Metadata>,
    #[serde(default)]
    statuses: Vec<Box<RawValue>>,
    #[serde(default)]
    messages: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Metadata {
    phone_number_id: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: String,
    from: String,
    timestamp: String,
    #[serde(rename = "type")]
    kind: String,
    group_id: Option<String>,
    // As they come: a form that is not known must not lose who wrote.
    #[serde(default)]
    text: serde_json::Value,
    #[serde(default)]
    button: serde_json::Value,
    #[serde(default)]
    interactive: serde_json::Value,
}

impl Message {
    /// Returns what was typed, or what stands on the button that was pressed.
    fn said(&self) -> Option<&str> {
        let typed = || self.text.get("body");
        let pressed = || self.button.get("text").or_else(|| self.interactive.pointer("/button_reply/title"));
        typed().or_else(pressed)?.as_str()
    }
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
    use crate::domain::opt_out::OptWord;

    fn read(body: &[u8]) -> Result<Callback, CallbackProblem> {
        parse_callback(body, &OptWords::default())
    }

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
        let kinds: Vec<_> = read(&callback(&body)).unwrap().receipts.into_iter().map(|r| r.kind.as_str()).collect();
        assert_eq!(kinds, ["sent", "delivered", "read", "read"]);
    }

    #[test]
    fn a_failure_is_classified_by_its_code() {
        let body = status("failed", r#","errors":[{"code":131026,"title":"x"}]"#);
        let receipts = read(&callback(&body)).unwrap().receipts;
        let failure = receipts[0].failure.as_ref().unwrap();
        assert_eq!((failure.reason, receipts[0].at_ms), (Reason::RecipientUnreachable, 1_800_000_000_000));
        assert_eq!(receipts[0].delivery_id.to_string(), TOKEN);
    }

    #[test]
    fn one_odd_status_does_not_lose_the_others() {
        let foreign = r#"{"id":"wamid.2","status":"sent","timestamp":"1","biz_opaque_callback_data":"not ours"}"#;
        let body = format!(r#"{foreign},{{"id":7}},{},{}"#, status("deleted", ""), status("read", ""));
        assert_eq!(read(&callback(&body)).unwrap().receipts.len(), 1);
    }

    #[test]
    fn messages_of_recipients_are_read_beside_receipts() {
        let written =
            |from: &str, rest: &str| format!(r#"{{"from":"{from}","id":"wamid.9","timestamp":"1800000007"{rest}}}"#);
        let messages = [
            written("919876543210", r#","type":"text","text":{"body":"STOP"}"#),
            written("919876543210", r#","type":"system","system":{"wa_id":"1"}"#),
            written("919876543210", r#","type":"text","group_id":"g""#),
            written("", r#","type":"text""#),
            r#"{"from":7}"#.to_owned(),
            // In use at the provider, not in the plan of its country.
            written("123456789", r#","type":"reaction""#),
        ];
        let value = |rest: &str| {
            let (statuses, messages) = (status("read", ""), messages.join(","));
            format!(
                r#"{{"entry":[{{"changes":[{{"field":"messages","value":{{{rest}"statuses":[{statuses}],
                    "messages":[{messages}]}}}}]}}]}}"#
            )
        };
        let callback = read(value(r#""metadata":{"phone_number_id":"5551"},"#).as_bytes()).unwrap();
        let from: Vec<_> = callback.inbound.iter().map(|message| message.from.as_str()).collect();
        assert_eq!((from, callback.receipts.len()), (vec!["919876543210", "123456789"], 1));
        let first = &callback.inbound[0];
        assert_eq!((first.phone_number_id.as_str(), first.at_ms), ("5551", 1_800_000_007_000));
        assert_eq!((first.asks, callback.inbound[1].asks), (Some(OptWord::Stop), None));
        // Nobody can say to whom these were written.
        assert_eq!(read(value("").as_bytes()).unwrap().inbound, []);
    }

    #[test]
    fn words_are_typed_or_pressed_and_whole() {
        let asks = |rest: &str| {
            let message = format!(r#"{{"from":"919876543210","id":"w","timestamp":"1800000007"{rest}}}"#);
            let body = format!(
                r#"{{"entry":[{{"changes":[{{"field":"messages","value":{{"metadata":{{"phone_number_id":"5551"}},
                    "messages":[{message}]}}}}]}}]}}"#
            );
            read(body.as_bytes()).unwrap().inbound.pop().expect("who wrote is never lost").asks
        };
        assert_eq!(asks(r#","type":"text","text":{"body":" Stop. "}"#), Some(OptWord::Stop));
        assert_eq!(asks(r#","type":"text","text":{"body":"start"}"#), Some(OptWord::Start));
        assert_eq!(asks(r#","type":"button","button":{"text":"Unsubscribe","payload":"x"}"#), Some(OptWord::Stop));
        let pressed = r#","type":"interactive","interactive":{"button_reply":{"id":"1","title":"STOP"}}"#;
        assert_eq!(asks(pressed), Some(OptWord::Stop));
        for other in [
            r#","type":"text","text":{"body":"stop it"}"#,
            r#","type":"text","text":{"body":7}"#,
            r#","type":"text","text":"STOP""#,
            r#","type":"text","text":null"#,
            r#","type":"image","image":{"caption":"STOP"}"#,
        ] {
            assert_eq!(asks(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_not_a_callback_is_refused() {
        for body in ["", "{}", "[]", r#"{"entry":{}}"#, "\u{0}"] {
            assert!(read(body.as_bytes()).is_err(), "{body:?}");
        }
        assert_eq!(read(br#"{"entry":[]}"#).unwrap(), Callback::default());
    }
}
