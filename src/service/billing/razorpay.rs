//! Razorpay: orders made and payments looked up over its API, and the signatures of what it tells.
//!
//! Knows nothing of subscriptions. What the API answers is believed for what it is asked, never for sums that we know.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::domain::billing::{PaymentProvider, PaymentState};
use crate::error::{Error, Result, chain};
use crate::limits::PAYMENT_ANSWER_BYTES_MAX;
use crate::store::billing::orders::OrderRecord;
use crate::store::billing::payments::PaymentNote;

/// Characters of a name that Razorpay gives, at most; its own have about 20.
const NAME_CHARS_MAX: usize = 64;

/// How Razorpay is reached.
#[derive(Debug, Clone)]
pub struct RazorpaySettings {
    /// Names us; web pages see it.
    pub key_id: String,
    /// Proves who we are, and signs what the payer's page tells.
    pub key_secret: SecretString,
    /// Signs what its server tells.
    pub webhook_secret: SecretString,
    /// The address of its API, without a slash at the end.
    pub base_url: String,
    /// Longest time of one call.
    pub timeout: Duration,
}

/// Razorpay, by its API.
#[derive(Debug)]
pub struct Razorpay {
    settings: RazorpaySettings,
    http: reqwest::Client,
}

/// A payment, as Razorpay tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Payment {
    /// Its name.
    pub id: String,
    /// The name of the order.
    pub order_id: Option<String>,
    /// How much, in the smallest unit of the currency.
    pub amount: i64,
    /// The currency, by ISO 4217.
    pub currency: String,
    /// `created`, `authorized`, `captured`, `refunded` or `failed`.
    pub status: String,
}

/// What its server tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// The payment.
    pub payment: Payment,
    /// What became of it.
    pub state: PaymentState,
}

#[derive(Deserialize)]
struct Order {
    id: String,
    amount: i64,
    currency: String,
}

#[derive(Deserialize)]
struct Webhook {
    event: String,
    #[serde(default)]
    payload: Payload,
}

#[derive(Default, Deserialize)]
struct Payload {
    payment: Option<Entity>,
}

#[derive(Deserialize)]
struct Entity {
    entity: Payment,
}

impl Payment {
    /// Returns what is kept of it.
    #[must_use]
    pub fn note(&self) -> PaymentNote {
        PaymentNote {
            provider: PaymentProvider::Razorpay,
            name: self.id.clone(),
            amount_cents: self.amount,
            currency: self.currency.clone(),
        }
    }
}

/// Tells whether a text can be one of its names.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Returns the signature of a text, in hex digits.
#[must_use]
pub fn signature_of(text: &[u8], secret: &SecretString) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("keys of every length are taken");
    mac.update(text);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_signed(text: &[u8], signature: &str, secret: &SecretString) -> bool {
    signature_of(text, secret).as_bytes().ct_eq(signature.as_bytes()).into()
}

/// Reads what its server tells; `None` for what changes nothing here.
///
/// # Errors
/// When it is not of its form.
pub fn read_telling(body: &[u8]) -> serde_json::Result<Option<Telling>> {
    let told: Webhook = serde_json::from_slice(body)?;
    let state = match told.event.as_str() {
        "payment.captured" | "order.paid" => PaymentState::Captured,
        "payment.failed" => PaymentState::Failed,
        _ => return Ok(None),
    };
    let Some(Entity { entity: payment }) = told.payload.payment else {
        return Err(serde::de::Error::missing_field("payload.payment"));
    };
    Ok(Some(Telling { payment, state }))
}

