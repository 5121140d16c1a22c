//! What sessions at rest cost: a few by default, as many as `IDLE_SESSIONS` says when somebody wants to know.
//!
//! `IDLE_SESSIONS=500 cargo test --release --all-features -- --nocapture idle`

use futures::StreamExt;
use uuid::Uuid;

use crate::fake::FakeServer;
use crate::worker::Worker;

/// What one more may cost, in KiB: measured are about 400, without TLS.
const SESSION_KIB_MAX: u64 = 2_048;

fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn sessions_at_rest_cost_little() {
    let n: u64 = std::env::var("IDLE_SESSIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let server = FakeServer::start().await;
    let worker = Worker::start_with(&server, 1_000).await;
    // The first ones bring what all of them share.
    let pair = |nth: u64| {
        let (worker, server) = (&worker, &server);
        async move { worker.pair(server, Uuid::new_v4(), &(919_000_000_000 + nth).to_string()).await }
    };
    futures::stream::iter(0..5).for_each_concurrent(5, pair).await;
    let before = resident_kib(worker.process());
    let began = tokio::time::Instant::now();
    futures::stream::iter(5..5 + n).for_each_concurrent(8, pair).await;
    let took = began.elapsed();
    let after = resident_kib(worker.process());
    let each = after.saturating_sub(before) / n;
    eprintln!("{n} sessions in {took:.1?}: {before} KiB -> {after} KiB, {each} KiB each");
    assert!(each < SESSION_KIB_MAX, "{each} KiB each");
}
