//! Contracts of webhooks: what is queued for whom, in which order it is due, and who delivers it.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::id::{CampaignId, TenantId, WebhookDeliveryId, WebhookId};
use actiwapi_dispatcher::domain::inbound::InboundMessage;
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::domain::webhook::{DisabledReason, WebhookEvent, WebhookProblem};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::campaign_moves::Move;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::session_events::SessionMove;
use actiwapi_dispatcher::store::webhook_claims::WebhookClaim;
use actiwapi_dispatcher::store::webhook_history::{WebhookDeliveryRecord, WebhookDeliveryState, WebhookKeeping};
use actiwapi_dispatcher::store::webhook_queue::{DueWebhook, WebhookAttempt, WebhookHealth};
use actiwapi_dispatcher::store::webhooks::{NewWebhook, WebhookChange};
use futures::future::join_all;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    only_who_asked_is_told_and_only_what_they_asked_for,
    all_kinds_of_things_are_told,
    what_recipients_write_is_told_once,
    what_waits_behind_an_earlier_one_is_put_off,
    an_address_has_one_node_at_a_time,
    an_address_that_fails_for_days_is_told_nothing_more,
    too_much_waits_only_where_nothing_arrives,
    old_and_removed_things_are_forgotten_step_by_step,
    a_person_has_things_tried_again,
    both_secrets_are_handed_out_for_a_day,
    not_one_more_webhook_at_once,
);

const NODE: Uuid = Uuid::from_u128(0xaa);
const OTHER: Uuid = Uuid::from_u128(0xbb);
const LEASE_MS: i64 = 30_000;

async fn webhook(store: &Store, tenant_id: TenantId, events: &[WebhookEvent]) -> WebhookId {
    let new = NewWebhook {
        id: WebhookId::generate(),
        tenant_id,
        url: "https://hooks.example/in".to_owned(),
        events: events.to_vec(),
        secret: "the first secret".into(),
        created_at_ms: NOW_MS,
    };
    assert!(store.webhooks().insert(&new, 100).await.unwrap());
    new.id
}

async fn not_one_more_webhook_at_once(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    let new = |n| NewWebhook {
        id: WebhookId::generate(),
        tenant_id,
        url: format!("https://hooks.example/{n}"),
        events: vec![WebhookEvent::Test],
        secret: "the first secret".into(),
        created_at_ms: NOW_MS,
    };
    let webhooks: Vec<NewWebhook> = (0..16).map(new).collect();
    let added = join_all(webhooks.iter().map(async |new| store.webhooks().insert(new, 3).await)).await;
    assert_eq!(added.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 3);
    assert_eq!(store.webhooks().list(tenant_id, PageRequest::default()).await.unwrap().total, 3);
}

async fn history(store: &Store, tenant_id: TenantId, id: WebhookId) -> Vec<WebhookDeliveryRecord> {
    let page = store.webhooks().history(tenant_id, id, PageRequest::default()).await.unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items.into_iter().rev().collect()
}

fn words(history: &[WebhookDeliveryRecord]) -> Vec<&'static str> {
    history.iter().map(|told| told.event.as_str()).collect()
}

async fn due(store: &Store, id: WebhookId, now_ms: i64) -> Vec<DueWebhook> {
    store.due_webhooks(id, now_ms, 100).await.unwrap()
}

async fn claim(store: &Store, node: Uuid, now_ms: i64) -> Vec<WebhookClaim> {
    store.claim_webhooks(node, now_ms, now_ms + LEASE_MS, 10).await.unwrap()
}

fn failed(due: &DueWebhook, at_ms: i64, next_at_ms: Option<i64>) -> WebhookAttempt {
    let (seq, subject_id) = (due.seq, due.subject_id);
    WebhookAttempt { seq, subject_id, at_ms, status: Some(500), problem: Some(WebhookProblem::HttpStatus), next_at_ms }
}

fn arrived(due: &DueWebhook, at_ms: i64) -> WebhookAttempt {
    WebhookAttempt { status: Some(204), problem: None, next_at_ms: None, ..failed(due, at_ms, None) }
}

fn health(any_arrived: bool, at_ms: i64) -> WebhookHealth {
    WebhookHealth { any_arrived, at_ms, failing_before_ms: at_ms - 1_000, is_gone: false }
}

