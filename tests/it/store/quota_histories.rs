//! Whatever happens to deliveries, a tenant never uses more than its plan has, and the numbers are those of the rows.
//!
//! `STORE_SEED=n` runs one seed alone.

use std::collections::BTreeMap;

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::delivery::DeliveryEvent;
use actiwapi_dispatcher::domain::failure::Reason;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, TenantId};
use actiwapi_dispatcher::domain::job::Job;
use actiwapi_dispatcher::domain::plan::OnLimit;
use actiwapi_dispatcher::domain::quota::Usage;
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::heads::HeadRequest;
use actiwapi_dispatcher::store::journal::{Dismissal, Ended, JournalBatch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::lanes::AllLanes;
use crate::support::seed::{self, Lane, NOW_MS};

use super::quota::{MONTH_MS, counts, subscribe, usage};

store_contract!(no_history_uses_more_than_the_plan);

const SEEDS: u64 = 8;
const STEPS: usize = 60;
struct World {
    random: StdRng,
    lanes: Vec<Lane>,
    campaigns: Vec<CampaignId>,
    jobs: Vec<Job>,
    deliveries: Vec<(Entries, DeliveryId)>,
    /// Of each tenant.
    limits: BTreeMap<TenantId, Option<i64>>,
    last: BTreeMap<TenantId, Usage>,
    now_ms: i64,
}

async fn no_history_uses_more_than_the_plan(store: Store) {
    let only = std::env::var("STORE_SEED").ok().map(|seed| seed.parse().unwrap());
    for seed in 0..SEEDS {
        if only.is_some_and(|only: u64| only != seed) {
            continue;
        }
        eprintln!("seed {seed}; repeat it alone with STORE_SEED={seed}");
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
        let mut campaigns = vec![CampaignId::DIRECT];
        for on_unknown in [OnUnknown::Quarantine, OnUnknown::Resend] {
            campaigns.push(seed::campaign(store, limited.tenant_id, CampaignState::Running, on_unknown).await);
        }
        let limits = BTreeMap::from([(limited.tenant_id, Some(12)), (other.tenant_id, None)]);
        for (tenant_id, limit) in &limits {
            subscribe(store, *tenant_id, *limit, NOW_MS).await;
        }
        Self {
            random: StdRng::seed_from_u64(seed),
            lanes: vec![limited, seed::another_lane(store, limited.tenant_id).await, other],
            campaigns,
            jobs: Vec::new(),
            deliveries: Vec::new(),
            limits,
            last: BTreeMap::new(),
            now_ms: NOW_MS,
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())].clone()
    }

    async fn step(&mut self, store: &Store) {
        self.now_ms += 10;
        match self.random.random_range(0..24) {
            0..5 => self.admit(store).await,
            5 => drop(store.orphan_in_flight(self.now_ms).await.unwrap()),
            6 => drop(store.requeue_unknown(self.now_ms - 20, 3).await.unwrap()),
            7 => {
                let (campaigns, lanes) = (self.campaigns.clone(), self.lanes.clone());
                let (campaign_id, session_id) = (self.pick(&campaigns), self.pick(&lanes).session_id);
                let band = seed::band_of(campaign_id);
                let request = HeadRequest { session_id, campaign_id, band, after_seq: 0, limit: 4 };
                store.cancel_pending(request).await.unwrap();
            }
            8 => {
                let tenants: Vec<TenantId> = self.limits.keys().copied().collect();
                let tenant_id = self.pick(&tenants);
                let limit = self.pick(&[None, Some(0), Some(5), Some(12), Some(30)]);
                subscribe(store, tenant_id, limit, self.now_ms).await;
                self.limits.insert(tenant_id, limit);
            }
            9 if self.random.random_bool(0.5) => self.now_ms += MONTH_MS,
            _ if self.deliveries.is_empty() => self.admit(store).await,
            _ => self.journal(store).await,
        }
    }

    async fn admit(&mut self, store: &Store) {
        let mut jobs = Vec::new();
        for _ in 0..self.random.random_range(1..4) {
            if !self.jobs.is_empty() && self.random.random_bool(0.3) {
                let known = self.jobs.clone();
                jobs.push(self.pick(&known));
                continue;
            }
            let (lanes, campaigns) = (self.lanes.clone(), self.campaigns.clone());
            let lane = self.pick(&lanes);
            let own = lane.tenant_id == self.lanes[0].tenant_id;
            let campaign_id = if own { self.pick(&campaigns) } else { CampaignId::DIRECT };
            let n = self.random.random_range(1..8);
            let mut job = seed::job(lane, campaign_id, n);
            job.on_limit = self.pick(&[OnLimit::Hold, OnLimit::Hold, OnLimit::Fail]);
            if campaign_id == self.campaigns[2] {
                job.on_unknown = OnUnknown::Resend;
            }
            let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: self.now_ms };
            self.deliveries.extend(job.deliveries.iter().map(|delivery| (entries, delivery.id)));
            jobs.push(job);
        }
        store.admit_jobs(&jobs.iter().collect::<Vec<_>>(), self.now_ms * 1_000).await.unwrap();
        self.jobs.extend(jobs);
    }

    async fn journal(&mut self, store: &Store) {
        let mut batch = JournalBatch::default();
        for _ in 0..self.random.random_range(1..20) {
            let known = self.deliveries.clone();
            let (entries, id) = self.pick(&known);
            let entries = Entries { at_ms: self.now_ms, ..entries };
            let attempt_no = self.random.random_range(1..3);
            match self.random.random_range(0..10) {
                0..5 => batch.begins.push(entries.begin(id, attempt_no)),
                5..8 => {
                    let ended = [
                        journal::accepted(),
                        journal::deferred(),
                        journal::rejected(),
                        journal::unknown(),
                        Ended::Withdrawn,
                    ];
                    let ended = self.pick(&ended);
                    batch.ends.push(entries.end(id, attempt_no, ended));
                }
                8 if self.random.random_bool(0.3) => batch.dismissals.push(Dismissal {
                    delivery_id: id,
                    campaign_id: entries.campaign_id,
                    event: DeliveryEvent::Skipped,
                    reason: Reason::Expired,
                    class: None,
                    at_ms: self.now_ms,
                }),
                _ => {
                    let kinds = [ReceiptKind::Sent, ReceiptKind::Delivered, ReceiptKind::Read, ReceiptKind::Failed];
                    let kind = self.pick(&kinds);
                    batch.receipts.push(entries.receipt(id, kind));
                }
            }
        }
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
