//! The node under `/ops`: its end, the ledger, and records that could not be admitted.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::support::Front;

async fn operated() -> (Front, String) {
    let front = Front::start().await;
    let operator = front.register_as("operator", "ops@example.com").await;
    (front, operator)
}

#[tokio::test]
async fn the_ledger_is_counted() {
    let (front, operator) = operated().await;
    let ledger = front.get("/api/v1/ops/ledger", &operator).await.data();
    assert_eq!(ledger, json!({"accepted": 0, "sum": 0, "drift": 0, "usageDrift": 0}));
    front.sql("INSERT INTO campaign_counters (campaign_id, accepted, pending) VALUES (x'00000000000000000000000000000007', 3, 3)").await;
    let ledger = front.get("/api/v1/ops/ledger", &operator).await.data();
    assert_eq!(ledger, json!({"accepted": 3, "sum": 0, "drift": 3, "usageDrift": 0}), "three are lost");
}

#[tokio::test]
async fn a_node_drains_that_is_meant() {
    let (front, operator) = operated().await;
    let drain = async |body: &str| front.send("POST", "/api/v1/ops/drain", &operator, body).await;
    let refused = drain(r#"{"node":"node-2"}"#).await.refusal();
    assert_eq!(refused, "409 CONFLICT: This is the node node-1.\nnode: This is the node node-1.");
    assert_eq!(drain(r#"{"node":1,"now":true}"#).await.status, 400);
    assert!(!front.process.is_draining.load(Ordering::Relaxed));
    for body in ["", "{}", r#"{"node":"node-1"}"#] {
        assert_eq!(drain(body).await.data(), json!({"node": "node-1", "status": "draining"}), "{body}");
    }
    assert!(front.process.is_draining.load(Ordering::Relaxed));
    let audit = front.get("/api/v1/ops/audit", &operator).await.json();
    assert_eq!((&audit["data"][0]["action"], &audit["data"][0]["subject"]), (&json!("node.drained"), &json!("node-1")));
}

#[tokio::test]
async fn dead_letters_are_listed_and_put_back() {
    let (front, operator) = operated().await;
    insta::assert_snapshot!(front.get("/api/v1/ops/dead-letters?limit=1&page=2", &operator).await.golden(), @r#"
    200
    {
      "data": [
        {
          "at": "[time]",
          "bytes": 1834,
          "cause": "UNKNOWN_SESSION",
          "detail": "there is no such session",
          "id": "0:17",
          "replayed": false,
          "sourceOffset": 4711,
          "sourcePartition": 5,
          "sourceTopic": "campaign.jobs",
          "truncated": false
        }
      ],
      "pagination": {
        "limit": 1,
        "page": 2,
        "total": 2,
        "totalPages": 2
      },
      "success": true
    }
    "#);
    let replay = async |id: &str| front.act(&format!("/api/v1/ops/dead-letters/{id}/replay"), &operator).await;
    assert_eq!(replay("0:17").await.data(), json!({"id": "0:17", "replayed": true}));
    let cut = "409 CONFLICT: Only its beginning was kept, so it can not be replayed.";
    assert_eq!(replay("0:18").await.refusal(), cut);
    assert_eq!(replay("0:19").await.refusal(), "404 NOT_FOUND: There is no such dead letter.");
    for id in ["x", "0:x", "0:99999999999999999999", "0%3A17%00"] {
        assert_eq!(replay(id).await.status, 400, "{id}");
    }
    let list = front.get("/api/v1/ops/dead-letters", &operator).await.data();
    assert_eq!((&list[0]["replayed"], &list[1]["replayed"]), (&json!(false), &json!(true)));
    let audit = front.get("/api/v1/ops/audit", &operator).await.json();
    assert_eq!(audit["pagination"]["total"], 1, "what was not done is not written down");
}
