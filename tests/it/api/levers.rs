//! Levers and the audit log under `/ops`: for operators only.

use serde_json::{Value, json};

use super::support::Front;

const LEVERS: [&str; 4] = ["lanes/{session}", "sessions/{session}", "tenants/{tenant}", ""];

/// A customer's token, session and tenant, and an operator's token.
async fn customer(front: &Front) -> (String, String, String, String) {
    let token = front.register("customer@example.com").await;
    let session = front.session(&token).await;
    let tenant = front.get("/api/v1/auth/me", &token).await.data()["tenantId"].as_str().unwrap().to_owned();
    (token, session, tenant, front.register_as("operator", "ops@example.com").await)
}

fn path(lever: &str, verb: (&str, &str), session: &str, tenant: &str) -> String {
    let (of_one, of_all) = verb;
    match lever.replace("{session}", session).replace("{tenant}", tenant).as_str() {
        "" => format!("/api/v1/ops/{of_all}"),
        lever => format!("/api/v1/ops/{lever}/{of_one}"),
    }
}

#[tokio::test]
async fn operators_hold_back_and_let_go() {
    let front = Front::start().await;
    let (_, session, tenant, operator) = customer(&front).await;
    let body = json!({"reason": "The provider asked us to wait.", "forSeconds": 3600});
    for lever in LEVERS {
        for _ in 0..2 {
            let held = front.post(&path(lever, ("suspend", "stop"), &session, &tenant), &operator, body.clone()).await;
            assert_eq!(held.status, 200, "{held:?}");
            assert_eq!(held.data()["reason"], "The provider asked us to wait.");
            assert!(held.data()["since"].is_string() && held.data()["until"].is_string());
        }
    }
    let list = front.get("/api/v1/ops/suspensions", &operator).await.json();
    assert_eq!(list["pagination"]["total"], 4);
    let mut held: Vec<(&Value, &Value)> =
        list["data"].as_array().unwrap().iter().map(|row| (&row["scope"], &row["subject"])).collect();
    held.sort_by_key(|row| row.0.to_string());
    let expected = [
        (json!("everything"), Value::Null),
        (json!("lane"), json!(session)),
        (json!("session"), json!(session)),
        (json!("tenant"), json!(tenant)),
    ];
    assert_eq!(held, expected.iter().map(|row| (&row.0, &row.1)).collect::<Vec<_>>());
    for lever in LEVERS {
        for _ in 0..2 {
            let answer = front.act(&path(lever, ("resume", "start"), &session, &tenant), &operator).await;
            assert_eq!(answer.data()["suspended"], false);
        }
    }
    assert_eq!(front.get("/api/v1/ops/suspensions", &operator).await.json()["data"], json!([]));
    let audit = front.get("/api/v1/ops/audit?limit=5", &operator).await.json();
    assert_eq!(audit["pagination"]["total"], 12, "each suspension, and each end of one");
    let newest = &audit["data"][0];
    assert_eq!((&newest["action"], &newest["subject"]), (&json!("everything.resumed"), &json!("everything")));
    assert!(newest["requestId"].is_string() && newest["actorId"].is_string());
}

