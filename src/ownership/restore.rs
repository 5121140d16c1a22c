//! Brings the lanes of claimed partitions back, as their last owner left them.
//!
//! What that owner had under way becomes unknown first, and the pace of those lanes is saved as just used
//! up: when their messages left is not known. Keeps trying while the database is away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::dispatch::DispatchHandle;
use crate::dispatch::lease::Lease;
use crate::dispatch::pacer::state_after_full_burst;
use crate::domain::id::SessionId;
use crate::domain::pacing::Pacing;
use crate::domain::partition::{Fence, PartitionNo};
use crate::error::chain;
use crate::kill_point;
use crate::patience::Patience;
use crate::store::journal::{JournalBatch, LaneSave};
use crate::store::lanes::LaneRow;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// Brings lanes back.
pub struct Restore {
    /// The database.
    pub store: Store,
    /// The lanes.
    pub dispatch: DispatchHandle,
    /// The time.
    pub clock: Clock,
    /// Pace of sessions that have none of their own.
    pub default_pacing: Pacing,
    /// The leases of the partitions.
    pub leases: Vec<Arc<Lease>>,
    /// How long the last owner may still be sending.
    pub wait: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Restore {
    /// Restores all lanes and tells of each lease when it is done; gives up leases that were closed.
    ///
    /// What was under way is declared unknown once: later, attempts under way are our own.
    pub async fn run(mut self, restored: mpsc::Sender<Fence>) {
        let claimed_at = tokio::time::Instant::now();
        tokio::time::sleep(self.wait).await;
        self.until_done(async |restore| restore.orphan().await).await;
        for lease in &self.leases {
            self.dispatch.leases().add(lease);
        }
        self.until_done(async |restore| restore.open_lanes().await).await;
        self.metrics.ownership.restore_seconds.observe(claimed_at.elapsed().as_secs_f64());
        for lease in &self.leases {
            if restored.send(lease.fence).await.is_err() {
                return;
            }
        }
    }

    /// Tries until it is done, for the leases that are still ours.
    async fn until_done(&mut self, step: impl AsyncFn(&Self) -> Result<(), StoreError>) {
        let mut patience = Patience::default();
        loop {
            self.leases.retain(|lease| !lease.is_closed());
            if self.leases.is_empty() {
                return;
            }
            let Err(error) = step(self).await else { return };
            tracing::warn!(error = chain(&error), "lanes could not be restored, will try again");
            patience.wait().await;
        }
    }

    async fn lanes(&self) -> Result<Vec<LaneRow>, StoreError> {
        let n_partitions = self.dispatch.leases().n_partitions();
        let ours: BTreeSet<PartitionNo> = self.leases.iter().map(|lease| lease.fence.partition).collect();
        let mut rows = self.store.lanes().await?;
        rows.retain(|row| ours.contains(&PartitionNo::of(row.session_id, n_partitions)));
        Ok(rows)
    }

    /// Opens the lanes, then their streams.
    ///
    /// Lanes are read after what was under way was settled, by us or by a receipt that has then noted that its message
    /// had left; and after the leases are in the book, so that a session that comes meanwhile is not missed. Streams
    /// come last: what is admitted after they were read is offered to the lanes.
    async fn open_lanes(&self) -> Result<(), StoreError> {
        let held = self.dispatch.leases().held();
        let rows = self.lanes().await?;
        let sessions: Vec<SessionId> = rows.iter().map(|row| row.session_id).collect();
        for row in rows {
            self.dispatch.session_changed(row, &held).await;
        }
        self.dispatch.offer_streams(self.store.streams_of_sessions(&sessions).await?).await;
        Ok(())
    }

    /// Declares unknown what was under way.
    ///
    /// The pace of those lanes is saved before their deliveries are moved: a crash right after would find no
    /// trace of the first.
    async fn orphan(&self) -> Result<(), StoreError> {
        let rows = self.lanes().await?;
        let sessions: Vec<SessionId> = rows.iter().map(|row| row.session_id).collect();
        let in_flight = self.store.attempts_in_flight(&sessions).await?;
        if in_flight.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let lanes: BTreeSet<SessionId> = in_flight.iter().map(|attempt| attempt.session_id).collect();
        let mut saves = JournalBatch { fences: self.fences(&lanes), ..JournalBatch::default() };
        for row in rows.iter().filter(|row| lanes.contains(&row.session_id)) {
            let tat = state_after_full_burst(row.pacing(self.default_pacing), now);
            saves.lanes.push(LaneSave {
                session_id: row.session_id,
                // The clock of the last owner may have been ahead of ours: what is saved now must hold.
                saved_at_us: now.as_us().max(row.saved_at_us + 1),
                tat_us: tat.as_us(),
                memory: row.memory.clone(),
            });
        }
        self.store.write_journal(&saves).await?;
        kill_point!("start: before attempts under way are orphaned");
        self.store.orphan(&in_flight, &saves.fences, now.as_ms()).await?;
        self.metrics.ownership.orphaned.inc_by(u64::try_from(in_flight.len()).unwrap_or(u64::MAX));
        tracing::warn!(lanes = lanes.len(), attempts = in_flight.len(), "attempts were under way, now unknown");
        Ok(())
    }

    fn fences(&self, sessions: &BTreeSet<SessionId>) -> BTreeMap<SessionId, Fence> {
        let n_partitions = self.dispatch.leases().n_partitions();
        let by_partition: BTreeMap<PartitionNo, Fence> =
            self.leases.iter().map(|lease| (lease.fence.partition, lease.fence)).collect();
        let fence = |session_id: &SessionId| by_partition.get(&PartitionNo::of(*session_id, n_partitions)).copied();
        sessions.iter().filter_map(|session_id| Some((*session_id, fence(session_id)?))).collect()
    }
}
