//! From jobs to pending deliveries: persisted first, then offered to their lanes.
//!
//! A job that was seen before changes nothing, because deliveries bring their own ids. Sends
//! nothing and waits for no lane: a slow session holds up nobody's intake.

use std::sync::Arc;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::dispatch::DispatchHandle;
use crate::dispatch::shard::Offer;
use crate::domain::dead_letter::DeadCause;
use crate::domain::job::Job;
use crate::error::chain;
use crate::intake::decode::Dead;
use crate::kill_point;
use crate::limits::ADMIT_DELIVERIES_MAX;
use crate::store::admissions::{Admitted, AdmittedStream};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

pub mod decode;

pub mod outbox;

pub mod topic;

/// Admits jobs, one batch after the other; cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    /// The database.
    pub store: Store,
    /// Whom to tell of new work.
    pub dispatch: DispatchHandle,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Intake {
    /// Persists the jobs' deliveries and offers them to their lanes; returns which jobs were refused, and why.
    ///
    /// # Errors
    /// [`StoreError`] when a batch could not be written; safe to repeat as a whole.
    pub async fn admit(&self, jobs: &[Job]) -> Result<Vec<(usize, Dead)>, StoreError> {
        let mut refused = Vec::new();
        let mut n_done = 0;
        while n_done < jobs.len() {
            let batch = &jobs[n_done..n_done + batch_len(&jobs[n_done..])];
            let dead = match self.admit_batch(batch).await {
                Err(error) if error.is_bad_data() => self.admit_each(batch).await?,
                answer => answer?,
            };
            refused.extend(dead.into_iter().map(|(place, dead)| (n_done + place, dead)));
            n_done += batch.len();
        }
        Ok(refused)
    }

    /// Admits job by job what the database did not take together: one that it never takes must not hold
    /// up the others.
    async fn admit_each(&self, jobs: &[Job]) -> Result<Vec<(usize, Dead)>, StoreError> {
        let mut refused = Vec::new();
        for (place, job) in jobs.iter().enumerate() {
            match self.admit_batch(std::slice::from_ref(job)).await {
                Err(error) if error.is_bad_data() => {
                    tracing::warn!(job.id = %job.job_id, error = chain(&error), "the database does not take a job");
                    let detail = "the database does not take its content".to_owned();
                    refused.push((place, Dead { cause: DeadCause::Unreadable, detail }));
                }
                answer => refused.extend(answer?.into_iter().map(|(_, dead)| (place, dead))),
            }
        }
        Ok(refused)
    }

    async fn admit_batch(&self, jobs: &[Job]) -> Result<Vec<(usize, Dead)>, StoreError> {
        let now = self.clock.now();
        let all: Vec<&Job> = jobs.iter().collect();
        kill_point!("intake: before deliveries are persisted");
        let started_at = Instant::now();
        let admitted = self.store.admit_jobs(&all, now.as_us()).await?;
        let metrics = &self.metrics.intake;
        metrics.admit_seconds.observe(started_at.elapsed().as_secs_f64());
        let mut refused = Vec::new();
        for (place, (job, admitted)) in jobs.iter().zip(admitted).enumerate() {
            if let Some(refusal) = admitted.refused {
                tracing::warn!(job.id = %job.job_id, ?refusal, "job refused");
                refused.push((place, refusal.into()));
                continue;
            }
            metrics.jobs.inc();
            metrics.deliveries.inc_by(count(admitted.n_new));
            metrics.duplicates.inc_by(count(job.deliveries.len() - admitted.n_new));
            // Also when nothing is new: the one who admitted it may have died before it told the lane.
            if admitted.is_open {
                let Admitted { session_id, campaign_id, traffic_class, .. } = admitted;
                for AdmittedStream { band, zone, done_below_seq } in admitted.streams {
                    let offer = Offer { session_id, campaign_id, band, zone, traffic_class, done_below_seq };
                    self.dispatch.offer(offer).await;
                }
            }
        }
        Ok(refused)
    }
}

/// How many of the jobs fit into one transaction; at least one.
fn batch_len(jobs: &[Job]) -> usize {
    let mut n_deliveries = 0;
    let fits = |job: &&Job| {
        n_deliveries += job.deliveries.len();
        n_deliveries <= ADMIT_DELIVERIES_MAX
    };
    jobs.iter().take_while(fits).count().max(1)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
