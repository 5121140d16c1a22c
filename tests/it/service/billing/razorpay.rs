//! A server that speaks as Razorpay's API does: it knows its client, its orders and its payments, and signs what it tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actiwapi_dispatcher::service::BillingSettings;
use actiwapi_dispatcher::service::billing::confirm::Callback;
use actiwapi_dispatcher::service::billing::razorpay::{Razorpay, RazorpaySettings};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

const KEY_ID: &str = "rzp_test_1DP5mmOlF5G5ag";
const KEY_SECRET: &str = "the secret of the key";
const WEBHOOK_SECRET: &str = "the secret of the webhook";

/// The server, until it is dropped.
pub(crate) struct FakeRazorpay {
    address: String,
    shared: Arc<Mutex<Shared>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    orders: Vec<Value>,
    payments: BTreeMap<String, Value>,
    is_away: bool,
}

type Known = State<Arc<Mutex<Shared>>>;

impl Drop for FakeRazorpay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn hmac(text: &[u8], secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses whoever is not our client.
fn check(headers: &HeaderMap, shared: &Shared) -> Result<(), StatusCode> {
    let expected = format!("Basic {}", STANDARD.encode(format!("{KEY_ID}:{KEY_SECRET}")));
    if headers.get(header::AUTHORIZATION).is_none_or(|given| given.as_bytes() != expected.as_bytes()) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    if shared.is_away { Err(StatusCode::BAD_GATEWAY) } else { Ok(()) }
}

async fn make_order(
    State(shared): Known,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let mut shared = shared.lock().unwrap();
    check(&headers, &shared)?;
    let amount = body["amount"].as_i64().filter(|amount| 100 <= *amount).ok_or(StatusCode::BAD_REQUEST)?;
    let id = format!("order_{:014}", shared.orders.len() + 1);
    let order = json!({"id": id, "entity": "order", "amount": amount, "currency": body["currency"],
        "receipt": body["receipt"], "status": "created"});
    shared.orders.push(order.clone());
    Ok(Json(order))
}

async fn find_payment(
    State(shared): Known,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    let shared = shared.lock().unwrap();
    check(&headers, &shared)?;
    shared.payments.get(&id).cloned().map(Json).ok_or(StatusCode::BAD_REQUEST)
}

impl FakeRazorpay {
    pub(crate) async fn start() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let shared = Arc::<Mutex<Shared>>::default();
        let router = Router::new()
            .route("/v1/orders", post(make_order))
            .route("/v1/payments/{id}", get(find_payment))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = TaskTracker::new().spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, serving }
    }

    /// Returns settings that lead here.
    pub(crate) fn settings(&self) -> BillingSettings {
        self.settings_with(KEY_SECRET)
    }

    pub(crate) fn settings_with(&self, key_secret: &str) -> BillingSettings {
        let settings = RazorpaySettings {
            key_id: KEY_ID.to_owned(),
            key_secret: key_secret.into(),
            webhook_secret: WEBHOOK_SECRET.into(),
            base_url: self.address.clone(),
            timeout: Duration::from_secs(10),
        };
        BillingSettings { razorpay: Some(Arc::new(Razorpay::new(settings).unwrap())), trial: None }
    }

    pub(crate) fn is_away(&self, is_away: bool) {
        self.shared.lock().unwrap().is_away = is_away;
    }

    /// Returns the orders that were made.
    pub(crate) fn orders(&self) -> Vec<Value> {
        self.shared.lock().unwrap().orders.clone()
    }

    /// Lets somebody pay; returns what the page gives the payer's page.
    pub(crate) fn pay(&self, order: &str, payment: &str, change: impl FnOnce(&mut Value)) -> Callback {
        let mut shared = self.shared.lock().unwrap();
        let ordered = shared.orders.iter().find(|known| known["id"] == order).unwrap().clone();
        let mut paid = json!({"id": payment, "entity": "payment", "order_id": order, "amount": ordered["amount"],
            "currency": ordered["currency"], "status": "captured", "method": "upi"});
        change(&mut paid);
        shared.payments.insert(payment.to_owned(), paid);
        let signature = hmac(format!("{order}|{payment}").as_bytes(), KEY_SECRET);
        Callback { order: order.to_owned(), payment: payment.to_owned(), signature }
    }

    /// Returns what the server tells of a payment: body and signature.
    pub(crate) fn tells(&self, event: &str, payment: &str) -> (Vec<u8>, String) {
        let entity = self.shared.lock().unwrap().payments[payment].clone();
        let body = json!({"entity": "event", "account_id": "acc_1", "event": event, "contains": ["payment"],
            "payload": {"payment": {"entity": entity}}, "created_at": 1_800_000_000});
        let body = body.to_string().into_bytes();
        let signature = hmac(&body, WEBHOOK_SECRET);
        (body, signature)
    }
}
