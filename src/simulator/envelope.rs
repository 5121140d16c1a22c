//! Writes a post to the receiver: Meta's webhook envelope with `statuses` or `messages`, and the signature over its bytes.
//!
//! From Meta, "webhooks, messages, status" and "webhooks, messages, text"; conversations are left out, as Meta does from version 24 on.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::simulator::answer::push_json;
use crate::simulator::codes;
use crate::simulator::receipts::{Receipt, ReceiptKind};

/// Id of the one business that all numbers belong to.
const BUSINESS_ID: &str = "102290129340398";

/// Signs with the app's secret.
#[derive(Clone)]
pub(crate) struct Signer {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(***)")
    }
}

impl Signer {
    /// Makes the signer of a secret.
    pub(crate) fn new(app_secret: &str) -> Self {
        Self { keyed: Hmac::new_from_slice(app_secret.as_bytes()).expect("a key of any length is right") }
    }

    /// Returns the value of `X-Hub-Signature-256`.
    pub(crate) fn sign(&self, body: &[u8]) -> String {
        let mut keyed = self.keyed.clone();
        keyed.update(body);
        let mut text = String::with_capacity(71);
        text.push_str("sha256=");
        for byte in keyed.finalize().into_bytes() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        text
    }
}

/// Writes the envelope of some receipts: one change per number, the receipts of a number in their order.
pub(crate) fn write(receipts: &mut [Receipt]) -> String {
    let change_of = |receipt: &Receipt| (receipt.message.number.index, receipt.kind == ReceiptKind::Inbound);
    receipts.sort_by_key(change_of);
    let mut text = String::with_capacity(256 + 420 * receipts.len());
    text.push_str(r#"{"object":"whatsapp_business_account","entry":[{"id":""#);
    text.push_str(BUSINESS_ID);
    text.push_str(r#"","changes":["#);
    let of_numbers = receipts.chunk_by(|one, next| change_of(one) == change_of(next));
    for (at, of_number) in of_numbers.enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        write_change(&mut text, of_number);
    }
    text.push_str("]}]}");
    text
}

fn write_change(text: &mut String, of_number: &[Receipt]) {
    let id = of_number.first().map_or("", |receipt| &*receipt.message.number.id);
    text.push_str(r#"{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"#);
    push_json(text, id);
    text.push_str(r#","phone_number_id":"#);
    push_json(text, id);
    let is_inbound = of_number.first().is_some_and(|receipt| receipt.kind == ReceiptKind::Inbound);
    if is_inbound {
        text.push_str(r#"},"contacts":["#);
        for (at, receipt) in of_number.iter().enumerate() {
            text.push_str(if at > 0 { "," } else { "" });
            text.push_str(r#"{"profile":{"name":"Somebody"},"wa_id":"#);
            push_json(text, &receipt.message.recipient);
            text.push('}');
        }
        text.push_str(r#"],"messages":["#);
    } else {
        text.push_str(r#"},"statuses":["#);
    }
    for (at, receipt) in of_number.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        if is_inbound { write_inbound(text, receipt) } else { write_status(text, receipt) }
    }
    text.push_str(r#"]},"field":"messages"}"#);
}

fn write_inbound(text: &mut String, receipt: &Receipt) {
    let message = &*receipt.message;
    text.push_str(r#"{"from":"#);
    push_json(text, &message.recipient);
    text.push_str(r#","id":"#);
    push_json(text, &message.id);
    text.push_str(r#","timestamp":""#);
    text.push_str(&(receipt.due_us / 1_000_000).to_string());
    text.push_str(r#"","text":{"body":"#);
    push_json(text, message.text.as_deref().unwrap_or_default());
    text.push_str(r#"},"type":"text"}"#);
}

fn write_status(text: &mut String, receipt: &Receipt) {
    let message = &*receipt.message;
    text.push_str(r#"{"id":"#);
    push_json(text, &message.id);
    text.push_str(r#","status":""#);
    text.push_str(match receipt.kind {
        ReceiptKind::Sent => "sent",
        ReceiptKind::Delivered => "delivered",
        ReceiptKind::Read => "read",
        ReceiptKind::Failed(_) => "failed",
        ReceiptKind::Inbound => "",
    });
    text.push_str(r#"","timestamp":""#);
    text.push_str(&(receipt.due_us / 1_000_000).to_string());
    text.push_str(r#"","recipient_id":"#);
    push_json(text, &message.recipient);
    if let Some(token) = &message.token {
        text.push_str(r#","biz_opaque_callback_data":"#);
        push_json(text, token);
    }
    match receipt.kind {
        ReceiptKind::Sent | ReceiptKind::Delivered => {
            text.push_str(r#","pricing":{"billable":true,"pricing_model":"PMP","type":"regular","category":""#);
            text.push_str(if message.is_template { "marketing" } else { "service" });
            text.push_str(r#""}"#);
        }
        ReceiptKind::Failed(code) => write_failure(text, code),
        ReceiptKind::Read | ReceiptKind::Inbound => {}
    }
    text.push('}');
}

fn write_failure(text: &mut String, code: u32) {
    let title = codes::find(code).title;
    text.push_str(r#","errors":[{"code":"#);
    text.push_str(&code.to_string());
    for key in [r#","title":"#, r#","message":"#, r#","error_data":{"details":"#] {
        text.push_str(key);
        push_json(text, title);
    }
    text.push_str(r#"},"href":"https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"}]"#);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::simulator::Faults;
    use crate::simulator::numbers::Numbers;
    use crate::simulator::receipts::Message;

    #[test]
    fn signature_is_the_known_one() {
        // The second test case of RFC 4231.
        assert_eq!(
            Signer::new("Jefe").sign(b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    /// Writes a post with one line per change and status.
    fn lines(post: &serde_json::Value) -> String {
        let mut post = post.clone();
        let mut lines = Vec::new();
        for change in post["entry"][0]["changes"].as_array_mut().unwrap() {
            let key = if change["value"]["statuses"].is_array() { "statuses" } else { "messages" };
            let items = change["value"][key].take();
            lines.push(change.to_string());
            lines.extend(items.as_array().unwrap().iter().map(ToString::to_string));
        }
        post["entry"][0]["changes"].take();
        [vec![post.to_string()], lines].concat().join("\n")
    }

    #[test]
    fn envelope_has_the_documented_form() {
        let numbers = Numbers::default();
        let receipt = |number: &str, token: Option<&str>, kind| {
            let number = numbers.intern(number, &Faults::default(), 9).unwrap();
            let (id, token) = ("wamid.X".into(), token.map(Into::into));
            let recipient = "919876543210".into();
            let message = Message { number, recipient, token, id, is_template: true, text: Some("STOP".into()) };
            Receipt { due_us: 1_750_000_000_999_999, kind, message: Arc::new(message) }
        };
        let mut receipts = [
            receipt("55501", Some("té"), ReceiptKind::Sent),
            receipt("55502", None, ReceiptKind::Read),
            receipt("55501", Some("b"), ReceiptKind::Failed(131_026)),
            receipt("55502", None, ReceiptKind::Inbound),
        ];
        let text = write(&mut receipts);
        assert!(text.is_ascii());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        insta::assert_snapshot!(lines(&value), @r#"
        {"entry":[{"changes":null,"id":"102290129340398"}],"object":"whatsapp_business_account"}
        {"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"55501","phone_number_id":"55501"},"statuses":null}}
        {"biz_opaque_callback_data":"té","id":"wamid.X","pricing":{"billable":true,"category":"marketing","pricing_model":"PMP","type":"regular"},"recipient_id":"919876543210","status":"sent","timestamp":"1750000000"}
        {"biz_opaque_callback_data":"b","errors":[{"code":131026,"error_data":{"details":"Message undeliverable"},"href":"https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/","message":"Message undeliverable","title":"Message undeliverable"}],"id":"wamid.X","recipient_id":"919876543210","status":"failed","timestamp":"1750000000"}
        {"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"55502","phone_number_id":"55502"},"statuses":null}}
        {"id":"wamid.X","recipient_id":"919876543210","status":"read","timestamp":"1750000000"}
        {"field":"messages","value":{"contacts":[{"profile":{"name":"Somebody"},"wa_id":"919876543210"}],"messages":null,"messaging_product":"whatsapp","metadata":{"display_phone_number":"55502","phone_number_id":"55502"}}}
        {"from":"919876543210","id":"wamid.X","text":{"body":"STOP"},"timestamp":"1750000000","type":"text"}
        "#);
    }
}
