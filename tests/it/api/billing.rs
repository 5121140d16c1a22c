//! Payments over HTTP: who may pay, what is shown, and what wrong requests are answered.

use serde_json::{Value, json};

use super::support::{Front, request};
use axum::body::Body;

/// Lets a tenant have a plan that somebody paid for by hand, with an add-on; returns the id of an invoice and of the add-on.
pub(super) async fn invoice_and_addon(front: &Front, token: &str) -> (String, String) {
    let operator = front.register_as("operator", "cashier@example.com").await;
    for (path, body) in [
        ("/api/v1/billing/checkout", json!({"plan": "enterprise"})),
        ("/api/v1/billing/addons/checkout", json!({"addon": "session"})),
    ] {
        let made = front.post(path, token, body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let data = made.data();
        let order = if data["order"].is_object() { data["order"].clone() } else { data };
        assert_eq!((&order["status"], &order["provider"]), (&json!("open"), &json!("manual")));
        let path = format!("/api/v1/ops/orders/{}/confirm", order["id"].as_str().unwrap());
        let confirmed = front.act(&path, &operator).await;
        assert_eq!((confirmed.status.as_u16(), &confirmed.data()["status"]), (200, &json!("paid")));
        assert_eq!(front.act(&path, &operator).await.status, 200, "once more changes nothing");
    }
    let invoices = front.get("/api/v1/billing/invoices", token).await.data();
    assert_eq!(invoices.as_array().unwrap().len(), 2);
    let addons = front.get("/api/v1/billing/addons", token).await.data();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&invoices[0]["id"]), text(&addons["own"][0]["id"]))
}

#[tokio::test]
async fn a_plan_is_chosen_paid_and_shown() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let plans = front.get("/api/billing/plans", "").await.data();
    let growth = plans.as_array().unwrap().iter().find(|plan| plan["slug"] == "growth").unwrap();
    assert_eq!((&growth["name"], &growth["priceCents"]), (&json!("Growth"), &json!(99_900)));
    assert_eq!((&growth["currency"], &growth["maxSessions"]), (&json!("INR"), &json!(5)));
    assert_eq!(front.get("/api/v1/billing/subscription", &token).await.status, 404);
    let (invoice, _) = invoice_and_addon(&front, &token).await;
    let shown = front.get("/api/v1/billing/subscription", &token).await.data();
    assert_eq!((&shown["status"], &shown["plan"]["slug"]), (&json!("active"), &json!("enterprise")));
    assert_eq!((&shown["cancelAtPeriodEnd"], &shown["limits"]["maxSessions"]), (&json!(false), &json!(51)));
    assert_eq!(shown["currentPeriodEnd"], shown["endsAt"]);
    let usage = front.get("/api/v1/billing/usage", &token).await.data();
    assert_eq!(usage["contacts"], json!({"used": 0, "limit": null}));
    assert_eq!(usage["sessions"], json!({"used": 0, "limit": 51}));
    let cancelled = front.act("/api/v1/billing/subscription/cancel", &token).await.data();
    assert_eq!(cancelled["cancelAtPeriodEnd"], true);
    let resumed = front.act("/api/v1/billing/subscription/resume", &token).await.data();
    assert_eq!(resumed["cancelAtPeriodEnd"], false);
    let payments = front.get("/api/v1/billing/payments", &token).await.data();
    assert_eq!(payments.as_array().unwrap().len(), 2);
    let shown = front.get(&format!("/api/v1/billing/invoices/{invoice}"), &token).await.data();
    assert_eq!((&shown["number"], &shown["buyer"]), (&json!("INV-000002"), &json!("Rao Textiles")));
    let page = front.get(&format!("/api/v1/billing/invoices/{invoice}/page"), &token).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text().contains("<h1>Invoice INV-000002</h1>"), "{}", page.text());
}

#[tokio::test]
async fn only_owners_pay() {
    let front = Front::start().await;
    for role in ["admin", "agent", "viewer"] {
        let token = front.register_as(role, &format!("{role}@example.com")).await;
        for (path, body) in [
            ("/api/v1/billing/checkout", json!({"plan": "growth"})),
            ("/api/v1/billing/subscription/cancel", json!({})),
            ("/api/v1/billing/coupons/validate", json!({"plan": "growth", "coupon": "ABC"})),
        ] {
            assert_eq!(front.post(path, &token, body).await.status, 403, "{role} {path}");
        }
        assert_eq!(front.get("/api/v1/billing/invoices", &token).await.status, 200, "{role}");
        assert_eq!(front.get("/api/v1/ops/orders", &token).await.status, 403, "{role}");
    }
}

