//! Tests over loopback: what a sender sees, what the ledger says, and what the receiver gets.

use std::collections::HashSet;
use std::sync::Mutex;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::sync::Notify;

use super::*;

const SECRET: &str = "app secret";

/// A simulator that runs, and a sender's connections to it.
struct Simulated {
    address: SocketAddr,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Simulated {
    async fn start(faults: &str, callback_url: Option<String>) -> Self {
        let faults = Faults::from_toml(faults).unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = Options { listen, callback_url, app_secret: SECRET.into(), seed: 7, faults, receipts: true };
        let (running, stop) = (bind(options).await.unwrap(), CancellationToken::new());
        let address = running.address;
        let running = TaskTracker::new().spawn(running.run(stop.clone()));
        // Nothing is ever repeated by the sender itself.
        let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        Self { address, stop, running, client }
    }

    async fn request(&self, method: Method, path: &str, auth: bool, body: String) -> Result<(u16, Value), String> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if auth {
            request = request.header("authorization", "Bearer token");
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answer = self.client.request(request).await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    async fn send(&self, number: &str, to: &str, token: &str) -> Result<(u16, Value), String> {
        self.request(Method::POST, &format!("/v23.0/{number}/messages"), true, text(to, token)).await
    }

    async fn ledger(&self, query: &str) -> Value {
        self.request(Method::GET, &format!("/ledger{query}"), false, String::new()).await.unwrap().1
    }

    /// Waits until the ledger's sums are as wanted.
    async fn ledger_with(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let looking = async {
            loop {
                let sums = self.ledger("").await;
                if wanted(&sums) {
                    return sums;
                }
            }
        };
        soon(looking).await
    }

    async fn stop(self) {
        self.stop.cancel();
        soon(self.running).await.unwrap();
    }
}

fn text(to: &str, token: &str) -> String {
    format!(
        r#"{{"messaging_product":"whatsapp","to":"{to}","type":"text","text":{{"body":"Hi"}},"biz_opaque_callback_data":"{token}"}}"#
    )
}

/// A receiver of receipts that answers what it is told to.
struct Receiver {
    posts: Mutex<Vec<(Option<String>, Bytes)>>,
    answers: Mutex<Vec<u16>>,
    posted: Notify,
}

impl Receiver {
    /// Listens on `address` and answers the given statuses in turn, then 200.
    async fn start(address: SocketAddr, answers: &[u16]) -> (Arc<Self>, String) {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/callback", listener.local_addr().unwrap());
        let answers = Mutex::new(answers.iter().rev().copied().collect());
        let receiver = Arc::new(Self { posts: Mutex::default(), answers, posted: Notify::new() });
        let tracker = TaskTracker::new();
        let shared = Arc::clone(&receiver);
        TaskTracker::new().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = Arc::clone(&shared);
                tracker.spawn(async move {
                    let service = service_fn(|request| receiver.take(request));
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        (receiver, url)
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let signature = request.headers().get("x-hub-signature-256").map(|value| value.to_str().unwrap().to_owned());
        let body = request.into_body().collect().await?.to_bytes();
        let status = self.answers.lock().unwrap().pop().unwrap_or(200);
        self.posts.lock().unwrap().push((signature, body));
        self.posted.notify_one();
        Ok(Response::builder().status(status).body(Full::default()).unwrap())
    }

    /// Returns all statuses of all posts, in order.
    fn statuses(&self) -> Vec<Value> {
        let posts = self.posts.lock().unwrap();
        let mut statuses = Vec::new();
        for (_, body) in posts.iter() {
            let post: Value = serde_json::from_slice(body).unwrap();
            for change in post["entry"][0]["changes"].as_array().unwrap() {
                assert_eq!(change["field"], "messages");
                statuses.extend(change["value"]["statuses"].as_array().into_iter().flatten().cloned());
            }
        }
        statuses
    }

    /// Returns the values of all changes in which recipients write, in order.
    fn inbound(&self) -> Vec<Value> {
        let posts = self.posts.lock().unwrap();
        let posts = posts.iter().map(|(_, body)| serde_json::from_slice::<Value>(body).unwrap());
        let changes = posts.flat_map(|post| post["entry"][0]["changes"].as_array().unwrap().clone());
        changes.map(|change| change["value"].clone()).filter(|value| value["messages"].is_array()).collect()
    }

    /// Waits until so many statuses came.
    async fn wait_for(&self, n: usize) -> Vec<Value> {
        loop {
            let posted = self.posted.notified();
            let statuses = self.statuses();
            if statuses.len() >= n {
                return statuses;
            }
            posted.await;
        }
    }
}

/// Waits for something that must happen; a test that waits in vain fails and does not hang.
async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.expect("it should have happened")
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test]
async fn accepts_a_message_and_puts_it_down() {
    let simulated = Simulated::start("", None).await;
    let token = "018f2f6e-0000-7000-8000-0000000000aa";
    let (status, answer) = simulated.send("5551", "+91 98765-43210", token).await.unwrap();
    assert_eq!((status, &answer["messaging_product"]), (200, &"whatsapp".into()));
    assert_eq!(answer["contacts"][0], serde_json::json!({"input": "+91 98765-43210", "wa_id": "919876543210"}));
    assert!(answer["messages"][0]["id"].as_str().unwrap().starts_with("wamid."));
    let sums = simulated.ledger("").await;
    assert_eq!((&sums["received"], &sums["accepted"], &sums["numbers"]), (&1.into(), &1.into(), &1.into()));
    let entries = simulated.ledger("?entries=true").await;
    let entry = &entries["entries"][0];
    assert_eq!((&entry["token"], &entry["recipient"]), (&token.into(), &"919876543210".into()));
    assert_eq!((&entry["number"], &entry["verdict"]), (&"5551".into(), &"accepted".into()));
    simulated.request(Method::POST, "/ledger/reset", false, String::new()).await.unwrap();
    assert_eq!(simulated.ledger("").await["received"], 0);
    assert_eq!(simulated.request(Method::GET, "/health", false, String::new()).await.unwrap().0, 200);
    simulated.stop().await;
}

#[tokio::test]
async fn refuses_in_graph_form() {
    let simulated = Simulated::start("", None).await;
    let path = "/v25.0/5551/messages";
    let long = "x".repeat(REQUEST_BYTES_MAX + 1);
    let table = [
        (Method::POST, path, false, text("1", "t"), 401, 190),
        (Method::POST, path, true, "{".into(), 400, 100),
        (Method::POST, path, true, long, 400, 100),
        (Method::POST, path, true, text("nobody", "t"), 400, 131_009),
        (Method::GET, path, true, String::new(), 400, 100),
        (Method::POST, "/latest/5551/messages", true, text("1", "t"), 404, 2_500),
        (Method::GET, "/", true, String::new(), 404, 2_500),
    ];
    for (method, path, auth, body, status, code) in table {
        let (got, answer) = simulated.request(method, path, auth, body).await.unwrap();
        let error = &answer["error"];
        assert_eq!((got, &error["code"]), (status, &code.into()), "{path}");
        assert!(error["message"].as_str().unwrap().starts_with(&format!("(#{code}) ")), "{error}");
        assert_eq!(
            (&error["type"], &error["error_data"]["messaging_product"]),
            (&"OAuthException".into(), &"whatsapp".into())
        );
        assert!(error["error_data"]["details"].is_string() && error["fbtrace_id"].is_string(), "{error}");
    }
    let sums = simulated.ledger("").await;
    assert_eq!((&sums["received"], &sums["refused"], &sums["byCode"]["100"]), (&4.into(), &4.into(), &2.into()));
    assert_eq!(simulated.request(Method::GET, "/ledger?burst=0", true, String::new()).await.unwrap().0, 400);
    simulated.stop().await;
}

/// What goes wrong, what the sender sees (a status, or 0 for a cut connection), the verdict, and the code.
const FAULTS_SEEN: &[(&str, u16, &str, Option<u32>)] = &[
    ("", 200, "accepted", None),
    ("reset = { before_acceptance = 1 }", 0, "resetBeforeAcceptance", None),
    ("reset = { after_acceptance = 1 }", 0, "acceptedThenReset", None),
    ("errors = [{ code = 131016, probability = 1 }]", 500, "refused", Some(131_016)),
    ("errors = [{ code = 131000, probability = 1, http = 400 }]", 400, "refused", Some(131_000)),
    ("recipients = [{ suffix = '11', code = 131030 }]", 400, "refused", Some(131_030)),
    ("recipients = [{ suffix = '11', code = 131026, asynchronous = true }]", 200, "accepted", None),
    ("outages = [{ start_seconds = 0, end_seconds = 9000 }]", 503, "unavailable", None),
    ("numbers = [{ id = '5551', errors = [{ code = 2, probability = 1 }] }]", 503, "refused", Some(2)),
    ("numbers = [{ id = '5552', errors = [{ code = 2, probability = 1 }] }]", 200, "accepted", None),
    ("latency = { distribution = 'fixed', fixed_ms = 3 }", 200, "accepted", None),
];

#[tokio::test]
async fn each_fault_is_seen_and_put_down() {
    for &(faults, status, verdict, code) in FAULTS_SEEN {
        let simulated = Simulated::start(faults, None).await;
        let seen = simulated.send("5551", "4911", "a").await;
        assert_eq!(seen.as_ref().map_or(0, |(status, _)| *status), status, "{faults}: {seen:?}");
        let sums = simulated.ledger("").await;
        assert_eq!((&sums["received"], &sums["byVerdict"][verdict]), (&1.into(), &1.into()), "{faults}");
        assert_eq!(sums["accepted"], u64::from(verdict.starts_with("accepted")), "{faults}");
        if let Some(code) = code {
            assert_eq!(sums["byCode"][code.to_string()], 1, "{faults}");
        }
        simulated.stop().await;
    }
}

#[tokio::test]
async fn outage_of_connections_cuts_them() {
    let simulated =
        Simulated::start("outages = [{ start_seconds = 0, end_seconds = 9000, kind = 'reset' }]", None).await;
    let error = simulated.send("5551", "4911", "a").await.unwrap_err();
    assert!(error.contains("ConnectionReset") || error.contains("IncompleteMessage"), "{error}");
    simulated.stop().await;
}

#[tokio::test]
async fn hanging_holds_only_its_sender_and_ends_with_the_simulator() {
    let faults =
        "numbers = [{ id = '1', hang = { before_acceptance = 1 } }, { id = '2', hang = { after_acceptance = 1 } }]";
    let simulated = Arc::new(Simulated::start(faults, None).await);
    let hung: Vec<_> = ["1", "2"]
        .into_iter()
        .map(|number| {
            let simulated = Arc::clone(&simulated);
            TaskTracker::new().spawn(async move { simulated.send(number, "49", "a").await })
        })
        .collect();
    let sums = simulated.ledger_with(|sums| sums["received"] == 2).await;
    assert_eq!(simulated.send("3", "49", "b").await.unwrap().0, 200);
    assert_eq!(
        (&sums["byVerdict"]["hungBeforeAcceptance"], &sums["byVerdict"]["acceptedThenHung"]),
        (&1.into(), &1.into())
    );
    assert_eq!(sums["accepted"], 1);
    assert!(hung.iter().all(|send| !send.is_finished()));
    simulated.stop.cancel();
    for send in hung {
        assert!(send.await.unwrap().is_err());
    }
    Arc::into_inner(simulated).unwrap().stop().await;
}

#[tokio::test]
async fn limits_refuse_the_number_and_the_pair_alone() {
    let faults = "throughput = { per_second = 0.001, burst = 3, http = 400 }
        pair = { model = 'borrow_block', interval_seconds = 80000, burst = 2 }";
    let simulated = Simulated::start(faults, None).await;
    let mut codes = Vec::new();
    for (number, to) in [("1", "49"), ("1", "49"), ("1", "49"), ("1", "50"), ("2", "49"), ("2", "50")] {
        let (status, answer) = simulated.send(number, to, "").await.unwrap();
        codes.push((status, answer["error"]["code"].as_u64()));
    }
    let accepted = (200, None);
    assert_eq!(codes, [accepted, accepted, (429, Some(131_056)), (400, Some(130_429)), accepted, accepted]);
    simulated.stop().await;
}

#[tokio::test]
async fn pace_is_judged_over_http() {
    let simulated = Simulated::start("", None).await;
    for token in ["a", "b", "c"] {
        simulated.send("1", "49", token).await.unwrap();
    }
    let of = async |query: &str| simulated.ledger(query).await["paceViolations"].clone();
    assert_eq!(of("").await, 0);
    assert_eq!(of("?ratePerSecond=0.01").await, 2);
    assert_eq!(of("?ratePerSecond=0.01&burst=2").await, 1);
    assert_eq!(of("?ratePerSecond=0.01&toleranceMs=200000").await, 0);
    assert!(simulated.ledger("").await["tightestGapMs"].as_f64().unwrap() > 0.0);
    simulated.stop().await;
}

#[tokio::test]
async fn verdicts_repeat_in_another_order() {
    let faults = "errors = [{ code = 131000, probability = 0.3 }]
        reset = { before_acceptance = 0.2, after_acceptance = 0.2 }";
    let verdicts = async |backwards: bool| {
        let simulated = Simulated::start(faults, None).await;
        let mut recipients: Vec<_> = (100..150).collect();
        if backwards {
            recipients.reverse();
        }
        for to in recipients {
            // A cut connection is one of the things that must repeat.
            drop(simulated.send("1", &to.to_string(), "").await);
        }
        let page = simulated.ledger("?entries=true").await;
        let entries = page["entries"].as_array().unwrap().iter();
        let mut verdicts: Vec<_> =
            entries.map(|entry| (entry["recipient"].to_string(), entry["verdict"].to_string())).collect();
        verdicts.sort();
        simulated.stop().await;
        verdicts
    };
    let forwards = verdicts(false).await;
    assert_eq!(forwards, verdicts(true).await);
    assert_eq!(forwards.iter().map(|(_, verdict)| verdict).collect::<HashSet<_>>().len(), 4);
}

#[tokio::test]
async fn downtime_of_a_number_leaves_the_others_alone() {
    let faults = "numbers = [{ id = '1', downtimes = [{ end_seconds = 9000 }] }]";
    let simulated = Simulated::start(faults, None).await;
    let (status, answer) = simulated.send("1", "49", "a").await.unwrap();
    assert_eq!((status, &answer["error"]["code"]), (400, &133_010.into()));
    assert_eq!(simulated.send("2", "49", "b").await.unwrap().0, 200);
    simulated.stop().await;
}

#[tokio::test]
async fn recipients_write_and_may_then_be_written_to() {
    let (receiver, url) = Receiver::start(any_port(), &[]).await;
    let faults = "window = { asynchronous = false }
        timelock = { code = 131048 }
        receipts = { read_probability = 0 }";
    let simulated = Simulated::start(faults, Some(url)).await;
    let code = |answer: (u16, Value)| (answer.0, answer.1["error"]["code"].as_u64());
    assert_eq!(code(simulated.send("5551", "4911", "a").await.unwrap()), (400, Some(131_047)));
    let inbound = r#"{"number": "5551", "from": "+49 11", "text": "Ja, bitte"}"#;
    let (status, told) = simulated.request(Method::POST, "/inbound", false, inbound.to_owned()).await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(code(simulated.send("5551", "4911", "b").await.unwrap()), (200, None));
    assert_eq!(code(simulated.send("5552", "4911", "c").await.unwrap()), (400, Some(131_047)));
    soon(receiver.wait_for(2)).await;
    let value = receiver.inbound().remove(0);
    assert_eq!(value["metadata"]["phone_number_id"], "5551");
    assert_eq!(value["contacts"][0]["wa_id"], "4911");
    let message = &value["messages"][0];
    assert_eq!((&message["from"], &message["id"], &message["type"]), (&"4911".into(), &told["id"], &"text".into()));
    assert_eq!(message["text"]["body"], "Ja, bitte");
    let signer = envelope::Signer::new(SECRET);
    let posts = receiver.posts.lock().unwrap().clone();
    assert!(posts.iter().all(|(signature, body)| *signature == Some(signer.sign(body))));
    for wrong in ["{", r#"{"number": "1", "from": "nobody"}"#, r#"{"number": "1", "from": "1", "at": 1}"#] {
        assert_eq!(
            simulated.request(Method::POST, "/inbound", false, wrong.to_owned()).await.unwrap().0,
            400,
            "{wrong}"
        );
    }
    simulated.stop().await;
}

#[tokio::test]
async fn a_full_tier_fails_later_as_no_document_says_otherwise() {
    let (receiver, url) = Receiver::start(any_port(), &[]).await;
    let faults = "tier = { unique_recipients = 1 }
        receipts = { read_probability = 0 }";
    let simulated = Simulated::start(faults, Some(url)).await;
    for (number, to, token) in [("1", "4911", "first"), ("2", "4912", "second"), ("2", "4911", "again")] {
        assert_eq!(simulated.send(number, to, token).await.unwrap().0, 200, "{token}");
    }
    let statuses = soon(receiver.wait_for(5)).await;
    let failed: Vec<_> = statuses.iter().filter(|status| status["status"] == "failed").collect();
    assert_eq!((failed.len(), &failed[0]["biz_opaque_callback_data"]), (1, &"second".into()));
    assert_eq!(failed[0]["errors"][0]["code"], 131_048);
    let view = simulated.ledger("/numbers?sliceSeconds=3600").await;
    assert_eq!((&view["numbers"][1]["received"], &view["accounts"][0]["recipients"]), (&2.into(), &2.into()));
    let paces = r#"{"toleranceMs": 0, "paces": [{"number": "2", "ratePerSecond": 0.0001, "burst": 1}]}"#;
    let judged = simulated.request(Method::POST, "/ledger/violations", false, paces.to_owned()).await.unwrap();
    assert_eq!((&judged.1["violations"], &judged.1["worst"][0]["number"]), (&1.into(), &"2".into()));
    simulated.stop().await;
}

#[tokio::test]
async fn receipts_come_signed_batched_and_in_order() {
    let (receiver, url) = Receiver::start(any_port(), &[]).await;
    let simulated = Simulated::start("receipts = { read_probability = 1 }", Some(url)).await;
    for n in 0..50 {
        simulated.send(if n % 2 == 0 { "1" } else { "2" }, "49", &format!("t{n}")).await.unwrap();
    }
    let statuses = soon(receiver.wait_for(150)).await;
    assert_eq!(statuses.len(), 150);
    for n in 0..50 {
        let own = statuses.iter().filter(|status| status["biz_opaque_callback_data"] == format!("t{n}"));
        let kinds: Vec<_> = own.map(|status| status["status"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["sent", "delivered", "read"], "t{n}");
    }
    let posts = receiver.posts.lock().unwrap().clone();
    assert!(posts.len() < 75, "{} posts of 150 receipts", posts.len());
    let signer = envelope::Signer::new(SECRET);
    for (signature, body) in posts {
        assert_eq!(signature, Some(signer.sign(&body)));
    }
    simulated.stop().await;
}

#[tokio::test]
async fn receipts_prove_acceptance_after_a_reset_and_tell_failures() {
    let (receiver, url) = Receiver::start(any_port(), &[]).await;
    let faults = "reset = { after_acceptance = 1 }
        recipients = [{ exact = '4999', code = 131049, asynchronous = true }]";
    let simulated = Simulated::start(faults, Some(url)).await;
    assert!(simulated.send("1", "4911", "good").await.is_err());
    assert!(simulated.send("1", "4999", "bad").await.is_err());
    let statuses = soon(receiver.wait_for(3)).await;
    let of = |token: &str| statuses.iter().find(|status| status["biz_opaque_callback_data"] == token).unwrap();
    assert_eq!((&of("good")["status"], &of("good")["recipient_id"]), (&"sent".into(), &"4911".into()));
    assert_eq!((&of("bad")["status"], &of("bad")["errors"][0]["code"]), (&"failed".into(), &131_049.into()));
    simulated.stop().await;
}

#[tokio::test]
async fn receipts_survive_a_receiver_that_is_away_or_refuses() {
    // A port that was free a moment ago: nobody listens there until the receiver starts.
    let address = TcpListener::bind(any_port()).await.unwrap().local_addr().unwrap();
    let simulated =
        Simulated::start("receipts = { read_probability = 0 }", Some(format!("http://{address}/callback"))).await;
    for n in 0..20 {
        assert_eq!(simulated.send("1", "49", &format!("t{n}")).await.unwrap().0, 200);
    }
    assert_eq!(simulated.ledger("").await["receiptsWaiting"], 40);
    let (receiver, _) = Receiver::start(address, &[500, 503, 302]).await;
    loop {
        soon(receiver.posted.notified()).await;
        let came = |kind: &str| {
            let of_kind = receiver.statuses().into_iter().filter(|status| status["status"] == kind);
            of_kind.map(|status| status["biz_opaque_callback_data"].to_string()).collect::<HashSet<_>>().len()
        };
        if came("sent") == 20 && came("delivered") == 20 && receiver.posts.lock().unwrap().len() > 3 {
            break;
        }
    }
    simulated.ledger_with(|sums| sums["receiptsWaiting"] == 0).await;
    simulated.stop().await;
}

#[tokio::test]
async fn receipts_are_doubled_and_reordered() {
    let (receiver, url) = Receiver::start(any_port(), &[]).await;
    let faults = "receipts = { read_probability = 1, doubled_probability = 1, reordered_probability = 1 }";
    let simulated = Simulated::start(faults, Some(url)).await;
    simulated.send("1", "49", "t").await.unwrap();
    let statuses = soon(receiver.wait_for(6)).await;
    let place = |kind: &str| statuses.iter().position(|status| status["status"] == kind).unwrap();
    assert!(place("read") < place("delivered") && place("delivered") < place("sent"), "{statuses:?}");
    for kind in ["sent", "delivered", "read"] {
        assert_eq!(statuses.iter().filter(|status| status["status"] == kind).count(), 2, "{kind}");
    }
    simulated.stop().await;
}

#[tokio::test]
async fn five_percent_of_everything_loses_no_receipt_and_tells_no_lie() {
    let (receiver, url) = Receiver::start(any_port(), &[]).await;
    let faults = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/five_percent.toml"));
    // Outages go by the clock, and a slow machine must not run into one.
    let faults = faults.replace("late_ms = 2000.0", "late_ms = 60.0").replace("end_seconds = ", "end_seconds = 200");
    let faults = faults.replace("start_seconds = ", "start_seconds = 100");
    let simulated = Arc::new(Simulated::start(&faults, Some(url)).await);
    let sends = TaskTracker::new();
    for n in 0..400 {
        let simulated = Arc::clone(&simulated);
        // Some of them hang until the simulator stops.
        sends.spawn(
            async move { simulated.send(&(n % 10).to_string(), &(49_100 + n).to_string(), &format!("t{n}")).await },
        );
    }
    let sums = simulated.ledger_with(|sums| sums["received"] == 400 && sums["receiptsWaiting"] == 0).await;
    let by_verdict = sums["byVerdict"].as_object().unwrap();
    assert_eq!(by_verdict.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 400);
    assert!(by_verdict.iter().all(|(verdict, n)| (*n != 0) == (verdict != "unavailable")), "{by_verdict:?}");
    assert_eq!((&sums["distinct"], &sums["duplicates"], &sums["receiptsDropped"]), (&400.into(), &0.into(), &0.into()));
    let page = simulated.ledger("?entries=true").await;
    let entries = page["entries"].as_array().unwrap().iter();
    let accepted = entries.filter(|entry| entry["verdict"].as_str().unwrap().starts_with("accepted"));
    let accepted: HashSet<_> = accepted.map(|entry| entry["token"].to_string()).collect();
    let told = receiver.statuses().iter().map(|status| status["biz_opaque_callback_data"].to_string()).collect();
    assert_eq!(accepted, told);
    simulated.stop.cancel();
    sends.close();
    sends.wait().await;
    Arc::into_inner(simulated).unwrap().stop().await;
}

#[tokio::test]
async fn callback_must_be_plain_http() {
    for given in ["https://localhost/x", "localhost", "http://", "/path"] {
        let options = Options {
            listen: any_port(),
            callback_url: Some(given.into()),
            app_secret: SECRET.into(),
            seed: 1,
            faults: Faults::default(),
            receipts: true,
        };
        assert!(matches!(bind(options).await, Err(SimulatorError::CallbackUrl { .. })), "{given}");
    }
}
