//! Contracts of what is removed because it is old: it is over, and what was counted stays exact.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::service::ledger;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::retention::deliveries::OldDeliveries;
use uuid::Uuid;

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    only_what_is_over_and_old_goes,
    what_is_removed_is_still_counted,
    a_removal_goes_on_where_it_stopped,
    recipients_of_old_campaigns_go,
    conversations_go_one_stretch_after_the_other,
);

async fn left(store: &Store, ids: &[DeliveryId]) -> Vec<bool> {
    let mut left = Vec::new();
    for id in ids {
        let id = seed::hex(store, id.0);
        left.push(seed::count(store, &format!("deliveries WHERE delivery_id = {id}")).await == 1);
    }
    left
}

/// Six deliveries: accepted, delivered, failed, unknown, being sent and pending.
async fn of_all_kinds(store: &Store, lane: Lane, campaign_id: CampaignId) -> Vec<DeliveryId> {
    let ids = seed::admit(store, &seed::job(lane, campaign_id, 6)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(store, ids[..5].iter().map(|id| entries.begin(*id, 1)).collect()).await;
    let ends = [journal::accepted(), journal::accepted(), journal::rejected(), journal::unknown()];
    journal::end(store, ids.iter().zip(ends).map(|(id, ended)| entries.end(*id, 1, ended)).collect()).await;
    journal::receive(store, vec![entries.receipt(ids[1], ReceiptKind::Delivered)]).await;
    ids
}

async fn remove(store: &Store, lane: Lane, before_ms: i64) -> u64 {
    let old = OldDeliveries { tenant_id: lane.tenant_id, from_ms: i64::MIN, before_ms };
    store.remove_deliveries(old).await.unwrap().n
}

async fn only_what_is_over_and_old_goes(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let ids = of_all_kinds(&store, lane, campaign_id).await;
    assert_eq!(remove(&store, lane, NOW_MS + 1).await, 0, "its campaign runs");
    seed::set_campaign_state(&store, campaign_id, CampaignState::Completed).await;
    assert_eq!(remove(&store, lane, NOW_MS).await, 0, "not old enough");
    assert_eq!(remove(&store, seed::lane(&store).await, NOW_MS + 1).await, 0, "of another tenant");
    let id = seed::hex(&store, campaign_id.0);
    let asked = format!(
        "INSERT INTO recalls (campaign_id, recall_id, kind, actor_id, asked_at_ms) VALUES ({id}, {id}, 'retry_failed', {id}, 1)"
    );
    seed::execute(&store, &asked).await;
    assert_eq!(remove(&store, lane, NOW_MS + 1).await, 0, "somebody has failed ones tried again");
    seed::execute(&store, "DELETE FROM recalls").await;
    seed::execute(
        &store,
        &format!("UPDATE deliveries SET quota_period_ms = 5 WHERE delivery_id = {}", seed::hex(&store, ids[0].0)),
    )
    .await;
    assert_eq!(remove(&store, lane, NOW_MS + 1).await, 2, "one of a period that nobody knows is over stays");
    seed::execute(&store, "UPDATE deliveries SET quota_period_ms = NULL").await;
    assert_eq!(remove(&store, lane, NOW_MS + 1).await, 1);
    assert_eq!(left(&store, &ids).await, [false, false, false, true, true, true]);
    for table in ["attempts", "attempt_outcomes"] {
        let orphans =
            format!("{table} a WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.delivery_id = a.delivery_id)");
        assert_eq!(seed::count(&store, &orphans).await, 0, "{table}");
    }
    assert_eq!(seed::count(&store, "jobs").await, 1, "some of its deliveries are left");
    // What comes late for what is gone changes nothing.
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    assert_eq!(journal::receive(&store, vec![entries.receipt(ids[0], ReceiptKind::Read)]).await.n_receipts_applied, 0);
}

async fn what_is_removed_is_still_counted(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let direct = CampaignId::DIRECT;
    let ids = of_all_kinds(&store, lane, campaign_id).await;
    let single = seed::admit(&store, &seed::job(lane, direct, 1)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id: direct, at_ms: NOW_MS };
    journal::begin(&store, vec![entries.begin(single[0], 1)]).await;
    journal::end(&store, vec![entries.end(single[0], 1, journal::accepted())]).await;
    seed::set_campaign_state(&store, campaign_id, CampaignState::Completed).await;
    seed::days(&store).await;
    let days = seed::count(&store, "message_days WHERE sent = 1 OR delivered = 1").await;
    let before = ledger::count(&store).await.unwrap();
    assert_eq!(remove(&store, lane, NOW_MS + 1).await, 4);
    assert_eq!(ledger::count(&store).await.unwrap(), before);
    assert_eq!((before.drift, before.accepted), (0, 7));
    assert_eq!(seed::count(&store, "jobs").await, 1, "the job of the single message goes with it");
    assert_eq!(seed::count(&store, "message_days WHERE sent = 1 OR delivered = 1").await, days);
    // The rest of the job comes to an end and goes, and then the job.
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::receive(&store, vec![entries.receipt(ids[3], ReceiptKind::Delivered)]).await;
    journal::end(&store, vec![entries.end(ids[4], 1, journal::rejected())]).await;
    assert_eq!(remove(&store, lane, NOW_MS + 1).await, 2);
    assert_eq!(seed::count(&store, "jobs").await, 1, "one still waits");
    let outcome = ledger::count(&store).await.unwrap();
    assert_eq!((outcome.drift, outcome.accepted, outcome.sum), (0, 7, 7));
}

async fn a_removal_goes_on_where_it_stopped(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Cancelled, OnUnknown::Quarantine).await;
    for _ in 0..3 {
        // They are admitted as cancelled.
        seed::admit(&store, &seed::job(lane, campaign_id, 400)).await;
    }
    let mut from_ms = Some(i64::MIN);
    let mut n_removed = Vec::new();
    while let Some(at_ms) = from_ms {
        let old = OldDeliveries { tenant_id: lane.tenant_id, from_ms: at_ms, before_ms: NOW_MS + 1 };
        let removed = store.remove_deliveries(old).await.unwrap();
        from_ms = removed.next_ms;
        n_removed.push(removed.n);
    }
    assert_eq!(n_removed, [500, 500, 200]);
    assert_eq!((seed::count(&store, "deliveries").await, seed::count(&store, "jobs").await), (0, 0));
    assert_eq!(ledger::count(&store).await.unwrap().drift, 0);
}

