//! Reports and the log of requests over HTTP.

use serde_json::{Value, json};

use super::support::{Front, request};
use axum::body::Body;

/// Puts messages of a day into the sums of the only tenant.
async fn message_day(front: &Front, day: &str, session: &str, counts: &str) {
    let session = session.replace('-', "");
    front
        .sql(&format!(
            "INSERT INTO message_days (tenant_id, day, session_id, campaign_id, waiting, sent, delivered, read, failed_limit, \
             failed_unavailable, skipped, cancelled, unknown, used) \
             SELECT tenant_id, unixepoch('{day}') / 86400, X'{session}', zeroblob(16), {counts} FROM tenants"
        ))
        .await;
}

#[tokio::test]
async fn messages_by_day_session_and_status() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    message_day(&front, "2026-01-30", &session, "1, 2, 3, 4, 1, 1, 1, 1, 1, 10").await;
    message_day(&front, "2026-02-01", &session, "0, 0, 2, 0, 0, 0, 0, 0, 0, 2").await;
    let answer = front.get("/api/v1/analytics/messages?from=2026-01-30&to=2026-01-31", &token).await;
    insta::assert_snapshot!(answer.golden(), @r#"
    200
    {
      "data": {
        "days": [
          {
            "cancelled": 1,
            "day": "2026-01-30",
            "delivered": 3,
            "failedLimit": 1,
            "failedUnavailable": 1,
            "queued": 1,
            "read": 4,
            "sent": 2,
            "skipped": 1,
            "total": 15,
            "unknown": 1
          }
        ],
        "period": {
          "from": "2026-01-30",
          "timeZone": "UTC",
          "to": "2026-01-31"
        },
        "rates": {
          "deliveryRate": 0.7777777777777778,
          "failureRate": 0.18181818181818182,
          "readRate": 0.5714285714285714
        },
        "sessions": [
          {
            "cancelled": 1,
            "delivered": 3,
            "deliveryRate": 0.7777777777777778,
            "failedLimit": 1,
            "failedUnavailable": 1,
            "failureRate": 0.18181818181818182,
            "name": "Shop",
            "queued": 1,
            "read": 4,
            "readRate": 0.5714285714285714,
            "sent": 2,
            "sessionId": "[id]",
            "skipped": 1,
            "total": 15,
            "unknown": 1
          }
        ],
        "total": {
          "cancelled": 1,
          "delivered": 3,
          "failedLimit": 1,
          "failedUnavailable": 1,
          "queued": 1,
          "read": 4,
          "sent": 2,
          "skipped": 1,
          "total": 15,
          "unknown": 1
        }
      },
      "success": true
    }
    "#);
}

#[tokio::test]
async fn messages_are_filtered_and_belong_to_their_tenant() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    message_day(&front, "2026-01-30", &session, "1, 2, 3, 4, 1, 1, 1, 1, 1, 10").await;
    message_day(&front, "2026-02-01", &session, "0, 0, 2, 0, 0, 0, 0, 0, 0, 2").await;
    let total = async |query: &str| {
        let answer = front.get(&format!("/api/v1/analytics/messages?{query}"), &token).await;
        answer.data()["total"]["total"].clone()
    };
    assert_eq!(total("from=2026-01-01&to=2026-02-28").await, 17);
    assert_eq!(total(&format!("from=2026-01-01&to=2026-02-28&sessionId={session}")).await, 17);
    assert_eq!(total(&format!("from=2026-01-01&to=2026-02-28&campaignId={session}")).await, 0);
    let thief = front.register("eve@example.com").await;
    let foreign = front.get("/api/v1/analytics/messages?from=2026-01-30&to=2026-01-31", &thief).await;
    assert_eq!(foreign.data()["total"]["total"], 0);
    let usage = front.get("/api/v1/analytics/usage?from=2026-01-30&to=2026-02-01", &token).await;
    insta::assert_snapshot!(usage.data()["days"], @r#"[{"apiRequests":0,"campaigns":0,"contacts":0,"day":"2026-01-30","messages":10,"sessions":0},{"apiRequests":0,"campaigns":0,"contacts":0,"day":"2026-01-31","messages":0,"sessions":0},{"apiRequests":0,"campaigns":0,"contacts":0,"day":"2026-02-01","messages":2,"sessions":0}]"#);
}

