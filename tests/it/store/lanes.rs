//! Contracts of [`Store::lanes`], [`Store::streams`] and their like.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::id::{CampaignId, SessionId};
use actiwapi_dispatcher::domain::job::TrafficClass;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::store::fronts::FrontsOf;
use actiwapi_dispatcher::store::lanes::LaneRow;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::{Pool, Store};
use actiwapi_dispatcher::with_writer;

use crate::support::db::store_contract;
use crate::support::lanes::AllLanes;
use crate::support::seed;

store_contract!(
    settings_that_can_not_be_read_concern_one_lane,
    what_a_newer_version_wrote_of_campaigns_concerns_one_of_them,
    every_session_has_a_lane,
    streams_with_work_are_listed,
    lanes_are_shown_with_their_open_streams
);

async fn every_session_has_a_lane(store: Store) {
    assert!(store.lanes().await.unwrap().is_empty());
    let (first, second) = (seed::lane(&store).await, seed::lane(&store).await);
    let lanes = store.lanes().await.unwrap();
    let expected = |lane: seed::Lane| LaneRow {
        phone_number_id: Some("106540352242922".to_owned()),
        rate_per_minute: Some(90.5),
        burst: Some(3),
        ..LaneRow::plain(lane.session_id, lane.tenant_id)
    };
    assert_eq!(lanes, [expected(first), expected(second)]);
    assert_eq!(store.lane(second.session_id).await.unwrap(), Some(expected(second)));
    assert_eq!(store.lane(SessionId::generate()).await.unwrap(), None);
}

async fn streams_with_work_are_listed(store: Store) {
    let lane = seed::lane(&store).await;
    let mut listed = vec![CampaignId::DIRECT];
    let foreign = CampaignId::generate();
    listed.push(foreign);
    for campaign_id in [CampaignId::DIRECT, foreign] {
        seed::admit(&store, &seed::job(lane, campaign_id, 1)).await;
    }
    for state in CampaignState::ALL {
        let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
        seed::admit(&store, &seed::job(lane, campaign_id, 1)).await;
        seed::set_campaign_state(&store, campaign_id, state).await;
        if matches!(state, CampaignState::Running | CampaignState::Paused) {
            listed.push(campaign_id);
        }
        let streams = store.streams_of_campaign(campaign_id).await.unwrap();
        assert_eq!(streams.len(), 1);
        assert_eq!(streams[0].traffic_class, TrafficClass::Bulk);
        assert_eq!((streams[0].session_id, streams[0].done_below_seq), (lane.session_id, seed::place(0)));
    }
    let streams = store.streams().await.unwrap();
    let mut found: Vec<_> = streams.iter().map(|stream| stream.campaign_id).collect();
    found.sort_unstable();
    listed.sort_unstable();
    assert_eq!(found, listed);
}

