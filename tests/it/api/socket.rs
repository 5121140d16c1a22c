//! The front behind a real socket: a file is read while the client is still writing it.

use std::time::Duration;

use futures::SinkExt;
use reqwest::{Body, Client};
use serde_json::Value;

use super::support::Front;

/// Rows after which the test stops writing and looks: more than one insert.
const FIRST_ROWS: usize = 3_000;
const ALL_ROWS: usize = 50_000;

fn rows(range: std::ops::Range<usize>) -> String {
    range.map(|at| format!("9198{at:08},Ana {at}\n")).collect()
}

#[tokio::test]
async fn files_are_kept_while_they_arrive() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let campaign_id = front.draft(&token, &session_id).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut tasks = tokio::task::JoinSet::new();
    let router = front.router.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async { stopped.await.unwrap_or_default() });
    tasks.spawn(async move { serving.await.unwrap() });

    let url = format!("http://{address}/api/v1/campaigns/{campaign_id}");
    let (mut writer, body) = futures::channel::mpsc::channel::<Result<String, std::io::Error>>(1);
    let client = client();
    let upload = client
        .post(format!("{url}/recipients"))
        .bearer_auth(&token)
        .header("content-type", "text/csv")
        .body(Body::wrap_stream(body))
        .send();
    let writing = async {
        writer
            .send(Ok("phone,name\n".to_owned() + &rows(0..FIRST_ROWS)))
            .await
            .unwrap();
        let total = async || {
            let answer = client.get(&url).bearer_auth(&token).send().await.unwrap();
            let campaign: Value = answer.json().await.unwrap();
            campaign["data"]["counters"]["total"].as_u64().unwrap()
        };
        let arrived = async {
            while total().await == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), arrived)
            .await
            .expect("rows are kept before the file ends");
        for start in (FIRST_ROWS..ALL_ROWS).step_by(1_000) {
            writer.send(Ok(rows(start..start + 1_000))).await.unwrap();
        }
        drop(writer);
    };
    let (answer, ()) = futures::join!(upload, writing);
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    let report: Value = answer.json().await.unwrap();
    assert_eq!(report["data"]["accepted"], ALL_ROWS);
    stop.send(()).unwrap();
    drop(client);
    tasks.join_all().await;
}

/// A client whose provider of TLS is never asked: everything here is loopback.
fn client() -> Client {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap_or_default();
    Client::new()
}
