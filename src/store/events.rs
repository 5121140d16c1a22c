//! Changes of state on their way to the topic of events: one row per transaction that made any, written with
//! the moves themselves and removed once they are on the topic.
//!
//! Nothing is written unless the store was told to record. Knows no topic.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::domain::event::StateChange;
use crate::store::bind::{hex_list, time_of};
use crate::store::sql::now_ms;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// For whom events are recorded.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The node whose transactions they are: it is the first to relay them.
    pub node_id: Uuid,
    /// Wakes whoever relays them.
    pub nudge: Arc<Notify>,
}

/// What a batch tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Deliveries: a list of [`StateChange`].
    Delivery,
    /// Sessions: a list of [`SessionChange`](crate::domain::session_change::SessionChange).
    Session,
}

impl EventKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Session => "session",
        }
    }

    /// Reads the word; the column allows no other.
    fn parse(word: &str) -> Self {
        if word == Self::Session.as_str() { Self::Session } else { Self::Delivery }
    }
}

/// The changes of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBatch {
    /// Its id; those of one node are in the order in which they were written.
    pub batch_id: Uuid,
    /// What they are.
    pub kind: EventKind,
    /// A JSON list of them.
    pub events: String,
}

/// How much is read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchBounds {
    /// Batches.
    pub n_rows: u32,
    /// Bytes of events after which no further batch is begun.
    pub n_bytes: u32,
}

const RECORD: Sql = Sql::per_dialect(
    concat!(
        "INSERT INTO event_batches (batch_id, node_id, kind, created_at_ms, events) VALUES ($1, $2, $4, ",
        now_ms!(postgres),
        ", $3)"
    ),
    concat!(
        "INSERT INTO event_batches (batch_id, node_id, kind, created_at_ms, events) VALUES ($1, $2, $4, ",
        now_ms!(sqlite),
        ", $3)"
    ),
);

/// Reads the first batches that the condition names, until they hold enough bytes.
macro_rules! oldest {
    ($condition:expr) => {
        concat!(
            "SELECT batch_id, kind, events FROM ( \
                 SELECT batch_id, kind, events, SUM(OCTET_LENGTH(events)) OVER (ORDER BY batch_id) - OCTET_LENGTH(events) \
                     AS n_bytes_before \
                 FROM (SELECT b.batch_id, b.kind, b.events FROM event_batches b WHERE ",
            $condition,
            " ORDER BY b.batch_id LIMIT $2) AS read) AS summed WHERE n_bytes_before < $3 ORDER BY batch_id"
        )
    };
}

const OWN: Sql = Sql::portable(oldest!("b.node_id = $1"));

/// Batches of others, old enough, whose node holds no lease.
macro_rules! orphaned {
    ($now_ms:expr) => {
        oldest!(concat!(
            "b.node_id <> $1 AND b.created_at_ms + $4 < ",
            $now_ms,
            " AND NOT EXISTS (SELECT 1 FROM partitions p WHERE p.owner_id = b.node_id AND ",
            $now_ms,
            " < p.leased_until_ms)"
        ))
    };
}

const ORPHANED: Sql = Sql::per_dialect(orphaned!(now_ms!(postgres)), orphaned!(now_ms!(sqlite)));

const REMOVE: Sql = Sql::per_dialect(
    "DELETE FROM event_batches WHERE batch_id = ANY($1)",
    "DELETE FROM event_batches WHERE batch_id IN (SELECT unhex(value) FROM json_each($1))",
);

/// A removal that is lost in a crash repeats events, which readers bear; so it need not wait for the disk.
const REMOVE_LAZILY: &str = "SET LOCAL synchronous_commit = off";

const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM event_batches");

const DOING_READ: &str = "read recorded events";
const DOING_REMOVE: &str = "remove recorded events";
const DOING_COUNT: &str = "count recorded events";

