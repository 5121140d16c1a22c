//! Contracts of [`Store::admit_jobs`]: which jobs it refuses, and that it refuses them whole.

use actiwapi_dispatcher::domain::campaign::{CampaignState, Counters, OnUnknown};
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, JobId, SessionId};
use actiwapi_dispatcher::domain::job::Job;
use actiwapi_dispatcher::domain::message::MessageSpec;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::admissions::Refusal;
use actiwapi_dispatcher::with_writer;
use time::OffsetDateTime;

use crate::support::db::{on_postgres, store_contract};
use crate::support::seed::{self, NOW_MS, NOW_US};

store_contract!(
    jobs_of_strange_sessions_are_refused,
    jobs_of_strange_campaigns_are_refused,
    expired_jobs_are_refused_unless_a_campaign_counts_on_them,
    an_id_with_another_content_refuses_the_whole_job,
    every_difference_of_content_is_noticed,
    a_batch_that_contradicts_itself_keeps_what_came_first,
    a_refused_job_refuses_nobody_else,
    a_job_with_another_message_under_the_same_id_is_refused,
    a_delivery_from_before_fingerprints_is_the_same,
);

/// Admits and returns how many deliveries were new and why jobs were refused.
async fn admit(store: &Store, jobs: &[&Job]) -> Vec<(usize, Option<Refusal>)> {
    let admitted = store.admit_jobs(jobs, NOW_US).await.unwrap();
    assert!(admitted.iter().all(|a| a.streams.is_empty() == a.refused.is_some()), "{admitted:?}");
    admitted.iter().map(|a| (a.n_new, a.refused)).collect()
}

async fn jobs_of_strange_sessions_are_refused(store: Store) {
    let (lane, stranger) = (seed::lane(&store).await, seed::lane(&store).await);
    let campaign_id = CampaignId::generate();
    let good = seed::job(lane, campaign_id, 2);
    let foreign = seed::job(seed::Lane { tenant_id: stranger.tenant_id, ..lane }, campaign_id, 2);
    let nowhere = seed::job(seed::Lane { session_id: SessionId::generate(), ..lane }, campaign_id, 2);
    let expected = [(0, Some(Refusal::ForeignTenant)), (2, None), (0, Some(Refusal::UnknownSession))];
    assert_eq!(admit(&store, &[&foreign, &good, &nowhere]).await, expected);
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 2);
    for (table, n) in [("jobs", 1), ("deliveries", 2), ("lane_streams", 1)] {
        assert_eq!(seed::count(&store, table).await, n, "{table}");
    }
}

async fn jobs_of_strange_campaigns_are_refused(store: Store) {
    let (lane, stranger) = (seed::lane(&store).await, seed::lane(&store).await);
    let theirs = seed::campaign(&store, stranger.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let ours = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let jobs = [theirs, ours, CampaignId::generate()].map(|campaign_id| seed::job(lane, campaign_id, 1));
    let expected = [(0, Some(Refusal::ForeignTenant)), (1, None), (1, None)];
    assert_eq!(admit(&store, &[&jobs[0], &jobs[1], &jobs[2]]).await, expected);
    assert_eq!(seed::ledger(&store, theirs).await, Counters::default());
}

async fn expired_jobs_are_refused_unless_a_campaign_counts_on_them(store: Store) {
    let lane = seed::lane(&store).await;
    let ours = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let job = |campaign_id, expires_at_ms: i64| {
        let nanos = i128::from(expires_at_ms) * 1_000_000;
        let expires_at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap();
        Job { expires_at: Some(expires_at), ..seed::job(lane, campaign_id, 1) }
    };
    let foreign = CampaignId::generate();
    let jobs = [job(foreign, NOW_MS), job(foreign, NOW_MS + 1), job(CampaignId::DIRECT, 0), job(ours, NOW_MS - 1)];
    let expected = [(0, Some(Refusal::Expired)), (1, None), (0, Some(Refusal::Expired)), (1, None)];
    assert_eq!(admit(&store, &[&jobs[0], &jobs[1], &jobs[2], &jobs[3]]).await, expected);
    assert_eq!(seed::ledger(&store, ours).await.pending, 1, "its lane skips it");
}

async fn an_id_with_another_content_refuses_the_whole_job(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let known = seed::job(lane, campaign_id, 3);
    seed::admit(&store, &known).await;
    let (before, after) = (seed::job(lane, campaign_id, 2), seed::job(lane, CampaignId::generate(), 2));
    let mut strange = seed::job(lane, CampaignId::generate(), 5);
    strange.deliveries[3].id = known.deliveries[1].id;
    let refused = (0, Some(Refusal::ConflictingId));
    for expected in [[(2, None), refused, (0, None), (2, None)], [(0, None), refused, (0, None), (0, None)]] {
        assert_eq!(admit(&store, &[&before, &strange, &known, &after]).await, expected);
    }
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 5);
    for (table, n) in [("jobs", 3), ("deliveries", 7), ("lane_streams", 2)] {
        assert_eq!(seed::count(&store, table).await, n, "{table}: nothing of the refused job is there");
    }
}

