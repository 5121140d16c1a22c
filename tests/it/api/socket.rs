//! The front behind a real socket: a file is read while the client is still writing it.

use std::net::SocketAddr;
use std::time::Duration;

use actiwapi_dispatcher::api;
use futures::SinkExt;
use reqwest::{Body, Client};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::support::Front;

/// Rows after which the test stops writing and looks: more than one insert.
const FIRST_ROWS: usize = 3_000;
const ALL_ROWS: usize = 50_000;

/// A front behind a socket.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Served {
    pub(super) async fn start(front: &Front) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(api::serve(listener, front.state.clone(), stop.clone()));
        Self { address, stop, tasks }
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}

fn rows(range: std::ops::Range<usize>) -> String {
    range.map(|at| format!("9198{at:08},Ana {at}\n")).collect()
}

#[tokio::test]
async fn files_are_kept_while_they_arrive() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let campaign_id = front.draft(&token, &session_id).await;
    let served = Served::start(&front).await;
    let address = served.address;
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
        writer.send(Ok("phone,name\n".to_owned() + &rows(0..FIRST_ROWS))).await.unwrap();
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
        tokio::time::timeout(Duration::from_secs(20), arrived).await.expect("rows are kept before the file ends");
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
    served.end().await;
}

/// A client whose provider of TLS is never asked: everything here is loopback.
pub(super) fn client() -> Client {
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    Client::new()
}

/// Heads and bodies that never end: the drain gives them up and cuts them off.
#[tokio::test]
async fn clients_that_stand_still_do_not_hold_up_the_drain() {
    let front = Front::start().await;
    let served = Served::start(&front).await;
    let mut standing = Vec::new();
    for begin in [
        "",
        "GET /api/health HTTP/1.1\r\nhost: x\r\n",
        "POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
    ] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        standing.push(stream);
    }
    // One whole call, so that the others were accepted before it.
    let health = format!("http://{}/api/health", served.address);
    assert_eq!(client().get(health).send().await.unwrap().status(), 200);
    tokio::time::timeout(Duration::from_secs(20), served.end()).await.expect("the drain ends");
    for mut stream in standing {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "the connection is closed");
    }
}

/// What was begun before the drain is answered in it.
#[tokio::test]
async fn calls_under_way_are_answered_in_the_drain() {
    let front = Front::start().await;
    let served = Served::start(&front).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let body = r#"{"email":"ana@example.com","password":"x"}"#;
    let head = format!(
        "POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    served.stop.cancel();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    served.end().await;
}
