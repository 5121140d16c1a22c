//! Who holds which session: at most one client each, started again after a restart, told as they stand.

mod checks;
mod events;
mod send;
mod session;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::session::Session;
use crate::data::{Data, DataError};
use crate::limits::{FILES_AT_ONCE_MAX, LOOK_EVERY, START_EVERY};
use crate::transport::Opener;
use crate::wire::{Change, Changes};

/// Why something is not done. The texts are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The session can not do it as it stands.
    #[error("{0}")]
    NotNow(&'static str),
    /// It is not there.
    #[error("{0}")]
    NotThere(&'static str),
    /// It was asked too often.
    #[error("Numbers are looked up too often by this session.")]
    TooOften {
        /// When it may be asked again.
        again_in: Duration,
    },
    /// WhatsApp, or our own data, did not do it.
    #[error("{0}")]
    Failed(&'static str),
}

impl From<DataError> for Refusal {
    fn from(error: DataError) -> Self {
        tracing::error!(%error, "data can not be read or written");
        Self::Failed("The worker's data can not be read or written.")
    }
}

/// How sessions are connected.
#[derive(Debug, Clone)]
pub struct Ways {
    /// Opens web sockets.
    pub opener: Opener,
    /// The version of WhatsApp Web to be; it is asked for where there is none.
    pub version: Option<(u32, u32, u32)>,
    /// How many keys lie ready for those who write first; whatsapp-rust decides where there is none.
    pub n_keys: Option<usize>,
    /// How many sessions there may be.
    pub sessions_max: usize,
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) data: Data,
    pub(crate) ways: Ways,
    pub(crate) checks: checks::Checks,
    pub(crate) files: Semaphore,
    n_changes: AtomicU64,
    changed: Notify,
}

impl Shared {
    /// Counts a change, to be told once the session shows it.
    pub(crate) fn next_change(&self) -> u64 {
        self.n_changes.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Wakes those who wait for changes.
    pub(crate) fn tell(&self) {
        self.changed.notify_waiters();
    }
}

/// All sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {
    by_id: Arc<Mutex<BTreeMap<Uuid, Arc<Session>>>>,
    shared: Arc<Shared>,
    /// Makes cursors of this run differ from those of another one.
    run: Uuid,
}

impl Sessions {
    /// Reads the sessions that are known; none is connected yet.
    ///
    /// # Errors
    ///
    /// Fails if the data can not be read.
    pub async fn open(data: Data, ways: Ways) -> Result<Self, DataError> {
        let known = data.sessions().await?;
        let shared = Arc::new(Shared {
            data,
            ways,
            checks: checks::Checks::default(),
            files: Semaphore::new(FILES_AT_ONCE_MAX),
            n_changes: AtomicU64::new(0),
            changed: Notify::new(),
        });
        let session = |known| {
            let session = Session::known(&shared, &known);
            (known.session, Arc::new(session))
        };
        let by_id = known.into_iter().map(session).collect();
        Ok(Self { by_id: Arc::new(Mutex::new(by_id)), shared, run: Uuid::new_v4() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Arc<Session>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().cloned().collect()
    }

    /// Where events are kept.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.shared.data
    }

    /// How many sessions there are, and may be.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.lock().len(), self.shared.ways.sessions_max)
    }

    /// Finds a session.
    ///
    /// # Errors
    ///
    /// Refuses one that is not known.
    pub fn find(&self, id: Uuid) -> Result<Arc<Session>, Refusal> {
        self.lock().get(&id).cloned().ok_or(Refusal::NotThere("The device is not connected."))
    }

    /// Finds a session, or makes it.
    ///
    /// # Errors
    ///
    /// Refuses one more than there may be.
    pub fn find_or_make(&self, id: Uuid) -> Result<Arc<Session>, Refusal> {
        let mut by_id = self.lock();
        if let Some(session) = by_id.get(&id) {
            return Ok(Arc::clone(session));
        }
        if self.shared.ways.sessions_max <= by_id.len() {
            // One that was unlinked has no keys any more: it makes room.
            let unlinked = by_id.iter().find(|(_, session)| session.is_gone()).map(|(id, _)| *id);
            let unlinked = unlinked.ok_or(Refusal::Failed("The worker holds as many sessions as it may."))?;
            by_id.remove(&unlinked);
        }
        let session = Arc::new(Session::new(&self.shared, id));
        by_id.insert(id, Arc::clone(&session));
        Ok(session)
    }

    /// Starts those that were connected before, not all at once.
    pub async fn start_again(&self, stop: CancellationToken) {
        for session in self.all() {
            if !session.is_wanted_again() {
                continue;
            }
            if let Err(error) = session.connect().await {
                tracing::warn!(session = %session.id(), %error, "a session can not be started again");
            }
            let rest = START_EVERY.mul_f64(rand::random_range(0.5..1.5));
            if stop.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                return;
            }
        }
    }

    /// Looks again and again how clients stand, for what raises no event, until `stop`.
    pub async fn watch(&self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            for session in self.all() {
                session.look();
            }
        }
    }

    /// Closes all clients and keeps their pairings.
    pub async fn stop(&self) {
        let mut stopping = JoinSet::new();
        for session in self.all() {
            stopping.spawn(async move { session.stop().await });
        }
        stopping.join_all().await;
    }

    /// Waits until something has changed since a cursor; one of another run knows nothing, so that all is told.
    pub async fn changes(&self, cursor: &str, wait: Duration) -> Changes {
        let run = self.run.simple().to_string();
        let after = cursor.split_once('.').filter(|(of, _)| *of == run).and_then(|(_, after)| after.parse().ok());
        let after: u64 = after.unwrap_or(0);
        let until = Instant::now() + wait;
        loop {
            // Listens before it looks.
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let mut next = after;
            let mut devices = Vec::new();
            for session in self.all() {
                let (at, device) = session.shown();
                if after < at {
                    next = next.max(at);
                    devices.push(Change { session: session.id(), device });
                }
            }
            if !devices.is_empty() || until <= Instant::now() {
                return Changes { next: format!("{run}.{next}"), devices };
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }
}
