//! Contracts of places: they grow in the order of commits, whichever node gives them out.

use std::collections::HashSet;

use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId};
use actiwapi_dispatcher::store::heads::{Head, HeadRequest};
use actiwapi_dispatcher::store::journal::{JournalBatch, StreamSave};
use actiwapi_dispatcher::store::{Pool, Store};
use sqlx::PgPool;
use tokio_util::task::TaskTracker;

use crate::support::db::{on_postgres, store_contract};
use crate::support::journal::{self, Entries};
use crate::support::lanes::AllLanes;
use crate::support::seed::{self, NOW_US};

store_contract!(
    places_grow_although_clocks_go_back,
    places_follow_the_order_of_the_jobs,
    a_stream_begins_with_its_first_place,
    what_is_settled_never_goes_back,
);

async fn heads(store: &Store, session_id: SessionId, campaign_id: CampaignId, after_seq: i64) -> Vec<Head> {
    let request = HeadRequest { session_id, campaign_id, band: seed::band_of(campaign_id), after_seq, limit: 1_000 };
    store.fetch_heads(&[request]).await.unwrap().remove(0)
}

async fn places_grow_although_clocks_go_back(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let mut cursor = -1;
    for (n, now_us) in [(3, NOW_US), (2, NOW_US - 5_000_000), (1, NOW_US + 2), (4, 0), (2, NOW_US + 9_000)] {
        let job = seed::job(lane, campaign_id, n);
        let admitted = store.admit_jobs(&[&job], now_us).await.unwrap();
        assert_eq!(admitted[0].streams[0].done_below_seq, seed::place(0), "the stream's, not the job's");
        let found = heads(&store, lane.session_id, campaign_id, cursor).await;
        let ids: Vec<_> = found.iter().map(|head| head.delivery_id).collect();
        assert_eq!(ids, job.deliveries.iter().map(|delivery| delivery.id).collect::<Vec<_>>());
        assert!(now_us < found[0].seq);
        cursor = found.last().unwrap().seq;
    }
    let places: Vec<_> = heads(&store, lane.session_id, campaign_id, -1).await.iter().map(|head| head.seq).collect();
    let expected: Vec<_> = (0..10).chain([9_000, 9_001]).map(seed::place).collect();
    assert_eq!(places, expected);
}

async fn places_follow_the_order_of_the_jobs(store: Store) {
    let lane = seed::lane(&store).await;
    let other = seed::another_lane(&store, lane.tenant_id).await;
    let campaign_id = CampaignId::generate();
    let [mut last, elsewhere, first] = [lane, other, lane].map(|lane| seed::job(lane, campaign_id, 3));
    last.deliveries.reverse();
    store.admit_jobs(&[&first, &elsewhere, &last], NOW_US).await.unwrap();
    for (session_id, jobs) in [(lane.session_id, vec![first, last]), (other.session_id, vec![elsewhere])] {
        let found = heads(&store, session_id, campaign_id, -1).await;
        let found: Vec<_> = found.iter().map(|head| (head.delivery_id, head.seq)).collect();
        let expected = jobs.iter().flat_map(|job| &job.deliveries).map(|delivery| delivery.id);
        assert_eq!(found, expected.zip(seed::place(0)..).collect::<Vec<_>>());
    }
}

async fn a_stream_begins_with_its_first_place(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let admitted = store.admit_jobs(&[&seed::job(lane, campaign_id, 2)], NOW_US).await.unwrap();
    assert_eq!(admitted[0].streams[0].done_below_seq, seed::place(0));
    assert_eq!(store.streams().await.unwrap()[0].done_below_seq, seed::place(0));
}

async fn what_is_settled_never_goes_back(store: Store) {
    let lane = seed::lane(&store).await;
    let (session_id, campaign_id) = (lane.session_id, CampaignId::generate());
    seed::admit(&store, &seed::job(lane, campaign_id, 5)).await;
    for (save, expected) in [(3, 3), (1, 3), (4, 4), (0, 4)] {
        let streams = vec![StreamSave {
            session_id,
            campaign_id,
            band: seed::band_of(campaign_id),
            done_below_seq: seed::place(save),
        }];
        journal::write(&store, JournalBatch { streams, ..JournalBatch::default() }).await;
        assert_eq!(store.streams().await.unwrap()[0].done_below_seq, seed::place(expected));
    }
    let admitted = store.admit_jobs(&[&seed::job(lane, campaign_id, 1)], NOW_US - 1_000).await.unwrap();
    assert_eq!(admitted[0].streams[0].done_below_seq, seed::place(4));
    assert_eq!(store.streams().await.unwrap()[0].done_below_seq, seed::place(4));
}