/// Sends messages, and lets the provider report of each that it was delivered, then read.
async fn messages(store: &Store, lane: Lane, n: u64) {
    let campaign_id = CampaignId::generate();
    let ids = seed::admit(store, &seed::job(lane, campaign_id, n)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
    journal::end(store, ids.iter().map(|id| entries.end(*id, 1, journal::accepted())).collect()).await;
    for kind in [ReceiptKind::Delivered, ReceiptKind::Read] {
        journal::receive(store, ids.iter().map(|id| entries.receipt(*id, kind)).collect()).await;
    }
}

async fn only_who_asked_is_told_and_only_what_they_asked_for(store: Store) {
    let (lane, stranger) = (seed::lane(&store).await, seed::lane(&store).await);
    messages(&store, lane, 2).await;
    assert_eq!(seed::count(&store, "webhook_deliveries").await, 0, "nobody asked");
    let all = webhook(&store, lane.tenant_id, WebhookEvent::ALL).await;
    let read = webhook(&store, lane.tenant_id, &[WebhookEvent::MessageRead]).await;
    let silent = webhook(&store, lane.tenant_id, WebhookEvent::ALL).await;
    let off = WebhookChange { is_active: Some(false), ..WebhookChange::default() };
    assert!(store.webhooks().update(lane.tenant_id, silent, &off).await.unwrap());
    let theirs = webhook(&store, stranger.tenant_id, WebhookEvent::ALL).await;
    messages(&store, lane, 1).await;
    let told = history(&store, lane.tenant_id, all).await;
    assert_eq!(words(&told), ["message.sent", "message.delivered", "message.read"]);
    assert_eq!(words(&history(&store, lane.tenant_id, read).await), ["message.read"]);
    assert_eq!(history(&store, lane.tenant_id, silent).await, []);
    assert_eq!(history(&store, stranger.tenant_id, theirs).await, []);
    assert_eq!(history(&store, stranger.tenant_id, all).await, [], "of another tenant");
    let data: Value = serde_json::from_str(&told[1].data).unwrap();
    assert_eq!(
        (&data["status"], &data["previousStatus"], &data["attempts"]),
        (&json!("delivered"), &json!("sent"), &json!(1))
    );
    assert_eq!(data["sessionId"], json!(lane.session_id));
    assert_eq!((told[1].at_ms, told[1].state), (NOW_MS, WebhookDeliveryState::Pending));
    let backlog = store.webhook_backlog().await.unwrap();
    assert_eq!((backlog.n_waiting, backlog.oldest_ms.is_some()), (4, true));
}

async fn all_kinds_of_things_are_told(store: Store) {
    let lane = seed::lane(&store).await;
    let id = webhook(&store, lane.tenant_id, WebhookEvent::ALL).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Draft, OnUnknown::Quarantine).await;
    let campaigns = store.campaigns();
    let step = |from, to| Move { from, to, at_ms: NOW_MS };
    use CampaignState as C;
    assert!(
        campaigns.transition_into_outbox(lane.tenant_id, campaign_id, step(C::Draft, C::Running), None).await.unwrap()
    );
    assert!(campaigns.transition(lane.tenant_id, campaign_id, step(C::Running, C::Paused)).await.unwrap());
    assert!(!campaigns.transition(lane.tenant_id, campaign_id, step(C::Running, C::Paused)).await.unwrap());
    assert!(campaigns.transition_into_running(lane.tenant_id, campaign_id, step(C::Paused, C::Running)).await.unwrap());
    store.outbox_remove(&[campaign_id.0]).await.unwrap();
    assert!(store.finish_if_settled(campaign_id, NOW_MS).await.unwrap());
    use SessionState as S;
    for (from, to) in [(S::Connected, S::Reconnecting), (S::Reconnecting, S::Connected), (S::Connected, S::Banned)] {
        let step = SessionMove { from, to, news: None, reason: Some("ACCOUNT_LOCKED"), at_ms: NOW_MS };
        assert!(store.sessions().transition(lane.tenant_id, lane.session_id, &step).await.unwrap());
    }
    let told = history(&store, lane.tenant_id, id).await;
    assert_eq!(
        words(&told),
        [
            "campaign.started",
            "campaign.paused",
            "campaign.resumed",
            "campaign.completed",
            "session.connected",
            "session.disconnected"
        ]
    );
    let data: Value = serde_json::from_str(&told[5].data).unwrap();
    assert_eq!((&data["status"], &data["reason"]), (&json!("banned"), &json!("ACCOUNT_LOCKED")));
    let subjects: Vec<Uuid> = due(&store, id, NOW_MS).await.iter().map(|due| due.subject_id).collect();
    assert_eq!(subjects[..4], [campaign_id.0; 4]);
    assert_eq!(subjects[4..], [lane.session_id.0; 2]);
}

