//! One turn at one address: what is due there is posted, each subject in its order, until nothing is due or the turn ends.
//!
//! An address where things arrive has more and more attempts on the wire, one where they do not has one. Every ended
//! attempt is recorded before the next thing of its subject goes, together with those that ended meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use secrecy::ExposeSecret;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Courier;
use super::client::{Answer, Post};
use super::places::Place;
use crate::clock::Moment;
use crate::domain::webhook::signature::sign;
use crate::domain::webhook::{FAILING_MAX, WebhookBody, wait_after};
use crate::error::chain;
use crate::limits::{WEBHOOK_WINDOW_MAX, WEBHOOKS_DUE_MAX};
use crate::store::StoreError;
use crate::store::webhook_claims::WebhookClaim;
use crate::store::webhook_queue::{DueWebhook, WebhookAttempt, WebhookHealth};

/// The status by which a receiver says that it is not there any more.
const GONE: u16 = 410;

/// A turn at an address.
pub(super) struct Turn {
    courier: Arc<Courier>,
    claim: WebhookClaim,
    ends_at: Moment,
    stop: CancellationToken,
    /// Attempts on the wire, at most.
    window: usize,
    is_failing: bool,
}

/// What is due about one subject, in its order.
type Subject = VecDeque<DueWebhook>;

/// An attempt that has ended, and what waits behind it.
struct Ended {
    due: DueWebhook,
    behind: Subject,
    answer: Answer,
}

impl Turn {
    pub(super) fn new(courier: Arc<Courier>, claim: WebhookClaim, ends_at: Moment, stop: CancellationToken) -> Self {
        let is_failing = claim.is_failing;
        Self { courier, claim, ends_at, stop, window: 1, is_failing }
    }