/// Another node: a pool of its own on the same database.
fn another_node(store: &Store) -> Store {
    let Pool::Postgres(pool) = store.pool() else { unreachable!() };
    Store::from_pool(Pool::Postgres(PgPool::connect_lazy_with(pool.connect_options().as_ref().clone())))
}

/// A lane reads along while two nodes with different clocks admit into its stream: it misses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_misses_nothing_that_two_nodes_admit() {
    on_postgres(async |store: Store| {
        let lane = seed::lane(&store).await;
        let campaign_id = CampaignId::generate();
        let nodes = [another_node(&store), another_node(&store)];
        let tasks = TaskTracker::new();
        let mut writers = Vec::new();
        for (ahead_us, node) in [0, 60_000_000].into_iter().zip(nodes.clone()) {
            writers.push(tasks.spawn(async move {
                for n in 0..30 {
                    // Between them, two jobs of the one stream, so that a commit takes its time.
                    let jobs = [seed::job(lane, campaign_id, 1 + n % 7), seed::job(lane, campaign_id, 40)];
                    let now_us = NOW_US + i64::try_from(n).unwrap() * 1_000 + ahead_us;
                    node.admit_jobs(&[&jobs[0], &jobs[1]], now_us).await.unwrap();
                }
            }));
        }
        tasks.close();
        let (mut cursor, mut seen): (i64, Vec<(i64, DeliveryId)>) = (-1, Vec::new());
        loop {
            let is_over = tasks.is_empty();
            let found = heads(&store, lane.session_id, campaign_id, cursor).await;
            seen.extend(found.iter().map(|head| (head.seq, head.delivery_id)));
            cursor = found.last().map_or(cursor, |head| head.seq);
            if is_over && found.is_empty() {
                break;
            }
            tokio::task::yield_now().await;
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let expected: u64 = 2 * (0..30).map(|n| 1 + n % 7 + 40).sum::<u64>();
        assert_eq!(seen.len() as u64, expected, "the cursor went past something");
        assert_eq!(seed::count(&store, "deliveries").await.unsigned_abs(), expected);
        let places: HashSet<_> = seen.iter().map(|(seq, _)| seq).collect();
        assert_eq!(places.len(), seen.len(), "a place was given twice");
        for node in nodes {
            node.close().await;
        }
    })
    .await;
}

/// An admission that waits for a delivery of the journal's holds the delivery's stream: were the
/// journal to wait for that, both would wait for ever.
#[tokio::test]
async fn the_journal_passes_over_a_stream_that_is_held() {
    on_postgres(async |store: Store| {
        let lane = seed::lane(&store).await;
        let (session_id, campaign_id) = (lane.session_id, CampaignId::generate());
        let job = seed::job(lane, campaign_id, 2);
        let ids = seed::admit(&store, &job).await;
        let Pool::Postgres(pool) = store.pool() else { unreachable!() };
        let mut journal = pool.begin().await.unwrap();
        let update = "UPDATE deliveries SET n_attempts = 1 WHERE delivery_id = $1";
        sqlx::query(update).bind(ids[0].0).execute(&mut *journal).await.unwrap();
        let tasks = TaskTracker::new();
        let node = store.clone();
        let admission = tasks.spawn(async move { node.admit_jobs(&[&job], NOW_US).await.unwrap() });
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(pool).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        let done_below_seq = seed::place(2);
        let streams = vec![StreamSave { session_id, campaign_id, band: seed::band_of(campaign_id), done_below_seq }];
        let save = journal::write(&store, JournalBatch { streams: streams.clone(), ..JournalBatch::default() });
        let saved = tokio::time::timeout(std::time::Duration::from_secs(30), save).await;
        assert!(saved.is_ok(), "the journal waits for a stream");
        assert!(!admission.is_finished());
        journal.commit().await.unwrap();
        assert_eq!(admission.await.unwrap()[0].n_new, 0);
        assert_eq!(store.streams().await.unwrap()[0].done_below_seq, seed::place(0), "it was passed over");
        journal::write(&store, JournalBatch { streams, ..JournalBatch::default() }).await;
        assert_eq!(store.streams().await.unwrap()[0].done_below_seq, done_below_seq, "and is saved the next time");
        let entries = Entries { session_id, campaign_id, at_ms: seed::NOW_MS };
        journal::begin(&store, vec![entries.begin(ids[1], 1)]).await;
    })
    .await;
}
