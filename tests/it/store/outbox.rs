//! Contracts of the outbox and of the jobs that a campaign makes.

use std::collections::HashSet;

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::CampaignId;
use actiwapi_dispatcher::domain::job::Job;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::outbox::OutboxRow;

use crate::support::db::store_contract;
use crate::support::seed::{self, NOW_MS, NOW_US};

store_contract!(
    rows_come_oldest_first_and_go_when_removed,
    what_was_handed_on_is_not_handed_on_again,
    a_message_is_found_at_every_step,
    progress_never_goes_back,
    a_campaign_is_spread_over_its_sessions,
    the_same_window_makes_the_same_jobs,
    a_campaign_without_anything_is_finished,
);

async fn rows_come_oldest_first_and_go_when_removed(store: Store) {
    let lane = seed::lane(&store).await;
    let job = seed::job(lane, CampaignId::DIRECT, 1);
    let campaign_id = CampaignId::generate();
    let first = seed::outbox(&store, CampaignId::DIRECT, Some(&job)).await;
    let second = seed::outbox(&store, campaign_id, None).await;
    let third = seed::outbox(&store, campaign_id, None).await;
    let rows = store.outbox_next(2).await.unwrap();
    let direct =
        OutboxRow { outbox_id: first, campaign_id: CampaignId::DIRECT, job: Some(job), next_seq: 0, below_seq: None };
    assert_eq!(rows, [direct, OutboxRow { outbox_id: second, campaign_id, job: None, next_seq: 0, below_seq: None }]);
    for _ in 0..2 {
        store.outbox_remove(&[first, second]).await.unwrap();
        let left: Vec<_> = store.outbox_next(10).await.unwrap().iter().map(|row| row.outbox_id).collect();
        assert_eq!(left, [third]);
    }
    store.outbox_remove(&[]).await.unwrap();
}

async fn what_was_handed_on_is_not_handed_on_again(store: Store) {
    let lane = seed::lane(&store).await;
    let job = seed::job(lane, CampaignId::DIRECT, 1);
    let first = seed::outbox(&store, CampaignId::DIRECT, Some(&job)).await;
    let campaign = seed::outbox(&store, CampaignId::generate(), None).await;
    let second = seed::outbox(&store, CampaignId::DIRECT, Some(&job)).await;
    for _ in 0..2 {
        store.outbox_hand_on(&[campaign, first], NOW_MS + 1).await.unwrap();
        let next: Vec<_> = store.outbox_next(2).await.unwrap().iter().map(|row| row.outbox_id).collect();
        assert_eq!(next, [campaign, second], "a campaign goes on until its last window");
    }
    store.outbox_hand_on(&[first], NOW_MS + 2).await.unwrap();
    let since = format!("outbox WHERE handed_on_at_ms = {}", NOW_MS + 1);
    assert_eq!(seed::count(&store, &since).await, 1, "the first time counts");
    store.outbox_remove(&[first]).await.unwrap();
    store.outbox_hand_on(&[first], NOW_MS).await.unwrap();
    assert_eq!(seed::count(&store, "outbox").await, 2);
}

async fn a_message_is_found_at_every_step(store: Store) {
    let lane = seed::lane(&store).await;
    let job = seed::job(lane, CampaignId::DIRECT, 1);
    let id = job.deliveries[0].id;
    let find = async || {
        let found = store.messages().find(lane.tenant_id, id).await.unwrap().expect("it is found");
        assert_eq!((found.id, found.state, &found.recipient), (id, DeliveryState::Pending, &job.deliveries[0].to));
    };
    store.messages().insert(std::slice::from_ref(&job), NOW_MS).await.unwrap().unwrap();
    find().await;
    store.outbox_hand_on(&[id.0], NOW_MS).await.unwrap();
    find().await;
    let stranger = seed::lane(&store).await.tenant_id;
    assert_eq!(store.messages().find(stranger, id).await.unwrap(), None);
    let mut foreign = job.clone();
    foreign.tenant_id = stranger;
    store.admit_jobs(&[&foreign], NOW_US).await.unwrap();
    assert_eq!(seed::count(&store, "outbox").await, 1, "a refused job takes nothing away");
    store.admit_jobs(&[&job], NOW_US).await.unwrap();
    assert_eq!(seed::count(&store, "outbox").await, 0);
    find().await;
    // The broker delivers it once more.
    store.messages().insert(std::slice::from_ref(&job), NOW_MS).await.unwrap().unwrap();
    store.admit_jobs(&[&job], NOW_US).await.unwrap();
    assert_eq!((seed::count(&store, "outbox").await, seed::count(&store, "deliveries").await), (0, 1));
}

