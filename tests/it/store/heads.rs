//! Contracts of [`Store::fetch_heads`] and [`Store::find_jobs`].

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown, PassOver};
use actiwapi_dispatcher::domain::id::{CampaignId, JobId};
use actiwapi_dispatcher::domain::job::TrafficClass;
use actiwapi_dispatcher::domain::message::MessageSpec;
use actiwapi_dispatcher::domain::message::template::TemplateSpec;
use actiwapi_dispatcher::domain::plan::OnLimit;
use actiwapi_dispatcher::store::fronts::FrontsOf;
use actiwapi_dispatcher::store::heads::{HeadRequest, JobRow};
use actiwapi_dispatcher::store::journal::{End, Ended, JournalBatch};
use actiwapi_dispatcher::store::{Store, StoreError};
use actiwapi_dispatcher::with_writer;
use time::OffsetDateTime;

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS};

store_contract!(
    heads_are_the_pending_ones_behind_the_place,
    requests_are_answered_in_their_order,
    nothing_is_read_of_a_campaign_that_does_not_run,
    a_deferred_delivery_says_when_it_is_due,
    attempts_that_are_no_tries_do_not_count,
    jobs_read_back_as_they_were_admitted,
    a_row_that_can_not_be_read_is_named,
    a_pace_that_can_not_be_read_concerns_one_campaign,
);

async fn heads_are_the_pending_ones_behind_the_place(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let ids = seed::admit(&store, &seed::job(lane, campaign_id, 6)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(&store, vec![entries.begin(ids[0], 1), entries.begin(ids[3], 1)]).await;
    let seqs = async |after_seq, limit| {
        let request = HeadRequest {
            session_id: lane.session_id,
            campaign_id,
            band: seed::band_of(campaign_id),
            after_seq,
            limit,
        };
        let heads = store.fetch_heads(&[request]).await.unwrap().remove(0);
        heads.iter().map(|head| head.seq - seed::place(0)).collect::<Vec<_>>()
    };
    assert_eq!(seqs(-1, 64).await, [1, 2, 4, 5]);
    assert_eq!(seqs(seed::place(1), 2).await, [2, 4]);
    assert!(seqs(seed::place(5), 64).await.is_empty());
    assert!(seqs(-1, 0).await.is_empty());
}

async fn requests_are_answered_in_their_order(store: Store) {
    let lane = seed::lane(&store).await;
    let other = seed::another_lane(&store, lane.tenant_id).await;
    let (first, second) = (CampaignId::generate(), CampaignId::generate());
    let here = seed::admit(&store, &seed::job(lane, first, 2)).await;
    let there = seed::admit(&store, &seed::job(other, second, 3)).await;
    let request = |lane: seed::Lane, campaign_id| HeadRequest {
        session_id: lane.session_id,
        campaign_id,
        band: seed::band_of(campaign_id),
        after_seq: -1,
        limit: 2,
    };
    let requests = [request(other, second), request(other, first), request(lane, first), request(other, second)];
    let heads = store.fetch_heads(&requests).await.unwrap();
    let ids: Vec<Vec<_>> = heads.iter().map(|heads| heads.iter().map(|head| head.delivery_id).collect()).collect();
    assert_eq!(ids, [there[..2].to_vec(), Vec::new(), here, there[..2].to_vec()]);
    assert!(heads[0].iter().all(|head| head.campaign_id == second && head.session_id == other.session_id));
    assert!(store.fetch_heads(&[]).await.unwrap().is_empty());
}

/// Whatever a lane was told, and in which order: it reads what it sends.
async fn nothing_is_read_of_a_campaign_that_does_not_run(store: Store) {
    let lane = seed::lane(&store).await;
    let ours = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    let foreign = CampaignId::generate();
    let ids = seed::admit(&store, &seed::job(lane, ours, 2)).await;
    let others = seed::admit(&store, &seed::job(lane, foreign, 2)).await;
    let request = |campaign_id| HeadRequest {
        session_id: lane.session_id,
        campaign_id,
        band: seed::band_of(campaign_id),
        after_seq: -1,
        limit: 64,
    };
    let read = async || {
        let heads = store.fetch_heads(&[request(ours), request(foreign)]).await.unwrap();
        heads.iter().map(|heads| heads.iter().map(|head| head.delivery_id).collect()).collect::<Vec<Vec<_>>>()
    };
    assert_eq!(read().await, [ids.clone(), others.clone()]);
    for state in [CampaignState::Paused, CampaignState::Cancelled] {
        seed::set_campaign_state(&store, ours, state).await;
        assert_eq!(read().await, [Vec::new(), others.clone()], "{state:?}");
    }
    seed::set_campaign_state(&store, ours, CampaignState::Running).await;
    assert_eq!(read().await, [ids, others]);
}

/// A newer version may have written what this one does not know.
async fn a_pace_that_can_not_be_read_concerns_one_campaign(store: Store) {
    let lane = seed::lane(&store).await;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
        let job = seed::job(lane, id, 1);
        seed::admit(&store, &job).await;
        jobs.push((id, job.job_id));
    }
    with_writer!(store.pool(), |db| {
        let text = "UPDATE campaigns SET pacing = '{\"mood\":\"calm\"}' WHERE campaign_id = $1";
        sqlx::query(text).bind(jobs[0].0.0).execute(db).await.map(drop)
    })
    .unwrap();
    let found = store.find_jobs(&[jobs[0].1, jobs[1].1]).await.unwrap();
    let readable = |job_id: JobId| found.iter().find(|row| row.job_id == job_id).unwrap().is_readable;
    assert_eq!((readable(jobs[0].1), readable(jobs[1].1)), (false, true));
    let fronts = store.fronts(FrontsOf::Sessions(&[lane.session_id])).await.unwrap();
    let readable: Vec<_> = fronts.iter().map(|front| (front.campaign_id, front.is_readable)).collect();
    assert_eq!(readable, [(jobs[0].0, false), (jobs[1].0, true)]);
}

