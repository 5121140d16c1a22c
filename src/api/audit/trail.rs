//! Calls on their way into the audit log: many in one transaction, a bounded number waiting.
//!
//! Whoever is in no hurry shares a transaction with those that come shortly after. While the database is away rows wait, and
//! are written when it is back; a row has its id from the beginning, so that it is written once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::error::chain;
use crate::limits::{CALL_WRITTEN_WITHIN, CALLS_BATCH_MAX, CALLS_LINGER, CALLS_WAITING_MAX};
use crate::patience::Patience;
use crate::store::Store;
use crate::store::audit::CallRecord;

/// Tries at rows that the database refuses though it is there.
const REFUSED_TRIES_MAX: u32 = 5;

/// What was called, on its way; cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::api) struct Trail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    tasks: TaskTracker,
    places: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    /// Somebody does not want to wait for others.
    urgent: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: Vec<(Uuid, CallRecord)>,
    seats: Vec<Seat>,
    /// A task is at work, and will come back to what is added.
    is_worked_on: bool,
}

/// What goes along with a row until it is written.
#[derive(Debug)]
struct Seat {
    _place: OwnedSemaphorePermit,
    written: Option<oneshot::Sender<()>>,
}

impl Trail {
    /// Makes one; rows are written on `tasks`, so whoever waits for these waits for the rows.
    pub(in crate::api) fn new(store: Store, tasks: TaskTracker) -> Self {
        let places = Arc::new(Semaphore::new(CALLS_WAITING_MAX));
        Self(Arc::new(Inner { store, tasks, places, waiting: Mutex::default(), urgent: Notify::new() }))
    }

    /// Hands a row over; one that is urgent is written when this returns, or will be when the database is back.
    pub(in crate::api) async fn write(&self, call: CallRecord, is_urgent: bool) {
        // Closed by nobody.
        let Ok(place) = Arc::clone(&self.0.places).acquire_owned().await else { return };
        let (sender, receiver) = oneshot::channel();
        let begins = {
            let mut waiting = self.0.waiting();
            waiting.calls.push((Uuid::now_v7(), call));
            waiting.seats.push(Seat { _place: place, written: is_urgent.then_some(sender) });
            !std::mem::replace(&mut waiting.is_worked_on, true)
        };
        if is_urgent {
            self.0.urgent.notify_one();
        }
        if begins {
            let inner = Arc::clone(&self.0);
            self.0.tasks.spawn(async move { inner.work_off().await });
        }
        if is_urgent && tokio::time::timeout(CALL_WRITTEN_WITHIN, receiver).await.is_err() {
            tracing::warn!("a call is written down later than it was answered");
        }
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until nothing is left.
    async fn work_off(&self) {
        loop {
            // The first of a row comes alone; those behind it gather meanwhile.
            tokio::select! {
                () = self.urgent.notified() => {}
                () = tokio::time::sleep(CALLS_LINGER) => {}
            }
            let (calls, seats) = {
                let mut waiting = self.waiting();
                let n = waiting.calls.len().min(CALLS_BATCH_MAX);
                if n == 0 {
                    waiting.is_worked_on = false;
                    return;
                }
                if n < waiting.calls.len() {
                    self.urgent.notify_one();
                }
                let calls: Vec<_> = waiting.calls.drain(..n).collect();
                let seats: Vec<_> = waiting.seats.drain(..n).collect();
                (calls, seats)
            };
            self.write(&calls).await;
            for written in seats.into_iter().filter_map(|seat| seat.written) {
                // Whoever waited may have gone.
                written.send(()).ok();
            }
        }
    }

    /// Writes rows down, however long the database is away.
    async fn write(&self, calls: &[(Uuid, CallRecord)]) {
        let (mut patience, mut n_refused) = (Patience::default(), 0);
        while let Err(error) = self.store.write_calls(calls).await {
            if !error.is_outage() {
                n_refused += 1;
                if error.is_bad_data() || n_refused == REFUSED_TRIES_MAX {
                    tracing::error!(error = chain(&error), calls = calls.len(), "calls could not be written down");
                    return;
                }
            }
            tracing::warn!(error = chain(&error), "calls are written down later");
            patience.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::id::TenantId;
    use crate::store::audit::{Actor, Deed};
    use crate::store::audit_list::AuditFilter;
    use crate::store::page::PageRequest;

    fn call(tenant_id: TenantId, no: i64) -> CallRecord {
        let (action, subject) = ("send_text".to_owned(), no.to_string());
        let deed = Deed { action, subject, tenant_id: Some(tenant_id), details: serde_json::json!({}) };
        CallRecord { at_ms: no, actor: Actor::SYSTEM, deed }
    }

    async fn trail() -> (Trail, Store, TaskTracker, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("trail.db").display());
        let store = Store::open(&url, 2).await.unwrap();
        store.migrate().await.unwrap();
        let tasks = TaskTracker::new();
        (Trail::new(store.clone(), tasks.clone()), store, tasks, directory)
    }

    async fn n_written(store: &Store, tenant_id: TenantId) -> u64 {
        store.audit_of_tenant(tenant_id, &AuditFilter::default(), PageRequest::default()).await.unwrap().total
    }

    /// More than one transaction takes, all at once, and waited for as a drain does.
    #[tokio::test]
    async fn nothing_is_lost_by_a_drain() {
        let ((trail, store, tasks, _directory), tenant_id) = (trail().await, TenantId::generate());
        let n = i64::try_from(CALLS_BATCH_MAX).unwrap() * 2 + 7;
        futures::future::join_all((0..n).map(|no| trail.write(call(tenant_id, no), false))).await;
        tasks.close();
        tasks.wait().await;
        assert_eq!(n_written(&store, tenant_id).await, n.unsigned_abs());
    }

    #[tokio::test]
    async fn what_is_urgent_is_written_when_it_returns_and_takes_others_along() {
        let ((trail, store, ..), tenant_id) = (trail().await, TenantId::generate());
        trail.write(call(tenant_id, 1), false).await;
        trail.write(call(tenant_id, 2), true).await;
        assert_eq!(n_written(&store, tenant_id).await, 2);
    }

    /// An answer does not wait for ever, and the row is written all the same.
    #[tokio::test]
    async fn rows_wait_for_a_database_that_is_away() {
        let ((trail, store, tasks, _directory), tenant_id) = (trail().await, TenantId::generate());
        // Nobody can write while somebody does.
        let busy = store.begin_write("hold the only writer").await.unwrap();
        let waiting = tasks.spawn({
            let trail = trail.clone();
            async move { trail.write(call(tenant_id, 1), true).await }
        });
        let early = tokio::time::timeout(Duration::from_millis(50), async {
            while n_written(&store, tenant_id).await == 0 {
                tokio::task::yield_now().await;
            }
        });
        assert!(early.await.is_err(), "written though nobody could");
        busy.rollback("let go").await.unwrap();
        waiting.await.unwrap();
        tasks.close();
        tasks.wait().await;
        assert_eq!(n_written(&store, tenant_id).await, 1);
    }
}