#[tokio::test]
async fn wrong_requests_are_answered_clearly() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let long = "x".repeat(5_000);
    for (path, body, field) in [
        ("checkout", json!({"plan": "gold"}), "plan"),
        ("checkout", json!({"plan": "trial"}), "plan"),
        ("checkout", json!({"plan": ""}), "plan"),
        ("checkout", json!({"plan": 7}), "plan"),
        ("checkout", json!({"plan": "a\u{0}b"}), "plan"),
        ("checkout", json!({"plan": "growth", "coupon": long}), "coupon"),
        ("checkout", json!({"plan": "growth", "coupon": "NO-SUCH"}), "coupon"),
        ("checkout", json!({"plan": "growth", "amountCents": 1}), "amountCents"),
        ("addons/checkout", json!({"addon": long}), "addon"),
        ("coupons/validate", json!({"coupon": "NO-SUCH", "plan": "growth"}), "coupon"),
        (
            "verify",
            json!({"razorpay_order_id": long, "razorpay_payment_id": "p", "razorpay_signature": ""}),
            "razorpay_order_id",
        ),
    ] {
        let answer = front.post(&format!("/api/v1/billing/{path}"), &token, body.clone()).await;
        assert_eq!(answer.status, 400, "{path} {body}");
        assert!(answer.json()["errors"][field].is_string(), "{path} {body}: {}", answer.text());
    }
    let callback = json!({"razorpay_order_id": "order_1", "razorpay_payment_id": "pay_1", "razorpay_signature": "00"});
    let answer = front.post("/api/v1/billing/verify", &token, callback).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    for signature in [None, Some("00")] {
        let mut request = request("POST", "/api/v1/billing/webhook", "");
        if let Some(signature) = signature {
            request = request.header("x-razorpay-signature", signature);
        }
        let answer = front.call(request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(answer.status, 401, "{signature:?}");
    }
    assert_eq!(front.act("/api/v1/billing/subscription/cancel", &token).await.status, 404);
}

#[tokio::test]
async fn operators_offer_coupons_and_addons() {
    let front = Front::start().await;
    let (token, operator) =
        (front.register("ana@example.com").await, front.register_as("operator", "ops@example.com").await);
    let coupon = json!({"code": "welcome-20", "percent": 20, "maxUses": 5, "validUntil": "2999-01-01T00:00:00Z"});
    let made = front.post("/api/v1/ops/coupons", &operator, coupon.clone()).await;
    assert_eq!((made.status.as_u16(), &made.data()["code"]), (201, &json!("WELCOME-20")));
    assert_eq!(front.post("/api/v1/ops/coupons", &operator, coupon).await.status, 409);
    let priced = json!({"coupon": "Welcome-20", "plan": "growth"});
    let priced = front.post("/api/v1/billing/coupons/validate", &token, priced).await.data();
    assert_eq!((&priced["discountCents"], &priced["amountCents"]), (&json!(19_980), &json!(79_920)));
    for method in ["PATCH", "PUT"] {
        let path = "/api/v1/ops/coupons/WELCOME-20";
        let changed = front.send(method, path, &operator, r#"{"maxUses":null,"validUntil":null}"#).await;
        assert_eq!((changed.status.as_u16(), &changed.data()["maxUses"]), (200, &Value::Null));
    }
    assert_eq!(front.get("/api/v1/ops/coupons", &operator).await.data().as_array().unwrap().len(), 1);
    let addon = json!({"slug": "campaigns-10", "name": "Ten campaigns", "meter": "campaigns", "amount": 10,
        "priceCents": 9_900});
    assert_eq!(front.post("/api/v1/ops/addons", &operator, addon.clone()).await.status, 201);
    assert_eq!(front.post("/api/v1/ops/addons", &operator, addon).await.status, 409);
    let path = "/api/v1/ops/addons/campaigns-10";
    let changed = front.send("PATCH", path, &operator, r#"{"isActive":false}"#).await.data();
    assert_eq!((&changed["isActive"], &changed["amount"]), (&json!(false), &json!(10)));
    let has = |list: &Value| list.as_array().unwrap().iter().any(|addon| addon["slug"] == "campaigns-10");
    assert!(has(&front.get("/api/v1/ops/addons", &operator).await.data()));
    assert!(!has(&front.get("/api/v1/billing/addons", &token).await.data()["offered"]));
    front.post("/api/v1/billing/checkout", &token, json!({"plan": "growth"})).await;
    let open = front.get("/api/v1/ops/orders?status=open", &operator).await.data();
    assert_eq!((open.as_array().unwrap().len(), &open[0]["plan"]), (1, &json!("growth")));
    assert_eq!(front.get("/api/v1/ops/orders?status=none", &operator).await.status, 400);
}
