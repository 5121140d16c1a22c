//! Posts receipts to the receiver: signed, batched, at least once, again and again while the receiver is away.
//!
//! One task waits for receipts to be due and cuts them into batches every 20 ms; each batch is a task of its own that ends
//! when the receiver answered 200. Receipts that are not delivered when the simulator stops are lost with it.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Moment};
use crate::simulator::envelope::{self, Signer};
use crate::simulator::receipts::{Backlog, Receipt};
use crate::simulator::{POSTS_IN_FLIGHT_MAX, RECEIPTS_PER_POST_MAX, SimulatorError, micros};

/// Least time between two rounds of posting, so that receipts come in batches.
const ROUND_EVERY: Duration = Duration::from_millis(20);

/// How long a batch that is not full waits for the posts before it.
const OVERTAKE_AFTER: Duration = Duration::from_secs(1);

/// How long the receiver may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Wait before the first repetition of a post; doubled each time (Meta: "immediately, then with decreasing frequency").
const REPEAT_AFTER: Duration = Duration::from_millis(50);

/// Longest wait between two repetitions; Meta's grows further, but nobody wants to wait for it here.
const REPEAT_AFTER_MAX: Duration = Duration::from_secs(2);

/// Bytes of the receiver's answer that are read; it is thrown away.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The task that posts.
#[derive(Debug)]
pub(crate) struct Posting {
    backlog: Arc<Backlog>,
    clock: Clock,
    poster: Arc<Poster>,
}

#[derive(Debug)]
struct Poster {
    callback: Uri,
    signer: Signer,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Reads the address for receipts.
///
/// # Errors
/// When it is not plain HTTP with a host.
pub(crate) fn parse_callback(given: &str) -> Result<Uri, SimulatorError> {
    let uri = given.parse::<Uri>().ok();
    uri.filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty()))
        .ok_or_else(|| SimulatorError::CallbackUrl { given: given.to_owned() })
}

impl Posting {
    /// Makes the task; nothing is posted until it runs.
    pub(crate) fn new(callback: Uri, app_secret: &str, backlog: Arc<Backlog>, clock: Clock) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(POSTS_IN_FLIGHT_MAX).build(connector);
        Self { backlog, clock, poster: Arc::new(Poster { callback, signer: Signer::new(app_secret), client }) }
    }

    /// Posts until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken, tracker: TaskTracker) {
        let working = stop.clone().run_until_cancelled_owned(self.work(&stop, &tracker)).await;
        if working.is_none() {
            tracing::debug!("posting of receipts stopped");
        }
    }

    async fn work(&self, stop: &CancellationToken, tracker: &TaskTracker) {
        let slots = Arc::new(Semaphore::new(POSTS_IN_FLIGHT_MAX));
        let mut waiting = BinaryHeap::new();
        loop {
            self.wait(&waiting).await;
            let next_round = Instant::now() + ROUND_EVERY;
            waiting.extend(self.backlog.take());
            loop {
                let mut batch = take_due(&mut waiting, micros(self.clock.now()), RECEIPTS_PER_POST_MAX);
                if batch.is_empty() {
                    break;
                }
                if batch.len() < RECEIPTS_PER_POST_MAX {
                    wait_for_posts(&slots).await;
                    waiting.extend(self.backlog.take());
                    let room = RECEIPTS_PER_POST_MAX - batch.len();
                    batch.extend(take_due(&mut waiting, micros(self.clock.now()), room));
                }
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                    return;
                };
                let post = post(Arc::clone(&self.poster), Arc::clone(&self.backlog), batch, slot);
                let stop = stop.clone();
                tracker.spawn(async move { stop.run_until_cancelled_owned(post).await });
            }
            tokio::time::sleep_until(next_round).await;
        }
    }

    /// Waits until the next receipt is due or new ones came.
    async fn wait(&self, waiting: &BinaryHeap<Receipt>) {
        let Some(next) = waiting.peek() else {
            return self.backlog.filled().await;
        };
        let due = self.clock.instant_of(Moment(next.due_us.saturating_mul(1_000)));
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = self.backlog.filled() => {}
        }
    }
}

fn take_due(waiting: &mut BinaryHeap<Receipt>, now_us: u64, max: usize) -> Vec<Receipt> {
    let mut batch = Vec::new();
    while batch.len() < max
        && waiting.peek().is_some_and(|receipt| receipt.due_us <= now_us)
        && let Some(receipt) = waiting.pop()
    {
        batch.push(receipt);
    }
    batch
}

/// Waits, but not for ever, until no post is under way, so that at leisure receipts come in order and in few posts; full
/// batches do not wait.
async fn wait_for_posts(slots: &Semaphore) {
    let all = u32::try_from(POSTS_IN_FLIGHT_MAX).unwrap_or(u32::MAX);
    if tokio::time::timeout(OVERTAKE_AFTER, slots.acquire_many(all)).await.is_err() {
        tracing::debug!("receipts overtake a post that the receiver does not take");
    }
}

async fn post(poster: Arc<Poster>, backlog: Arc<Backlog>, mut batch: Vec<Receipt>, slot: OwnedSemaphorePermit) {
    let body = Bytes::from(envelope::write(&mut batch));
    let n_receipts = batch.len();
    drop(batch);
    let signature = poster.signer.sign(&body);
    let mut pause = REPEAT_AFTER;
    while !poster.post_once(body.clone(), &signature).await {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(REPEAT_AFTER_MAX);
    }
    backlog.taken_by_receiver(n_receipts);
    drop(slot);
}

impl Poster {
    /// Posts one batch; tells whether the receiver took it.
    async fn post_once(&self, body: Bytes, signature: &str) -> bool {
        let request = Request::post(self.callback.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("user-agent", "facebookexternalua")
            .header("x-hub-signature-256", signature)
            .body(Full::new(body));
        let Ok(request) = request else { return false };
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, async {
            let answer = self.client.request(request).await.ok()?;
            let status = answer.status();
            // Read to its end, so that the connection can be used again.
            Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.ok()?;
            Some(status)
        });
        matches!(answered.await, Ok(Some(StatusCode::OK)))
    }
}
