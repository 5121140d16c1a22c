//! Whatever happens to deliveries, a tenant never uses more than its plan has, and the numbers are those of the rows.
//!
//! `STORE_SEED=n` runs one seed alone.

use std::collections::BTreeMap;

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::delivery::{DeliveryEvent, DeliveryState};
use actiwapi_dispatcher::domain::failure::Reason;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, TenantId};
use actiwapi_dispatcher::domain::job::Job;
use actiwapi_dispatcher::domain::plan::{OnLimit, PlanLimits, SubscriptionState};
use actiwapi_dispatcher::domain::quota::Usage;
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::heads::HeadRequest;
use actiwapi_dispatcher::store::journal::{BeginRefusal, Dismissal, Ended, JournalBatch};
use actiwapi_dispatcher::store::plans::{NewSubscription, PlanRecord};
use actiwapi_dispatcher::store::{Pool, Store};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::support::db::{on_postgres, store_contract};
use crate::support::journal::{self, Entries};
use crate::support::lanes::AllLanes;
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    no_history_uses_more_than_the_plan,
    what_is_admitted_has_its_message,
    what_comes_too_late_waits_or_fails,
    a_refund_lets_the_next_one_go,
    a_message_is_charged_to_the_period_it_is_sent_in,
    a_lowered_limit_stops_at_once_and_a_raised_one_lets_go,
    an_inactive_subscription_sends_nothing,
    without_a_subscription_nothing_is_counted,
);

const SEEDS: u64 = 8;
const STEPS: usize = 60;
const MONTH_MS: i64 = 32 * 24 * 60 * 60 * 1_000;

/// Gives a tenant a plan of its own.
pub(super) async fn subscribe(store: &Store, tenant_id: TenantId, messages: Option<i64>, at_ms: i64) {
    set(store, tenant_id, messages, (SubscriptionState::Active, at_ms)).await;
}

async fn set(store: &Store, tenant_id: TenantId, messages: Option<i64>, (state, at_ms): (SubscriptionState, i64)) {
    let plan = PlanRecord {
        limits: PlanLimits { messages, ..PlanLimits::default() },
        ..store.plans().find("enterprise").await.unwrap().unwrap()
    };
    let new = NewSubscription { plan, state, period_end_ms: None, actor: Actor::SYSTEM };
    store.plans().subscribe(tenant_id, &new, at_ms).await.unwrap();
}

/// Returns a tenant's usage after checking that it is what the rows say.
async fn usage(store: &Store, tenant_id: TenantId, place: &str) -> Usage {
    let mut found = Usage::default();
    for (id, stored, counted) in store.recount_usage().await.unwrap() {
        assert_eq!(stored, counted, "{place}: stored and counted of {id}");
        if id == tenant_id {
            found = stored;
        }
    }
    found
}

fn counts(usage: Usage) -> [i64; 4] {
    [usage.used, usage.sending, usage.reserved, usage.waiting]
}

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

async fn tenant_with(store: &Store, limit: i64) -> (Lane, Entries) {
    let lane = seed::lane(store).await;
    subscribe(store, lane.tenant_id, Some(limit), NOW_MS).await;
    (lane, Entries { session_id: lane.session_id, campaign_id: CampaignId::DIRECT, at_ms: NOW_MS })
}

async fn refusal_of(store: &Store, entries: &Entries, id: DeliveryId, attempt_no: u32) -> Option<BeginRefusal> {
    let begins = vec![entries.begin(id, attempt_no)];
    let written = journal::write(store, JournalBatch { begins, ..JournalBatch::default() }).await;
    assert_eq!(written.begun.len() + written.refused.len(), 1);
    written.refused.first().map(|(_, why)| *why)
}

fn is_used_up(refusal: Option<BeginRefusal>) -> bool {
    matches!(refusal, Some(BeginRefusal::Plan { until_ms }) if NOW_MS < until_ms && until_ms < NOW_MS + MONTH_MS)
}

async fn what_is_admitted_has_its_message(store: Store) {
    let (lane, entries) = tenant_with(&store, 3).await;
    let ids = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 5)).await;
    assert_eq!(counts(usage(&store, lane.tenant_id, "admitted").await), [0, 0, 3, 2]);
    // The last ones wait, however early their lane is.
    assert!(is_used_up(refusal_of(&store, &entries, ids[4], 1).await));
    journal::begin(&store, ids[..3].iter().map(|id| entries.begin(*id, 1)).collect()).await;
    assert_eq!(counts(usage(&store, lane.tenant_id, "begun").await), [0, 3, 0, 2]);
    journal::end(&store, ids[..3].iter().map(|id| entries.end(*id, 1, journal::accepted())).collect()).await;
    assert_eq!(counts(usage(&store, lane.tenant_id, "sent").await), [3, 0, 0, 2]);
    assert!(is_used_up(refusal_of(&store, &entries, ids[3], 1).await));
    seed::ledger(&store, CampaignId::DIRECT).await;
}

