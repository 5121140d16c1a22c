//! Contracts of [`Store::admit_jobs`].

use actiwapi_dispatcher::domain::campaign::{CampaignState, Counters, OnUnknown};
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, SessionId, TenantId};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::admissions::{Admission, Refusal};
use actiwapi_dispatcher::store::heads::HeadRequest;

use crate::support::db::store_contract;
use crate::support::lanes::AllLanes;
use crate::support::seed::{self, NOW_MS};

store_contract!(
    jobs_become_pending_deliveries,
    a_job_again_changes_nothing,
    a_job_twice_in_one_call_counts_once,
    writers_at_once_persist_once,
    jobs_of_strange_sessions_are_refused,
    a_cancelled_campaign_takes_cancelled_deliveries,
    a_late_delivery_takes_its_stream_back,
    nothing_admits_nothing,
);

async fn jobs_become_pending_deliveries(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let (bulk, single) = (seed::job(lane, campaign_id, 3), seed::job(lane, CampaignId::DIRECT, 1));
    let admissions = [Admission { job: &bulk, first_seq: 40 }, Admission { job: &single, first_seq: 7 }];
    let admitted = store.admit_jobs(&admissions, NOW_MS).await.unwrap();
    assert_eq!(
        admitted.iter().map(|a| (a.job_id, a.n_new)).collect::<Vec<_>>(),
        [(bulk.job_id, 3), (single.job_id, 1)]
    );
    assert_eq!(admitted[1].campaign_id, CampaignId::DIRECT);
    assert!(admitted.iter().all(|a| a.refused.is_none() && a.session_id == lane.session_id));

    let request = HeadRequest { session_id: lane.session_id, campaign_id, after_seq: -1, limit: 10 };
    let heads = store.fetch_heads(&[request]).await.unwrap().remove(0);
    assert_eq!(heads.iter().map(|head| head.seq).collect::<Vec<_>>(), [40, 41, 42]);
    assert_eq!(heads[0].recipient, bulk.deliveries[0].to);
    assert_eq!(heads[0].variables, bulk.deliveries[0].variables);
    let counters = seed::ledger(&store, campaign_id).await;
    assert_eq!(counters, Counters { accepted: 3, pending: 3, ..Counters::default() });
    assert_eq!(seed::ledger(&store, CampaignId::DIRECT).await.pending, 1);
    assert_eq!(store.streams().await.unwrap().len(), 2);
}

async fn a_job_again_changes_nothing(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let job = seed::job(lane, campaign_id, 3);
    seed::admit(&store, &job).await;
    let streams = store.streams().await.unwrap();
    let again = store.admit_jobs(&[Admission { job: &job, first_seq: 500 }], NOW_MS + 1).await.unwrap();
    assert_eq!((again[0].n_new, again[0].refused), (0, None));
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 3);
    assert_eq!(store.streams().await.unwrap(), streams);
    assert_eq!(seed::count(&store, "jobs").await, 1);
    assert_eq!(seed::count(&store, "deliveries WHERE seq < 3").await, 3, "places stay as they were");
}

async fn a_job_twice_in_one_call_counts_once(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let job = seed::job(lane, campaign_id, 3);
    // Another job that names one of the same deliveries, and one of its own.
    let mut other = seed::job(lane, campaign_id, 1);
    other.deliveries.push(job.deliveries[1].clone());
    let admissions = [
        Admission { job: &job, first_seq: 0 },
        Admission { job: &job, first_seq: 0 },
        Admission { job: &other, first_seq: 9 },
    ];
    let admitted = store.admit_jobs(&admissions, NOW_MS).await.unwrap();
    assert_eq!(admitted.iter().map(|a| a.n_new).sum::<usize>(), 4);
    assert_eq!(admitted[1].n_new, 0);
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 4);
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
            let admissions: Vec<_> = jobs.iter().map(|job| Admission { job, first_seq: 0 }).collect();
            store.admit_jobs(&admissions, NOW_MS).await.unwrap().iter().map(|a| a.n_new).sum::<usize>()
        })
    });
    let n_new: usize = futures::future::try_join_all(writers).await.unwrap().into_iter().sum();
    assert_eq!(n_new, 300);
    assert_eq!(seed::ledger(&store, campaign_id).await.pending, 300);
}

async fn jobs_of_strange_sessions_are_refused(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let good = seed::job(lane, campaign_id, 2);
    let mut foreign = seed::job(lane, campaign_id, 2);
    foreign.tenant_id = TenantId::generate();
    let nowhere = seed::job(seed::Lane { session_id: SessionId::generate(), ..lane }, campaign_id, 2);
    let admissions = [&foreign, &good, &nowhere].map(|job| Admission { job, first_seq: 0 });
    let admitted = store.admit_jobs(&admissions, NOW_MS).await.unwrap();
    let refused: Vec<_> = admitted.iter().map(|a| (a.n_new, a.refused)).collect();
    assert_eq!(refused, [(0, Some(Refusal::UnknownSession)), (2, None), (0, Some(Refusal::UnknownSession))]);
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 2);
    assert_eq!(seed::count(&store, "jobs").await, 1);
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

async fn a_late_delivery_takes_its_stream_back(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let (first, late) = (seed::job(lane, campaign_id, 2), seed::job(lane, campaign_id, 1));
    store.admit_jobs(&[Admission { job: &first, first_seq: 10 }], NOW_MS).await.unwrap();
    assert_eq!(store.streams().await.unwrap()[0].done_below_seq, 10);
    store.admit_jobs(&[Admission { job: &late, first_seq: 4 }], NOW_MS).await.unwrap();
    assert_eq!(store.streams().await.unwrap()[0].done_below_seq, 4);
}

async fn nothing_admits_nothing(store: Store) {
    assert_eq!(store.admit_jobs(&[], NOW_MS).await.unwrap(), []);
}