async fn what_recipients_write_is_told_once(store: Store) {
    let lane = seed::lane(&store).await;
    let id = webhook(&store, lane.tenant_id, &[WebhookEvent::MessageReceived]).await;
    let message = |name: &str| InboundMessage {
        provider_message_id: name.to_owned(),
        // The number of every session that the seed makes.
        phone_number_id: "106540352242922".to_owned(),
        from: Recipient::from_stored("919800000001").unwrap(),
        at_ms: NOW_MS,
        kind: "text".to_owned(),
        text: Some("Hello".to_owned()),
        asks: None,
    };
    store.tell_inbound(&[message("wamid.1"), message("wamid.2")]).await.unwrap();
    store.tell_inbound(&[message("wamid.2"), message("")]).await.unwrap();
    store.tell_inbound(&[]).await.unwrap();
    let told = history(&store, lane.tenant_id, id).await;
    assert_eq!(told.len(), 2);
    let data: Value = serde_json::from_str(&told[0].data).unwrap();
    assert_eq!(
        (&data["from"], &data["text"], &data["type"]),
        (&json!("919800000001"), &json!("Hello"), &json!("text"))
    );
}

async fn what_waits_behind_an_earlier_one_is_put_off(store: Store) {
    let lane = seed::lane(&store).await;
    let id = webhook(&store, lane.tenant_id, WebhookEvent::ALL).await;
    messages(&store, lane, 2).await;
    let all = due(&store, id, NOW_MS).await;
    assert_eq!(all.len(), 6);
    let first = &all[0];
    let next_ms = NOW_MS + 30_000;
    store.record_webhooks(id, &[failed(first, NOW_MS, Some(next_ms))], health(false, NOW_MS)).await.unwrap();
    let others = due(&store, id, NOW_MS).await;
    assert_eq!(others.len(), 3, "those of the other message");
    assert!(others.iter().all(|due| due.subject_id != first.subject_id));
    assert_eq!(due(&store, id, next_ms - 1).await.len(), 3);
    let again: Vec<i64> = due(&store, id, next_ms)
        .await
        .iter()
        .filter(|due| due.subject_id == first.subject_id)
        .map(|due| due.seq)
        .collect();
    let in_order: Vec<i64> = all.iter().filter(|due| due.subject_id == first.subject_id).map(|due| due.seq).collect();
    assert_eq!(again, in_order);
    // Given up at last: the next one of the subject has its turn.
    store.record_webhooks(id, &[failed(first, next_ms, None)], health(false, next_ms)).await.unwrap();
    assert_eq!(due(&store, id, next_ms).await.iter().filter(|due| due.subject_id == first.subject_id).count(), 2);
    let told = history(&store, lane.tenant_id, id).await;
    let first = told.iter().find(|told| told.id == first.id).unwrap();
    assert_eq!((first.state, first.n_attempts, first.last_status), (WebhookDeliveryState::Failed, 2, Some(500)));
    assert_eq!((first.last_problem, first.settled_at_ms), (Some(WebhookProblem::HttpStatus), Some(next_ms)));
}

async fn an_address_has_one_node_at_a_time(store: Store) {
    let lane = seed::lane(&store).await;
    let id = webhook(&store, lane.tenant_id, WebhookEvent::ALL).await;
    assert!(claim(&store, NODE, NOW_MS).await.is_empty(), "nothing to do");
    messages(&store, lane, 1).await;
    let claims = futures::future::join_all((0..8).map(|n| claim(&store, Uuid::from_u128(n), NOW_MS))).await;
    let mut claims: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(claims.len(), 1, "whoever asks at the same time");
    let first = claims.remove(0);
    assert_eq!((first.id, first.tenant_id, first.is_failing), (id, lane.tenant_id, false));
    assert_eq!(first.secrets.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>(), ["the first secret"]);
    assert!(claim(&store, OTHER, NOW_MS + LEASE_MS - 1).await.is_empty());
    let second = claim(&store, OTHER, NOW_MS + LEASE_MS).await.remove(0);
    store.release_webhook(&first, NOW_MS + LEASE_MS).await.unwrap();
    assert!(claim(&store, NODE, NOW_MS + LEASE_MS).await.is_empty(), "a lease that was lost is not given back");
    store.release_webhook(&second, NOW_MS + LEASE_MS).await.unwrap();
    assert_eq!(claim(&store, NODE, NOW_MS + LEASE_MS).await.len(), 1);
    assert!(claim(&store, NODE, NOW_MS + LEASE_MS).await.is_empty());
    assert!(store.webhooks().delete(lane.tenant_id, id, NOW_MS).await.unwrap());
    assert!(claim(&store, NODE, NOW_MS + 9 * LEASE_MS).await.is_empty(), "removed");
}

