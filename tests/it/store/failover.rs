//! Contracts of the way out of a lost session: cold recipients go, all others stay, nobody is written to twice.

use actiwapi_dispatcher::domain::campaign::{CampaignState, Counters, OnUnknown};
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::heads::HeadRequest;
use actiwapi_dispatcher::store::journal::JournalBatch;
use actiwapi_dispatcher::with_writer;

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    cold_recipients_go_to_the_others_in_turn,
    warm_ones_and_what_is_under_way_stay,
    nothing_leaves_unless_it_is_wanted_and_possible,
    what_is_paused_stays_where_it_is,
    the_lost_session_can_not_begin_what_has_left,
    each_step_can_be_the_last_before_a_crash,
);

struct World {
    lost: Lane,
    others: [Lane; 2],
    campaign_id: CampaignId,
}

async fn sql(store: &Store, text: &str) {
    with_writer!(store.pool(), |db| { sqlx::query(sqlx::AssertSqlSafe(text)).execute(db).await.map(drop) })
        .expect("change rows");
}

async fn set_state(store: &Store, session_id: SessionId, state: &str) {
    with_writer!(store.pool(), |db| {
        let query = sqlx::query("UPDATE sessions SET state = $2 WHERE session_id = $1").bind(session_id.0).bind(state);
        query.execute(db).await.map(drop)
    })
    .expect("write the state of a session");
}