async fn lanes_are_shown_with_their_open_streams(store: Store) {
    let (older, newer) = (seed::lane(&store).await, seed::lane(&store).await);
    let running = seed::campaign(&store, older.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let over = seed::campaign(&store, older.tenant_id, CampaignState::Cancelled, OnUnknown::Quarantine).await;
    for campaign_id in [CampaignId::DIRECT, CampaignId::generate(), running, over] {
        seed::admit(&store, &seed::job(older, campaign_id, 1)).await;
    }
    let ids = [older.session_id, SessionId::generate(), newer.session_id];
    let shown = store.lane_summaries(&ids).await.unwrap();
    let found: Vec<_> = shown.iter().map(|lane| (lane.session_id, lane.tenant_id, lane.n_open_streams)).collect();
    assert_eq!(found, [(newer.session_id, newer.tenant_id, 0), (older.session_id, older.tenant_id, 3)]);
    assert_eq!(shown.iter().map(|lane| lane.n_backlog).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(
        (shown[0].state, shown[0].rate_per_minute, shown[0].burst),
        (SessionState::Connected, Some(90.5), Some(3))
    );

    let page = store.all_sessions(PageRequest::new(2, 1).unwrap()).await.unwrap();
    assert_eq!((page.items, page.total), (vec![older.session_id], 2));
    assert_eq!(store.sessions_below(None, 1).await.unwrap(), [newer.session_id]);
    assert_eq!(store.sessions_below(Some(newer.session_id), 5).await.unwrap(), [older.session_id]);
}

/// A newer version may have written what this one does not know.
async fn settings_that_can_not_be_read_concern_one_lane(store: Store) {
    let (first, second) = (seed::lane(&store).await, seed::lane(&store).await);
    with_writer!(store.pool(), |db| {
        let text = "UPDATE sessions SET pacing = '{\"mood\":\"calm\"}' WHERE session_id = $1";
        sqlx::query(text).bind(first.session_id.0).execute(db).await.map(drop)
    })
    .unwrap();
    let readable: Vec<_> = store.lanes().await.unwrap().iter().map(|row| (row.session_id, row.is_readable)).collect();
    assert_eq!(readable, [(first.session_id, false), (second.session_id, true)]);
}

async fn what_a_newer_version_wrote_of_campaigns_concerns_one_of_them(store: Store) {
    let lane = seed::lane(&store).await;
    let mut campaigns = Vec::new();
    for _ in 0..4 {
        let id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
        seed::recipients(&store, id, &[lane], 0).await;
        seed::admit(&store, &seed::job(lane, id, 1)).await;
        campaigns.push(id);
    }
    // A newer version has other words, and its schema takes them.
    let lift = match store.pool() {
        Pool::Postgres(_) => "ALTER TABLE lane_streams DROP CONSTRAINT lane_streams_traffic_class_check",
        Pool::Sqlite { .. } => "PRAGMA ignore_check_constraints = 1",
    };
    with_writer!(store.pool(), |db| sqlx::query(lift).execute(db).await.map(drop)).unwrap();
    let changes = [
        "UPDATE campaigns SET pacing = '{\"mood\":\"calm\"}' WHERE campaign_id = $1",
        "UPDATE campaigns SET guardrails = '{\"mood\":\"calm\"}' WHERE campaign_id = $1",
        "UPDATE lane_streams SET traffic_class = 'urgent' WHERE campaign_id = $1",
    ];
    for (text, id) in changes.into_iter().zip(&campaigns) {
        with_writer!(store.pool(), |db| sqlx::query(text).bind(id.0).execute(db).await.map(drop)).unwrap();
    }
    let page = PageRequest::new(1, 10).unwrap();
    let listed = store.campaigns().list(lane.tenant_id, None, page).await.unwrap().items;
    let mut readable: Vec<_> = listed.iter().map(|campaign| (campaign.id, campaign.is_readable)).collect();
    readable.sort_unstable();
    let expected = [false, false, true, true];
    assert_eq!(readable, campaigns.iter().copied().zip(expected).collect::<Vec<_>>());

    let of_known = [campaigns[0], campaigns[1], campaigns[3]];
    let streams = store.streams_of_sessions(&[lane.session_id]).await.unwrap();
    assert_eq!(streams.iter().map(|stream| stream.campaign_id).collect::<Vec<_>>(), of_known);
    let fronts = store.fronts(FrontsOf::Sessions(&[lane.session_id])).await.unwrap();
    let fronts: Vec<_> = fronts.iter().map(|front| (front.campaign_id, front.is_readable)).collect();
    assert_eq!(fronts, of_known.into_iter().zip([false, true, true]).collect::<Vec<_>>());

    let beside = async |id| {
        let streams = store.open_streams_beside(id).await.unwrap();
        streams.iter().map(|stream| stream.campaign_id).collect::<Vec<_>>()
    };
    assert_eq!(beside(campaigns[0]).await, of_known, "its own are counted, whatever its pace");
    assert_eq!(beside(campaigns[3]).await, of_known[1..], "of others nothing goes that can not be read");
}
