//! Receivers that are away, slow or gone, couriers that die, and that nothing is lost with any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use actiwapi_dispatcher::domain::webhook::{DisabledReason, WebhookProblem};
use actiwapi_dispatcher::service::webhooks::WebhookPatch;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::webhook_history::WebhookDeliveryState;
use actiwapi_dispatcher::webhooks::{CourierSettings, TIMEOUT};

use super::receiver::{Came, Mood, Receiver};
use super::world::World;
use crate::support::db::store_contract;
use crate::support::seed::{self, NOW_MS};
use crate::support::wait::until_so;

store_contract!(
    a_receiver_away_for_an_hour_gets_everything_once_and_in_order,
    receivers_that_hang_delay_nobody_else,
    what_was_not_recorded_is_sent_again_under_its_name,
    several_nodes_send_nothing_twice,
    six_attempts_then_a_person_decides,
    a_receiver_away_for_days_is_told_nothing_more_until_somebody_says_so,
    a_receiver_that_is_gone_is_told_nothing_more,
);

/// Which events came, in order, by message.
fn by_message(came: &[Came]) -> BTreeMap<String, Vec<String>> {
    let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for came in came {
        let body = came.json();
        events.entry(body["data"]["messageId"].as_str().unwrap().to_owned()).or_default().push(came.event());
    }
    events
}

fn in_order(came: &[Came]) -> bool {
    let order = ["message.sent", "message.delivered", "message.read"];
    by_message(came).values().all(|events| events == &order)
}

fn n_names(came: &[Came]) -> usize {
    came.iter().map(|came| came.id().to_owned()).collect::<BTreeSet<_>>().len()
}

async fn a_receiver_away_for_an_hour_gets_everything_once_and_in_order(store: Store) {
    let (world, receiver) = (World::new(store), Receiver::start(Mood::Answers(401)).await);
    let lane = seed::lane(&world.store).await;
    world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier();
    let first = world.messages(lane, 1).await[0].to_string();
    world.settle().await;
    let mut n_messages = 1;
    for minute in 0..60 {
        if minute % 12 == 0 {
            world.messages(lane, 3).await;
            n_messages += 3;
        }
        world.advance(Duration::from_secs(30)).await;
        world.advance(Duration::from_secs(30)).await;
    }
    assert_eq!(receiver.taken().len(), 0);
    let attempts = |came: &[Came]| -> Vec<i64> {
        let of_first = came.iter().filter(|came| came.json()["data"]["messageId"] == first.as_str());
        of_first.map(|came| came.timestamp_seconds() - NOW_MS / 1_000).collect()
    };
    assert_eq!(attempts(&receiver.came()), [0, 30, 120, 600, 3_600], "only the first of it, at its times");
    receiver.set(Mood::Answers(200));
    for _ in 0..12 {
        world.advance(Duration::from_secs(1_800)).await;
    }
    let taken = receiver.taken();
    assert_eq!((taken.len(), n_names(&taken)), (3 * n_messages, 3 * n_messages), "everything, each name once");
    assert!(in_order(&taken), "{:?}", by_message(&taken));
    let came = receiver.came();
    assert_eq!(attempts(&came)[..6], [0, 30, 120, 600, 3_600, 21_600]);
    let of_first = came.iter().filter(|came| came.json()["data"]["messageId"] == first.as_str());
    assert_eq!(n_names(&of_first.cloned().collect::<Vec<_>>()), 3, "attempts at one thing have one name");
    courier.stop().await;
}

async fn receivers_that_hang_delay_nobody_else(store: Store) {
    let (world, dead) = (World::new(store), Receiver::start(Mood::Hangs).await);
    let well = Receiver::start(Mood::Answers(204)).await;
    let (lane, other) = (seed::lane(&world.store).await, seed::lane(&world.store).await);
    for _ in 0..20 {
        world.webhook(lane.tenant_id, &dead).await;
    }
    world.webhook(lane.tenant_id, &well).await;
    world.webhook(other.tenant_id, &well).await;
    let courier = world.courier();
    world.messages(lane, 10).await;
    world.messages(other, 10).await;
    // Far sooner than the first of the others is given up.
    until_so("everything is at the one that is well", async || well.taken().len() == 60).await;
    assert!(in_order(&well.taken()));
    until_so("one attempt is under way at each of which nothing is known", async || 20 <= dead.came().len()).await;
    assert_eq!(dead.came().len(), 20, "and no more than one");
    courier.crash().await;
}

