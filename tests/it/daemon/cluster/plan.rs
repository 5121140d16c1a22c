//! The last messages of a plan, wanted by two nodes at once: exactly so many arrive at the provider.

use actiwapi_dispatcher::domain::id::TenantId;
use actiwapi_dispatcher::domain::plan::{LimitChange, SubscriptionState};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::plans::{NewSubscription, PlanChange};
use actiwapi_dispatcher::with_reader;

use super::nodes::{Cluster, Servers};
use crate::daemon::by_hand::number;
use crate::daemon::client::NewSession;
use crate::daemon::judge::{Asked, Faults, judge, wait_for_the_end};
use crate::support::wait::{PATIENCE, until};

const N_SESSIONS: u64 = 20;
const RATE_PER_SECOND: f64 = 10.0;

/// Gives the one tenant a plan of so many messages.
async fn allow(store: &Store, n_messages: u64) -> TenantId {
    let tenant =
        with_reader!(store.pool(), |db| sqlx::query_scalar("SELECT tenant_id FROM tenants").fetch_one(db).await);
    let tenant_id = TenantId(tenant.unwrap());
    let messages = Some(Some(i64::try_from(n_messages).unwrap()));
    let limits = LimitChange { messages, sessions: Some(None), api_requests: Some(None), ..LimitChange::default() };
    let change = PlanChange { limits, ..PlanChange::default() };
    let now_ms = store.now_us().await.unwrap() / 1_000;
    store.plans().change("trial", &change, &Actor::SYSTEM, now_ms).await.unwrap();
    let plan = "trial".to_owned();
    let new = NewSubscription { plan, state: SubscriptionState::Active, period_end_ms: None, actor: Actor::SYSTEM };
    store.plans().subscribe(tenant_id, &new, now_ms).await.unwrap();
    tenant_id
}

#[tokio::test]
async fn two_nodes_send_exactly_what_the_plan_has_left() {
    let (n_left, n_submitted) = (number("E2E_PLAN_LEFT", 100), number("E2E_MESSAGES", 500));
    let cluster = Cluster::start(2, Servers::calm(), "", "").await;
    let store = Store::open(cluster.store_url(), 2).await.unwrap();
    let tenant_id = allow(&store, n_left).await;
    let sessions: Vec<_> = (0..N_SESSIONS)
        .map(|n| NewSession { phone_number_id: format!("{}", 1_000 + n), rate_per_second: RATE_PER_SECOND, burst: 1 })
        .collect();
    let sessions = cluster.client.connect(&sessions).await;
    let campaign = cluster.client.draft(&sessions, 0..n_submitted).await;
    cluster.client.start(&campaign).await.unwrap();
    let usage = async || {
        let now_ms = store.now_us().await.unwrap() / 1_000;
        store.usage_of_tenant(tenant_id, now_ms).await.unwrap().unwrap().allowance.usage
    };
    // All is admitted, what the plan has is sent, and every lane that has more to send says why it does not.
    let held = async || {
        let usage = usage().await;
        let is_spent = (usage.used, usage.sending, usage.reserved) == (i64::try_from(n_left).unwrap(), 0, 0);
        let is_admitted = usage.waiting == i64::try_from(n_submitted - n_left).unwrap();
        let n_held = cluster.sum("dispatcher_dispatch_lanes_held{held_by=\"plan_messages\"}").await;
        (is_spent && is_admitted && 0.0 < n_held).then_some(())
    };
    until("the plan is used up", PATIENCE * 2, held).await;
    assert_eq!(cluster.provider.n_received().await, n_left);

    // The hold lifts by itself when the plan changes.
    allow(&store, n_submitted).await;
    let asked =
        Asked { campaigns: vec![(campaign, n_submitted)], rate_per_second: RATE_PER_SECOND, ..Asked::default() };
    wait_for_the_end(&cluster, &asked).await;
    let findings = judge(&cluster, &asked, Faults::None).await;
    findings.assert_kept();
    let usage = usage().await;
    assert_eq!((usage.used, usage.waiting), (i64::try_from(n_submitted).unwrap(), 0));
    cluster.end().await;
}