#[tokio::test]
async fn today_is_told_without_being_asked_for() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    front.draft(&token, &session).await;
    front.post("/api/v1/contacts", &token, json!({"phone": "+919876543210", "name": "Ravi"})).await;
    front.state.services.analytics.note_contacts().await.unwrap();
    front.state.services.requests.write().await.unwrap();
    let mut overview = front.get("/api/v1/analytics/overview", &token).await.data();
    assert_eq!(overview["apiRequests"]["requests"], 4);
    overview["apiRequests"] = Value::Null;
    overview["period"] = Value::Null;
    insta::assert_snapshot!(serde_json::to_string_pretty(&overview).unwrap(), @r#"
    {
      "apiRequests": null,
      "campaigns": 1,
      "contacts": 1,
      "messages": {
        "cancelled": 0,
        "delivered": 0,
        "failedLimit": 0,
        "failedUnavailable": 0,
        "queued": 0,
        "read": 0,
        "sent": 0,
        "skipped": 0,
        "total": 0,
        "unknown": 0
      },
      "period": null,
      "rates": {
        "deliveryRate": null,
        "failureRate": null,
        "readRate": null
      },
      "sessions": 1
    }
    "#);
    let usage = front.get("/api/v1/analytics/usage", &token).await.data();
    let days = usage["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    let today = days.last().unwrap();
    // Registration comes before there is anybody; everything since counts for the plan.
    assert_eq!([&today["sessions"], &today["campaigns"], &today["contacts"], &today["apiRequests"]], [1, 1, 1, 4]);
}

#[tokio::test]
async fn campaigns_with_rates_reasons_and_speed() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let id = front.draft(&token, &session).await;
    let empty = front.get("/api/v1/analytics/campaigns", &token).await;
    assert_eq!((empty.status.as_u16(), empty.json()["pagination"]["total"].as_u64()), (200, Some(0)), "not started");
    let start = 1_769_846_400_000_i64;
    let hex = id.replace('-', "");
    for sql in [
        format!(
            "UPDATE campaigns SET state = 'completed', n_recipients = 14, started_at_ms = {start}, finished_at_ms = {start} + 120000"
        ),
        format!(
            "INSERT INTO campaign_counters (campaign_id, accepted, sent, delivered, read, failed_limit, failed_unavailable, \
             skipped) VALUES (X'{hex}', 14, 2, 4, 4, 1, 2, 1)"
        ),
        format!(
            "INSERT INTO campaign_reasons (campaign_id, reason, n) VALUES (X'{hex}', 'NOT_ON_WHATSAPP', 3), (X'{hex}', 'OPTED_OUT', 1)"
        ),
    ] {
        front.sql(&sql).await;
    }
    let path = "/api/v1/analytics/campaigns?from=2026-01-31&to=2026-01-31";
    insta::assert_snapshot!(front.get(path, &token).await.golden(), @r#"
    200
    {
      "data": [
        {
          "byReason": {
            "NOT_ON_WHATSAPP": 3,
            "OPTED_OUT": 1
          },
          "delivered": 8,
          "deliveryRate": 0.8,
          "failed": 3,
          "failedByCode": {
            "LIMIT_EXCEEDED": 1,
            "WHATSAPP_UNAVAILABLE": 2
          },
          "failureRate": 0.23076923076923078,
          "finishedAt": "[time]",
          "id": "[id]",
          "name": "Sale",
          "read": 4,
          "readRate": 0.5,
          "recipients": 14,
          "sent": 10,
          "sentPerMinute": 5.0,
          "startedAt": "[time]",
          "status": "completed"
        }
      ],
      "pagination": {
        "limit": 20,
        "page": 1,
        "total": 1,
        "totalPages": 1
      },
      "success": true
    }
    "#);
    for query in [format!("&sessionId={session}"), format!("&campaignId={id}")] {
        assert_eq!(front.get(&format!("{path}{query}"), &token).await.json()["pagination"]["total"], 1, "{query}");
    }
    for query in [format!("&sessionId={id}"), format!("&campaignId={session}")] {
        assert_eq!(front.get(&format!("{path}{query}"), &token).await.json()["pagination"]["total"], 0, "{query}");
    }
    let thief = front.register("eve@example.com").await;
    assert_eq!(front.get(path, &thief).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn requests_are_logged_and_counted_by_caller() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let (key_id, key) = front.key(&token, json!({"name": "Shop backend", "scopes": ["contacts:read"]})).await;
    let with_key = async |path: &str| {
        let request = request("GET", path, "").header("x-api-key", &key).header("x-request-id", "of-the-shop");
        front.call(request.body(Body::empty()).unwrap()).await.status.as_u16()
    };
    let foreign = "/api/v1/external/contacts/01993b1e-6f0e-7c22-8d6e-2b0a3c0f7a10?secret=919876543210";
    assert_eq!(with_key("/api/v1/external/contacts").await, 200);
    assert_eq!(with_key(foreign).await, 404);
    assert_eq!(with_key("/api/v1/external/messages").await, 403, "not in its scopes");
    // Nobody is known to have made these.
    front.get("/api/v1/contacts", "no token").await;
    front.get("/nowhere", &token).await;
    front.state.services.requests.write().await.unwrap();
    let log = front.get("/api/v1/logs/api-requests", &token).await;
    let mut body = log.json();
    for row in body["data"].as_array_mut().unwrap() {
        assert!(row["durationMs"].is_i64());
        row["durationMs"] = Value::Null;
        if row["callerKind"] == "user" {
            row["requestId"] = Value::Null;
        }
    }
    let rows: Vec<String> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            format!("{} {} {} {}", row["callerKind"], row["method"], row["operation"], row["status"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        rows,
        [
            "apiKey GET /api/v1/external/messages 403",
            "apiKey GET /api/v1/external/contacts/{id} 404",
            "apiKey GET /api/v1/external/contacts 200",
            "user POST /api/v1/api-keys 201",
        ]
    );
    assert_eq!(body["data"][0]["requestId"], "of-the-shop");
    assert!(!log.json().to_string().contains("919876543210"), "no query is logged");
    let total = async |query: &str| {
        let answer = front.get(&format!("/api/v1/logs/api-requests?{query}"), &token).await;
        assert_eq!(answer.status, 200, "{query}");
        answer.json()["pagination"]["total"].as_u64().unwrap()
    };
    assert_eq!(total(&format!("callerId={key_id}")).await, 3);
    assert_eq!((total("status=4xx").await, total("status=404").await, total("method=POST").await), (2, 1, 1));
    assert_eq!((total("operation=/api/v1/api-keys").await, total("to=2026-01-01T00:00:00Z").await), (1, 0));

    let usage = front.get("/api/v1/analytics/api-usage", &token).await.data();
    let callers: Vec<String> = usage["callers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| format!("{} {} {} {} {}", of["kind"], of["name"], of["requests"], of["counted"], of["clientErrors"]))
        .collect();
    // What is refused for its scope costs no request of the plan, and neither do keys.
    assert_eq!(callers, [r#""apiKey" "Shop backend" 3 2 2"#, r#""user" "Ana Rao" 1 0 0"#]);
    let of_key = front.get(&format!("/api/v1/analytics/api-usage?apiKeyId={key_id}"), &token).await.data();
    assert_eq!((&of_key["total"]["requests"], of_key["days"].as_array().unwrap().len()), (&json!(3), 1));

    let thief = front.register("eve@example.com").await;
    let foreign = front.get("/api/v1/logs/api-requests", &thief).await;
    assert_eq!(foreign.json()["data"], json!([]));
}

#[tokio::test]
async fn bad_queries_are_refused_by_field() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let refusal = async |path: &str| front.get(&format!("/api/v1/{path}"), &token).await.refusal();
    for path in ["overview", "messages", "campaigns", "api-usage", "usage"] {
        let of = async |query: &str| refusal(&format!("analytics/{path}?{query}")).await;
        let fields = "400 VALIDATION_ERROR: Some fields are not valid.";
        let day = "must be a day such as 2026-01-31";
        assert_eq!(of("from=x&to=2026-02-30").await, format!("{fields}\nfrom: {day}\nto: {day}"), "{path}");
        assert_eq!(
            of("from=2026-02-01&to=2026-01-31").await,
            format!("{fields}\nto: must not be before from"),
            "{path}"
        );
        let long = of("from=2024-01-01&to=2026-01-31").await;
        assert_eq!(long, format!("{fields}\nfrom: must not be more than 366 days before the end of to"), "{path}");
        assert_eq!(of("from=%00").await, format!("{fields}\nfrom: {day}"), "{path}");
        assert_eq!(of(&format!("from={}", "9".repeat(5_000))).await, format!("{fields}\nfrom: {day}"), "{path}");
        assert_eq!(front.get(&format!("/api/v1/analytics/{path}?from=9999-12-31"), &token).await.status, 200, "{path}");
        assert_eq!(front.get(&format!("/api/v1/analytics/{path}?to=1970-01-01"), &token).await.status, 200, "{path}");
    }
    let ids = refusal("analytics/messages?sessionId=1&campaignId=x").await;
    assert!(ids.contains("sessionId: must be a UUID") && ids.contains("campaignId: must be a UUID"), "{ids}");
    let all = "from=1&to=2&callerId=3&method=%00&operation=&status=700";
    let all = refusal(&format!("logs/api-requests?{all}")).await;
    for field in ["from", "to", "callerId", "method", "operation", "status"] {
        assert!(all.contains(&format!("\n{field}: must")), "{field}: {all}");
    }
    assert!(refusal("logs/api-requests?limit=101").await.contains("limit: must be a whole number from 1 to 100"));
}
