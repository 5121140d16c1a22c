//! Contracts of [`Store::lanes`], [`Store::streams`] and their like.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::id::{CampaignId, SessionId};
use actiwapi_dispatcher::domain::job::TrafficClass;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::lanes::LaneRow;

use crate::support::db::store_contract;
use crate::support::lanes::AllLanes;
use crate::support::seed;

store_contract!(every_session_has_a_lane, streams_with_work_are_listed);

async fn every_session_has_a_lane(store: Store) {
    assert!(store.lanes().await.unwrap().is_empty());
    let (first, second) = (seed::lane(&store).await, seed::lane(&store).await);
    let lanes = store.lanes().await.unwrap();
    let expected = |lane: seed::Lane| LaneRow {
        session_id: lane.session_id,
        tenant_id: lane.tenant_id,
        state: SessionState::Connected,
        phone_number_id: Some("106540352242922".to_owned()),
        rate_per_minute: Some(90.5),
        burst: Some(3),
        tat_us: None,
        left_by_us: None,
    };
    assert_eq!(lanes, [expected(first), expected(second)]);
    assert_eq!(store.lane(second.session_id).await.unwrap(), Some(expected(second)));
    assert_eq!(store.lane(SessionId::generate()).await.unwrap(), None);
}

async fn streams_with_work_are_listed(store: Store) {
    let lane = seed::lane(&store).await;
    let mut listed = vec![(CampaignId::DIRECT, None)];
    let foreign = CampaignId::generate();
    listed.push((foreign, None));
    for campaign_id in [CampaignId::DIRECT, foreign] {
        seed::admit(&store, &seed::job(lane, campaign_id, 1)).await;
    }
    for state in CampaignState::ALL {
        let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
        seed::admit(&store, &seed::job(lane, campaign_id, 1)).await;
        seed::set_campaign_state(&store, campaign_id, state).await;
        if matches!(state, CampaignState::Running | CampaignState::Paused) {
            listed.push((campaign_id, Some(state)));
        }
        let streams = store.streams_of_campaign(campaign_id).await.unwrap();
        assert_eq!(streams.len(), 1);
        assert_eq!((streams[0].campaign_state, streams[0].traffic_class), (Some(state), TrafficClass::Bulk));
        assert_eq!((streams[0].session_id, streams[0].done_below_seq), (lane.session_id, seed::place(0)));
    }
    let streams = store.streams().await.unwrap();
    let mut found: Vec<_> = streams.iter().map(|stream| (stream.campaign_id, stream.campaign_state)).collect();
    found.sort_by_key(|(campaign_id, _)| *campaign_id);
    listed.sort_by_key(|(campaign_id, _)| *campaign_id);
    assert_eq!(found, listed);
}
