//! What the plan allows, over HTTP: sessions, campaigns, requests, messages, and what operators change.

use serde_json::{Value, json};

use super::support::{Answer, Front};

/// A tenant with its first session and a subscription.
struct Customer {
    front: Front,
    token: String,
    tenant: String,
    session: String,
    operator: String,
}

impl Customer {
    async fn new() -> Self {
        let front = Front::start().await;
        let token = front.register("ana@example.com").await;
        let session = front.session(&token).await;
        let tenant = front.get("/api/v1/auth/me", &token).await.data()["tenantId"].as_str().unwrap().to_owned();
        let operator = front.register_as("operator", "ops@example.com").await;
        Self { front, token, tenant, session, operator }
    }

    async fn subscribe(&self, plan: &str, status: &str) -> Answer {
        let path = format!("/api/v1/ops/tenants/{}/subscription", self.tenant);
        let body = json!({"plan": plan, "status": status}).to_string();
        let answer = self.front.send("PUT", &path, &self.operator, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// Changes the starter plan.
    async fn change(&self, body: Value) {
        let answer = self.front.send("PATCH", "/api/v1/ops/plans/starter", &self.operator, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    async fn usage(&self) -> Value {
        let answer = self.front.get(&format!("/api/v1/ops/tenants/{}", self.tenant), &self.operator).await;
        assert_eq!(answer.data()["drift"], 0);
        answer.data()["subscription"]["usage"].clone()
    }

    async fn create_session(&self, name: &str) -> Answer {
        self.front.post("/api/v1/whatsapp", &self.token, json!({"name": name})).await
    }

    async fn send(&self) -> Answer {
        let body = json!({"sessionId": self.session, "to": "919876543210", "text": "Hello"});
        self.front.post("/api/v1/messages/send-text", &self.token, body).await
    }

    async fn create_campaign(&self) -> Answer {
        let body = json!({"name": "Sale", "sessionIds": [self.session], "message": {"type": "text", "text": "Hello"},
            "recipients": [{"phone": "919876543210"}], "onLimit": "fail"});
        self.front.post("/api/v1/campaigns", &self.token, body).await
    }
}

fn assert_refused(answer: &Answer, code: &str, reason: Value) {
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), &body["code"], &body["reason"]), (403, &json!(code), &reason), "{body}");
}

#[tokio::test]
async fn ten_at_once_get_the_last_session_once() {
    let customer = Customer::new().await;
    customer.subscribe("starter", "active").await;
    customer.change(json!({"maxSessions": 2})).await;
    let names: Vec<String> = (0..10).map(|n| format!("Shop {n}")).collect();
    let answers = futures::future::join_all(names.iter().map(|name| customer.create_session(name))).await;
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 201).collect();
    assert_eq!(refused.len(), 9);
    for answer in refused {
        assert_refused(answer, "LIMIT_EXCEEDED", json!("PLAN_SESSIONS"));
    }
    assert_eq!(customer.usage().await["sessions"], 2);
    customer.change(json!({"maxSessions": null})).await;
    assert_eq!(customer.create_session("One more").await.status, 201);
}

#[tokio::test]
async fn campaigns_of_a_period_are_counted() {
    let customer = Customer::new().await;
    customer.subscribe("starter", "active").await;
    customer.change(json!({"maxCampaigns": 1})).await;
    let made = customer.create_campaign().await;
    assert_eq!((made.status.as_u16(), &made.data()["onLimit"]), (201, &json!("fail")));
    assert_refused(&customer.create_campaign().await, "LIMIT_EXCEEDED", json!("PLAN_CAMPAIGNS"));
    assert_eq!(customer.usage().await["campaigns"], 1);
}

#[tokio::test]
async fn requests_are_counted_but_for_those_that_lead_out() {
    let customer = Customer::new().await;
    customer.subscribe("starter", "active").await;
    customer.change(json!({"maxApiRequests": 3})).await;
    for _ in 0..3 {
        assert_eq!(customer.front.get("/api/whatsapp", &customer.token).await.status, 200);
    }
    let refused = customer.front.get("/api/v1/campaigns", &customer.token).await;
    assert_refused(&refused, "LIMIT_EXCEEDED", json!("PLAN_API_REQUESTS"));
    assert_eq!(customer.front.get("/api/v1/auth/me", &customer.token).await.status, 200);
    assert_eq!(customer.usage().await["apiRequests"], 3);
    assert_eq!(customer.front.get("/api/v1/whatsapp", "nonsense").await.status, 401, "nobody pays for strangers");
}

#[tokio::test]
async fn a_message_without_room_is_refused_before_it_is_queued() {
    let customer = Customer::new().await;
    customer.subscribe("starter", "active").await;
    assert_eq!(customer.send().await.status, 200);
    customer.change(json!({"maxMessages": 0})).await;
    assert_refused(&customer.send().await, "LIMIT_EXCEEDED", json!("PLAN_MESSAGES"));
}