async fn recipients_of_old_campaigns_go(store: Store) {
    let lane = seed::lane(&store).await;
    let old = seed::campaign(&store, lane.tenant_id, CampaignState::Completed, OnUnknown::Quarantine).await;
    let open = seed::campaign(&store, lane.tenant_id, CampaignState::Draft, OnUnknown::Quarantine).await;
    seed::recipients(&store, old, &[lane], 1_500).await;
    seed::recipients(&store, open, &[lane], 3).await;
    seed::execute(&store, "UPDATE campaigns SET n_recipients = 1500 WHERE state = 'completed'").await;
    seed::execute(&store, &format!("UPDATE campaigns SET finished_at_ms = {NOW_MS} WHERE state = 'completed'")).await;
    assert!(!store.forget_old_recipients(NOW_MS).await.unwrap(), "not old enough");
    let mut n_steps = 0;
    while store.forget_old_recipients(NOW_MS + 1).await.unwrap() {
        n_steps += 1;
    }
    assert_eq!((n_steps, seed::count(&store, "campaign_recipients").await), (2, 3));
    assert_eq!(seed::count(&store, "campaigns WHERE n_recipients = 1500").await, 1, "how many there were is kept");
}

async fn conversations_go_one_stretch_after_the_other(store: Store) {
    let lane = seed::lane(&store).await;
    let id = seed::hex(&store, lane.session_id.0);
    for n in 0..2_500 {
        let (last, capped) =
            (NOW_MS - i64::from(n % 2 == 0) * 100, if n % 4 == 0 { NOW_MS.to_string() } else { "NULL".to_owned() });
        let row = format!("({id}, '9198{n:08}', {last}, {capped})");
        let sql = format!(
            "INSERT INTO conversations (session_id, recipient, last_inbound_at_ms, marketing_capped_until_ms) VALUES {row}"
        );
        seed::execute(&store, &sql).await;
    }
    let mut place = Some((Uuid::nil(), String::new()));
    let mut n_steps = 0;
    while let Some(after) = place {
        place = store.forget_conversations(&after, NOW_MS).await.unwrap();
        n_steps += 1;
    }
    // Half of them are recent, and of the others half are kept by what the provider said.
    assert_eq!((n_steps, seed::count(&store, "conversations").await), (4, 1_875));
}
