//! An account writes to no more different recipients in 24 hours than its tier allows, whichever node begins.

use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId};
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::{BeginRefusal, JournalBatch};
use actiwapi_dispatcher::with_writer;

use crate::support::db::{on_postgres, store_contract};
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    each_recipient_takes_one_place_a_day,
    sessions_of_an_account_share_its_tier,
    places_come_free_after_a_day_and_nothing_heaps_up,
    what_the_plan_refuses_takes_no_place,
);

const HOUR_MS: i64 = 60 * 60 * 1_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const SLOT_MS: i64 = HOUR_MS / 4;

/// When a place taken at this time comes free.
const fn free_at(at_ms: i64) -> i64 {
    (at_ms / SLOT_MS + 1) * SLOT_MS + DAY_MS
}

async fn set_tier(store: &Store, lane: Lane, account_id: Option<&str>, tier: i64) {
    with_writer!(store.pool(), |db| {
        sqlx::query("UPDATE sessions SET account_id = $2, tier = $3 WHERE session_id = $1")
            .bind(lane.session_id.0)
            .bind(account_id)
            .bind(tier)
            .execute(db)
            .await
            .map(drop)
    })
    .unwrap();
}

fn entries(lane: Lane, at_ms: i64) -> Entries {
    Entries { session_id: lane.session_id, campaign_id: CampaignId::DIRECT, at_ms }
}

/// Admits one message to each of these recipients.
async fn admit(store: &Store, lane: Lane, recipients: &[u64]) -> Vec<DeliveryId> {
    let mut job = seed::job(lane, CampaignId::DIRECT, recipients.len() as u64);
    for (delivery, n) in job.deliveries.iter_mut().zip(recipients) {
        delivery.to = Recipient::from_stored(&(918_800_000_000 + n).to_string()).unwrap();
    }
    seed::admit(store, &job).await
}

/// Begins the first attempt at each, one after the other; returns until when the refused ones have to wait.
async fn begin(store: &Store, lane: Lane, ids: &[DeliveryId], at_ms: i64) -> Vec<Option<i64>> {
    let mut all = Vec::new();
    for id in ids {
        let begins = vec![entries(lane, at_ms).begin(*id, 1)];
        let written = journal::write(store, JournalBatch { begins, ..JournalBatch::default() }).await;
        all.push(match written.refused.as_slice() {
            [] => None,
            [(_, BeginRefusal::Tier { until_ms })] => Some(*until_ms),
            other => panic!("{other:?}"),
        });
    }
    all
}

async fn each_recipient_takes_one_place_a_day(store: Store) {
    let lane = seed::lane(&store).await;
    set_tier(&store, lane, None, 2).await;
    let ids = admit(&store, lane, &[1, 1, 2, 3, 2]).await;
    let until = Some(free_at(NOW_MS));
    assert_eq!(begin(&store, lane, &ids, NOW_MS).await, [None, None, None, until, None]);
    // All at once is the same.
    let ids = admit(&store, lane, &[1, 4, 5]).await;
    let begins = ids.iter().map(|id| entries(lane, NOW_MS).begin(*id, 1)).collect();
    let written = journal::write(&store, JournalBatch { begins, ..JournalBatch::default() }).await;
    assert_eq!((written.begun, written.refused.len()), (vec![ids[0]], 2));
}

async fn sessions_of_an_account_share_its_tier(store: Store) {
    let first = seed::lane(&store).await;
    let (second, alone) =
        (seed::another_lane(&store, first.tenant_id).await, seed::another_lane(&store, first.tenant_id).await);
    for lane in [first, second] {
        set_tier(&store, lane, Some("account"), 1).await;
    }
    set_tier(&store, alone, None, 1).await;
    let ids = admit(&store, first, &[1]).await;
    assert_eq!(begin(&store, first, &ids, NOW_MS).await, [None]);
    let ids = admit(&store, second, &[2, 1]).await;
    assert_eq!(begin(&store, second, &ids, NOW_MS).await, [Some(free_at(NOW_MS)), None]);
    let ids = admit(&store, alone, &[2]).await;
    assert_eq!(begin(&store, alone, &ids, NOW_MS).await, [None]);
}

async fn places_come_free_after_a_day_and_nothing_heaps_up(store: Store) {
    let lane = seed::lane(&store).await;
    set_tier(&store, lane, None, 2).await;
    let ids = admit(&store, lane, &[1, 2, 3, 4]).await;
    assert_eq!(begin(&store, lane, &ids[..1], NOW_MS).await, [None]);
    let later_ms = NOW_MS + HOUR_MS;
    assert_eq!(begin(&store, lane, &ids[1..3], later_ms).await, [None, Some(free_at(NOW_MS))]);
    let early_ms = free_at(NOW_MS) - 1;
    assert_eq!(begin(&store, lane, &ids[2..3], early_ms).await, [Some(free_at(NOW_MS))]);
    assert_eq!(begin(&store, lane, &ids[2..], free_at(NOW_MS)).await, [None, Some(free_at(later_ms))]);
    assert_eq!(seed::count(&store, "tier_recipients").await, 2, "the first has had its day");
    assert_eq!(seed::count(&store, "tier_uses").await, 2);
    // Whoever is written to again after a day takes a place again.
    let ids = admit(&store, lane, &[2]).await;
    assert_eq!(begin(&store, lane, &ids, free_at(later_ms)).await, [None]);
    assert_eq!(seed::count(&store, "tier_recipients").await, 2);
}

async fn what_the_plan_refuses_takes_no_place(store: Store) {
    let lane = seed::lane(&store).await;
    set_tier(&store, lane, None, 1).await;
    super::quota::subscribe(&store, lane.tenant_id, Some(1), NOW_MS).await;
    let ids = admit(&store, lane, &[1, 2]).await;
    let begins = vec![entries(lane, NOW_MS).begin(ids[1], 1)];
    let written = journal::write(&store, JournalBatch { begins, ..JournalBatch::default() }).await;
    assert!(matches!(written.refused[..], [(_, BeginRefusal::Plan { .. })]));
    assert_eq!(begin(&store, lane, &ids[..1], NOW_MS).await, [None]);
}

/// Two nodes with sessions of one account begin at the same time.
#[tokio::test]
async fn two_nodes_never_give_the_same_place_away() {
    on_postgres(async |store: Store| {
        let first = seed::lane(&store).await;
        let second = seed::another_lane(&store, first.tenant_id).await;
        let mut nodes = Vec::new();
        for (lane, recipients) in [(first, [1, 2, 3, 4, 5]), (second, [5, 6, 7, 8, 9])] {
            set_tier(&store, lane, Some("account"), 7).await;
            let ids = admit(&store, lane, &recipients).await;
            let begins: Vec<_> = ids.into_iter().map(|id| entries(lane, NOW_MS).begin(id, 1)).collect();
            let node = store.clone();
            nodes.push(async move {
                journal::write(&node, JournalBatch { begins, ..JournalBatch::default() }).await.begun.len()
            });
        }
        // Whoever comes first takes five places; the other one has one recipient in common, and two places.
        assert_eq!(super::quota::both_at_last_step(&store, nodes).await, 8);
        assert_eq!(seed::count(&store, "tier_recipients").await, 7);
    })
    .await;
}
