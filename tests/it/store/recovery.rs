//! Contracts of the moves that no attempt makes.

use actiwapi_dispatcher::domain::campaign::{CampaignState, Counters, OnUnknown};
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, TenantId};
use actiwapi_dispatcher::domain::job::TrafficClass;
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::heads::HeadRequest;
use actiwapi_dispatcher::store::journal::{JournalBatch, StreamSave};
use actiwapi_dispatcher::store::lanes::StreamRow;
use actiwapi_dispatcher::{with_reader, with_writer};

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::lanes::AllLanes;
use crate::support::seed::{self, NOW_MS};

store_contract!(
    what_was_in_flight_becomes_unknown,
    unknown_deliveries_go_back_by_policy,
    unknown_deliveries_go_back_step_by_step,
    a_settled_unknown_is_not_sent_again,
    unknown_deliveries_of_a_cancelled_campaign_stay,
    cancelling_goes_along_the_stream,
    cancelling_leaves_what_is_under_way,
    campaigns_complete_when_all_is_settled,
    campaigns_wait_for_what_is_on_its_way,
    campaigns_complete_by_their_policy,
    a_recount_tells_drift,
);

/// Admits `n` deliveries of a running campaign with the given policy, and begins their first attempts.
async fn sending(store: &Store, on_unknown: OnUnknown, n: u64) -> (Entries, Vec<DeliveryId>) {
    let lane = seed::lane(store).await;
    let campaign_id = seed::campaign(store, lane.tenant_id, CampaignState::Running, on_unknown).await;
    let mut job = seed::job(lane, campaign_id, n);
    job.on_unknown = on_unknown;
    let ids = seed::admit(store, &job).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
    (entries, ids)
}

async fn unknown(store: &Store, on_unknown: OnUnknown, n: u64) -> (Entries, Vec<DeliveryId>) {
    let (entries, ids) = sending(store, on_unknown, n).await;
    journal::end(store, ids.iter().map(|id| entries.end(*id, 1, journal::unknown())).collect()).await;
    (entries, ids)
}

async fn tenant_of(store: &Store, campaign_id: CampaignId) -> TenantId {
    let sql = "SELECT tenant_id FROM campaigns WHERE campaign_id = $1";
    let tenant_id =
        with_reader!(store.pool(), |db| sqlx::query_scalar(sql).bind(campaign_id.0).fetch_one(db).await).unwrap();
    TenantId(tenant_id)
}

async fn what_was_in_flight_becomes_unknown(store: Store) {
    assert!(store.orphan_in_flight(NOW_MS).await.unwrap().is_empty());
    let (first, ids) = sending(&store, OnUnknown::Quarantine, 1_300).await;
    let (second, _) = sending(&store, OnUnknown::Resend, 2).await;
    journal::end(&store, vec![first.end(ids[7], 1, journal::accepted())]).await;
    let sessions = store.orphan_in_flight(NOW_MS + 9).await.unwrap();
    assert_eq!(sessions, [first.session_id, second.session_id]);
    let expected = Counters { accepted: 1_300, sent: 1, unknown: 1_299, ..Counters::default() };
    assert_eq!(seed::ledger(&store, first.campaign_id).await, expected);
    let row = seed::row(&store, ids[0]).await;
    assert_eq!(
        (row.reason.as_deref(), row.failure_class.as_deref()),
        (Some("OUTCOME_UNKNOWN"), Some("WHATSAPP_UNAVAILABLE"))
    );
    assert_eq!(row.settled_at_ms, Some(NOW_MS + 9));
    assert_eq!(seed::outcomes(&store, ids[0]).await, [(1, "unknown".to_owned())]);
    assert!(store.orphan_in_flight(NOW_MS).await.unwrap().is_empty());
}

