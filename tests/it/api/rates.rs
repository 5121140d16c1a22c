//! How many requests are taken from one key, one person and one address, and what they are told.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use actiwapi_dispatcher::api::ApiSettings;
use actiwapi_dispatcher::api::rates::{Rate, RateSettings};
use axum::body::Body;
use axum::extract::ConnectInfo;
use serde_json::json;

use super::support::{Answer, Front, request};

fn rate(burst: u32) -> Option<Rate> {
    // One more a minute is none more in a test.
    Some(Rate { per_minute: NonZeroU32::MIN, burst: NonZeroU32::new(burst).unwrap() })
}

async fn front(rates: RateSettings) -> Front {
    Front::start_with(ApiSettings { rates, ..ApiSettings::default() }).await
}

fn told(answer: &Answer) -> [&str; 4] {
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"].map(|name| answer.header(name))
}

#[tokio::test]
async fn a_key_is_told_and_held_back() {
    let front = front(RateSettings { key: rate(2), ..RateSettings::default() }).await;
    let token = front.register("ana@example.com").await;
    let key = front.mighty_key(&token).await;
    let ask = async || front.with_key("GET", "/api/external/me", &key, "").await;
    let first = ask().await;
    assert_eq!((first.status.as_u16(), told(&first)), (200, ["2", "1", "60", "-"]));
    assert_eq!(told(&ask().await), ["2", "0", "120", "-"]);
    let refused = ask().await;
    assert_eq!(refused.refusal(), "429 RATE_LIMITED: Too many requests.");
    let [limit, remaining, reset, retry_after] = told(&refused);
    assert_eq!((limit, remaining, reset), ("2", "0", "120"));
    assert!((1..=60).contains(&retry_after.parse::<u32>().unwrap()));
    // Another key has its own, and people are not counted here.
    let other = front.mighty_key(&token).await;
    assert_eq!(told(&front.with_key("GET", "/api/external/me", &other, "").await)[1], "1");
    assert_eq!(told(&front.get("/api/whatsapp", &token).await), ["-"; 4]);
}

#[tokio::test]
async fn a_person_is_told_and_held_back() {
    let front = front(RateSettings { user: rate(2), ..RateSettings::default() }).await;
    let (ana, ben) = (front.register("ana@example.com").await, front.register("ben@example.com").await);
    assert_eq!(told(&front.get("/api/whatsapp", &ana).await), ["2", "1", "60", "-"]);
    // What goes wrong counts as well, and is told.
    let wrong = front.get("/api/whatsapp/x", &ana).await;
    assert_eq!((wrong.status.as_u16(), told(&wrong)), (400, ["2", "0", "120", "-"]));
    assert_eq!(front.get("/api/auth/me", &ana).await.status, 429);
    assert_eq!(front.get("/api/auth/me", &ben).await.status, 200);
    // A request that is done once is counted once.
    let made = front.post_once("/api/whatsapp", &ben, "k", json!({"name": "Shop"})).await;
    assert_eq!((made.status.as_u16(), told(&made)), (201, ["2", "0", "120", "-"]));
}

#[tokio::test]
async fn an_address_is_held_back_whoever_calls() {
    let front = front(RateSettings { address: rate(3), ..RateSettings::default() }).await;
    let token = front.register("ana@example.com").await;
    let ask = async |token: &str, peer: &str| {
        let mut request = request("GET", "/api/whatsapp", token).body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(format!("{peer}:5000").parse::<SocketAddr>().unwrap()));
        front.call(request).await
    };
    // Guesses count.
    assert_eq!(ask("x", "192.0.2.1").await.status, 401);
    assert_eq!(told(&ask(&token, "192.0.2.1").await), ["-"; 4]);
    assert_eq!(ask("", "192.0.2.1").await.status, 401);
    let refused = ask(&token, "192.0.2.1").await;
    assert_eq!((refused.status.as_u16(), &told(&refused)[..3]), (429, &["3", "0", "180"][..]));
    assert_eq!(ask(&token, "192.0.2.2").await.status, 200);
    for _ in 0..5 {
        assert_eq!(ask(&token, "127.0.0.1").await.status, 200);
    }
}

#[tokio::test]
async fn what_is_held_back_does_not_count_for_the_plan() {
    let front = front(RateSettings { key: rate(1), ..RateSettings::default() }).await;
    let token = front.register("ana@example.com").await;
    let key = front.mighty_key(&token).await;
    let tenant = front.get("/api/v1/auth/me", &token).await.data()["tenantId"].as_str().unwrap().to_owned();
    let operator = front.register_as("operator", "ops@example.com").await;
    let body = json!({"plan": "starter", "status": "active"}).to_string();
    front.send("PUT", &format!("/api/v1/ops/tenants/{tenant}/subscription"), &operator, &body).await.data();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(front.with_key("GET", "/api/external/usage", &key, "").await.status.as_u16());
    }
    assert_eq!(statuses, [200, 429, 429]);
    assert_eq!(front.get("/api/billing/usage", &token).await.data()["apiRequests"]["used"], 1);
}
