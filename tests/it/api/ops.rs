//! The division of work under `/ops`: partitions and lanes, for operators only.

use std::num::NonZeroU16;
use std::time::Duration;

use actiwapi_dispatcher::api::ApiSettings;
use actiwapi_dispatcher::domain::id::SessionId;
use actiwapi_dispatcher::domain::partition::PartitionNo;
use actiwapi_dispatcher::node::Node;
use actiwapi_dispatcher::service::operators;
use actiwapi_dispatcher::store::partitions::{ClaimRequest, ClaimTerms, Claimant, Claimed, Renewal};
use serde_json::{Value, json};

use super::support::Front;

const N_PARTITIONS: NonZeroU16 = NonZeroU16::new(3).unwrap();
const LEASE: Duration = Duration::from_secs(600);

/// A front of which the node `left` owns partition 0 with a lag of 5, has given back 1, and never claimed 2.
async fn divided() -> Front {
    let front = Front::start_with(ApiSettings { n_partitions: N_PARTITIONS, ..ApiSettings::default() }).await;
    let node = Node::of_process(Some("left"));
    let claimant = Claimant { node: &node, n_partitions: N_PARTITIONS.get(), lease: LEASE };
    let requests = [0, 1].map(|no| ClaimRequest { partition: PartitionNo(no), terms: ClaimTerms::IfFree });
    let fences = front.store.claim_partitions(claimant, &requests).await.unwrap().into_iter().map(|claimed| {
        let Claimed::Granted { fence, .. } = claimed else { panic!("{claimed:?}") };
        fence
    });
    let fences: Vec<_> = fences.collect();
    front.store.release_leases(&fences[1..]).await.unwrap();
    front.store.renew_leases(&[Renewal { fence: fences[0], lag: Some(5) }], LEASE).await.unwrap();
    front
}

/// Makes sessions of a customer until every partition has one, and returns them, the newest first.
async fn sessions(front: &Front) -> Vec<String> {
    let token = front.register("customer@example.com").await;
    let (mut ids, mut missing) = (Vec::new(), vec![0, 1, 2]);
    while !missing.is_empty() {
        let answer = front.post("/api/v1/whatsapp", &token, json!({"name": "Shop", "ratePerMinute": 60})).await;
        let id = answer.data()["id"].as_str().unwrap().to_owned();
        missing.retain(|no| *no != partition_of(&id));
        ids.insert(0, id);
    }
    ids
}

fn partition_of(id: &str) -> u16 {
    PartitionNo::of(id.parse::<SessionId>().unwrap(), N_PARTITIONS).0
}