impl Razorpay {
    /// Makes the client; connects to nobody yet.
    ///
    /// # Errors
    /// When TLS can not be set up.
    pub fn new(settings: RazorpaySettings) -> std::result::Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().no_proxy().timeout(settings.timeout).build()?;
        Ok(Self { settings, http })
    }

    /// Returns what names us.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.settings.key_id
    }

    /// Tells whether the payer's page tells the truth about an order and its payment.
    #[must_use]
    pub fn is_callback_signed(&self, order: &str, payment: &str, signature: &str) -> bool {
        is_signed(format!("{order}|{payment}").as_bytes(), signature, &self.settings.key_secret)
    }

    /// Tells whether its server told this.
    #[must_use]
    pub fn is_webhook_signed(&self, body: &[u8], signature: &str) -> bool {
        is_signed(body, signature, &self.settings.webhook_secret)
    }

    /// Makes an order there; returns its name of it.
    ///
    /// # Errors
    /// `Unavailable` when it did not do so, or made another one.
    pub async fn make_order(&self, order: &OrderRecord) -> Result<String> {
        let (terms, receipt) = (&order.terms, order.id.to_string());
        let body = serde_json::json!({
            "amount": terms.amount_cents, "currency": terms.currency, "receipt": receipt,
            "notes": { "orderId": receipt, "tenantId": order.tenant_id },
        });
        let request = self.http.post(format!("{}/v1/orders", self.settings.base_url)).json(&body);
        let made: Order = self.ask(request).await?;
        if (made.amount, &made.currency) != (terms.amount_cents, &terms.currency) || !is_name(&made.id) {
            tracing::warn!(order.id = %order.id, "the provider of payments made another order than it was asked for");
            return Err(unavailable());
        }
        Ok(made.id)
    }

    /// Looks a payment up.
    ///
    /// # Errors
    /// `Unavailable` when it could not be looked up.
    pub async fn payment(&self, name: &str) -> Result<Payment> {
        self.ask(self.http.get(format!("{}/v1/payments/{name}", self.settings.base_url))).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T> {
        let secret = self.settings.key_secret.expose_secret();
        let answer = async {
            let mut answer = request.basic_auth(&self.settings.key_id, Some(secret)).send().await?;
            let (status, mut bytes) = (answer.status(), Vec::new());
            while let Some(chunk) = answer.chunk().await? {
                bytes.extend_from_slice(&chunk);
                if PAYMENT_ANSWER_BYTES_MAX < bytes.len() {
                    break;
                }
            }
            Ok::<_, reqwest::Error>((status, bytes))
        };
        let (status, bytes) = answer.await.map_err(|error| {
            // Without the address: payments are named in it.
            tracing::warn!(error = chain(&error.without_url()), "the provider of payments does not answer");
            unavailable()
        })?;
        if !status.is_success() {
            tracing::warn!(status = status.as_u16(), "the provider of payments refuses");
            return Err(unavailable());
        }
        serde_json::from_slice(&bytes).map_err(|_| {
            tracing::warn!("the provider of payments answers what can not be read");
            unavailable()
        })
    }
}

fn unavailable() -> Error {
    Error::Unavailable("the provider of payments")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 2 of RFC 4231.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let key = SecretString::from("Jefe");
        let body = b"what do ya want for nothing?";
        let good = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(is_signed(body, good, &key));
        for bad in ["", &good[1..], "5b", &good.to_uppercase(), &format!("{good} ")] {
            assert!(!is_signed(body, bad, &key), "{bad}");
        }
        assert!(!is_signed(body, good, &SecretString::from("jefe")));
    }

    #[test]
    fn what_is_told_is_read() {
        let entity = r#"{"id":"pay_1","order_id":"order_1","amount":5,"currency":"INR","status":"captured","fee":1}"#;
        let told = |event: &str| {
            let body =
                format!(r#"{{"entity":"event","event":"{event}","payload":{{"payment":{{"entity":{entity}}}}}}}"#);
            read_telling(body.as_bytes()).unwrap().map(|telling| (telling.payment.id, telling.state))
        };
        let ours = Some(("pay_1".to_owned(), PaymentState::Captured));
        assert_eq!((told("payment.captured"), told("order.paid")), (ours.clone(), ours));
        assert_eq!(told("payment.failed"), Some(("pay_1".to_owned(), PaymentState::Failed)));
        assert_eq!(told("refund.created"), None);
        assert!(read_telling(br#"{"event":"payment.captured","payload":{}}"#).is_err());
        assert!(read_telling(b"[]").is_err());
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("order_EKwxwAgItmmXdp"));
        for bad in ["", "order 1", "../orders", "a\u{0}", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