#[tokio::test]
async fn a_lane_tells_how_much_waits_in_it_and_until_when() {
    let front = Front::start().await;
    let (token, session, _, operator) = customer(&front).await;
    let path = format!("/api/v1/whatsapp/{session}/lane");
    let empty = front.get(&path, &token).await.data();
    assert_eq!(
        (&empty["openStreams"], &empty["backlog"], &empty["nextSendNotBefore"]),
        (&json!(0), &json!(0), &Value::Null)
    );
    for n in 0..3 {
        let body = json!({"sessionId": session, "to": format!("91987654321{n}"), "text": "Hello"});
        assert_eq!(front.post("/api/v1/messages/send-text", &token, body).await.status, 200);
    }
    let rows = front.store.outbox_next(10).await.unwrap();
    for job in rows.iter().filter_map(|row| row.job.as_ref()) {
        front.store.admit_jobs(&[job], 1).await.unwrap();
    }
    let lever = format!("/api/v1/ops/lanes/{session}");
    let hour = json!({"reason": "x", "forSeconds": 3600});
    let held = front.post(&format!("{lever}/suspend"), &operator, hour).await.data();
    let lane = front.get(&path, &token).await.data();
    assert_eq!((&lane["heldBy"]["by"], &lane["nextSendNotBefore"]), (&json!("lane_suspended"), &held["until"]));
    assert_eq!((&lane["openStreams"], &lane["backlog"]), (&json!(1), &json!(3)));
    assert_eq!(front.get(&lever, &operator).await.data()["backlog"], 3);
    front.act(&format!("{lever}/resume"), &operator).await;
    let lane = front.get(&path, &token).await.data();
    assert_eq!((&lane["heldBy"]["by"], &lane["nextSendNotBefore"]), (&json!("no_owner"), &Value::Null));
}

#[tokio::test]
async fn a_request_is_written_down_by_its_name() {
    let front = Front::start().await;
    let (_, session, _, operator) = customer(&front).await;
    let request = super::support::request("POST", &format!("/api/v1/ops/lanes/{session}/suspend"), &operator)
        .header("content-type", "application/json")
        .header("x-request-id", "incident-7");
    let body = axum::body::Body::from(r#"{"reason":"x"}"#);
    assert_eq!(front.call(request.body(body).unwrap()).await.status, 200);
    let audit = front.get("/api/v1/ops/audit", &operator).await.json();
    assert_eq!(audit["data"][0]["requestId"], "incident-7");
    assert_eq!(audit["data"][0]["details"], json!({"reason": "x", "untilMs": null}));
}

#[tokio::test]
async fn nobody_else_pulls_a_lever() {
    let front = Front::start().await;
    let (token, session, tenant, _) = customer(&front).await;
    for lever in LEVERS {
        for verb in [("suspend", "stop"), ("resume", "start")] {
            let path = path(lever, verb, &session, &tenant);
            let answer = front.post(&path, &token, json!({"reason": "x"})).await;
            assert_eq!(answer.refusal(), "403 FORBIDDEN: Your role does not allow this.", "{path}");
            assert_eq!(front.post(&path, "", json!({"reason": "x"})).await.status, 401, "{path}");
        }
    }
    for path in ["/api/v1/ops/suspensions", "/api/v1/ops/audit"] {
        assert_eq!(front.get(path, &token).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn bad_bodies_and_strange_ids_are_refused() {
    let front = Front::start().await;
    let operator = front.register_as("operator", "ops@example.com").await;
    let stop = async |body: Value| front.post("/api/v1/ops/stop", &operator, body).await.refusal();
    assert_eq!(
        stop(json!({"until": "tomorrow", "why": 1})).await,
        "400 VALIDATION_ERROR: Some fields are not valid.\nreason: is required\nuntil: must be a time such as \
         2026-01-31T08:00:00Z\nwhy: is not a known field"
    );
    assert_eq!(
        stop(json!({"reason": " ", "until": "2020-01-01T00:00:00Z"})).await,
        "400 VALIDATION_ERROR: Some fields are not valid.\nreason: is required\nuntil: must be in the future, within \
         a year"
    );
    let id = uuid::Uuid::now_v7();
    for path in [format!("lanes/{id}"), format!("sessions/{id}"), format!("tenants/{id}")] {
        let path = format!("/api/v1/ops/{path}");
        assert_eq!(front.post(&format!("{path}/suspend"), &operator, json!({"reason": "x"})).await.status, 404);
        assert_eq!(front.act(&format!("{path}/resume"), &operator).await.status, 404);
    }
    assert_eq!(front.act("/api/v1/ops/lanes/7/resume", &operator).await.status, 400);
}
