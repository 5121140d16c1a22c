//! Contracts of [`Store::admit_jobs`]: what it persists, and what it does not persist twice.
//!
//! Places are in [`super::places`], refusals in [`super::refusals`].

use actiwapi_dispatcher::domain::campaign::{CampaignState, Counters, OnUnknown};
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, JobId};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::heads::HeadRequest;

use crate::support::db::store_contract;
use crate::support::lanes::AllLanes;
use crate::support::seed::{self, NOW_MS, NOW_US};

store_contract!(
    jobs_become_pending_deliveries,
    jobs_again_change_nothing,
    a_job_twice_in_one_call_counts_once,
    the_same_deliveries_in_another_job_are_the_same,
    writers_at_once_persist_once,
    a_cancelled_campaign_takes_cancelled_deliveries,
    nothing_admits_nothing,
);

async fn jobs_become_pending_deliveries(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let (bulk, single) = (seed::job(lane, campaign_id, 3), seed::job(lane, CampaignId::DIRECT, 1));
    let admitted = store.admit_jobs(&[&bulk, &single], NOW_US).await.unwrap();
    assert_eq!(
        admitted.iter().map(|a| (a.job_id, a.n_new)).collect::<Vec<_>>(),
        [(bulk.job_id, 3), (single.job_id, 1)]
    );
    assert_eq!(admitted[1].campaign_id, CampaignId::DIRECT);
    assert!(admitted.iter().all(|a| a.refused.is_none() && a.session_id == lane.session_id));

    let request = HeadRequest {
        session_id: lane.session_id,
        campaign_id,
        band: seed::band_of(campaign_id),
        after_seq: -1,
        limit: 10,
    };
    let heads = store.fetch_heads(&[request]).await.unwrap().remove(0);
    let expected: Vec<_> = bulk.deliveries.iter().map(|delivery| delivery.id).zip(seed::place(0)..).collect();
    assert_eq!(heads.iter().map(|head| (head.delivery_id, head.seq)).collect::<Vec<_>>(), expected);
    assert_eq!(heads[0].recipient, bulk.deliveries[0].to);
    assert_eq!(heads[0].variables, bulk.deliveries[0].variables);
    let counters = seed::ledger(&store, campaign_id).await;
    assert_eq!(counters, Counters { accepted: 3, pending: 3, ..Counters::default() });
    assert_eq!(seed::ledger(&store, CampaignId::DIRECT).await.pending, 1);
    assert_eq!(store.streams().await.unwrap().len(), 2);
}

async fn jobs_again_change_nothing(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let jobs = [seed::job(lane, campaign_id, 3), seed::job(lane, CampaignId::DIRECT, 2)];
    let jobs = [&jobs[0], &jobs[1]];
    store.admit_jobs(&jobs, NOW_US).await.unwrap();
    let streams = store.streams().await.unwrap();
    let again = store.admit_jobs(&jobs, NOW_US + 1_000).await.unwrap();
    assert!(again.iter().all(|a| (a.n_new, a.refused) == (0, None)), "{again:?}");
    assert_eq!(again[0].streams[0].done_below_seq, seed::place(0));
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 3);
    assert_eq!(seed::ledger(&store, CampaignId::DIRECT).await.accepted, 2);
    assert_eq!(store.streams().await.unwrap(), streams);
    assert_eq!(seed::count(&store, "jobs").await, 2);
    let stayed = format!("deliveries WHERE created_at_ms = {NOW_MS} AND seq <= {}", seed::place(2));
    assert_eq!(seed::count(&store, &stayed).await, 5, "places stay as they were");
}

async fn a_job_twice_in_one_call_counts_once(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let mut job = seed::job(lane, campaign_id, 3);
    job.deliveries.push(job.deliveries[0].clone());
    // Another job that names one of the same deliveries, and one of its own.
    let mut other = seed::job(lane, campaign_id, 1);
    other.deliveries.push(job.deliveries[1].clone());
    let admitted = store.admit_jobs(&[&job, &job, &other], NOW_US).await.unwrap();
    assert_eq!(admitted.iter().map(|a| (a.n_new, a.refused)).collect::<Vec<_>>(), [(3, None), (0, None), (1, None)]);
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 4);
}

async fn the_same_deliveries_in_another_job_are_the_same(store: Store) {
    let lane = seed::lane(&store).await;
    let job = seed::job(lane, CampaignId::generate(), 4);
    seed::admit(&store, &job).await;
    let mut cut = job.clone();
    cut.job_id = JobId::generate();
    cut.deliveries.rotate_left(2);
    cut.deliveries.pop();
    let admitted = store.admit_jobs(&[&cut], NOW_US).await.unwrap();
    assert_eq!((admitted[0].n_new, admitted[0].refused), (0, None));
}

async fn writers_at_once_persist_once(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let jobs: Vec<_> = (0..3).map(|_| seed::job(lane, campaign_id, 100)).collect();
    let tasks = tokio_util::task::TaskTracker::new();
    let writers = (0..4).map(|writer| {
        let (store, mut jobs) = (store.clone(), jobs.clone());
        jobs.rotate_left(writer % 3);
        tasks.spawn(async move {
            let jobs: Vec<_> = jobs.iter().collect();
            store.admit_jobs(&jobs, NOW_US).await.unwrap().iter().map(|a| a.n_new).sum::<usize>()
        })
    });
    let n_new: usize = futures::future::try_join_all(writers).await.unwrap().into_iter().sum();
    assert_eq!(n_new, 300);
    assert_eq!(seed::ledger(&store, campaign_id).await.pending, 300);
}

async fn a_cancelled_campaign_takes_cancelled_deliveries(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Cancelled, OnUnknown::Quarantine).await;
    let job = seed::job(lane, campaign_id, 2);
    let ids = seed::admit(&store, &job).await;
    let counters = seed::ledger(&store, campaign_id).await;
    assert_eq!(counters, Counters { accepted: 2, cancelled: 2, ..Counters::default() });
    assert_eq!(seed::state(&store, ids[0]).await, DeliveryState::Cancelled);
    assert_eq!(seed::row(&store, ids[0]).await.settled_at_ms, Some(NOW_MS));
}

async fn nothing_admits_nothing(store: Store) {
    assert_eq!(store.admit_jobs(&[], NOW_US).await.unwrap(), []);
}