async fn what_comes_too_late_waits_or_fails(store: Store) {
    let (lane, _) = tenant_with(&store, 1).await;
    let job = |on_limit| Job { on_limit, ..seed::job(lane, CampaignId::DIRECT, 2) };
    let failing = seed::admit(&store, &job(OnLimit::Fail)).await;
    let row = seed::row(&store, failing[1]).await;
    assert_eq!((row.state.as_str(), row.reason.as_deref()), ("failed", Some("PLAN_MESSAGES")));
    assert_eq!((row.failure_class.as_deref(), row.settled_at_ms), (Some("LIMIT_EXCEEDED"), Some(NOW_MS)));
    let holding = seed::admit(&store, &job(OnLimit::Hold)).await;
    assert_eq!(seed::state(&store, holding[1]).await, DeliveryState::Pending);
    assert_eq!(counts(usage(&store, lane.tenant_id, "admitted").await), [0, 0, 1, 2]);
    let counters = seed::ledger(&store, CampaignId::DIRECT).await;
    assert_eq!((counters.accepted, counters.pending, counters.failed_limit), (4, 3, 1));
}

async fn a_refund_lets_the_next_one_go(store: Store) {
    let (lane, entries) = tenant_with(&store, 1).await;
    let ids = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 3)).await;
    journal::begin(&store, vec![entries.begin(ids[0], 1)]).await;
    // A deferral keeps the message, a failure gives it back.
    journal::end(&store, vec![entries.end(ids[0], 1, journal::deferred())]).await;
    assert!(is_used_up(refusal_of(&store, &entries, ids[1], 1).await));
    journal::begin(&store, vec![entries.begin(ids[0], 2)]).await;
    journal::end(&store, vec![entries.end(ids[0], 2, journal::rejected())]).await;
    assert_eq!(refusal_of(&store, &entries, ids[1], 1).await, None);
    journal::end(&store, vec![entries.end(ids[1], 1, journal::unknown())]).await;
    assert!(is_used_up(refusal_of(&store, &entries, ids[2], 1).await), "an unknown one may have been sent");
    journal::receive(&store, vec![entries.receipt(ids[1], ReceiptKind::Failed)]).await;
    assert_eq!(refusal_of(&store, &entries, ids[2], 1).await, None);
    // The failed one was sent after all: nobody can be kept from that, and nobody is made to pay for it.
    journal::receive(&store, vec![entries.receipt(ids[0], ReceiptKind::Delivered)]).await;
    assert_eq!(counts(usage(&store, lane.tenant_id, "late").await), [0, 1, 0, 0]);
}

async fn a_message_is_charged_to_the_period_it_is_sent_in(store: Store) {
    let (lane, entries) = tenant_with(&store, 2).await;
    let ids = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 4)).await;
    journal::begin(&store, ids[..2].iter().map(|id| entries.begin(*id, 1)).collect()).await;
    journal::end(&store, ids[..2].iter().map(|id| entries.end(*id, 1, journal::accepted())).collect()).await;
    assert!(is_used_up(refusal_of(&store, &entries, ids[2], 1).await));
    let later = Entries { at_ms: NOW_MS + MONTH_MS, ..entries };
    assert_eq!(refusal_of(&store, &later, ids[2], 1).await, None, "a new period");
    assert_eq!(counts(usage(&store, lane.tenant_id, "next period").await), [0, 1, 0, 1]);
    journal::receive(&store, vec![later.receipt(ids[0], ReceiptKind::Failed)]).await;
    assert_eq!(counts(usage(&store, lane.tenant_id, "refund of the last").await), [0, 1, 0, 1]);
    journal::end(&store, vec![later.end(ids[2], 1, journal::accepted())]).await;
    assert_eq!(counts(usage(&store, lane.tenant_id, "sent").await), [1, 0, 0, 1]);
}

async fn a_lowered_limit_stops_at_once_and_a_raised_one_lets_go(store: Store) {
    let (lane, entries) = tenant_with(&store, 3).await;
    let ids = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 4)).await;
    journal::begin(&store, vec![entries.begin(ids[0], 1)]).await;
    subscribe(&store, lane.tenant_id, Some(1), NOW_MS).await;
    assert!(is_used_up(refusal_of(&store, &entries, ids[1], 1).await), "reserved, but beyond the plan of today");
    subscribe(&store, lane.tenant_id, Some(4), NOW_MS).await;
    journal::begin(&store, ids[1..].iter().map(|id| entries.begin(*id, 1)).collect()).await;
    assert_eq!(counts(usage(&store, lane.tenant_id, "all").await), [0, 4, 0, 0]);
}

