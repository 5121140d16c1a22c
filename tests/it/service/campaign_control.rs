//! The life cycle of a campaign: idempotent, safe at once, and in step with the outbox.

use std::time::Duration;

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, TenantId};
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::campaigns::NewCampaign;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::campaign_stats::CampaignStats;
use actiwapi_dispatcher::store::campaigns::CampaignRecord;

use super::front::{Front, campaign, conflict, recipients};
use crate::support::db::store_contract;
use crate::support::seed::{NOW_MS, NOW_US, count, ledger, set_campaign_state};

store_contract!(
    starting_fills_the_outbox_once,
    a_start_without_recipients_or_sessions_is_refused,
    two_starts_at_once_make_one_row,
    start_and_cancel_at_once_leave_nothing_to_send,
    pause_and_resume_are_idempotent,
    every_state_answers_every_action,
    cancelling_takes_everything_back,
    deliveries_of_a_running_campaign_are_not_cancelled,
    numbers_of_a_campaign_add_up,
);

async fn running(front: &Front, tenant_id: TenantId, n_recipients: u64) -> CampaignId {
    let sessions = [front.connected_session(tenant_id).await, front.connected_session(tenant_id).await];
    let id = front.campaign(tenant_id, &sessions, n_recipients).await;
    front.services.campaigns.start(tenant_id, id).await.unwrap();
    id
}

/// Does what the intake does: turns recipients into deliveries.
async fn admit(front: &Front, id: CampaignId, n_recipients: u32) {
    let expansion = front.store.expand_campaign(id, 0, n_recipients).await.unwrap();
    for job in &expansion.jobs {
        front.store.admit_jobs(&[job], NOW_US).await.unwrap();
    }
}

async fn starting_fills_the_outbox_once(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 3).await;
    front.notices();
    for _ in 0..2 {
        let started = front.services.campaigns.start(tenant_id, id).await.unwrap();
        assert_eq!((started.state, started.started_at_ms), (CampaignState::Running, Some(NOW_MS)));
        assert_eq!(started.stats(), CampaignStats { total: 3, queued: 3, ..CampaignStats::default() });
    }
    assert_eq!(front.notices(), [Notice::CampaignChanged(id), Notice::OutboxWritten]);
    let rows = front.store.outbox_next(10).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.campaign_id, row.next_seq)).collect::<Vec<_>>(), [(id, 0)]);
    assert!(rows[0].job.is_none());
}

async fn a_start_without_recipients_or_sessions_is_refused(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let start = async |id| conflict(front.services.campaigns.start(tenant_id, id).await);
    let connected = front.connected_session(tenant_id).await;
    let disconnected = front.session(tenant_id).await;

    let empty = front.campaign(tenant_id, &[connected], 0).await;
    assert_eq!(start(empty).await, "The campaign has no recipients.");
    let offline = front.campaign(tenant_id, &[disconnected], 1).await;
    assert_eq!(start(offline).await, "None of the campaign's sessions is connected.");
    let expires_at = Some(Moment::from_ms(NOW_MS + 1));
    let new = NewCampaign { expires_at, recipients: recipients(0..1), ..campaign(&[connected]) };
    let (late, _) = front.services.campaigns.create(tenant_id, new).await.unwrap();
    front.clock.advance(Duration::from_millis(1));
    assert_eq!(start(late.id).await, "The campaign has expired.");
    assert_eq!(count(&front.store, "outbox").await, 0);

    let one_of_two = front.campaign(tenant_id, &[disconnected, connected], 1).await;
    front.services.campaigns.start(tenant_id, one_of_two).await.unwrap();
}

async fn two_starts_at_once_make_one_row(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    for _ in 0..5 {
        let id = front.campaign(tenant_id, &[own], 2).await;
        front.notices();
        let campaigns = front.services.campaigns.clone();
        let (a, b, c) = tokio::join!(
            campaigns.start(tenant_id, id),
            campaigns.start(tenant_id, id),
            campaigns.start(tenant_id, id)
        );
        for started in [a, b, c] {
            assert_eq!(started.unwrap().state, CampaignState::Running);
        }
        assert_eq!(front.notices(), [Notice::CampaignChanged(id), Notice::OutboxWritten]);
    }
    assert_eq!(count(&front.store, "outbox").await, 5);
}

async fn start_and_cancel_at_once_leave_nothing_to_send(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let mut n_started = 0;
    for turn in 0..20 {
        let id = front.campaign(tenant_id, &[own], 2).await;
        let campaigns = &front.services.campaigns;
        let (started, cancelled) = if turn % 2 == 0 {
            tokio::join!(campaigns.start(tenant_id, id), campaigns.cancel(tenant_id, id))
        } else {
            let (cancelled, started) = tokio::join!(campaigns.cancel(tenant_id, id), campaigns.start(tenant_id, id));
            (started, cancelled)
        };
        assert_eq!(cancelled.unwrap().state, CampaignState::Cancelled);
        n_started += usize::from(started.is_ok());
        if let Err(error) = started {
            assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
        }
        let found = front.store.campaigns().find(tenant_id, id).await.unwrap().unwrap();
        assert_eq!(found.state, CampaignState::Cancelled);
        assert_eq!(found.stats(), CampaignStats { total: 2, cancelled: 2, ..CampaignStats::default() });
    }
    assert_eq!(count(&front.store, "outbox").await, 0, "after {n_started} starts");
}