async fn an_address_that_fails_for_days_is_told_nothing_more(store: Store) {
    let lane = seed::lane(&store).await;
    let id = webhook(&store, lane.tenant_id, WebhookEvent::ALL).await;
    messages(&store, lane, 1).await;
    let due = due(&store, id, NOW_MS).await;
    let shown = async || store.webhooks().find(lane.tenant_id, id).await.unwrap().unwrap();
    let fail = async |at_ms| {
        store.record_webhooks(id, &[failed(&due[0], at_ms, Some(at_ms))], health(false, at_ms)).await.unwrap()
    };
    assert_eq!(fail(NOW_MS).await, None);
    assert_eq!(shown().await.failing_since_ms, Some(NOW_MS));
    assert_eq!(fail(NOW_MS + 1_000).await, None);
    store.record_webhooks(id, &[arrived(&due[0], NOW_MS)], health(true, NOW_MS)).await.unwrap();
    assert_eq!(shown().await.failing_since_ms, None, "something arrived");
    assert_eq!(fail(NOW_MS + 2_000).await, None);
    assert_eq!(fail(NOW_MS + 3_001).await, Some(DisabledReason::Failing));
    let record = shown().await;
    assert_eq!((record.is_active, record.disabled_reason), (false, Some(DisabledReason::Failing)));
    assert!(claim(&store, NODE, NOW_MS + 9_000).await.is_empty());
    messages(&store, lane, 1).await;
    assert_eq!(history(&store, lane.tenant_id, id).await.len(), 3, "nothing is queued any more");
    assert!(!store.queue_webhook_test(lane.tenant_id, id, WebhookDeliveryId::generate(), NOW_MS).await.unwrap());
    let on = WebhookChange { is_active: Some(true), ..WebhookChange::default() };
    assert!(store.webhooks().update(lane.tenant_id, id, &on).await.unwrap());
    let record = shown().await;
    assert_eq!((record.is_active, record.disabled_reason, record.failing_since_ms), (true, None, None));
    assert_eq!(claim(&store, NODE, NOW_MS + 9_000).await.len(), 1, "what waited goes on");
    let gone = WebhookHealth { is_gone: true, ..health(false, NOW_MS) };
    assert_eq!(store.record_webhooks(id, &[], gone).await.unwrap(), Some(DisabledReason::Gone));
    let off = WebhookChange { is_active: Some(false), ..WebhookChange::default() };
    store.webhooks().update(lane.tenant_id, id, &off).await.unwrap();
    store.record_webhooks(id, &[], gone).await.unwrap();
    assert_eq!(shown().await.disabled_reason, None, "a person has switched it off");
}

async fn too_much_waits_only_where_nothing_arrives(store: Store) {
    let lane = seed::lane(&store).await;
    let id = webhook(&store, lane.tenant_id, WebhookEvent::ALL).await;
    messages(&store, lane, 1).await;
    let due = due(&store, id, NOW_MS).await;
    let n_waiting = i64::try_from(due.len()).unwrap();
    assert_eq!(store.disable_overfull_webhooks(n_waiting - 1).await.unwrap(), [], "nothing has failed");
    store.record_webhooks(id, &[failed(&due[0], NOW_MS, Some(NOW_MS))], health(false, NOW_MS)).await.unwrap();
    assert_eq!(store.disable_overfull_webhooks(n_waiting).await.unwrap(), [], "not too much");
    assert_eq!(store.disable_overfull_webhooks(n_waiting - 1).await.unwrap(), [id]);
    let record = store.webhooks().find(lane.tenant_id, id).await.unwrap().unwrap();
    assert_eq!((record.is_active, record.disabled_reason), (false, Some(DisabledReason::Backlog)));
    assert_eq!(store.disable_overfull_webhooks(0).await.unwrap(), [], "it is off");
}

