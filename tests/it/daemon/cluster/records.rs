//! What others write to the job topic: anything at all, the same again, and jobs by clients that are not ours.

use std::io::Write as _;
use std::process::{Command, Stdio};

use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::with_writer;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use super::chaos::{RATE_PER_SECOND, connect};
use super::nodes::{Cluster, Foreign, Servers};
use crate::daemon::by_hand::{Draw, executable};
use crate::daemon::client::phone;
use crate::daemon::judge::Observed;
use crate::support::wait::{PATIENCE, until};

/// Whose a session is.
pub(super) async fn tenant_of(store: &Store, session: &str) -> Uuid {
    let id: Uuid = session.parse().unwrap();
    with_writer!(store.pool(), |db| {
        sqlx::query_scalar("SELECT tenant_id FROM sessions WHERE session_id = $1").bind(id).fetch_one(db).await.unwrap()
    })
}

/// A job of single messages.
pub(super) fn job(tenant: Uuid, session: &str, recipients: std::ops::Range<u64>) -> Value {
    let delivery = |n| json!({"id": Uuid::new_v4(), "to": phone(n)});
    json!({"v": 1, "jobId": Uuid::new_v4(), "tenantId": tenant, "sessionId": session, "campaignId": null,
           "message": {"type": "text", "text": "Hello"}, "deliveries": recipients.map(delivery).collect::<Vec<_>>()})
}

pub(super) fn record(session: &str, job: &Value) -> Foreign {
    Foreign { key: session.as_bytes().to_vec(), value: job.to_string().into_bytes(), headers: vec![] }
}

async fn wait_for_dead_letters(cluster: &Cluster, n: u32) {
    let kept = async || (cluster.sum("dispatcher_intake_jobs_dead_total ").await == f64::from(n)).then_some(());
    until("the dead letters are kept", PATIENCE, kept).await;
}