async fn unknown_deliveries_go_back_by_policy(store: Store) {
    let (kept, _) = unknown(&store, OnUnknown::Quarantine, 2).await;
    let (resent, ids) = unknown(&store, OnUnknown::Resend, 3).await;
    let Entries { session_id, campaign_id, .. } = resent;
    let done_below_seq = seed::place(3);
    let streams = vec![StreamSave { session_id, campaign_id, band: seed::band_of(campaign_id), done_below_seq }];
    journal::write(&store, JournalBatch { streams, ..JournalBatch::default() }).await;
    assert!(store.requeue_unknown(NOW_MS, 100).await.unwrap().is_empty(), "not yet");
    let streams = store.requeue_unknown(NOW_MS + 1, 100).await.unwrap();
    let traffic_class = TrafficClass::Bulk;
    assert_eq!(
        streams,
        [StreamRow {
            session_id,
            campaign_id,
            band: seed::band_of(campaign_id),
            zone: seed::zone_of(campaign_id),
            traffic_class,
            done_below_seq
        }]
    );
    assert_eq!(seed::ledger(&store, campaign_id).await.pending, 3);
    assert_eq!(seed::ledger(&store, kept.campaign_id).await.unknown, 2);
    let stream = store.streams_of_campaign(campaign_id).await.unwrap().remove(0);
    assert_eq!(stream.done_below_seq, done_below_seq, "what is settled stays settled");
    // Behind all that a lane has read, in the order they had, and before whatever comes later.
    let later = seed::job(seed::Lane { tenant_id: tenant_of(&store, campaign_id).await, session_id }, campaign_id, 1);
    let last = seed::admit(&store, &later).await;
    let request =
        HeadRequest { session_id, campaign_id, band: seed::band_of(campaign_id), after_seq: seed::place(2), limit: 10 };
    let heads = store.fetch_heads(&[request]).await.unwrap().remove(0);
    let found: Vec<_> = heads.iter().map(|head| (head.delivery_id, head.seq)).collect();
    let order = ids.iter().chain(&last).copied();
    assert_eq!(found, order.zip(seed::place(3)..).collect::<Vec<_>>());
    assert!(store.requeue_unknown(NOW_MS + 1, 100).await.unwrap().is_empty());
    // The next attempt has a number of its own.
    journal::begin(&store, vec![resent.begin(ids[0], 2)]).await;
}

async fn unknown_deliveries_go_back_step_by_step(store: Store) {
    let (entries, _) = unknown(&store, OnUnknown::Resend, 5).await;
    for expected in [2, 4, 5] {
        store.requeue_unknown(NOW_MS + 1, 2).await.unwrap();
        assert_eq!(seed::ledger(&store, entries.campaign_id).await.pending, expected);
    }
    assert_eq!(seed::count(&store, "resends").await, 0);
}

async fn a_settled_unknown_is_not_sent_again(store: Store) {
    let (entries, ids) = unknown(&store, OnUnknown::Resend, 2).await;
    journal::receive(&store, vec![entries.receipt(ids[0], ReceiptKind::Sent)]).await;
    store.requeue_unknown(NOW_MS + 1, 10).await.unwrap();
    let expected = Counters { accepted: 2, sent: 1, pending: 1, ..Counters::default() };
    assert_eq!(seed::ledger(&store, entries.campaign_id).await, expected);
}

async fn unknown_deliveries_of_a_cancelled_campaign_stay(store: Store) {
    let (entries, _) = unknown(&store, OnUnknown::Resend, 2).await;
    seed::set_campaign_state(&store, entries.campaign_id, CampaignState::Cancelled).await;
    assert!(store.requeue_unknown(NOW_MS + 1, 10).await.unwrap().is_empty());
    assert_eq!(seed::ledger(&store, entries.campaign_id).await.unknown, 2);
    assert_eq!(seed::count(&store, "resends").await, 0, "and are not looked at again");
}

async fn cancelling_goes_along_the_stream(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Cancelled, OnUnknown::Quarantine).await;
    seed::set_campaign_state(&store, campaign_id, CampaignState::Running).await;
    let ids = seed::admit(&store, &seed::job(lane, campaign_id, 7)).await;
    seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 1)).await;
    seed::set_campaign_state(&store, campaign_id, CampaignState::Cancelled).await;
    let cancel = async |after_seq| {
        let band = seed::band_of(campaign_id);
        let request = HeadRequest { session_id: lane.session_id, campaign_id, band, after_seq, limit: 3 };
        store.cancel_pending(request).await.unwrap()
    };
    assert_eq!(cancel(-1).await, (3, Some(seed::place(2))));
    assert_eq!(cancel(-1).await, (0, Some(seed::place(2))), "a step taken again");
    assert_eq!(cancel(seed::place(2)).await, (3, Some(seed::place(5))));
    assert_eq!(cancel(seed::place(5)).await, (1, None));
    assert_eq!(cancel(seed::place(6)).await, (0, None));
    let expected = Counters { accepted: 7, cancelled: 7, ..Counters::default() };
    assert_eq!(seed::ledger(&store, campaign_id).await, expected);
    assert_eq!(seed::row(&store, ids[0]).await.settled_at_ms, Some(NOW_MS), "when the campaign was");
    assert_eq!(seed::ledger(&store, CampaignId::DIRECT).await.pending, 1);
}