async fn every_difference_of_content_is_noticed(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let known = seed::job(lane, campaign_id, 1);
    seed::admit(&store, &known).await;
    let other_lane = seed::another_lane(&store, lane.tenant_id).await;
    let changes: [&dyn Fn(&mut Job); 5] = [
        &|job| job.session_id = other_lane.session_id,
        &|job| job.campaign_id = None,
        &|job| job.on_unknown = OnUnknown::Resend,
        &|job| job.message = MessageSpec::Text { text: "Other".to_owned() },
        &|job| job.deliveries[0].variables.insert("name", "Ana".to_owned()).unwrap(),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut job = known.clone();
        job.job_id = JobId::generate();
        change(&mut job);
        assert_eq!(admit(&store, &[&job]).await, [(0, Some(Refusal::ConflictingId))], "change {n}");
    }
    assert_eq!((seed::count(&store, "jobs").await, seed::count(&store, "lane_streams").await), (1, 1));
}

async fn a_batch_that_contradicts_itself_keeps_what_came_first(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let first = seed::job(lane, campaign_id, 2);
    let mut second = seed::job(lane, campaign_id, 2);
    second.deliveries[0].id = first.deliveries[0].id;
    second.deliveries[0].to = first.deliveries[1].to.clone();
    let mut alone = seed::job(lane, campaign_id, 2);
    alone.deliveries[1].id = alone.deliveries[0].id;
    let refused = (0, Some(Refusal::ConflictingId));
    assert_eq!(admit(&store, &[&first, &second, &alone]).await, [(2, None), refused, refused]);
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 2);
}

/// What a job would have contradicted does not count once that is refused itself.
async fn a_refused_job_refuses_nobody_else(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let known = seed::job(lane, campaign_id, 1);
    seed::admit(&store, &known).await;
    let mut strange = seed::job(lane, campaign_id, 2);
    strange.message = MessageSpec::Text { text: "Other".to_owned() };
    strange.deliveries[0].id = known.deliveries[0].id;
    let mut good = seed::job(lane, campaign_id, 1);
    good.deliveries[0].id = strange.deliveries[1].id;
    assert_eq!(admit(&store, &[&strange, &good]).await, [(0, Some(Refusal::ConflictingId)), (1, None)]);
}

async fn a_job_with_another_message_under_the_same_id_is_refused(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let known = seed::job(lane, campaign_id, 1);
    seed::admit(&store, &known).await;
    let grown = Job { job_id: known.job_id, ..seed::job(lane, campaign_id, 1) };
    assert_eq!(admit(&store, &[&grown]).await, [(1, None)], "the same terms for one more");
    let mut other = Job { job_id: known.job_id, ..seed::job(lane, campaign_id, 1) };
    other.message = MessageSpec::Text { text: "Other".to_owned() };
    let new = seed::job(lane, campaign_id, 1);
    let also_new = Job { message: other.message.clone(), job_id: new.job_id, ..seed::job(lane, campaign_id, 1) };
    let refused = (0, Some(Refusal::ConflictingId));
    assert_eq!(admit(&store, &[&other, &new, &also_new]).await, [refused, (1, None), refused]);
}

async fn a_delivery_from_before_fingerprints_is_the_same(store: Store) {
    let lane = seed::lane(&store).await;
    let mut job = seed::job(lane, CampaignId::generate(), 1);
    seed::admit(&store, &job).await;
    assert_eq!(seed::count(&store, "deliveries WHERE fingerprint IS NOT NULL").await, 1);
    with_writer!(store.pool(), |db| {
        sqlx::query("UPDATE deliveries SET fingerprint = NULL").execute(db).await.map(drop)
    })
    .unwrap();
    job.deliveries[0].to = seed::job(lane, CampaignId::DIRECT, 2).deliveries[1].to.clone();
    assert_eq!(admit(&store, &[&job]).await, [(0, None)]);
}

/// Two nodes at once bring the same ids for different streams, in opposite orders.
#[tokio::test]
async fn contradictions_at_once_end_with_one_of_both() {
    on_postgres(async |store: Store| {
        let lane = seed::lane(&store).await;
        let lanes = [lane, seed::another_lane(&store, lane.tenant_id).await];
        for round in 0..20 {
            let campaign_id = CampaignId::generate();
            let ids: Vec<_> = (0..60).map(|_| DeliveryId::generate()).collect();
            let batches = lanes.map(|lane| {
                let mut jobs = [seed::job(lane, campaign_id, 30), seed::job(lane, campaign_id, 30)];
                jobs.iter_mut()
                    .flat_map(|job| &mut job.deliveries)
                    .zip(&ids)
                    .for_each(|(delivery, id)| delivery.id = *id);
                if lane.session_id == lanes[1].session_id {
                    jobs.reverse();
                    jobs.iter_mut().for_each(|job| job.deliveries.reverse());
                }
                jobs
            });
            let admit = async |batch: &[Job; 2]| admit(&store, &[&batch[0], &batch[1]]).await;
            let (one, other) = tokio::join!(admit(&batches[0]), admit(&batches[1]));
            let n_new: usize = one.iter().chain(&other).map(|(n_new, _)| n_new).sum();
            assert_eq!(n_new, 60, "round {round}: {one:?}, {other:?}");
            assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 60);
        }
    })
    .await;
}