fn ids(lanes: &Value) -> Vec<&str> {
    lanes["data"].as_array().unwrap().iter().map(|lane| lane["sessionId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn all_partitions_are_listed_claimed_or_not() {
    let front = divided().await;
    let operator = front.register_as("operator", "ops@example.com").await;
    let mut answer = front.get("/api/v1/ops/partitions", &operator).await.data();
    let left_ms = answer[0]["leaseLeftMs"].take().as_i64().unwrap();
    assert!((1..=600_000).contains(&left_ms), "{left_ms}");
    for (no, field) in [(0, "leaseEndsAt"), (0, "claimedAt"), (1, "claimedAt")] {
        assert!(answer[no][field].take().as_str().is_some_and(|time| time.ends_with('Z')), "{no} {field}");
    }
    let times = [("leaseLeftMs", Value::Null), ("leaseEndsAt", Value::Null), ("claimedAt", Value::Null)];
    let row = |partition: u16, owner: Value, fence: i64, lag: Value| {
        let fields = [("partition", json!(partition)), ("owner", owner), ("fence", json!(fence)), ("lag", lag)];
        Value::Object(fields.into_iter().chain(times.clone()).map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let expected =
        [row(0, json!("left"), 1, json!(5)), row(1, Value::Null, 1, Value::Null), row(2, Value::Null, 0, Value::Null)];
    assert_eq!(answer, json!(expected));
}

#[tokio::test]
async fn an_owner_whose_lease_ran_out_is_still_named() {
    let front = divided().await;
    let operator = front.register_as("operator", "ops@example.com").await;
    front.sql("UPDATE partitions SET leased_until_ms = leased_until_ms - 3600000 WHERE partition_no = 0").await;
    let answer = front.get("/api/v1/ops/partitions", &operator).await.data();
    assert_eq!(answer[0]["owner"], "left");
    assert!(answer[0]["leaseLeftMs"].as_i64().unwrap() < 0, "{answer}");
}

#[tokio::test]
async fn lanes_of_all_tenants_are_listed_with_their_partition() {
    let front = divided().await;
    let sessions = sessions(&front).await;
    let operator = front.register_as("operator", "ops@example.com").await;
    let list = front.get("/api/v1/ops/lanes?limit=100", &operator).await.json();
    assert_eq!(ids(&list), sessions);
    assert_eq!(list["pagination"]["total"], sessions.len());
    for lane in list["data"].as_array().unwrap() {
        let partition = partition_of(lane["sessionId"].as_str().unwrap());
        assert_eq!(lane["partition"], partition);
        let (owner, fence, lag) =
            [(json!("left"), 1, json!(5)), (Value::Null, 1, Value::Null), (Value::Null, 0, Value::Null)]
                [usize::from(partition)]
            .clone();
        assert_eq!((&lane["owner"], &lane["fence"], &lane["lag"]), (&owner, &json!(fence), &lag), "{lane}");
        assert_eq!(lane["leaseLeftMs"].is_null(), partition != 0, "{lane}");
        assert_eq!((&lane["status"], &lane["openStreams"]), (&json!("disconnected"), &json!(0)));
        assert_eq!(lane["nextSendNotBefore"], Value::Null);
    }
    let page = front.get("/api/v1/ops/lanes?page=2&limit=2", &operator).await.json();
    assert_eq!(ids(&page), sessions[2..sessions.len().min(4)]);
}

#[tokio::test]
async fn lanes_are_found_by_partition_and_by_session() {
    let front = divided().await;
    let sessions = sessions(&front).await;
    let operator = front.register_as("operator", "ops@example.com").await;
    for partition in 0..N_PARTITIONS.get() {
        let those: Vec<&String> = sessions.iter().filter(|id| partition_of(id) == partition).collect();
        let list = front.get(&format!("/api/v1/ops/lanes?partition={partition}"), &operator).await.json();
        assert_eq!(ids(&list), those);
        assert_eq!(list["pagination"]["total"], those.len());
        let last = those.len();
        let page = front.get(&format!("/api/v1/ops/lanes?partition={partition}&limit=1&page={last}"), &operator).await;
        assert_eq!(ids(&page.json()), those[last - 1..]);
        assert_eq!(page.json()["pagination"]["total"], last);
    }
    let one = &sessions[0];
    let path = |partition: u16| format!("/api/v1/ops/lanes?sessionId={one}&partition={partition}");
    let (own, other) = (partition_of(one), (partition_of(one) + 1) % 3);
    assert_eq!(ids(&front.get(&path(own), &operator).await.json()), [one]);
    assert_eq!(ids(&front.get(&path(other), &operator).await.json()), Vec::<&str>::new());
    let nobody = format!("/api/v1/ops/lanes?sessionId={}", uuid::Uuid::now_v7());
    assert_eq!(front.get(&nobody, &operator).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn a_lane_tells_its_pace_and_its_work() {
    let front = divided().await;
    let token = front.register("customer@example.com").await;
    let body = json!({"name": "Shop", "ratePerMinute": 60, "burst": 3});
    let id = front.post("/api/v1/whatsapp", &token, body).await.data()["id"].as_str().unwrap().to_owned();
    let hex = id.replace('-', "");
    // Two more may go at once before the arrival time holds the lane: 2 s earlier at one a second.
    front.sql(&format!("INSERT INTO lanes (session_id, tat_us) VALUES (x'{hex}', 1800000002000001)")).await;
    for (campaign, done_below, last) in [("01", 5, 5), ("02", 6, 5), ("03", 1, 9)] {
        front
            .sql(&format!(
                "INSERT INTO lane_streams (session_id, campaign_id, traffic_class, done_below_seq, last_seq) \
                 VALUES (x'{hex}', x'{campaign:0>32}', 'bulk', {done_below}, {last})"
            ))
            .await;
    }
    let operator = front.register_as("operator", "ops@example.com").await;
    let list = front.get(&format!("/api/v1/ops/lanes?sessionId={id}"), &operator).await.json();
    assert_eq!(list["data"][0]["nextSendNotBefore"], "2027-01-15T08:00:00.001Z");
    assert_eq!((&list["data"][0]["openStreams"], &list["data"][0]["backlog"]), (&json!(2), &json!(1 + 9)));
    let (mut one, mut listed) =
        (front.get(&format!("/api/v1/ops/lanes/{id}"), &operator).await.data(), list["data"][0].clone());
    // Time goes on between the two.
    (one["leaseLeftMs"], listed["leaseLeftMs"]) = (Value::Null, Value::Null);
    assert_eq!(one, listed);
    let own = front.get(&format!("/api/v1/whatsapp/{id}/lane"), &token).await.data();
    assert_eq!(own["backlog"], 10);
}

#[tokio::test]
async fn a_lane_that_is_not_there_is_not_found() {
    let front = divided().await;
    let operator = front.register_as("operator", "ops@example.com").await;
    let nobody = front.get(&format!("/api/v1/ops/lanes/{}", uuid::Uuid::now_v7()), &operator).await;
    assert_eq!(nobody.refusal(), "404 NOT_FOUND: There is no such session.");
    assert_eq!(front.get("/api/v1/ops/lanes/7", &operator).await.status, 400);
    let token = front.register("customer@example.com").await;
    assert_eq!(front.get(&format!("/api/v1/ops/lanes/{}", uuid::Uuid::now_v7()), &token).await.status, 403);
}

#[tokio::test]
async fn nobody_else_is_told_anything() {
    let front = divided().await;
    for path in ["/api/v1/ops/partitions", "/api/v1/ops/lanes", "/api/v1/ops/lanes?partition=x"] {
        assert_eq!(front.get(path, "").await.status, 401, "{path}");
        for role in ["owner", "admin", "agent", "viewer"] {
            let token = front.register_as(role, &format!("{role}-{}@example.com", uuid::Uuid::now_v7().simple())).await;
            let refusal = front.get(path, &token).await.refusal();
            assert_eq!(refusal, "403 FORBIDDEN: Your role does not allow this.", "{role} {path}");
        }
    }
}

#[tokio::test]
async fn a_grant_and_its_end_hold_for_tokens_that_are_out() {
    let front = divided().await;
    let token = front.register("ops@example.com").await;
    let status = async || front.get("/api/v1/ops/partitions", &token).await.status;
    assert_eq!(status().await, 403);
    operators::grant(&front.store, " Ops@Example.com ").await.unwrap();
    assert_eq!(status().await, 200);
    operators::revoke(&front.store, "ops@example.com").await.unwrap();
    assert_eq!(status().await, 403);
}

#[tokio::test]
async fn a_customers_owner_becomes_no_operator() {
    let front = divided().await;
    let token = front.register("customer@example.com").await;
    front.session(&token).await;
    let refused = operators::grant(&front.store, "customer@example.com").await.unwrap_err();
    assert!(refused.to_string().contains("has sessions"), "{refused}");
    assert_eq!(front.get("/api/v1/auth/me", &token).await.data()["role"], "owner");
    assert!(operators::grant(&front.store, "nobody@example.com").await.is_err());
}

#[tokio::test]
async fn bad_queries_are_refused() {
    let front = divided().await;
    let operator = front.register_as("operator", "ops@example.com").await;
    let refusal = async |query: &str| front.get(&format!("/api/v1/ops/lanes?{query}"), &operator).await.refusal();
    let both = "400 VALIDATION_ERROR: Some fields are not valid.\npartition: must be a whole number from 0 to 2\n\
                sessionId: must be a UUID";
    for partition in ["3", "-1", "x", "", "1.0", "65536"] {
        assert_eq!(refusal(&format!("partition={partition}&sessionId=7")).await, both, "{partition}");
    }
    assert!(refusal("limit=101").await.contains("\nlimit: must be a whole number from 1 to 100"));
    assert!(refusal("page=0").await.contains("\npage: "));
    assert!(refusal("partition=1&partition=2").await.starts_with("400 "));
}