async fn an_inactive_subscription_sends_nothing(store: Store) {
    let (lane, entries) = tenant_with(&store, 3).await;
    let ids = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 1)).await;
    set(&store, lane.tenant_id, Some(3), (SubscriptionState::PastDue, NOW_MS)).await;
    assert_eq!(refusal_of(&store, &entries, ids[0], 1).await, Some(BeginRefusal::Inactive));
    set(&store, lane.tenant_id, Some(3), (SubscriptionState::Trialing, NOW_MS)).await;
    let over = Entries { at_ms: NOW_MS + MONTH_MS, ..entries };
    assert_eq!(refusal_of(&store, &over, ids[0], 1).await, Some(BeginRefusal::Inactive), "the trial is over");
    assert_eq!(refusal_of(&store, &entries, ids[0], 1).await, None);
}

async fn without_a_subscription_nothing_is_counted(store: Store) {
    let lane = seed::lane(&store).await;
    let entries = Entries { session_id: lane.session_id, campaign_id: CampaignId::DIRECT, at_ms: NOW_MS };
    let ids = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 2)).await;
    journal::begin(&store, vec![entries.begin(ids[0], 1)]).await;
    assert_eq!(seed::count(&store, "deliveries WHERE quota_period_ms IS NOT NULL").await, 0);
    // What was there before the subscription is counted from its first attempt on.
    subscribe(&store, lane.tenant_id, Some(1), NOW_MS).await;
    journal::end(&store, vec![entries.end(ids[0], 1, journal::accepted())]).await;
    journal::begin(&store, vec![entries.begin(ids[1], 1)]).await;
    assert_eq!(counts(usage(&store, lane.tenant_id, "begun").await), [0, 1, 0, 0]);
}

/// Two nodes begin and admit at the same time: both come to their last step before either is done, if nothing keeps
/// them apart earlier.
#[tokio::test]
async fn two_nodes_never_give_the_same_message_away() {
    on_postgres(async |store: Store| {
        let first = seed::lane(&store).await;
        let lanes = [first, seed::another_lane(&store, first.tenant_id).await];
        // From before the subscription: nothing is kept for them.
        let mut begins = Vec::new();
        for lane in lanes {
            let entries = Entries { session_id: lane.session_id, campaign_id: CampaignId::DIRECT, at_ms: NOW_MS };
            let ids = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 5)).await;
            begins.push(ids.into_iter().map(|id| entries.begin(id, 1)).collect::<Vec<_>>());
        }
        subscribe(&store, first.tenant_id, Some(6), NOW_MS).await;
        let nodes = begins.into_iter().map(|begins| {
            let node = store.clone();
            async move { journal::write(&node, JournalBatch { begins, ..JournalBatch::default() }).await.begun.len() }
        });
        assert_eq!(both_at_last_step(&store, nodes).await, 6);
        assert_eq!(counts(usage(&store, first.tenant_id, "begun").await), [0, 6, 0, 0]);
        subscribe(&store, first.tenant_id, Some(12), NOW_MS).await;
        let nodes = lanes.map(|lane| {
            let node = store.clone();
            async move { seed::admit(&node, &seed::job(lane, CampaignId::DIRECT, 5)).await.len() }
        });
        assert_eq!(both_at_last_step(&store, nodes).await, 10);
        assert_eq!(counts(usage(&store, first.tenant_id, "admitted").await), [0, 6, 6, 4]);
    })
    .await;
}

/// Lets transactions run until each of them waits for somebody, and then to their end; returns the sum of the answers.
///
/// The counters of single messages, which all of them write last, are held until then.
pub(super) async fn both_at_last_step<F>(store: &Store, nodes: impl IntoIterator<Item = F>) -> usize
where
    F: Future<Output = usize> + Send + 'static,
{
    let Pool::Postgres(pool) = store.pool() else { unreachable!() };
    let mut holder = pool.begin().await.unwrap();
    let hold = "SELECT 1 FROM campaign_counters WHERE campaign_id = $1 FOR UPDATE";
    sqlx::query(hold).bind(CampaignId::DIRECT.0).fetch_one(&mut *holder).await.unwrap();
    let mut running = JoinSet::new();
    for node in nodes {
        running.spawn(node);
    }
    let n_nodes = i64::try_from(running.len()).unwrap();
    let waiting =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(pool).await.unwrap() < n_nodes {
        tokio::task::yield_now().await;
    }
    holder.rollback().await.unwrap();
    running.join_all().await.into_iter().sum()
}