async fn pause_and_resume_are_idempotent(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = running(&front, tenant_id, 2).await;
    front.notices();
    let campaigns = front.services.campaigns.clone();
    for _ in 0..2 {
        assert_eq!(campaigns.pause(tenant_id, id).await.unwrap().state, CampaignState::Paused);
    }
    assert_eq!(front.notices(), [Notice::CampaignChanged(id)]);
    for _ in 0..2 {
        let resumed = campaigns.resume(tenant_id, id).await.unwrap();
        assert_eq!((resumed.state, resumed.started_at_ms), (CampaignState::Running, Some(NOW_MS)));
    }
    assert_eq!(front.notices(), [Notice::CampaignChanged(id), Notice::OutboxWritten]);
    assert_eq!(count(&front.store, "outbox").await, 1);
}

/// One line per state, one column per action; `409` where the state refuses.
async fn every_state_answers_every_action(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let mut table = String::new();
    for state in CampaignState::ALL {
        table += &format!("{:9}", state.as_str());
        for action in 0..4 {
            let id = front.campaign(tenant_id, &[own], 1).await;
            set_campaign_state(&front.store, id, state).await;
            let campaigns = &front.services.campaigns;
            let answer: Result<CampaignRecord, Error> = match action {
                0 => campaigns.start(tenant_id, id).await,
                1 => campaigns.pause(tenant_id, id).await,
                2 => campaigns.resume(tenant_id, id).await,
                _ => campaigns.cancel(tenant_id, id).await,
            };
            let word = match answer {
                Ok(record) => record.state.as_str(),
                Err(Error::Conflict { .. }) => "409",
                Err(error) => panic!("{error:?}"),
            };
            table += &format!(" {word:9}");
        }
        table = table.trim_end().to_owned() + "\n";
    }
    assert_eq!(
        table,
        "\
draft     running   409       409       cancelled
scheduled running   draft     409       cancelled
running   running   paused    running   cancelled
paused    409       paused    running   cancelled
completed 409       409       409       409
cancelled 409       409       409       cancelled
failed    409       409       409       409
"
    );
}

async fn cancelling_takes_everything_back(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = running(&front, tenant_id, 2_600).await;
    admit(&front, id, 2_500).await;
    assert!(1 < count(&front.store, "deliveries WHERE state = 'pending'").await);
    let campaigns = &front.services.campaigns;
    for _ in 0..2 {
        let cancelled = campaigns.cancel(tenant_id, id).await.unwrap();
        assert_eq!((cancelled.state, cancelled.finished_at_ms), (CampaignState::Cancelled, Some(NOW_MS)));
    }
    assert_eq!(count(&front.store, "outbox").await, 0);
    let n_admitted = u64::try_from(count(&front.store, "deliveries").await).unwrap();
    assert_eq!(campaigns.settle_cancelled().await.unwrap(), n_admitted);
    assert_eq!(campaigns.settle_cancelled().await.unwrap(), 0);
    let counters = ledger(&front.store, id).await;
    assert_eq!((counters.pending, counters.cancelled), (0, i64::try_from(n_admitted).unwrap()));
    let found = front.store.campaigns().find(tenant_id, id).await.unwrap().unwrap();
    assert_eq!(found.stats(), CampaignStats { total: 2_600, cancelled: 2_600, ..CampaignStats::default() });
}

async fn deliveries_of_a_running_campaign_are_not_cancelled(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = running(&front, tenant_id, 4).await;
    admit(&front, id, 4).await;
    assert_eq!(front.services.campaigns.settle_cancelled().await.unwrap(), 0);
    assert_eq!(ledger(&front.store, id).await.pending, 4);
}

async fn numbers_of_a_campaign_add_up(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let id = running(&front, tenant_id, 10).await;
    admit(&front, id, 6).await;
    let mut record = front.store.campaigns().find(tenant_id, id).await.unwrap().unwrap();
    assert_eq!(record.on_unknown, OnUnknown::Quarantine);
    for state in DeliveryState::ALL {
        *record.counters.of_mut(state, None) = 1;
    }
    for state in CampaignState::ALL {
        record.state = state;
        let stats = record.stats();
        let sum = stats.queued
            + stats.sending
            + stats.sent
            + stats.delivered
            + stats.read
            + stats.failed_limit
            + stats.failed_unavailable
            + stats.skipped
            + stats.cancelled
            + stats.unknown;
        let started = !matches!(state, CampaignState::Draft | CampaignState::Scheduled);
        assert_eq!(sum, if started { stats.total } else { 9 }, "{state:?}");
    }
}
