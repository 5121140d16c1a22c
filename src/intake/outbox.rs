//! Drains the outbox: into the topic, or without a broker straight into intake.
//!
//! Whole jobs are handed on as they are, campaigns are expanded window by window. A row leaves the outbox
//! only after its jobs are durable on the other side; what is repeated after a crash changes nothing. Only
//! the owner of the first partition drains, so that nodes do not do it twice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::{BrokerError, Outgoing, Producer};
use crate::clock::Clock;
use crate::dispatch::lease::Leases;
use crate::domain::id::JobId;
use crate::domain::job::Job;
use crate::domain::partition::PartitionNo;
use crate::error::chain;
use crate::intake::Intake;
use crate::kill_point;
use crate::limits::{EXPAND_RECIPIENTS_MAX, OUTBOX_RECORD_BYTES_MAX, OUTBOX_ROWS_MAX};
use crate::store::outbox::OutboxRow;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// How long the outbox is left alone when nobody nudges.
const BEAT: Duration = Duration::from_secs(1);

/// Wait after a failure.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// Where the jobs of the outbox go.
pub enum JobSink {
    /// Straight into intake.
    Intake(Intake),
    /// To the topic of jobs.
    Topic {
        /// What writes.
        producer: Producer,
        /// The topic's name.
        topic: String,
    },
}

