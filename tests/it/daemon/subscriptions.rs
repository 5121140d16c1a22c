//! Running lanes hold and go on as the subscription goes through its life: by what arrives at the provider.
//!
//! Time passes by moving the whole life of the subscription into the past.

use actiwapi_dispatcher::domain::id::TenantId;
use actiwapi_dispatcher::domain::plan::SubscriptionState as State;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::plans::NewSubscription;
use actiwapi_dispatcher::with_writer;
use serde_json::json;

use super::client::{Client, NewSession};
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

const RATE_PER_SECOND: f64 = 10.0;
const HELD_SECONDS: f64 = 1.5;

/// A world with the subscription of its tenant.
struct Life {
    world: World,
    store: Store,
    tenant_id: TenantId,
    operator: Client,
}

impl Life {
    /// Lets so much time pass that the present part of the life is over.
    async fn time_passes(&self) {
        let now_ms = self.store.now_us().await.unwrap() / 1_000;
        let due = self.store.billing().subscription(self.tenant_id).await.unwrap().unwrap().due_at_ms().unwrap();
        let by_ms = (due - now_ms).max(0);
        for sql in [
            "UPDATE usage SET period_start_ms = period_start_ms - $2, period_end_ms = period_end_ms - $2, \
                 anchor_ms = anchor_ms - $2, active_until_ms = active_until_ms - $2 WHERE tenant_id = $1",
            "UPDATE subscriptions SET ends_at_ms = ends_at_ms - $2, due_at_ms = due_at_ms - $2 WHERE tenant_id = $1",
        ] {
            with_writer!(self.store.pool(), |db| {
                sqlx::query(sql).bind(self.tenant_id.0).bind(by_ms).execute(db).await.map(drop)
            })
            .unwrap();
        }
    }

    /// Waits until the subscription stands there, and checks that nothing is sent.
    async fn holds(&self, expected: State) {
        let stands = async || {
            let now = self.store.billing().subscription(self.tenant_id).await.unwrap().unwrap();
            (now.state == expected).then_some(())
        };
        until(&format!("the subscription is {}", expected.as_str()), PATIENCE, stands).await;
        self.waits().await;
        let before = self.world.provider.n_received().await;
        self.waits().await;
        assert_eq!(self.world.provider.n_received().await, before, "{}", expected.as_str());
    }

    /// Waits until the lane was held for a while longer.
    async fn waits(&self) {
        let waited = "dispatcher_dispatch_held_seconds_total{held_by=\"subscription_inactive\"}";
        let enough = self.world.metric(waited).await + HELD_SECONDS;
        let held = async || (enough <= self.world.metric(waited).await).then_some(());
        until("the lane has waited", PATIENCE, held).await;
    }

    async fn sends(&self) {
        let before = self.world.provider.n_received().await;
        let more = async || (before + 3 <= self.world.provider.n_received().await).then_some(());
        until("three more have arrived", PATIENCE, more).await;
    }

    async fn pays(&self, plan: &str) {
        let chosen = self.world.client.post("/billing/checkout", &json!({"plan": plan})).await.unwrap();
        let order = chosen["order"]["id"].as_str().unwrap();
        self.operator.operate(&format!("orders/{order}/confirm"), json!({})).await;
    }
}

#[tokio::test]
async fn lanes_follow_the_life_of_a_subscription() {
    let world = World::start(&Plan::default(), None).await;
    let store = Store::open(world.store_url(), 2).await.unwrap();
    let tenant_id: TenantId = world.client.tenant().await.parse().unwrap();
    let trial =
        NewSubscription { plan: "trial".to_owned(), state: State::Trialing, period_end_ms: None, actor: Actor::SYSTEM };
    store.plans().subscribe(tenant_id, &trial, store.now_us().await.unwrap() / 1_000).await.unwrap();
    let new = NewSession { phone_number_id: "1".to_owned(), rate_per_second: RATE_PER_SECOND, burst: 1 };
    let sessions = world.client.connect(&[new]).await;
    let campaign = world.client.draft(&sessions, 0..400).await;
    world.client.start(&campaign).await.unwrap();
    let operator = world.client.operator(world.store_url()).await;
    let life = Life { world, store, tenant_id, operator };
    life.sends().await;
    life.time_passes().await;
    life.holds(State::Expired).await;
    life.pays("growth").await;
    life.sends().await;
    for held in [State::PastDue, State::Cancelled, State::Expired] {
        life.time_passes().await;
        life.holds(held).await;
    }
    life.pays("starter").await;
    life.sends().await;
    let sums = life.world.provider.sums(RATE_PER_SECOND).await;
    assert_eq!((sums.duplicates, sums.pace_violations, sums.unrecorded), (0, 0, 0), "{sums:?}");
}