async fn cancelling_leaves_what_is_under_way(store: Store) {
    let (entries, ids) = sending(&store, OnUnknown::Quarantine, 2).await;
    journal::end(&store, vec![entries.end(ids[0], 1, journal::accepted())]).await;
    let Entries { session_id, campaign_id, .. } = entries;
    let band = seed::band_of(campaign_id);
    let request = HeadRequest { session_id, campaign_id, band, after_seq: -1, limit: 10 };
    let step = store.cancel_pending(request).await.unwrap();
    assert_eq!(step, (0, None));
    let counters = seed::ledger(&store, entries.campaign_id).await;
    assert_eq!((counters.sent, counters.sending), (1, 1));
}

async fn campaigns_complete_when_all_is_settled(store: Store) {
    let (entries, ids) = sending(&store, OnUnknown::Quarantine, 1).await;
    let campaign_id = entries.campaign_id;
    let finish = async || store.finish_if_settled(campaign_id, NOW_MS + 7).await.unwrap();
    assert!(!finish().await, "an attempt is under way");
    let outbox_id = seed::outbox(&store, campaign_id, None).await;
    journal::end(&store, vec![entries.end(ids[0], 1, journal::accepted())]).await;
    assert!(!finish().await, "the outbox still has a row");
    store.outbox_remove(&[outbox_id]).await.unwrap();
    for state in CampaignState::ALL {
        seed::set_campaign_state(&store, campaign_id, state).await;
        let may = matches!(state, CampaignState::Running | CampaignState::Paused);
        assert_eq!(finish().await, may, "{state:?}");
        let after = if may { CampaignState::Completed } else { state };
        assert_eq!(store.campaign_state(campaign_id).await.unwrap(), Some(after));
    }
    let done = format!("campaigns WHERE finished_at_ms = {NOW_MS}");
    assert_eq!(seed::count(&store, &done).await, 1, "the last state was set by the test");
    assert!(!store.finish_if_settled(CampaignId::generate(), NOW_MS).await.unwrap());
    let empty = seed::campaign(&store, seed::lane(&store).await.tenant_id, CampaignState::Running, OnUnknown::Resend);
    assert!(store.finish_if_settled(empty.await, NOW_MS).await.unwrap(), "a campaign without deliveries");
}

async fn campaigns_wait_for_what_is_on_its_way(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    with_writer!(store.pool(), |db| sqlx::query("UPDATE campaigns SET n_recipients = 2").execute(db).await.map(drop))
        .unwrap();
    let finish = async || store.finish_if_settled(campaign_id, NOW_MS).await.unwrap();
    assert!(!finish().await, "nothing has come through the broker yet");
    for n_accepted in 1..=2 {
        let ids = seed::admit(&store, &seed::job(lane, campaign_id, 1)).await;
        let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
        journal::begin(&store, vec![entries.begin(ids[0], 1)]).await;
        assert!(!finish().await);
        journal::end(&store, vec![entries.end(ids[0], 1, journal::accepted())]).await;
        assert_eq!(finish().await, n_accepted == 2);
    }
}

async fn campaigns_complete_by_their_policy(store: Store) {
    let (kept, _) = unknown(&store, OnUnknown::Quarantine, 1).await;
    let (resent, ids) = unknown(&store, OnUnknown::Resend, 1).await;
    assert!(store.finish_if_settled(kept.campaign_id, NOW_MS).await.unwrap());
    assert!(!store.finish_if_settled(resent.campaign_id, NOW_MS).await.unwrap());
    journal::receive(&store, vec![resent.receipt(ids[0], ReceiptKind::Delivered)]).await;
    assert!(store.finish_if_settled(resent.campaign_id, NOW_MS).await.unwrap());
}

async fn a_recount_tells_drift(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let job = seed::job(lane, campaign_id, 2);
    seed::admit(&store, &job).await;
    with_writer!(store.pool(), |db| {
        let sql = "UPDATE deliveries SET state = 'failed', failure_class = 'LIMIT_EXCEEDED' WHERE seq = $1";
        sqlx::query(sql).bind(seed::place(1)).execute(db).await.map(drop)
    })
    .unwrap();
    let stored = Counters { accepted: 2, pending: 2, ..Counters::default() };
    let counted = Counters { accepted: 2, pending: 1, failed_limit: 1, ..Counters::default() };
    assert_eq!(store.recount().await.unwrap(), [(campaign_id, stored, counted)]);
}