/// A running campaign over three sessions that wants failover; none of them is lost yet.
async fn world(store: &Store) -> World {
    let lost = seed::lane(store).await;
    let others = [seed::another_lane(store, lost.tenant_id).await, seed::another_lane(store, lost.tenant_id).await];
    let campaign_id = seed::campaign(store, lost.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    seed::recipients(store, campaign_id, &[lost, others[0], others[1]], 0).await;
    sql(store, "UPDATE campaigns SET failover = TRUE").await;
    World { lost, others, campaign_id }
}

/// Steps until nothing is left; returns how many steps moved something.
async fn fail_over(store: &Store) -> usize {
    let mut n_steps = 0;
    for stranded in store.stranded().await.unwrap() {
        while !store.fail_over(&stranded).await.unwrap().is_empty() {
            n_steps += 1;
        }
    }
    n_steps
}

async fn pending(store: &Store, lane: Lane, campaign_id: CampaignId) -> Vec<DeliveryId> {
    let mut found = Vec::new();
    for stream in store.streams_of_campaign(campaign_id).await.unwrap() {
        if stream.session_id == lane.session_id {
            let after_seq = stream.done_below_seq - 1;
            let (session_id, band) = (stream.session_id, stream.band);
            let request = HeadRequest { session_id, campaign_id, band, after_seq, limit: 10_000 };
            found.extend(store.fetch_heads(&[request]).await.unwrap().remove(0).iter().map(|head| head.delivery_id));
        }
    }
    found
}

async fn cold_recipients_go_to_the_others_in_turn(store: Store) {
    let World { lost, others, campaign_id } = world(&store).await;
    let own = seed::admit(&store, &seed::job(others[0], campaign_id, 2)).await;
    let ids = seed::admit(&store, &seed::job(lost, campaign_id, 7)).await;
    set_state(&store, lost.session_id, "banned").await;
    let stranded = store.stranded().await.unwrap();
    assert_eq!(stranded.len(), 1);
    let mut streams = store.fail_over(&stranded[0]).await.unwrap();
    streams.sort_by_key(|stream| stream.session_id != others[0].session_id);
    let told: Vec<_> = streams.iter().map(|stream| (stream.session_id, stream.band)).collect();
    assert_eq!(told, others.map(|lane| (lane.session_id, stranded[0].band)));
    assert_eq!(pending(&store, lost, campaign_id).await, []);
    let every_second = |from: usize| ids.iter().skip(from).step_by(2).copied();
    let first: Vec<_> = own.iter().copied().chain(every_second(0)).collect();
    assert_eq!(pending(&store, others[0], campaign_id).await, first, "behind what it had, in their order");
    assert_eq!(pending(&store, others[1], campaign_id).await, every_second(1).collect::<Vec<_>>());
    let expected = Counters { accepted: 9, pending: 9, ..Counters::default() };
    assert_eq!(seed::ledger(&store, campaign_id).await, expected);
    // The empty stream is closed and not looked at any more; one that grows again is.
    assert!(store.fail_over(&stranded[0]).await.unwrap().is_empty());
    assert_eq!(store.stranded().await.unwrap(), []);
    seed::admit(&store, &seed::job(lost, campaign_id, 1)).await;
    assert_eq!(fail_over(&store).await, 1);
    // They are sent as if they had always been there.
    let entries = Entries { session_id: others[1].session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(&store, vec![entries.begin(ids[1], 1)]).await;
    journal::end(&store, vec![entries.end(ids[1], 1, journal::accepted())]).await;
    assert_eq!(seed::ledger(&store, campaign_id).await.sent, 1);
}

async fn warm_ones_and_what_is_under_way_stay(store: Store) {
    let World { lost, campaign_id, .. } = world(&store).await;
    let ids = seed::admit(&store, &seed::job(lost, campaign_id, 6)).await;
    let entries = Entries { session_id: lost.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(&store, ids[..3].iter().map(|id| entries.begin(*id, 1)).collect()).await;
    journal::end(&store, vec![entries.end(ids[0], 1, journal::unknown())]).await;
    journal::end(&store, vec![entries.end(ids[1], 1, journal::accepted())]).await;
    set_state(&store, lost.session_id, "logged_out").await;
    assert_eq!(fail_over(&store).await, 1);
    for (id, stays) in ids.iter().zip([true, true, true, false, false, false]) {
        assert_eq!(session_of(&store, *id).await == lost.session_id, stays, "{id}");
    }
    assert_eq!(store.stranded().await.unwrap().len(), 1, "an attempt is under way and may come back");
    journal::end(&store, vec![entries.end(ids[2], 1, journal::deferred())]).await;
    assert_eq!(fail_over(&store).await, 1);
    assert_ne!(session_of(&store, ids[2]).await, lost.session_id);
    let warm = seed::admit(&store, &seed::job(lost, campaign_id, 2)).await;
    sql(&store, "UPDATE deliveries SET band = band + 1 WHERE state = 'pending' AND n_attempts = 0").await;
    sql(&store, "UPDATE lane_streams SET band = band + 1").await;
    assert_eq!(fail_over(&store).await, 0);
    assert_eq!(session_of(&store, warm[0]).await, lost.session_id);
}

async fn session_of(store: &Store, id: DeliveryId) -> SessionId {
    let found: uuid::Uuid = actiwapi_dispatcher::with_reader!(store.pool(), |db| {
        sqlx::query_scalar("SELECT session_id FROM deliveries WHERE delivery_id = $1").bind(id.0).fetch_one(db).await
    })
    .expect("read a delivery");
    SessionId(found)
}

async fn nothing_leaves_unless_it_is_wanted_and_possible(store: Store) {
    let World { lost, others, campaign_id } = world(&store).await;
    seed::admit(&store, &seed::job(lost, campaign_id, 2)).await;
    for state in ["disconnected", "connecting", "qr_pending", "connected", "reconnecting"] {
        set_state(&store, lost.session_id, state).await;
        assert_eq!(store.stranded().await.unwrap(), [], "{state} may come back");
    }
    set_state(&store, lost.session_id, "banned").await;
    sql(&store, "UPDATE campaigns SET failover = FALSE").await;
    assert_eq!(store.stranded().await.unwrap(), []);
    sql(&store, "UPDATE campaigns SET failover = TRUE").await;
    for state in [CampaignState::Cancelled, CampaignState::Completed] {
        seed::set_campaign_state(&store, campaign_id, state).await;
        assert_eq!(store.stranded().await.unwrap(), []);
    }
    seed::set_campaign_state(&store, campaign_id, CampaignState::Running).await;
    set_state(&store, others[0].session_id, "logged_out").await;
    set_state(&store, others[1].session_id, "disconnected").await;
    assert_eq!(fail_over(&store).await, 0, "nobody can take them");
    set_state(&store, others[1].session_id, "reconnecting").await;
    assert_eq!(fail_over(&store).await, 1);
    assert_eq!(pending(&store, others[1], campaign_id).await.len(), 2);
}

/// The other session has never had anything of the campaign, so no lane of it was told of the pause.
async fn what_is_paused_stays_where_it_is(store: Store) {
    let World { lost, others, campaign_id } = world(&store).await;
    seed::admit(&store, &seed::job(lost, campaign_id, 3)).await;
    set_state(&store, lost.session_id, "banned").await;
    let stranded = store.stranded().await.unwrap();
    assert_eq!(stranded.len(), 1);
    seed::set_campaign_state(&store, campaign_id, CampaignState::Paused).await;
    assert_eq!(store.fail_over(&stranded[0]).await.unwrap(), [], "found before the pause, moved after it");
    assert_eq!(store.stranded().await.unwrap(), []);
    for lane in others {
        assert_eq!(pending(&store, lane, campaign_id).await, []);
    }
    seed::set_campaign_state(&store, campaign_id, CampaignState::Running).await;
    assert_eq!(fail_over(&store).await, 1);
}

async fn the_lost_session_can_not_begin_what_has_left(store: Store) {
    let World { lost, others, campaign_id } = world(&store).await;
    let ids = seed::admit(&store, &seed::job(lost, campaign_id, 2)).await;
    set_state(&store, lost.session_id, "banned").await;
    fail_over(&store).await;
    let old = Entries { session_id: lost.session_id, campaign_id, at_ms: NOW_MS };
    let begins = ids.iter().map(|id| old.begin(*id, 1)).collect();
    let written = journal::write(&store, JournalBatch { begins, ..JournalBatch::default() }).await;
    assert_eq!(written.begun, [], "its lane had read them before they left");
    assert_eq!(seed::ledger(&store, campaign_id).await.pending, 2);
    let new = Entries { session_id: others[0].session_id, ..old };
    journal::begin(&store, vec![new.begin(ids[0], 1)]).await;
}

async fn each_step_can_be_the_last_before_a_crash(store: Store) {
    let World { lost, others, campaign_id } = world(&store).await;
    let ids: Vec<_> = {
        let first = seed::admit(&store, &seed::job(lost, campaign_id, 499)).await;
        let second = seed::admit(&store, &seed::job(lost, campaign_id, 499)).await;
        let third = seed::admit(&store, &seed::job(lost, campaign_id, 499)).await;
        [first, second, third].concat()
    };
    set_state(&store, lost.session_id, "banned").await;
    let mut n_steps = 0;
    // Each time it is looked up anew, as after a start; two nodes may be at it.
    while let Some(stranded) = store.stranded().await.unwrap().pop() {
        let (one, two) = tokio::join!(store.fail_over(&stranded), store.fail_over(&stranded));
        n_steps += usize::from(!one.unwrap().is_empty()) + usize::from(!two.unwrap().is_empty());
        assert_eq!(seed::ledger(&store, campaign_id).await.pending, 1_497);
    }
    assert!((3..=6).contains(&n_steps), "{n_steps}");
    let mut all = Vec::new();
    for lane in others {
        all.extend(pending(&store, lane, campaign_id).await);
    }
    all.sort_unstable();
    let mut expected = ids;
    expected.sort_unstable();
    assert_eq!(all, expected, "each once");
}
