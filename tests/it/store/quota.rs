//! What deliveries take of their tenant's plan, step by step, and by two nodes at once.
//!
//! Random histories are in [`super::quota_histories`].

use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, TenantId};
use actiwapi_dispatcher::domain::job::Job;
use actiwapi_dispatcher::domain::plan::{LimitChange, OnLimit, SubscriptionState};
use actiwapi_dispatcher::domain::quota::Usage;
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::journal::{BeginRefusal, JournalBatch};
use actiwapi_dispatcher::store::plans::{NewSubscription, PlanChange};
use actiwapi_dispatcher::store::{Pool, Store};
use actiwapi_dispatcher::with_writer;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::support::db::{on_postgres, store_contract};
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    what_is_admitted_has_its_message,
    what_comes_too_late_waits_or_fails,
    a_refund_lets_the_next_one_go,
    a_message_is_charged_to_the_period_it_is_sent_in,
    a_lowered_limit_stops_at_once_and_a_raised_one_lets_go,
    a_subscription_has_the_limit_that_its_plan_has_now,
    an_inactive_subscription_sends_nothing,
    without_a_subscription_nothing_is_counted,
);

pub(super) const MONTH_MS: i64 = 32 * 24 * 60 * 60 * 1_000;

/// Gives a tenant a plan of its own.
pub(super) async fn subscribe(store: &Store, tenant_id: TenantId, messages: Option<i64>, at_ms: i64) {
    set(store, tenant_id, messages, (SubscriptionState::Active, at_ms)).await;
}

async fn set(store: &Store, tenant_id: TenantId, messages: Option<i64>, (state, at_ms): (SubscriptionState, i64)) {
    let plan = tenant_id.to_string();
    let sql = "INSERT INTO plans (slug, name, price_cents, currency, max_messages) VALUES ($1, 'Plan', 0, 'INR', $2) \
               ON CONFLICT (slug) DO UPDATE SET max_messages = EXCLUDED.max_messages";
    with_writer!(store.pool(), |db| sqlx::query(sql).bind(&plan).bind(messages).execute(db).await.map(drop)).unwrap();
    let new = NewSubscription { plan, state, period_end_ms: None, actor: Actor::SYSTEM };
    store.plans().subscribe(tenant_id, &new, at_ms).await.unwrap();
}

/// Returns a tenant's usage after checking that it is what the rows say.
pub(super) async fn usage(store: &Store, tenant_id: TenantId, place: &str) -> Usage {
    let mut found = Usage::default();
    for (id, stored, counted) in store.recount_usage().await.unwrap() {
        assert_eq!(stored, counted, "{place}: stored and counted of {id}");
        assert_eq!(store.recount_usage_of(id).await.unwrap(), Some((stored, counted)), "{place}: {id} alone");
        if id == tenant_id {
            found = stored;
        }
    }
    found
}

pub(super) fn counts(usage: Usage) -> [i64; 4] {
    [usage.used, usage.sending, usage.reserved, usage.waiting]
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

/// Two operators at once: one gives tenants a plan, the other one changes it.
async fn a_subscription_has_the_limit_that_its_plan_has_now(store: Store) {
    for n in 0..20 {
        let tenant_id = seed::lane(&store).await.tenant_id;
        let limits = LimitChange { messages: Some(Some(n)), ..LimitChange::default() };
        let change = PlanChange { limits, ..PlanChange::default() };
        let new = NewSubscription {
            plan: "enterprise".to_owned(),
            state: SubscriptionState::Active,
            period_end_ms: None,
            actor: Actor::SYSTEM,
        };
        let plans = store.plans();
        let both = tokio::join!(
            plans.subscribe(tenant_id, &new, NOW_MS),
            plans.change("enterprise", &change, &Actor::SYSTEM, NOW_MS)
        );
        assert!(both.0.is_ok() && both.1.is_ok());
        let usage = store.usage_of_tenant(tenant_id, NOW_MS).await.unwrap().unwrap();
        assert_eq!((usage.allowance.limit, usage.plan.limits.messages), (Some(n), Some(n)));
    }
}

/// The change of a plan is under way while a tenant is given the plan: the subscription waits for it.
#[tokio::test]
async fn a_subscription_waits_for_the_change_of_its_plan() {
    on_postgres(async |store: Store| {
        let Pool::Postgres(pool) = store.pool() else { unreachable!() };
        let tenant_id = seed::lane(&store).await.tenant_id;
        let mut change = pool.begin().await.unwrap();
        sqlx::query("UPDATE plans SET max_messages = 5 WHERE slug = 'trial'").execute(&mut *change).await.unwrap();
        let node = store.clone();
        let mut subscription = JoinSet::new();
        subscription.spawn(async move {
            let state = SubscriptionState::Active;
            let new = NewSubscription { plan: "trial".to_owned(), state, period_end_ms: None, actor: Actor::SYSTEM };
            node.plans().subscribe(tenant_id, &new, NOW_MS).await.unwrap();
        });
        while n_waiting(pool).await == 0 {
            assert!(subscription.try_join_next().is_none(), "it did not wait");
            tokio::task::yield_now().await;
        }
        change.commit().await.unwrap();
        subscription.join_all().await;
        let usage = store.usage_of_tenant(tenant_id, NOW_MS).await.unwrap().unwrap();
        assert_eq!(usage.allowance.limit, Some(5));
    })
    .await;
}

/// Counts the transactions that wait for somebody.
async fn n_waiting(pool: &PgPool) -> i64 {
    let waiting =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sqlx::query_scalar(waiting).fetch_one(pool).await.unwrap()
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
        assert_eq!(Box::pin(both_at_last_step(&store, nodes)).await, 6);
        assert_eq!(counts(usage(&store, first.tenant_id, "begun").await), [0, 6, 0, 0]);
        subscribe(&store, first.tenant_id, Some(12), NOW_MS).await;
        let nodes = lanes.map(|lane| {
            let node = store.clone();
            async move { seed::admit(&node, &seed::job(lane, CampaignId::DIRECT, 5)).await.len() }
        });
        assert_eq!(Box::pin(both_at_last_step(&store, nodes)).await, 10);
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
    while n_waiting(pool).await < n_nodes {
        tokio::task::yield_now().await;
    }
    holder.rollback().await.unwrap();
    running.join_all().await.into_iter().sum()
}
