//! Reads heads for the lanes of one shard, many lanes in one query.
//!
//! Keeps trying while the database is away; decides nothing.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::clock::{Clock, Moment};
use crate::dispatch::lane::streams::Load;
use crate::dispatch::lane::work::{JobPlan, Work};
use crate::dispatch::shard::{LaneIndex, Loaded, Report};
use crate::domain::id::{JobId, SessionId};
use crate::domain::message::MessageTemplate;
use crate::error::chain;
use crate::patience::Patience;
use crate::store::heads::{Head, HeadRequest, JobRow};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// Plans kept by name before those that nobody uses are forgotten.
const PLANS_KEPT: usize = 4_096;

/// Loads for one round.
pub type Loads = Vec<(LaneIndex, SessionId, Load)>;

/// Reads heads.
#[derive(Debug)]
pub struct Loader {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Where heads go.
    pub reports: mpsc::Sender<Report>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Loader {
    /// Serves loads until the shard is gone.
    pub async fn run(self, mut requests: mpsc::Receiver<Loads>) {
        let mut plans: HashMap<JobId, Weak<JobPlan>> = HashMap::new();
        while let Some(loads) = requests.recv().await {
            let mut patience = Patience::default();
            let loaded = loop {
                match self.load(&loads, &mut plans).await {
                    Ok(loaded) => break loaded,
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "heads could not be loaded");
                        patience.wait().await;
                    }
                }
            };
            if self.reports.send(Report::Loaded(loaded)).await.is_err() {
                return;
            }
        }
    }

    async fn load(&self, loads: &Loads, plans: &mut HashMap<JobId, Weak<JobPlan>>) -> Result<Vec<Loaded>, StoreError> {
        let requests: Vec<_> = loads
            .iter()
            .map(|(_, session_id, load)| HeadRequest {
                session_id: *session_id,
                campaign_id: load.campaign_id,
                band: load.band,
                after_seq: load.after_seq,
                limit: u32::try_from(load.limit).unwrap_or(u32::MAX),
            })
            .collect();
        let started_at = Instant::now();
        let heads = self.store.fetch_heads(&requests).await?;
        self.metrics.dispatch.heads_refill_seconds.observe(started_at.elapsed().as_secs_f64());
        let plans = self.plans(heads.iter().flatten(), plans).await?;
        let now = self.clock.now();
        let loaded = loads.iter().zip(heads).map(|((lane, _, load), heads)| Loaded {
            lane: *lane,
            load: *load,
            n_rows: heads.len(),
            last_seq: heads.last().map(|head| head.seq),
            works: heads.into_iter().filter_map(|head| work(head, &plans, now)).collect(),
        });
        Ok(loaded.collect())
    }

    /// Returns the plans of all jobs that the heads belong to, read or remembered.
    async fn plans(
        &self,
        heads: impl Iterator<Item = &Head>,
        known: &mut HashMap<JobId, Weak<JobPlan>>,
    ) -> Result<HashMap<JobId, Arc<JobPlan>>, StoreError> {
        let mut plans = HashMap::new();
        let mut missing = Vec::new();
        for head in heads {
            if plans.contains_key(&head.job_id) || missing.contains(&head.job_id) {
                continue;
            }
            match known.get(&head.job_id).and_then(Weak::upgrade) {
                Some(plan) => {
                    plans.insert(head.job_id, plan);
                }
                None => missing.push(head.job_id),
            }
        }
        if missing.is_empty() {
            return Ok(plans);
        }
        if PLANS_KEPT < known.len() {
            known.retain(|_, plan| plan.strong_count() != 0);
        }
        for row in self.store.find_jobs(&missing).await? {
            let plan = Arc::new(plan(&row));
            known.insert(row.job_id, Arc::downgrade(&plan));
            plans.insert(row.job_id, plan);
        }
        Ok(plans)
    }
}

fn plan(row: &JobRow) -> JobPlan {
    JobPlan {
        job_id: row.job_id,
        traffic_class: row.traffic_class,
        on_limit: row.on_limit,
        not_before: row.not_before_ms.map(Moment::from_ms),
        expires_at: row.expires_at_ms.map(Moment::from_ms),
        is_readable: row.is_readable,
        pass_over: row.pass_over,
        campaign_pacing: row.campaign_pacing.clone().map(Arc::new),
        template: MessageTemplate::compile_for(&row.message, row.tenant_id).ok(),
    }
}

fn work(head: Head, plans: &HashMap<JobId, Arc<JobPlan>>, now: Moment) -> Option<Box<Work>> {
    let plan = plans.get(&head.job_id)?;
    let due_at = Moment::from_ms(head.due_at_ms).max(plan.not_before.unwrap_or_default());
    Some(Box::new(Work {
        delivery_id: head.delivery_id,
        campaign_id: head.campaign_id,
        band: head.band,
        seq: head.seq,
        recipient: head.recipient,
        variables: head.variables,
        n_attempts: head.n_attempts,
        n_attempts_before: head.n_attempts_before,
        ready_at: due_at.max(now),
        capped_until: head.capped_until_ms.map(Moment::from_ms),
        plan: Arc::clone(plan),
    }))
}
