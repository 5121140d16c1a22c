//! Contracts of the counts of sessions: today and ever, whatever is told twice or late.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::journal::JournalBatch;
use actiwapi_dispatcher::store::session_counters::SessionCounts;

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS};

store_contract!(what_happens_is_counted_once, a_day_begins_anew);

const DAY_MS: i64 = 86_400_000;

async fn what_happens_is_counted_once(store: Store) {
    let (lane, other) = (seed::lane(&store).await, seed::lane(&store).await);
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let ids = seed::admit(&store, &seed::job(lane, campaign_id, 5)).await;
    let counts = async |lane: seed::Lane| store.session_counts(lane.tenant_id, lane.session_id, NOW_MS).await.unwrap();
    assert_eq!(counts(lane).await, Default::default(), "nothing yet");
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(&store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
    let ends = [journal::accepted(), journal::accepted(), journal::rejected(), journal::unknown()];
    let ends: Vec<_> = ids.iter().zip(ends).map(|(id, ended)| entries.end(*id, 1, ended)).collect();
    let batch = JournalBatch { ends, ..JournalBatch::default() };
    journal::write(&store, batch.clone()).await;
    journal::write(&store, JournalBatch { repeated: true, ..batch }).await;
    let expected = SessionCounts { sent: 2, failed: 1, unknown: 1 };
    assert_eq!(counts(lane).await, (expected, expected));
    // Reports of what is counted already, and of what was unknown and was sent after all; another one fails late.
    for kind in [ReceiptKind::Delivered, ReceiptKind::Read, ReceiptKind::Read] {
        journal::receive(&store, vec![entries.receipt(ids[0], kind), entries.receipt(ids[3], kind)]).await;
    }
    journal::receive(&store, vec![entries.receipt(ids[1], ReceiptKind::Failed)]).await;
    let expected = SessionCounts { sent: 3, failed: 2, unknown: 1 };
    assert_eq!(counts(lane).await, (expected, expected));
    assert_eq!(counts(other).await, Default::default(), "of another tenant");
    let foreign = store.session_counts(other.tenant_id, lane.session_id, NOW_MS).await.unwrap();
    assert_eq!(foreign, Default::default());
}

async fn a_day_begins_anew(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let ids = seed::admit(&store, &seed::job(lane, campaign_id, 4)).await;
    let midnight = NOW_MS - NOW_MS % DAY_MS + DAY_MS;
    let send = async |id, at_ms| {
        let entries = Entries { session_id: lane.session_id, campaign_id, at_ms };
        journal::begin(&store, vec![entries.begin(id, 1)]).await;
        journal::end(&store, vec![entries.end(id, 1, journal::accepted())]).await;
    };
    let counts = async |now_ms| {
        let (today, total) = store.session_counts(lane.tenant_id, lane.session_id, now_ms).await.unwrap();
        (today.sent, total.sent)
    };
    send(ids[0], midnight - 2).await;
    send(ids[1], midnight - 1).await;
    assert_eq!(counts(midnight - 1).await, (2, 2));
    assert_eq!(counts(midnight).await, (0, 2), "nothing today");
    send(ids[2], midnight).await;
    assert_eq!(counts(midnight).await, (1, 3));
    send(ids[3], midnight - 1).await;
    assert_eq!(counts(midnight).await, (2, 4), "what is told late belongs to the day that is");
}
