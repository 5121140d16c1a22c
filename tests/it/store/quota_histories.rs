//! Whatever happens to deliveries, a tenant never uses more than its plan has, and the numbers are those of the rows.
//!
//! `STORE_SEED=n` runs one seed alone.

use std::collections::BTreeMap;

use actiwapi_dispatcher::domain::id::{DeliveryId, TenantId};
use actiwapi_dispatcher::domain::plan::OnLimit;
use actiwapi_dispatcher::domain::quota::Usage;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::JournalBatch;
use rand::RngExt;

use super::history::{History, seeds};
use super::quota::{MONTH_MS, counts, subscribe, usage};
use crate::support::db::store_contract;
use crate::support::journal;
use crate::support::lanes::AllLanes;
use crate::support::seed::{self, NOW_MS};

store_contract!(no_history_uses_more_than_the_plan);

const SEEDS: u64 = 8;
const STEPS: usize = 60;

struct World {
    history: History,
    /// Of each tenant.
    limits: BTreeMap<TenantId, Option<i64>>,
    last: BTreeMap<TenantId, Usage>,
}

async fn no_history_uses_more_than_the_plan(store: Store) {
    for seed in seeds(SEEDS) {
        let mut world = World::new(&store, seed).await;
        for step in 0..STEPS {
            world.step(&store).await;
            world.check(&store, &format!("seed {seed}, step {step}")).await;
        }
    }
}

impl World {
    async fn new(store: &Store, seed: u64) -> Self {
        let (limited, other) = (seed::lane(store).await, seed::lane(store).await);
        let limits = BTreeMap::from([(limited.tenant_id, Some(12)), (other.tenant_id, None)]);
        for (tenant_id, limit) in &limits {
            subscribe(store, *tenant_id, *limit, NOW_MS).await;
        }
        let lanes = vec![limited, seed::another_lane(store, limited.tenant_id).await, other];
        Self { history: History::new(store, seed, lanes).await, limits, last: BTreeMap::new() }
    }

    async fn step(&mut self, store: &Store) {
        let history = &mut self.history;
        history.now_ms += 10;
        match history.random.random_range(0..24) {
            0..5 => self.admit(store).await,
            5 => drop(store.orphan_in_flight(history.now_ms).await.unwrap()),
            6 => drop(store.requeue_unknown(history.now_ms - 20, 3).await.unwrap()),
            7 => {
                let stream = history.pick_stream();
                history.cancel(store, stream, 0).await;
            }
            8 => {
                let tenants: Vec<TenantId> = self.limits.keys().copied().collect();
                let tenant_id = history.pick(&tenants);
                let limit = history.pick(&[None, Some(0), Some(5), Some(12), Some(30)]);
                subscribe(store, tenant_id, limit, history.now_ms).await;
                self.limits.insert(tenant_id, limit);
            }
            9 if history.random.random_bool(0.5) => history.now_ms += MONTH_MS,
            _ if history.deliveries.is_empty() => self.admit(store).await,
            _ => self.journal(store).await,
        }
    }

    async fn admit(&mut self, store: &Store) {
        let now_us = self.history.now_ms * 1_000;
        self.history.admit(store, now_us, &[OnLimit::Hold, OnLimit::Hold, OnLimit::Fail]).await;
    }

    async fn journal(&mut self, store: &Store) {
        let batch = self.history.batch(20, 0);
        let written = journal::write(store, batch.clone()).await;
        assert_eq!(written.begun.len() + written.refused.len(), batch.begins.len());
        // Its commit was not confirmed: it is written once more, and what holds goes on holding.
        let again = journal::write(store, JournalBatch { repeated: true, ..batch.clone() }).await;
        let has_ended = |id: &DeliveryId| {
            batch.ends.iter().any(|end| end.delivery_id == *id) || batch.receipts.iter().any(|r| r.delivery_id == *id)
        };
        for id in written.begun.iter().filter(|id| !has_ended(id)) {
            assert!(again.begun.contains(id), "a begin that was confirmed is not any more");
        }
    }

    async fn check(&mut self, store: &Store, place: &str) {
        for (tenant_id, limit) in self.limits.clone() {
            let now = usage(store, tenant_id, place).await;
            let was = self.last.insert(tenant_id, now).unwrap_or_default();
            let Some(limit) = limit else { continue };
            let (taken, before) = (now.used + now.sending + now.reserved, was.used + was.sending + was.reserved);
            assert!(taken <= limit.max(before), "{place}: {now:?} beyond {limit}, before {was:?}");
            let (spent, before) = (now.used + now.sending, was.used + was.sending);
            assert!(spent <= limit.max(before), "{place}: {now:?} sent beyond {limit}, before {was:?}");
            assert!(counts(now).iter().all(|n| 0 <= *n), "{place}: {now:?}");
        }
        for (campaign_id, stored, counted) in store.recount().await.unwrap() {
            assert_eq!(stored, counted, "{place}: counters of {campaign_id}");
        }
    }
}
