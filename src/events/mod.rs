//! Relays recorded changes of state from the database to the topic of events.
//!
//! A batch is removed after the broker has confirmed all of its events, so none is lost and some may be there
//! twice. Each node relays what it recorded, in that order; what a dead node left behind is relayed by the
//! owner of the first partition. Makes no event and knows no rule about deliveries.
//!
//! Order: the changes of one delivery that one node made are on the topic in their order, with repeats of a
//! whole stretch where a confirmation was lost. A receipt may come in at another node than the one that sent,
//! and a delivery may go over to another node; then two relays write at the same time, and a reader goes by
//! attempt and state instead.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::{BrokerError, Outgoing, Producer};
use crate::dispatch::lease::Leases;
use crate::domain::id::{DeliveryId, SessionId};
use crate::domain::partition::PartitionNo;
use crate::error::chain;
use crate::limits::{EVENT_BATCHES_MAX, EVENT_BYTES_MAX};
use crate::store::events::{BatchBounds, EventBatch, EventKind};
use crate::store::{Recording, Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// How long the database is left alone when nobody nudges.
const BEAT: Duration = Duration::from_secs(1);

/// How often the batches that wait are counted.
const BACKLOG_BEAT: Duration = Duration::from_secs(5);

/// Wait after each pass: transactions of that time are relayed and removed together.
const GATHER: Duration = Duration::from_millis(20);

/// Wait after a failure.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// How long the batches of a node without a lease are left to it: it may be one that just starts or ends.
const ORPHAN_AGE: Duration = Duration::from_secs(30);

/// How long the last passes may take when the process ends.
const LAST_PASSES_MAX: Duration = Duration::from_secs(5);

const BOUNDS: BatchBounds = BatchBounds { n_rows: EVENT_BATCHES_MAX, n_bytes: EVENT_BYTES_MAX };

/// Why events could not be relayed.
#[derive(Debug, thiserror::Error)]
pub enum RelayProblem {
    /// They could not be read or removed.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// They could not be written to the topic.
    #[error("events could not be written to the topic")]
    Broker(#[from] BrokerError),
}

/// Relays the events of a node.
pub struct Relay {
    /// The database.
    pub store: Store,
    /// What writes.
    pub producer: Producer,
    /// The topic of changes of deliveries.
    pub topic: String,
    /// The topic of what happens to sessions.
    pub session_topic: String,
    /// Whether those of dead nodes are ours too.
    pub leases: Leases,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Relay {
    /// Relays until told to stop, then what is left, for a few seconds; others relay what stays. Returns at
    /// once when the store records nothing.
    pub async fn run(self, stop: CancellationToken) {
        let Some(recording) = self.store.recording() else { return };
        let last_passes_end = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_PASSES_MAX).await;
        };
        tokio::select! {
            () = self.relay_until(recording, &stop) => {}
            () = self.watch_backlog() => {}
            () = last_passes_end => tracing::warn!("not all events could be relayed in time, others will"),
        }
    }

    /// Relays until there is nothing left after `stop`.
    async fn relay_until(&self, recording: &Recording, stop: &CancellationToken) {
        let mut next_for_others = Instant::now();
        loop {
            let is_last = stop.is_cancelled();
            let mut any = match self.pass(recording.node_id).await {
                Ok(any) => any,
                Err(error) => {
                    self.failed(&error).await;
                    continue;
                }
            };
            // Also when our own never end: those of a dead node have nobody else.
            if !is_last && next_for_others <= Instant::now() {
                match self.pass_for_others(recording.node_id).await {
                    Ok(true) => any = true,
                    Ok(false) => next_for_others = Instant::now() + BEAT,
                    Err(error) => self.failed(&error).await,
                }
            }
            if !any && is_last {
                return;
            }
            let wait = if any { GATHER } else { BEAT };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
                () = recording.nudge.notified(), if !any => {}
            }
        }
    }

    async fn failed(&self, error: &RelayProblem) {
        self.metrics.events.failures.inc();
        tracing::warn!(error = chain(error), "events could not be relayed, will try again");
        tokio::time::sleep(RETRY_WAIT).await;
    }

    /// Shows what waits, also while a pass waits for the broker; never ends.
    async fn watch_backlog(&self) {
        loop {
            match self.store.count_event_batches().await {
                Ok(n_batches) => self.metrics.events.backlog.set(n_batches),
                Err(error) => tracing::debug!(error = chain(&error), "the backlog of events is not known"),
            }
            tokio::time::sleep(BACKLOG_BEAT).await;
        }
    }

    /// Relays the oldest batches of a node; `false` when there are none.
    ///
    /// # Errors
    /// [`RelayProblem`] when some may not be on the topic; all are still in the database.
    pub async fn pass(&self, node_id: Uuid) -> Result<bool, RelayProblem> {
        self.relay(self.store.event_batches_of(node_id, BOUNDS).await?).await
    }

    /// Relays the oldest batches of dead nodes, if that is this node's to do; `false` when there are none.
    ///
    /// # Errors
    /// [`RelayProblem`] when some may not be on the topic; all are still in the database.
    pub async fn pass_for_others(&self, node_id: Uuid) -> Result<bool, RelayProblem> {
        if self.leases.of(PartitionNo::FIRST).is_none() {
            return Ok(false);
        }
        self.relay(self.store.orphaned_event_batches(node_id, ORPHAN_AGE, BOUNDS).await?).await
    }

    async fn relay(&self, batches: Vec<EventBatch>) -> Result<bool, RelayProblem> {
        if batches.is_empty() {
            return Ok(false);
        }
        self.publish(&batches).await?;
        let ids: Vec<Uuid> = batches.iter().map(|batch| batch.batch_id).collect();
        self.store.remove_event_batches(&ids).await?;
        Ok(true)
    }

    /// Writes the events of batches to the topic and waits until all are durable.
    ///
    /// # Errors
    /// [`RelayProblem::Broker`] when some may not be there.
    pub async fn publish(&self, batches: &[EventBatch]) -> Result<(), RelayProblem> {
        let records = self.records(batches);
        let n_records = u64::try_from(records.len()).unwrap_or(u64::MAX);
        match self.producer.send_all(records.clone()).await {
            Err(BrokerError::TooLarge) => self.publish_one_by_one(records).await?,
            answer => answer?,
        }
        self.metrics.events.relayed.inc_by(n_records);
        Ok(())
    }

    /// Writes what the topic takes. Events have a few hundred bytes, so that a topic which refuses one is set
    /// up wrongly; those behind it must not wait for ever.
    async fn publish_one_by_one(&self, records: Vec<Outgoing>) -> Result<(), RelayProblem> {
        let mut n_refused = 0_usize;
        for record in records {
            match self.producer.send_all(vec![record]).await {
                Err(BrokerError::TooLarge) => n_refused += 1,
                answer => answer?,
            }
        }
        tracing::error!(events = n_refused, "the topic refuses events as too large; they are lost");
        Ok(())
    }

    fn records(&self, batches: &[EventBatch]) -> Vec<Outgoing> {
        let mut records = Vec::new();
        for batch in batches {
            let topic = match batch.kind {
                EventKind::Delivery => &self.topic,
                EventKind::Session => &self.session_topic,
            };
            if add_records(batch, topic, &mut records).is_err() {
                // Not an error of ours to wait for: it would hold up all others for ever.
                tracing::error!(batch.id = %batch.batch_id, "recorded events can not be read; they are lost");
            }
        }
        records
    }
}

/// Makes one record of each event of a batch, as it was recorded.
fn add_records(batch: &EventBatch, topic: &str, out: &mut Vec<Outgoing>) -> Result<(), serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Keyed {
        delivery_id: Option<DeliveryId>,
        session_id: SessionId,
    }
    let events: Vec<&RawValue> = serde_json::from_str(&batch.events)?;
    out.reserve(events.len());
    for event in events {
        let Keyed { delivery_id, session_id } = serde_json::from_str(event.get())?;
        let key = delivery_id.map_or_else(|| session_id.to_string(), |id| id.to_string());
        out.push(Outgoing {
            topic: topic.to_owned(),
            partition: None,
            key: Some(Bytes::from(key)),
            payload: Some(Bytes::copy_from_slice(event.get().as_bytes())),
            headers: Vec::new(),
        });
    }
    Ok(())
}
