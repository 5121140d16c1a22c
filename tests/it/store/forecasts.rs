//! Contracts of what a forecast is made of.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::id::CampaignId;
use actiwapi_dispatcher::domain::job::TrafficClass;
use actiwapi_dispatcher::domain::zone::Temperature;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::forecasts::OpenStream;
use actiwapi_dispatcher::with_writer;

use crate::support::db::store_contract;
use crate::support::seed;

store_contract!(open_work_is_counted_with_what_shares_its_lanes, recipients_to_come_go_round_the_sessions);

async fn open_work_is_counted_with_what_shares_its_lanes(store: Store) {
    let lane = seed::lane(&store).await;
    let elsewhere = seed::another_lane(&store, lane.tenant_id).await;
    let campaign = async || seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let (own, other, paused) = (campaign().await, campaign().await, campaign().await);
    seed::recipients(&store, own, &[lane], 0).await;
    let settled = seed::admit(&store, &seed::job(lane, own, 3)).await[1];
    for (lane, campaign_id, n) in
        [(lane, other, 2), (lane, paused, 4), (lane, CampaignId::DIRECT, 1), (elsewhere, own, 5)]
    {
        seed::admit(&store, &seed::job(lane, campaign_id, n)).await;
    }
    seed::set_campaign_state(&store, paused, CampaignState::Paused).await;
    with_writer!(store.pool(), |db| {
        let sql = "UPDATE deliveries SET state = 'sent' WHERE delivery_id = $1";
        sqlx::query(sql).bind(settled.0).execute(db).await.map(drop)
    })
    .unwrap();
    let expected = |campaign_id: CampaignId, n: i64| OpenStream {
        session_id: lane.session_id,
        campaign_id,
        band: seed::band_of(campaign_id),
        zone: seed::zone_of(campaign_id),
        traffic_class: TrafficClass::Bulk,
        pacing: None,
        n,
    };
    let mut expected = vec![expected(CampaignId::DIRECT, 1), expected(own, 2), expected(other, 2)];
    expected.sort_by_key(|stream| stream.campaign_id);
    assert_eq!(store.open_streams_beside(own).await.unwrap(), expected);
    seed::set_campaign_state(&store, own, CampaignState::Paused).await;
    assert_eq!(store.open_streams_beside(own).await.unwrap(), expected, "the campaign itself, whatever its state");
}

async fn recipients_to_come_go_round_the_sessions(store: Store) {
    let lane = seed::lane(&store).await;
    let second = seed::another_lane(&store, lane.tenant_id).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Draft, OnUnknown::Quarantine).await;
    seed::recipients(&store, campaign_id, &[second, lane], 5).await;
    // The third one has written to the session that is to write to it, the fourth to the other one.
    for (session_id, recipient) in [(second.session_id, "919800000002"), (second.session_id, "919800000003")] {
        with_writer!(store.pool(), |db| {
            let sql = "INSERT INTO conversations (session_id, recipient, last_inbound_at_ms) VALUES ($1, $2, 7)";
            sqlx::query(sql).bind(session_id.0).bind(recipient).execute(db).await.map(drop)
        })
        .unwrap();
    }
    let read = store.recipients_to_come(campaign_id, 1, 3).await.unwrap();
    let read = read.iter().map(|of| (of.seq, of.recipient.as_str(), of.session_id, of.temperature));
    let expected = [
        (1, "919800000001", lane.session_id, Temperature::Cold),
        (2, "919800000002", second.session_id, Temperature::Warm),
        (3, "919800000003", lane.session_id, Temperature::Cold),
    ];
    assert_eq!(read.collect::<Vec<_>>(), expected);
    assert_eq!(store.recipients_to_come(campaign_id, 5, 3).await.unwrap(), []);
}
