//! Which requests were made, from the memory of this node to the database.
//!
//! Noting one costs a lock and no wait. More than fit are counted and not logged; what a node that dies remembered is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::{ContextV7, Timestamp, Uuid};

use crate::clock::Clock;
use crate::domain::day::day_of;
use crate::error::Result;
use crate::limits::{REQUEST_LOG_BATCH_MAX, REQUEST_LOG_WAITING_MAX, REQUEST_SUMS_WAITING_MAX};
use crate::store::Store;
use crate::store::analytics::requests::{RequestCounts, RequestEntry, Requester};

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct AnsweredRequest<'a> {
    /// Who made it.
    pub by: Requester,
    /// Whether it counts for the plan.
    pub is_counted: bool,
    /// The method.
    pub method: &'a str,
    /// The pattern of the path, never the path itself.
    pub operation: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// How long it took.
    pub duration_ms: i64,
    /// Its name.
    pub request_id: &'a str,
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Waiting {
    /// Puts the ids of one millisecond in order.
    ids: ContextV7,
    entries: Vec<RequestEntry>,
    sums: HashMap<(Requester, i64), RequestCounts>,
}

/// Notes requests; cheap to clone.
#[derive(Debug, Clone)]
pub struct RequestLogService {
    store: Store,
    clock: Clock,
    waiting: Arc<Mutex<Waiting>>,
}

impl RequestLogService {
    /// Makes the service.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, waiting: Arc::default() }
    }

    /// Notes a request; `false` when it is not logged because too many wait.
    #[must_use]
    pub fn note(&self, request: &AnsweredRequest<'_>) -> bool {
        let at_ms = self.clock.now().as_ms();
        let sums = RequestCounts {
            n_requests: 1,
            n_counted: i64::from(request.is_counted),
            n_client_errors: i64::from((400..500).contains(&request.status)),
            n_server_errors: i64::from(500 <= request.status),
            duration_ms: request.duration_ms,
        };
        let mut waiting = self.waiting();
        waiting.count((request.by, day_of(at_ms)), sums);
        if REQUEST_LOG_WAITING_MAX <= waiting.entries.len() {
            return false;
        }
        let id = id_at(at_ms, &waiting.ids);
        waiting.entries.push(RequestEntry {
            id,
            by: request.by,
            at_ms,
            method: request.method.to_owned(),
            operation: request.operation.to_owned(),
            status: request.status,
            duration_ms: request.duration_ms,
            request_id: request.request_id.to_owned(),
        });
        true
    }

    /// Writes down what waits.
    ///
    /// # Errors
    /// `Store` when it is not certain to be written; it then waits for the next time, and some may be counted twice.
    pub async fn write(&self) -> Result<()> {
        let (mut entries, sums) = self.waiting().take();
        let mut sums: Vec<_> = sums.into_iter().map(|((by, day), counts)| (by, day, counts)).collect();
        while !entries.is_empty() || !sums.is_empty() {
            let rest = entries.split_off(entries.len().min(REQUEST_LOG_BATCH_MAX));
            if let Err(error) = self.store.note_requests(&entries, &sums).await {
                entries.extend(rest);
                self.waiting().take_back(entries, sums);
                return Err(error.into());
            }
            (entries, sums) = (rest, Vec::new());
        }
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // What is in there is whole after every step.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn count(&mut self, key: (Requester, i64), counts: RequestCounts) {
        if self.sums.len() < REQUEST_SUMS_WAITING_MAX || self.sums.contains_key(&key) {
            *self.sums.entry(key).or_default() += counts;
        }
    }

    fn take(&mut self) -> (Vec<RequestEntry>, HashMap<(Requester, i64), RequestCounts>) {
        (std::mem::take(&mut self.entries), std::mem::take(&mut self.sums))
    }

    fn take_back(&mut self, entries: Vec<RequestEntry>, sums: Vec<(Requester, i64, RequestCounts)>) {
        for (by, day, counts) in sums {
            self.count((by, day), counts);
        }
        let n_room = REQUEST_LOG_WAITING_MAX.saturating_sub(self.entries.len());
        self.entries.extend(entries.into_iter().take(n_room));
    }
}

/// Makes an id that is in the order of its time, and after those made before it.
fn id_at(at_ms: i64, ids: &ContextV7) -> Uuid {
    let ms = at_ms.unsigned_abs();
    let nanos = u32::try_from(ms % 1_000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(ids, ms / 1_000, nanos))
}