async fn a_deferred_delivery_says_when_it_is_due(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let ids = seed::admit(&store, &seed::job(lane, campaign_id, 1)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(&store, vec![entries.begin(ids[0], 1)]).await;
    journal::end(&store, vec![entries.end(ids[0], 1, journal::deferred())]).await;
    let request = HeadRequest {
        session_id: lane.session_id,
        campaign_id,
        band: seed::band_of(campaign_id),
        after_seq: -1,
        limit: 1,
    };
    let head = store.fetch_heads(&[request]).await.unwrap().remove(0).remove(0);
    assert_eq!((head.n_attempts, head.due_at_ms), (1, NOW_MS + 5_000));
}

async fn attempts_that_are_no_tries_do_not_count(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let id = seed::admit(&store, &seed::job(lane, campaign_id, 1)).await[0];
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    let band = seed::band_of(campaign_id);
    let request = HeadRequest { session_id: lane.session_id, campaign_id, band, after_seq: -1, limit: 1 };
    let held = |attempt_no| End { is_try: false, ..entries.end(id, attempt_no, journal::deferred()) };
    let ends = [
        entries.end(id, 1, Ended::Withdrawn),
        entries.end(id, 2, journal::deferred()),
        held(3),
        entries.end(id, 4, journal::deferred()),
    ];
    let mut tries = Vec::new();
    for end in ends {
        journal::begin(&store, vec![entries.begin(id, end.attempt_no)]).await;
        for repeated in [false, true] {
            let batch = JournalBatch { repeated, ends: vec![end.clone()], ..JournalBatch::default() };
            journal::write(&store, batch).await;
        }
        let head = store.fetch_heads(&[request]).await.unwrap().remove(0).remove(0);
        tries.push((head.n_attempts, head.n_attempts - head.n_attempts_before));
    }
    assert_eq!(tries, [(1, 0), (2, 1), (3, 1), (4, 2)]);
}

async fn jobs_read_back_as_they_were_admitted(store: Store) {
    let lane = seed::lane(&store).await;
    let at = |ms: i64| OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap();
    let mut job = seed::job(lane, CampaignId::generate(), 1);
    job.not_before = Some(at(NOW_MS + 1));
    job.expires_at = Some(at(NOW_MS + 2));
    job.traffic_class = TrafficClass::Transactional;
    job.on_unknown = OnUnknown::Resend;
    job.message = MessageSpec::Template(TemplateSpec {
        name: "order_update".to_owned(),
        language: "en_US".to_owned(),
        parameters: vec!["{{name}}".to_owned()],
        ..TemplateSpec::default()
    });
    let other = seed::job(lane, CampaignId::DIRECT, 1);
    for job in [&job, &other] {
        seed::admit(&store, job).await;
    }
    let found = store.find_jobs(&[job.job_id, JobId::generate()]).await.unwrap();
    let expected = JobRow {
        job_id: job.job_id,
        tenant_id: lane.tenant_id,
        session_id: lane.session_id,
        campaign_id: job.campaign(),
        traffic_class: TrafficClass::Transactional,
        on_unknown: OnUnknown::Resend,
        on_limit: OnLimit::Hold,
        not_before_ms: Some(NOW_MS + 1),
        expires_at_ms: Some(NOW_MS + 2),
        message: job.message.clone(),
        is_readable: true,
        campaign_pacing: None,
        pass_over: PassOver::default(),
    };
    assert_eq!(found, [expected]);
    assert_eq!(store.find_jobs(&[other.job_id, job.job_id]).await.unwrap().len(), 2);
    assert!(store.find_jobs(&[]).await.unwrap().is_empty());
}

async fn a_row_that_can_not_be_read_is_named(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = CampaignId::generate();
    let ids = seed::admit(&store, &seed::job(lane, campaign_id, 1)).await;
    with_writer!(store.pool(), |db| {
        sqlx::query("UPDATE deliveries SET variables = '[1]'").execute(db).await.map(drop)
    })
    .unwrap();
    let request = HeadRequest {
        session_id: lane.session_id,
        campaign_id,
        band: seed::band_of(campaign_id),
        after_seq: -1,
        limit: 1,
    };
    let error = store.fetch_heads(&[request]).await.unwrap_err();
    let StoreError::Corrupt { table, column, row } = error else { panic!("{error}") };
    assert_eq!((table, column, row), ("deliveries", "variables", ids[0].to_string()));
}