async fn progress_never_goes_back(store: Store) {
    let outbox_id = seed::outbox(&store, CampaignId::generate(), None).await;
    for (next_seq, expected) in [(500, 500), (200, 500), (501, 501)] {
        store.outbox_advance(outbox_id, next_seq).await.unwrap();
        assert_eq!(store.outbox_next(1).await.unwrap()[0].next_seq, expected);
    }
}

async fn a_campaign_is_spread_over_its_sessions(store: Store) {
    let lane = seed::lane(&store).await;
    let lanes = [lane, seed::another_lane(&store, lane.tenant_id).await];
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Resend).await;
    seed::recipients(&store, campaign_id, &lanes, 1_205).await;
    let expansion = store.expand_campaign(campaign_id, 0, 2_000).await.unwrap();
    assert_eq!((expansion.next_seq, expansion.finished), (1_205, true));
    let shares: Vec<_> = expansion.jobs.iter().map(|job| (job.session_id, job.deliveries.len())).collect();
    let [even, odd] = lanes.map(|lane| lane.session_id);
    assert_eq!(shares, [(even, 500), (odd, 500), (even, 103), (odd, 102)]);
    let recipients: HashSet<_> =
        expansion.jobs.iter().flat_map(|job| &job.deliveries).map(|delivery| delivery.to.as_str().to_owned()).collect();
    assert_eq!(recipients.len(), 1_205);
    let job = &expansion.jobs[0];
    assert_eq!((job.campaign_id, job.tenant_id), (Some(campaign_id), lane.tenant_id));
    assert_eq!((job.on_unknown, &job.message), (OnUnknown::Resend, &seed::text()));
    assert_eq!(job.deliveries[1].to.as_str(), "919800000002", "every second recipient");
    assert_eq!(job.deliveries[0].variables.get("name"), Some("Ana"));
    assert_eq!(Job::decode(&job.encode().unwrap()).unwrap(), *job);
}

async fn the_same_window_makes_the_same_jobs(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    seed::recipients(&store, campaign_id, &[lane], 250).await;
    let mut next_seq = 0;
    let mut n_windows = 0;
    loop {
        let expansion = store.expand_campaign(campaign_id, next_seq, 100).await.unwrap();
        // The process died before it noted its progress.
        assert_eq!(store.expand_campaign(campaign_id, next_seq, 100).await.unwrap(), expansion);
        for job in expansion.jobs.iter().chain(&expansion.jobs) {
            store.admit_jobs(&[job], NOW_US).await.unwrap();
        }
        next_seq = expansion.next_seq;
        n_windows += 1;
        if expansion.finished {
            break;
        }
    }
    assert_eq!((next_seq, n_windows), (250, 3));
    assert_eq!(seed::ledger(&store, campaign_id).await.accepted, 250);
    assert_eq!(seed::count(&store, "jobs").await, 3);
    let ids = "deliveries d JOIN campaign_recipients r ON r.recipient_id = d.delivery_id";
    assert_eq!(seed::count(&store, ids).await, 250);
    let turned = format!(
        "{ids} JOIN deliveries e ON d.seq < e.seq \
         JOIN campaign_recipients s ON s.recipient_id = e.delivery_id AND s.seq < r.seq"
    );
    assert_eq!(seed::count(&store, &turned).await, 0, "places are in the order of the recipients");
}

async fn a_campaign_without_anything_is_finished(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = seed::campaign(&store, lane.tenant_id, CampaignState::Running, OnUnknown::Quarantine).await;
    for campaign_id in [campaign_id, CampaignId::generate()] {
        let expansion = store.expand_campaign(campaign_id, 0, 100).await.unwrap();
        assert_eq!((expansion.jobs.len(), expansion.finished), (0, true));
    }
}