/// Why the outbox could not be drained.
#[derive(Debug, thiserror::Error)]
enum OutboxProblem {
    #[error("the database failed")]
    Store(#[from] StoreError),
    #[error("jobs could not be written to the topic")]
    Broker(#[from] BrokerError),
}

/// Drains the outbox.
pub struct Outbox {
    /// The database.
    pub store: Store,
    /// Where jobs go.
    pub sink: JobSink,
    /// Whether it is ours to drain.
    pub leases: Leases,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Outbox {
    /// Drains until told to stop; a window it is at then is handed on again at the next start.
    pub async fn run(self, nudge: Arc<Notify>, stop: CancellationToken) {
        while let Some(drained) = stop.run_until_cancelled(self.drain_once()).await {
            let wait = match drained {
                Ok(true) => continue,
                Ok(false) => BEAT,
                Err(error) => {
                    self.metrics.intake.failures.inc();
                    tracing::warn!(error = chain(&error), "outbox could not be drained, will try again");
                    RETRY_WAIT
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = nudge.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Takes one window; `false` when there is nothing to do here.
    async fn drain_once(&self) -> Result<bool, OutboxProblem> {
        if self.leases.of(PartitionNo::FIRST).is_none() {
            return Ok(false);
        }
        let n_released = self.store.release_scheduled(self.clock.now().as_ms(), OUTBOX_ROWS_MAX).await?;
        let rows = self.store.outbox_next(OUTBOX_ROWS_MAX).await?;
        self.metrics.intake.outbox_backlog.set(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        if rows.is_empty() {
            return Ok(n_released != 0);
        }
        // Single messages first: somebody waits for them, and a campaign takes its time anyway.
        let (singles, campaigns): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.job.is_some());
        let ids: Vec<Uuid> = singles.iter().map(|row| row.outbox_id).collect();
        let jobs: Vec<Job> = singles.into_iter().filter_map(|row| row.job).collect();
        if !jobs.is_empty() {
            self.hand_on(jobs).await?;
            kill_point!("intake: before the outbox row is removed");
            match self.sink {
                JobSink::Intake(_) => self.store.outbox_remove(&ids).await?,
                // Each stays findable until it is admitted.
                JobSink::Topic { .. } => self.store.outbox_hand_on(&ids, self.clock.now().as_ms()).await?,
            }
            kill_point!("intake: after the outbox row is removed");
        }
        for row in &campaigns {
            self.expand(row).await?;
        }
        Ok(true)
    }

    async fn expand(&self, row: &OutboxRow) -> Result<(), OutboxProblem> {
        // Places of recipients count up from 0, so that a place below which to stay is a number of them.
        let left = row.below_seq.map_or(u32::MAX, |below| u32::try_from(below - row.next_seq).unwrap_or(u32::MAX));
        let n_max = EXPAND_RECIPIENTS_MAX.min(left);
        let expansion = self.store.expand_campaign(row.campaign_id, row.next_seq, n_max).await?;
        self.hand_on(expansion.jobs).await?;
        kill_point!("intake: before the outbox row is removed");
        if expansion.finished {
            self.store.outbox_remove(&[row.outbox_id]).await?;
        } else {
            self.store.outbox_advance(row.outbox_id, expansion.next_seq).await?;
        }
        kill_point!("intake: after the outbox row is removed");
        Ok(())
    }

    async fn hand_on(&self, jobs: Vec<Job>) -> Result<(), OutboxProblem> {
        match &self.sink {
            JobSink::Intake(intake) => {
                // A job that is refused here is one of ours; why was logged.
                let refused = intake.admit(&jobs).await?;
                self.metrics.intake.jobs_dead.inc_by(u64::try_from(refused.len()).unwrap_or(u64::MAX));
            }
            JobSink::Topic { producer, topic } => {
                let mut records = Vec::with_capacity(jobs.len());
                for job in jobs {
                    add_records(job, topic, self.leases.n_partitions(), &mut records);
                }
                kill_point!("topic: before jobs of the outbox are written");
                producer.send_all(records).await?;
            }
        }
        Ok(())
    }
}

/// Writes a job as one record, or as several when its values make it larger than a record may be.
fn add_records(job: Job, topic: &str, n_partitions: std::num::NonZeroU16, out: &mut Vec<Outgoing>) {
    let payload = match job.encode() {
        Ok(payload) => payload,
        Err(error) => {
            // Only times beyond the year 9999, which the API refuses.
            tracing::error!(job.id = %job.job_id, %error, "a job can not be written");
            return;
        }
    };
    if OUTBOX_RECORD_BYTES_MAX < payload.len() && 1 < job.deliveries.len() {
        let (first, second) = halves(job);
        add_records(first, topic, n_partitions, out);
        add_records(second, topic, n_partitions, out);
        return;
    }
    out.push(Outgoing {
        topic: topic.to_owned(),
        partition: Some(PartitionNo::of(job.session_id, n_partitions)),
        key: Some(Bytes::from(job.session_id.to_string())),
        payload: Some(Bytes::from(payload)),
        headers: Vec::new(),
    });
}

/// Cuts a job in two, whose ids follow from its own.
fn halves(mut job: Job) -> (Job, Job) {
    let rest = job.deliveries.split_off(job.deliveries.len() / 2);
    let part = |n: &[u8]| JobId(Uuid::new_v5(&job.job_id.0, n));
    let second = Job { job_id: part(b"2"), deliveries: rest, ..job.clone() };
    let first = Job { job_id: part(b"1"), ..job };
    (first, second)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::domain::campaign::OnUnknown;
    use crate::domain::id::{DeliveryId, SessionId, TenantId};
    use crate::domain::job::{JOB_VERSION, JobDelivery, TrafficClass};
    use crate::domain::message::{MessageSpec, Variables};
    use crate::domain::plan::OnLimit;
    use crate::domain::recipient::Recipient;

    #[test]
    fn a_job_with_large_values_becomes_several_records_that_lose_nothing() {
        let mut variables = Variables::default();
        for n in 0..8 {
            variables.insert(&format!("value{n}"), "x".repeat(1_000)).unwrap();
        }
        let delivery = |_| JobDelivery {
            id: DeliveryId::generate(),
            to: Recipient::from_stored("919876543210").unwrap(),
            variables: variables.clone(),
            time_zone: None,
        };
        let job = Job {
            v: JOB_VERSION,
            job_id: JobId::generate(),
            tenant_id: TenantId::generate(),
            session_id: SessionId::generate(),
            campaign_id: None,
            traffic_class: TrafficClass::Bulk,
            on_unknown: OnUnknown::Quarantine,
            on_limit: OnLimit::Hold,
            not_before: None,
            expires_at: None,
            message: MessageSpec::Text { text: "Hello {{value1}}".to_owned() },
            deliveries: (0..500).map(delivery).collect(),
        };
        let mut records = Vec::new();
        add_records(job.clone(), "jobs", NonZeroU16::new(64).unwrap(), &mut records);
        assert!(1 < records.len());
        let parts: Vec<Job> =
            records.iter().map(|record| Job::decode(record.payload.as_ref().unwrap()).unwrap()).collect();
        assert!(records.iter().all(|record| record.payload.as_ref().unwrap().len() <= OUTBOX_RECORD_BYTES_MAX));
        let together: Vec<JobDelivery> = parts.iter().flat_map(|part| part.deliveries.clone()).collect();
        assert_eq!(together, job.deliveries);
        let mut again = Vec::new();
        add_records(job, "jobs", NonZeroU16::new(64).unwrap(), &mut again);
        assert_eq!(again, records);
    }
}