/// Makes the time of an event; the beginning of 1970 for one that RFC 3339 can not write.
pub(crate) fn event_time(ms: i64) -> OffsetDateTime {
    time_of(ms).filter(|at| (0..=9_999).contains(&at.year())).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

impl Store {
    /// Records events from now on, in the name of a node.
    #[must_use]
    pub fn recording_events(mut self, node_id: Uuid) -> Self {
        self.recording = Some(Recording { node_id, nudge: Arc::default() });
        self
    }

    /// Returns for whom events are recorded, if they are.
    #[must_use]
    pub fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// Commits a transaction that may have made events, and wakes whoever relays or delivers them.
    pub(crate) async fn commit_moves(&self, tx: Tx, doing: &'static str) -> Result<(), StoreError> {
        tx.commit(doing).await?;
        self.told.notify_one();
        if let Some(recording) = &self.recording {
            recording.nudge.notify_one();
        }
        Ok(())
    }

    /// Returns the oldest batches of a node, in their order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn event_batches_of(&self, node_id: Uuid, bounds: BatchBounds) -> Result<Vec<EventBatch>, StoreError> {
        let mut tx = self.begin_read(DOING_READ).await?;
        let sql = OWN.of(self.pool());
        let rows = with_tx!(&mut tx, |db| {
            let query = sqlx::query_as::<_, (Uuid, String, String)>(sql).bind(node_id).bind(i64::from(bounds.n_rows));
            query.bind(i64::from(bounds.n_bytes)).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_READ))?;
        tx.commit(DOING_READ).await?;
        Ok(rows.into_iter().map(batch_of).collect())
    }

    /// Returns the oldest batches of nodes other than the given one that hold no lease any more, in the order
    /// of their ids; only those recorded at least `age` ago.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn orphaned_event_batches(
        &self,
        but_of: Uuid,
        age: Duration,
        bounds: BatchBounds,
    ) -> Result<Vec<EventBatch>, StoreError> {
        let mut tx = self.begin_read(DOING_READ).await?;
        let sql = ORPHANED.of(self.pool());
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX / 2);
        let rows = with_tx!(&mut tx, |db| {
            let query = sqlx::query_as::<_, (Uuid, String, String)>(sql).bind(but_of).bind(i64::from(bounds.n_rows));
            query.bind(i64::from(bounds.n_bytes)).bind(age_ms).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_READ))?;
        tx.commit(DOING_READ).await?;
        Ok(rows.into_iter().map(batch_of).collect())
    }

    /// Removes batches whose events are on the topic.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was removed or the commit was not confirmed; safe to repeat.
    pub async fn remove_event_batches(&self, batch_ids: &[Uuid]) -> Result<(), StoreError> {
        let mut tx = self.begin_write(DOING_REMOVE).await?;
        let removed = match &mut tx {
            Tx::Postgres(tx) => match sqlx::query(REMOVE_LAZILY).execute(&mut **tx).await {
                Ok(_) => sqlx::query(REMOVE.postgres()).bind(batch_ids).execute(&mut **tx).await.map(drop),
                Err(error) => Err(error),
            },
            Tx::Sqlite(tx) => sqlx::query(REMOVE.sqlite()).bind(hex_list(batch_ids)).execute(&mut **tx).await.map(drop),
        };
        removed.map_err(StoreError::database(DOING_REMOVE))?;
        tx.commit(DOING_REMOVE).await
    }

    /// Counts the batches of all nodes.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn count_event_batches(&self) -> Result<i64, StoreError> {
        let sql = COUNT.of(self.pool());
        with_reader!(self.pool(), |db| sqlx::query_scalar(sql).fetch_one(db).await)
            .map_err(StoreError::database(DOING_COUNT))
    }
}

impl Tx {
    /// Records changes with the transaction that makes them; nothing when there are none.
    ///
    /// To be called when the deliveries are locked; see [`Tx::record_as`].
    pub(crate) async fn record(
        &mut self,
        recording: &Recording,
        changes: impl FnOnce(OffsetDateTime) -> Vec<StateChange>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        self.record_as(recording, EventKind::Delivery, changes, doing).await
    }

    /// Records changes of any kind with the transaction that makes them; nothing when there are none.
    ///
    /// To be called when what changes is locked: the ids of batches then have the order of the moves of each
    /// delivery, and whoever moves it next waits for this commit. `changes` are made for the time of writing.
    pub(crate) async fn record_as<T: Serialize>(
        &mut self,
        recording: &Recording,
        kind: EventKind,
        changes: impl FnOnce(OffsetDateTime) -> Vec<T>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let batch_id = Uuid::now_v7();
        let changes = changes(written_at(batch_id));
        if changes.is_empty() {
            return Ok(());
        }
        let events = serde_json::to_string(&changes).expect("times of events are in years that RFC 3339 can write");
        let sql = match self {
            Self::Postgres(_) => RECORD.postgres(),
            Self::Sqlite(_) => RECORD.sqlite(),
        };
        with_tx!(self, |db| {
            let query = sqlx::query(sql).bind(batch_id).bind(recording.node_id).bind(events).bind(kind.as_str());
            query.execute(db).await.map(drop)
        })
        .map_err(StoreError::database(doing))
    }
}

fn batch_of((batch_id, kind, events): (Uuid, String, String)) -> EventBatch {
    EventBatch { batch_id, kind: EventKind::parse(&kind), events }
}

/// The time in the id of a batch.
pub(crate) fn written_at(batch_id: Uuid) -> OffsetDateTime {
    let (seconds, nanoseconds) = batch_id.get_timestamp().map_or((0, 0), |timestamp| timestamp.to_unix());
    let ms = i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000) + i64::from(nanoseconds / 1_000_000);
    event_time(ms)
}