#[tokio::test]
async fn an_inactive_subscription_reads_and_sends_nothing() {
    let customer = Customer::new().await;
    let made = customer.create_campaign().await;
    let campaign = made.data()["id"].as_str().unwrap().to_owned();
    let view = customer.subscribe("growth", "past_due").await;
    assert!(view.data()["activeUntil"].is_string());
    let start = customer.front.act(&format!("/api/v1/campaigns/{campaign}/start"), &customer.token).await;
    for refused in [customer.send().await, customer.create_campaign().await, customer.create_session("x").await, start]
    {
        assert_refused(&refused, "SUBSCRIPTION_INACTIVE", Value::Null);
    }
    assert_eq!(customer.front.get("/api/v1/campaigns", &customer.token).await.status, 200);
    customer.subscribe("growth", "active").await;
    assert_eq!(customer.send().await.status, 200);
}

#[tokio::test]
async fn whatever_makes_a_campaign_send_asks_for_the_subscription_once_the_campaign_is_found() {
    let customer = Customer::new().await;
    let made = customer.create_campaign().await;
    let own = made.data()["id"].as_str().unwrap().to_owned();
    let act = async |campaign: &str, verb: &str, body: Value| {
        customer.front.post(&format!("/api/v1/campaigns/{campaign}/{verb}"), &customer.token, body).await
    };
    assert_eq!(act(&own, "start", json!({})).await.status, 200);
    customer.subscribe("growth", "past_due").await;
    let nobodys = uuid::Uuid::now_v7().to_string();
    for (verb, body) in [
        ("start", json!({})),
        ("resume", json!({})),
        ("retry-failed", json!({})),
        ("resolve-unknown", json!({"to": "retry"})),
        ("resolve-unknown", json!({"to": "sent"})),
    ] {
        assert_eq!(act(&nobodys, verb, body).await.status, 404, "{verb}");
    }
    // What holds already is no send.
    for verb in ["start", "resume", "pause", "pause"] {
        assert_eq!(act(&own, verb, json!({})).await.status, 200, "{verb}");
    }
    for (verb, body) in
        [("resume", json!({})), ("retry-failed", json!({})), ("resolve-unknown", json!({"to": "retry"}))]
    {
        assert_refused(&act(&own, verb, body).await, "SUBSCRIPTION_INACTIVE", Value::Null);
    }
    assert_eq!(act(&own, "resolve-unknown", json!({"to": "sent"})).await.status, 200, "nothing leaves by that");
    customer.subscribe("growth", "active").await;
    assert_eq!(act(&own, "resume", json!({})).await.status, 200);
    assert_eq!(act(&own, "retry-failed", json!({})).await.status, 200);
}

#[tokio::test]
async fn operators_see_and_change_plans() {
    let customer = Customer::new().await;
    let plans = customer.front.get("/api/v1/ops/plans", &customer.operator).await;
    let rows: Vec<(Value, Value, Value)> = plans
        .data()
        .as_array()
        .unwrap()
        .iter()
        .map(|plan| (plan["slug"].clone(), plan["priceCents"].clone(), plan["maxMessages"].clone()))
        .collect();
    let seeded = [
        ("trial", json!(0), json!(500)),
        ("starter", json!(49_900), json!(5_000)),
        ("growth", json!(99_900), json!(25_000)),
        ("business", json!(249_900), json!(100_000)),
        ("enterprise", json!(599_900), Value::Null),
    ];
    assert_eq!(rows, seeded.map(|(slug, price, messages)| (json!(slug), price, messages)));
    let tenant = format!("/api/v1/ops/tenants/{}", customer.tenant);
    assert_eq!(customer.front.get(&tenant, &customer.operator).await.data()["subscription"], Value::Null);
    let view = customer.subscribe("trial", "trialing").await;
    assert_eq!(view.data()["activeUntil"], view.data()["currentPeriodEnd"]);
    let bad = json!({"plan": "gold", "status": "active", "periodEnd": "2020-01-01T00:00:00Z"}).to_string();
    let bad = customer.front.send("PUT", &format!("{tenant}/subscription"), &customer.operator, &bad).await;
    assert_eq!((bad.status.as_u16(), bad.json()["errors"].as_object().unwrap().len()), (400, 2), "{bad:?}");
    let negative = json!({"maxMessages": -1, "priceCents": -1});
    let negative =
        customer.front.send("PATCH", "/api/v1/ops/plans/trial", &customer.operator, &negative.to_string()).await;
    assert_eq!((negative.status.as_u16(), negative.json()["errors"].as_object().unwrap().len()), (400, 2));
    for method in ["PATCH", "PUT"] {
        let unknown = customer.front.send(method, "/api/v1/ops/plans/gold", &customer.operator, "{}").await;
        assert_eq!(unknown.status, 404);
        let name = format!("Trial by {method}");
        let body = json!({"name": name}).to_string();
        let changed = customer.front.send(method, "/api/v1/ops/plans/trial", &customer.operator, &body).await;
        assert_eq!((&changed.data()["name"], &changed.data()["maxMessages"]), (&json!(name), &json!(500)));
    }
    let audit = customer.front.get("/api/v1/ops/audit", &customer.operator).await.json();
    let shown = |no: usize| (audit["data"][no]["action"].clone(), audit["data"][no]["details"].clone());
    let renamed = |from: &str, to: &str| (json!("plan.changed"), json!({"name": {"from": from, "to": to}}));
    assert_eq!(shown(0), renamed("Trial by PATCH", "Trial by PUT"));
    assert_eq!(shown(1), renamed("Trial", "Trial by PATCH"));
    assert_eq!(audit["data"][2]["action"], "subscription.changed");
    assert!(audit["data"][0]["actorId"].is_string() && audit["data"][0]["requestId"].is_string());
}