async fn what_was_not_recorded_is_sent_again_under_its_name(store: Store) {
    let (world, receiver) = (World::new(store), Receiver::start(Mood::Hangs).await);
    let lane = seed::lane(&world.store).await;
    let id = world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier();
    world.messages(lane, 1).await;
    until_so("the first attempt is there", async || receiver.came().len() == 1).await;
    courier.crash().await;
    receiver.set(Mood::Answers(200));
    let courier = world.courier();
    // Another node's look does not find it: the dead one may still be sending.
    let test = world.service.test(lane.tenant_id, world.webhook(lane.tenant_id, &receiver).await).await.unwrap();
    until_so("the other webhook's test is there", async || receiver.taken().len() == 1).await;
    assert_eq!(receiver.taken()[0].id(), test.to_string());
    world.clock.advance(Duration::from_secs(30));
    until_so("everything is there", async || receiver.taken().len() == 4).await;
    let came = receiver.came();
    assert_eq!(came[0].id(), came[2].id(), "the same thing has the same name");
    assert_eq!(came[0].body, came[2].body);
    assert!(in_order(&receiver.taken()[1..]));
    world.settle().await;
    let history = world.history(lane.tenant_id, id).await;
    assert!(history.iter().all(|told| told.state == WebhookDeliveryState::Delivered && told.n_attempts == 1));
    courier.stop().await;
}

async fn several_nodes_send_nothing_twice(store: Store) {
    let (world, receiver) = (World::new(store), Receiver::start(Mood::Answers(200)).await);
    let lane = seed::lane(&world.store).await;
    for _ in 0..3 {
        world.webhook(lane.tenant_id, &receiver).await;
    }
    let couriers: Vec<_> = (0..3).map(|_| world.courier()).collect();
    for _ in 0..5 {
        world.messages(lane, 20).await;
    }
    until_so("everything is there", async || 900 <= n_names(&receiver.taken())).await;
    world.settle().await;
    assert_eq!(receiver.came().len(), 900);
    for courier in couriers {
        courier.stop().await;
    }
}

async fn six_attempts_then_a_person_decides(store: Store) {
    let (world, receiver) = (World::new(store), Receiver::start(Mood::Hangs).await);
    let lane = seed::lane(&world.store).await;
    let id = world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier_with(CourierSettings { timeout: Duration::from_millis(50), allows_loopback: true });
    let test = world.service.test(lane.tenant_id, id).await.unwrap();
    world.settle().await;
    for seconds in [30, 90, 480, 3_000, 18_000, 40_000] {
        world.advance(Duration::from_secs(seconds)).await;
    }
    assert_eq!((receiver.came().len(), n_names(&receiver.came())), (6, 1));
    let told = world.history(lane.tenant_id, id).await.remove(0);
    assert_eq!((told.id, told.state, told.n_attempts), (test, WebhookDeliveryState::Failed, 6));
    assert_eq!((told.last_status, told.last_problem), (None, Some(WebhookProblem::Timeout)));
    receiver.set(Mood::Answers(200));
    world.service.retry(lane.tenant_id, id, test).await.unwrap();
    world.settle().await;
    assert_eq!(receiver.taken()[0].id(), test.to_string());
    let told = world.history(lane.tenant_id, id).await.remove(0);
    assert_eq!((told.state, told.last_status, told.last_problem), (WebhookDeliveryState::Delivered, Some(200), None));
    courier.stop().await;
}

async fn a_receiver_away_for_days_is_told_nothing_more_until_somebody_says_so(store: Store) {
    let (world, receiver) = (World::new(store), Receiver::start(Mood::Answers(500)).await);
    let lane = seed::lane(&world.store).await;
    let id = world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier();
    for _ in 0..12 {
        world.messages(lane, 1).await;
        world.settle().await;
        world.advance(Duration::from_secs(6 * 3_600)).await;
    }
    assert!(world.shown(lane.tenant_id, id).await.is_active, "three days are not over");
    world.messages(lane, 1).await;
    world.settle().await;
    world.advance(Duration::from_secs(60)).await;
    let shown = world.shown(lane.tenant_id, id).await;
    assert_eq!((shown.is_active, shown.disabled_reason), (false, Some(DisabledReason::Failing)));
    assert_eq!(shown.failing_since_ms, Some(NOW_MS));
    let n_came = receiver.came().len();
    receiver.set(Mood::Answers(200));
    world.messages(lane, 1).await;
    world.advance(Duration::from_secs(36_000)).await;
    assert_eq!(receiver.came().len(), n_came, "it is left alone");
    let on = WebhookPatch { is_active: Some(true), ..WebhookPatch::default() };
    let shown = world.service.update(lane.tenant_id, id, on).await.unwrap();
    assert_eq!((shown.is_active, shown.disabled_reason, shown.failing_since_ms), (true, None, None));
    world.settle().await;
    assert!(!receiver.taken().is_empty(), "what waited goes on");
    courier.stop().await;
}

async fn a_receiver_that_is_gone_is_told_nothing_more(store: Store) {
    let (world, receiver) = (World::new(store), Receiver::start(Mood::Answers(410)).await);
    let lane = seed::lane(&world.store).await;
    let id = world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier_with(CourierSettings { timeout: TIMEOUT, allows_loopback: true });
    world.messages(lane, 4).await;
    world.settle().await;
    assert_eq!(receiver.came().len(), 1);
    assert_eq!(world.shown(lane.tenant_id, id).await.disabled_reason, Some(DisabledReason::Gone));
    courier.stop().await;
}