async fn old_and_removed_things_are_forgotten_step_by_step(store: Store) {
    let lane = seed::lane(&store).await;
    let id = webhook(&store, lane.tenant_id, WebhookEvent::ALL).await;
    messages(&store, lane, 4).await;
    let all = due(&store, id, NOW_MS).await;
    let ended: Vec<_> = all.iter().take(9).map(|due| arrived(due, NOW_MS)).collect();
    store.record_webhooks(id, &ended, health(true, NOW_MS)).await.unwrap();
    let keeping = WebhookKeeping { before_ms: 0, n_per_webhook: 5, n_rows: 2 };
    assert_eq!(store.forget_webhooks(keeping).await.unwrap(), 7);
    assert_eq!(history(&store, lane.tenant_id, id).await.len(), 5);
    assert_eq!(due(&store, id, NOW_MS).await.len(), 3, "what waits stays");
    let none = WebhookKeeping { n_per_webhook: 0, ..keeping };
    store.forget_webhooks(none).await.unwrap();
    assert_eq!(due(&store, id, NOW_MS).await.len(), 3);
    let old = WebhookKeeping { before_ms: NOW_MS, ..keeping };
    assert_eq!(store.forget_webhooks(old).await.unwrap(), 3, "unless it is too old");
    messages(&store, lane, 1).await;
    assert!(store.webhooks().delete(lane.tenant_id, id, NOW_MS).await.unwrap());
    assert!(!store.webhooks().delete(lane.tenant_id, id, NOW_MS).await.unwrap());
    assert_eq!(store.webhooks().find(lane.tenant_id, id).await.unwrap(), None);
    assert_eq!(store.forget_webhooks(keeping).await.unwrap(), 3);
    assert_eq!(seed::count(&store, "webhook_deliveries").await, 0);
    assert_eq!(seed::count(&store, "webhooks").await, 0);
}

async fn a_person_has_things_tried_again(store: Store) {
    let lane = seed::lane(&store).await;
    let id = webhook(&store, lane.tenant_id, WebhookEvent::ALL).await;
    let test = WebhookDeliveryId::generate();
    assert!(!store.queue_webhook_test(TenantId::generate(), id, test, NOW_MS).await.unwrap());
    assert!(store.queue_webhook_test(lane.tenant_id, id, test, NOW_MS).await.unwrap());
    let queued = due(&store, id, NOW_MS).await.remove(0);
    assert_eq!((queued.id, queued.event), (test, WebhookEvent::Test));
    store.record_webhooks(id, &[failed(&queued, NOW_MS, None)], health(false, NOW_MS)).await.unwrap();
    assert!(due(&store, id, NOW_MS).await.is_empty());
    let retry =
        async |tenant_id, delivery_id| store.webhooks().retry(tenant_id, id, delivery_id, NOW_MS + 5).await.unwrap();
    assert_eq!(retry(TenantId::generate(), test).await, None);
    assert_eq!(retry(lane.tenant_id, WebhookDeliveryId::generate()).await, None);
    let again = retry(lane.tenant_id, test).await.unwrap();
    assert_eq!((again.state, again.n_attempts, again.due_at_ms), (WebhookDeliveryState::Pending, 0, Some(NOW_MS + 5)));
    assert_eq!(due(&store, id, NOW_MS + 5).await, [DueWebhook { n_attempts: 0, ..queued }]);
}

async fn both_secrets_are_handed_out_for_a_day(store: Store) {
    let lane = seed::lane(&store).await;
    let id = webhook(&store, lane.tenant_id, WebhookEvent::ALL).await;
    messages(&store, lane, 1).await;
    let until_ms = NOW_MS + 86_400_000;
    assert!(!store.webhooks().rotate(TenantId::generate(), id, &"stolen".into(), until_ms).await.unwrap());
    for secret in ["the second secret", "the third secret"] {
        assert!(store.webhooks().rotate(lane.tenant_id, id, &secret.into(), until_ms).await.unwrap());
    }
    let secrets = async |now_ms| {
        let claim = claim(&store, NODE, now_ms).await.remove(0);
        store.release_webhook(&claim, now_ms).await.unwrap();
        assert!(!format!("{claim:?}").contains("second"), "secrets print as nothing");
        claim.secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(secrets(until_ms - 1).await, ["the third secret", "the second secret"]);
    assert_eq!(secrets(until_ms).await, ["the third secret"]);
}