    /// Delivers what is due, then gives the address back.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.deliver_all().await {
            self.courier.metrics.webhooks.failures.inc();
            tracing::warn!(webhook.id = %self.claim.id, error = chain(&error), "webhooks were not delivered, will try again");
            tokio::time::sleep(super::RETRY_WAIT).await;
        }
        let now_ms = self.courier.clock.now().as_ms();
        if let Err(error) = self.courier.store.release_webhook(&self.claim, now_ms).await {
            tracing::warn!(webhook.id = %self.claim.id, error = chain(&error), "a webhook was not given back, its lease runs out");
        }
    }

    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.ends_at <= self.courier.clock.now()
    }

    async fn deliver_all(&mut self) -> Result<(), StoreError> {
        while !self.is_over() {
            let now_ms = self.courier.clock.now().as_ms();
            let due = self.courier.store.due_webhooks(self.claim.id, now_ms, WEBHOOKS_DUE_MAX).await?;
            if due.is_empty() || !self.deliver(by_subject(due)).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Delivers what was read; `false` when the turn is to end.
    async fn deliver(&mut self, mut ready: VecDeque<Subject>) -> Result<bool, StoreError> {
        let mut on_wire = JoinSet::new();
        let mut goes_on = true;
        loop {
            if goes_on {
                self.begin(&mut ready, &mut on_wire).await;
            }
            let Some(first) = on_wire.join_next().await else { return Ok(goes_on) };
            let all = std::iter::once(first).chain(std::iter::from_fn(|| on_wire.try_join_next()));
            let (ended, panicked): (Vec<_>, Vec<_>) = all.partition(Result::is_ok);
            goes_on &= panicked.is_empty();
            let ended: Vec<Ended> = ended.into_iter().flatten().collect();
            goes_on &= self.record(&ended).await?;
            for Ended { behind, answer, .. } in ended {
                self.learn(answer);
                if answer.problem.is_none() && !behind.is_empty() {
                    ready.push_back(behind);
                }
            }
        }
    }

    /// Begins as many attempts as there is room for.
    async fn begin(&self, ready: &mut VecDeque<Subject>, on_wire: &mut JoinSet<Ended>) {
        while on_wire.len() < self.window && !ready.is_empty() && !self.is_over() {
            let place = if on_wire.is_empty() {
                self.stop.run_until_cancelled(self.courier.places.first(self.is_failing)).await.flatten()
            } else {
                self.courier.places.another()
            };
            // It may have been a long wait.
            let Some(place) = place.filter(|_| !self.is_over()) else { return };
            let Some(mut behind) = ready.pop_front() else { return };
            let Some(due) = behind.pop_front() else { continue };
            on_wire.spawn(attempt(Arc::clone(&self.courier), self.post(&due), (due, behind), place));
        }
    }

    fn post(&self, due: &DueWebhook) -> Post {
        let data = serde_json::from_str::<&RawValue>(&due.data).unwrap_or(RawValue::NULL);
        let body =
            WebhookBody { id: due.id, event: due.event, tenant_id: self.claim.tenant_id, timestamp: due.at, data };
        let body = serde_json::to_vec(&body).expect("ids, words and JSON can be written as JSON");
        let (id, timestamp_seconds) = (due.id.to_string(), self.courier.clock.now().as_ms().unsigned_abs() / 1_000);
        let secrets = self.claim.secrets.iter().map(ExposeSecret::expose_secret);
        let signature = sign(&id, timestamp_seconds, &body, secrets);
        Post { url: self.claim.url.clone(), id, timestamp_seconds, signature, body }
    }

    /// Records how attempts ended; `false` when the address is told nothing more.
    async fn record(&self, ended: &[Ended]) -> Result<bool, StoreError> {
        let now = self.courier.clock.now();
        let attempts: Vec<_> = ended.iter().map(|ended| attempt_of(ended, now)).collect();
        let health = WebhookHealth {
            any_arrived: ended.iter().any(|ended| ended.answer.problem.is_none()),
            at_ms: now.as_ms(),
            failing_before_ms: now.as_ms() - i64::try_from(FAILING_MAX.as_millis()).unwrap_or(i64::MAX),
            is_gone: ended.iter().any(|ended| ended.answer.status == Some(GONE)),
        };
        for ended in ended {
            self.courier.metrics.webhooks.count(ended.answer.problem);
        }
        let Some(reason) = self.courier.store.record_webhooks(self.claim.id, &attempts, health).await? else {
            return Ok(true);
        };
        self.courier.metrics.webhooks.disabled.inc();
        tracing::warn!(webhook.id = %self.claim.id, reason = reason.as_str(), "a webhook is told nothing more");
        Ok(false)
    }

    fn learn(&mut self, answer: Answer) {
        self.is_failing = answer.problem.is_some();
        self.window = if self.is_failing { 1 } else { (self.window + 1).min(WEBHOOK_WINDOW_MAX) };
    }
}

async fn attempt(courier: Arc<Courier>, post: Post, (due, behind): (DueWebhook, Subject), _place: Place) -> Ended {
    let started_at = tokio::time::Instant::now();
    let answer = courier.poster.post(post).await;
    courier.metrics.webhooks.attempt_seconds.observe(started_at.elapsed().as_secs_f64());
    Ended { due, behind, answer }
}

fn attempt_of(ended: &Ended, now: Moment) -> WebhookAttempt {
    let Ended { due, answer, .. } = ended;
    let wait = answer.problem.and_then(|_| wait_after(due.n_attempts + 1));
    WebhookAttempt {
        seq: due.seq,
        subject_id: due.subject_id,
        at_ms: now.as_ms(),
        status: answer.status,
        problem: answer.problem,
        next_at_ms: wait.map(|wait| (now + wait).as_ms()),
    }
}

/// Puts what is due together by subject, in the order of what is due first.
fn by_subject(due: Vec<DueWebhook>) -> VecDeque<Subject> {
    let mut places = HashMap::new();
    let mut subjects: VecDeque<Subject> = VecDeque::new();
    for due in due {
        let place = *places.entry(due.subject_id).or_insert(subjects.len());
        if place == subjects.len() {
            subjects.push_back(Subject::new());
        }
        subjects[place].push_back(due);
    }
    subjects
}
