//! What a receiver gets, that it can be believed, and where we do not go.

use std::time::Duration;

use actiwapi_dispatcher::clock::Clock;
use actiwapi_dispatcher::domain::webhook::WebhookProblem;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::webhook_history::WebhookDeliveryState;
use actiwapi_dispatcher::webhooks::{CourierSettings, TIMEOUT};
use secrecy::ExposeSecret;
use serde_json::json;

use super::receiver::{Mood, Receiver};
use super::world::{SECRET, World};
use crate::support::db::store_contract;
use crate::support::seed::{self, NOW_MS};

store_contract!(
    a_receiver_believes_what_comes_now,
    a_public_library_verifies_what_comes,
    both_secrets_sign_for_a_day,
    redirects_are_not_followed,
    the_status_is_the_answer,
    this_machine_is_told_nothing_unless_it_is_opened,
);

async fn a_public_library_verifies_what_comes(store: Store) {
    let (world, receiver) = (World::new(store), Receiver::start(Mood::Answers(200)).await);
    let lane = seed::lane(&world.store).await;
    world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier();
    let message_id = world.messages(lane, 1).await[0];
    world.settle().await;
    let came = receiver.came();
    assert_eq!(came.len(), 3);
    for came in &came {
        assert!(came.is_signed_with(SECRET));
        assert!(!came.is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSX"));
        assert_eq!(came.timestamp_seconds(), NOW_MS / 1_000);
        assert_eq!(came.headers["content-type"], "application/json");
        assert_eq!(came.json()["id"], came.id());
    }
    let body = came[0].json();
    assert_eq!(body.as_object().unwrap().len(), 5);
    assert_eq!((&body["event"], &body["tenantId"]), (&json!("message.sent"), &json!(lane.tenant_id)));
    assert_eq!(body["timestamp"], "2027-01-15T08:00:00.000Z");
    assert_eq!(body["data"]["messageId"], json!(message_id));
    assert_eq!(body["data"]["sessionId"], json!(lane.session_id));
    assert_eq!(body["data"]["status"], "sent");
    courier.stop().await;
}

async fn a_receiver_believes_what_comes_now(store: Store) {
    // A moment after what the database queues now.
    let world = World::at(store, Clock::system().now() + Duration::from_secs(60));
    let receiver = Receiver::start(Mood::Answers(200)).await;
    let lane = seed::lane(&world.store).await;
    let id = world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier();
    world.service.test(lane.tenant_id, id).await.unwrap();
    world.settle().await;
    assert!(receiver.came()[0].is_believed(SECRET));
    let another = world.service.rotate_secret(lane.tenant_id, id, None).await.unwrap();
    world.service.test(lane.tenant_id, id).await.unwrap();
    world.settle().await;
    let came = receiver.came().pop().unwrap();
    assert!(came.is_believed(SECRET) && came.is_believed(another.secret.expose_secret()));
    courier.stop().await;
}

async fn both_secrets_sign_for_a_day(store: Store) {
    let (world, receiver) = (World::new(store), Receiver::start(Mood::Answers(200)).await);
    let lane = seed::lane(&world.store).await;
    let id = world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier();
    let rotated = world.service.rotate_secret(lane.tenant_id, id, None).await.unwrap();
    let new = rotated.secret.expose_secret();
    for (wait, old_signs) in [(0, true), (86_399, true), (1, false)] {
        world.clock.advance(Duration::from_secs(wait));
        world.service.test(lane.tenant_id, id).await.unwrap();
        world.settle().await;
        let came = receiver.came().pop().unwrap();
        assert_eq!((came.is_signed_with(new), came.is_signed_with(SECRET)), (true, old_signs), "{wait}");
    }
    courier.stop().await;
}

async fn redirects_are_not_followed(store: Store) {
    let (world, elsewhere) = (World::new(store), Receiver::start(Mood::Answers(200)).await);
    let receiver = Receiver::start(Mood::SendsTo(elsewhere.address)).await;
    let lane = seed::lane(&world.store).await;
    let id = world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier();
    world.service.test(lane.tenant_id, id).await.unwrap();
    world.settle().await;
    assert_eq!((receiver.came().len(), elsewhere.came().len()), (1, 0));
    let told = world.history(lane.tenant_id, id).await.remove(0);
    assert_eq!((told.last_status, told.last_problem), (Some(307), Some(WebhookProblem::HttpStatus)));
    courier.stop().await;
}

async fn the_status_is_the_answer(store: Store) {
    let (world, receiver) = (World::new(store), Receiver::start(Mood::NeverEnds).await);
    let lane = seed::lane(&world.store).await;
    let id = world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier();
    world.service.test(lane.tenant_id, id).await.unwrap();
    world.settle().await;
    let told = world.history(lane.tenant_id, id).await.remove(0);
    assert_eq!((told.state, told.last_status), (WebhookDeliveryState::Delivered, Some(200)));
    courier.stop().await;
}

async fn this_machine_is_told_nothing_unless_it_is_opened(store: Store) {
    let (world, receiver) = (World::new(store), Receiver::start(Mood::Answers(200)).await);
    let lane = seed::lane(&world.store).await;
    let id = world.webhook(lane.tenant_id, &receiver).await;
    let courier = world.courier_with(CourierSettings { timeout: TIMEOUT, allows_loopback: false });
    world.service.test(lane.tenant_id, id).await.unwrap();
    world.settle().await;
    assert_eq!(receiver.came().len(), 0);
    let told = world.history(lane.tenant_id, id).await.remove(0);
    assert_eq!((told.last_status, told.last_problem), (None, Some(WebhookProblem::AddressNotAllowed)));
    courier.stop().await;
}