/// Runs a command of the executable beside the cluster; returns what it wrote to standard output.
fn command(cluster: &Cluster, arguments: &[&str]) -> String {
    let mut command = Command::new(executable());
    command.env_clear().envs(cluster.queue_environment()).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_poison_record_is_kept_listed_and_replayed_after_a_fix() {
    let cluster = Cluster::start(2, Servers::calm(), "", "").await;
    let store = Store::open(cluster.store_url(), 2).await.unwrap();
    let sessions = connect(&cluster, 4).await;
    let tenant = tenant_of(&store, &sessions[0]).await;
    // A session that is not there yet; the fix is to make it.
    let late = Uuid::new_v4().to_string();
    let mut records = Vec::new();
    for n in 0..40 {
        let session = &sessions[usize::try_from(n % 4).unwrap()];
        records.push(record(session, &job(tenant, session, n..n + 1)));
        if n == 20 {
            records.push(Foreign { value: br#"{"v":1,"jobId":7}"#.to_vec(), ..Foreign::default() });
            records.push(record(&late, &job(tenant, &late, 50..52)));
        }
    }
    cluster.produce(records).await;
    cluster.wait_for_arrivals(40).await;
    wait_for_dead_letters(&cluster, 2).await;
    let listed: Value = serde_json::from_str(&command(&cluster, &["dead-letters", "list", "--json"])).unwrap();
    // They come from different partitions, so in any order.
    let letter = |cause: &str| listed.as_array().unwrap().iter().find(|letter| letter["cause"] == cause);
    assert!(listed.as_array().unwrap().len() == 2 && letter("UNREADABLE").is_some(), "{listed}");

    with_writer!(store.pool(), |db| {
        sqlx::query(
            "INSERT INTO sessions (session_id, tenant_id, name, state, phone_number_id, rate_per_minute, burst, \
                 created_at_ms) SELECT $1, tenant_id, 'late', 'connected', '9999', rate_per_minute, burst, created_at_ms \
             FROM sessions WHERE session_id = $2",
        )
        .bind(late.parse::<Uuid>().unwrap())
        .bind(sessions[0].parse::<Uuid>().unwrap())
        .execute(db)
        .await
        .map(drop)
        .unwrap();
    });
    let id = letter("UNKNOWN_SESSION").unwrap()["id"].as_str().unwrap();
    command(&cluster, &["dead-letters", "replay", id]);
    // The owner of its lane finds the new session at its next full look.
    cluster.wait_for_arrivals(42).await;
    let listed: Value = serde_json::from_str(&command(&cluster, &["dead-letters", "list", "--json"])).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1, "a replayed one is still listed: {listed}");
    let sums = cluster.provider.sums(RATE_PER_SECOND).await;
    assert_eq!((sums.received, sums.duplicates, sums.pace_violations), (42, 0, 0));
    store.close().await;
    cluster.end().await;
}

#[tokio::test]
async fn the_same_ids_with_another_content_are_refused() {
    let cluster = Cluster::start(1, Servers::calm(), "", "").await;
    let store = Store::open(cluster.store_url(), 2).await.unwrap();
    let sessions = connect(&cluster, 1).await;
    let session = &sessions[0];
    let first = job(tenant_of(&store, session).await, session, 0..3);
    let mut same = first.clone();
    same["jobId"] = json!(Uuid::new_v4());
    let mut other = same.clone();
    other["jobId"] = json!(Uuid::new_v4());
    other["deliveries"][1]["to"] = json!(phone(77));
    cluster.produce(vec![record(session, &first)]).await;
    cluster.wait_for_arrivals(3).await;
    cluster.produce(vec![record(session, &first), record(session, &same), record(session, &other)]).await;
    wait_for_dead_letters(&cluster, 1).await;
    let listed: Value = serde_json::from_str(&command(&cluster, &["dead-letters", "list", "--json"])).unwrap();
    assert_eq!(listed[0]["cause"], "CONFLICTING_ID", "{listed}");
    assert_eq!(cluster.provider.n_received().await, 3);
    assert_eq!(cluster.own_ledger().await.accepted, 3);
    store.close().await;
    cluster.end().await;
}

#[tokio::test]
async fn any_bytes_are_kept_and_hold_up_nobody() {
    let mut draw = Draw::new();
    let seed = draw.between(0, u64::MAX - 1);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bytes = |most: usize| {
        let n = rng.random_range(0..=most);
        (0..n).map(|_| rng.random::<u8>()).collect::<Vec<u8>>()
    };
    let cluster = Cluster::start(1, Servers::calm(), "", "").await;
    let store = Store::open(cluster.store_url(), 2).await.unwrap();
    let sessions = connect(&cluster, 1).await;
    let good = job(tenant_of(&store, &sessions[0]).await, &sessions[0], 0..2);
    let mut records: Vec<Foreign> = (0..60)
        .map(|n| Foreign { key: bytes(40), value: bytes(200), headers: vec![(format!("h{n}"), bytes(60))] })
        .collect();
    let mut null = good.clone();
    null["message"]["text"] = json!("a\u{0}b");
    records.push(record(&sessions[0], &null));
    // The largest that the broker takes.
    records.push(Foreign { value: vec![b'x'; 1_000_000], ..Foreign::default() });
    let n_bad = u32::try_from(records.len()).unwrap();
    records.push(record(&sessions[0], &good));
    cluster.produce(records).await;
    cluster.wait_for_arrivals(2).await;
    wait_for_dead_letters(&cluster, n_bad).await;
    assert_eq!(cluster.own_ledger().await.accepted, 2, "seed {seed}");
    store.close().await;
    cluster.end().await;
}

/// kcat places records by another hash than ours, so they come through partitions of other owners.
#[tokio::test]
async fn jobs_of_a_client_that_is_not_ours_are_sent() {
    let cluster = Cluster::start(2, Servers::calm(), "", "").await;
    let store = Store::open(cluster.store_url(), 2).await.unwrap();
    let sessions = connect(&cluster, 12).await;
    let tenant = tenant_of(&store, &sessions[0]).await;
    let lines: String = (0..12)
        .map(|n| {
            let session = &sessions[usize::try_from(n).unwrap()];
            format!("{session}\t{}\n", job(tenant, session, n * 2..n * 2 + 2))
        })
        .collect();
    let mut kcat = Command::new("kcat")
        .args(["-P", "-b", &cluster.servers.brokers, "-t", &cluster.topic("jobs"), "-K", "\t", "-z", "zstd"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat is the Debian package of that name; scripts/test installs it");
    kcat.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(kcat.wait().unwrap().success());
    cluster.wait_for_arrivals(24).await;
    let sums = cluster.provider.sums(RATE_PER_SECOND).await;
    assert_eq!((sums.received, sums.duplicates, sums.pace_violations), (24, 0, 0));
    store.close().await;
    cluster.end().await;
}
