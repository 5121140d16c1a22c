//! Operators' levers: what they hold back, until when, and that it is written down.

use std::time::Duration;

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::held_by::{Held, HeldBy};
use actiwapi_dispatcher::domain::id::{SessionId, TenantId, UserId};
use actiwapi_dispatcher::domain::lever::Lever;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::campaign_recall::Resolution;
use actiwapi_dispatcher::service::levers::NewSuspension;
use actiwapi_dispatcher::service::messages::NewText;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::{Actor, AuditRecord};
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::suspensions::Suspension;
use serde_json::json;

use super::front::{Front, fields};
use crate::support::db::store_contract;
use crate::support::seed::NOW_MS;

store_contract!(
    the_widest_lever_names_a_lanes_hold,
    a_lever_tells_whom_it_concerns,
    pulling_a_lever_twice_changes_only_why_and_until_when,
    what_is_asked_of_something_suspended_is_taken_and_held,
    what_is_over_holds_nothing_and_goes,
    every_problem_of_a_suspension_is_told,
    what_is_not_there_is_not_held,
    every_deed_is_written_down,
);

const OPERATOR: UserId = UserId(uuid::Uuid::from_u128(7));

fn actor() -> Actor {
    Actor { request_id: Some("request-1".to_owned()), ..Actor::user(OPERATOR) }
}

fn because(reason: &str) -> NewSuspension {
    NewSuspension { reason: reason.to_owned(), ..NewSuspension::default() }
}

async fn suspend(front: &Front, lever: Lever, new: NewSuspension) -> Suspension {
    front.services.levers.suspend(lever, new, (OPERATOR, &actor())).await.unwrap()
}

async fn resume(front: &Front, lever: Lever) {
    front.services.levers.resume(lever, &actor()).await.unwrap();
}

async fn held_by(front: &Front, session_id: SessionId) -> Option<HeldBy> {
    let alone = front.store.lane(session_id).await.unwrap().unwrap();
    let among_all = front.store.lanes().await.unwrap().into_iter().find(|row| row.session_id == session_id).unwrap();
    assert_eq!(alone, among_all, "both ways to read a lane agree");
    alone.suspension.map(|held| held.by)
}

async fn deeds(front: &Front) -> Vec<AuditRecord> {
    front.store.audit_log(PageRequest::default()).await.unwrap().items
}

async fn the_widest_lever_names_a_lanes_hold(store: Store) {
    let front = Front::new(store);
    let (tenant_id, other) = (front.tenant().await, front.tenant().await);
    let (session, bystander) = (front.connected_session(tenant_id).await, front.connected_session(other).await);
    assert_eq!(held_by(&front, session).await, None);
    let levers = [Lever::Lane(session), Lever::Session(session), Lever::Tenant(tenant_id), Lever::Everything];
    for lever in levers {
        suspend(&front, lever, because("maintenance")).await;
        assert_eq!(held_by(&front, session).await, Some(lever.held_by()));
    }
    assert_eq!(held_by(&front, bystander).await, Some(HeldBy::Stopped));
    for lever in levers.into_iter().rev() {
        assert_eq!(held_by(&front, session).await, Some(lever.held_by()));
        resume(&front, lever).await;
        assert_eq!(held_by(&front, bystander).await, None);
    }
    assert_eq!(held_by(&front, session).await, None);
}

async fn a_lever_tells_whom_it_concerns(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session = front.connected_session(tenant_id).await;
    front.notices();
    for (lever, notice) in [
        (Lever::Lane(session), Notice::SessionChanged(session)),
        (Lever::Session(session), Notice::SessionChanged(session)),
        (Lever::Tenant(tenant_id), Notice::TenantChanged(tenant_id)),
        (Lever::Everything, Notice::LanesChanged),
    ] {
        suspend(&front, lever, because("maintenance")).await;
        resume(&front, lever).await;
        resume(&front, lever).await;
        assert_eq!(front.notices(), [notice, notice], "nobody is told of what changed nothing");
    }
    let lanes = front.store.lanes_of_tenant(tenant_id).await.unwrap();
    assert_eq!(lanes.iter().map(|row| row.session_id).collect::<Vec<_>>(), [session]);
}

async fn pulling_a_lever_twice_changes_only_why_and_until_when(store: Store) {
    let front = Front::new(store);
    suspend(&front, Lever::Everything, because("an incident")).await;
    front.clock.advance(Duration::from_secs(60));
    let again = NewSuspension { for_seconds: Some(30), ..because(" a smaller incident ") };
    let again = suspend(&front, Lever::Everything, again).await;
    let until_ms = Some(NOW_MS + 90_000);
    assert_eq!((again.since_ms, again.until_ms, again.reason.as_str()), (NOW_MS, until_ms, "a smaller incident"));
    assert_eq!(front.store.suspensions(PageRequest::default()).await.unwrap().items, [again]);
    // Past its end it is a new one.
    front.clock.advance(Duration::from_secs(60));
    let new = suspend(&front, Lever::Everything, because("another incident")).await;
    assert_eq!((new.since_ms, new.until_ms), (NOW_MS + 120_000, None));
}

async fn what_is_asked_of_something_suspended_is_taken_and_held(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session_id = front.connected_session(tenant_id).await;
    let text = || NewText { session_id, to: "919800000001".to_owned(), text: "x".to_owned() };
    let campaigns = &front.services.campaigns;
    let levers = [Lever::Lane(session_id), Lever::Session(session_id), Lever::Tenant(tenant_id), Lever::Everything];
    for lever in levers {
        suspend(&front, lever, because("abuse")).await;
        front.services.messages.send_text(tenant_id, text()).await.unwrap();
        let id = front.campaign(tenant_id, &[session_id], 1).await;
        campaigns.start(tenant_id, id).await.unwrap();
        campaigns.pause(tenant_id, id).await.unwrap();
        campaigns.resume(tenant_id, id).await.unwrap();
        for row in front.store.outbox_next(10).await.unwrap() {
            let jobs = match row.job {
                Some(job) => vec![job],
                None => front.store.expand_campaign(row.campaign_id, 0, 10).await.unwrap().jobs,
            };
            front.store.admit_jobs(&jobs.iter().collect::<Vec<_>>(), NOW_MS * 1_000).await.unwrap();
            front.store.outbox_remove(&[row.outbox_id]).await.unwrap();
        }
        campaigns.retry_failed(tenant_id, id, None, (OPERATOR, &actor())).await.unwrap();
        campaigns.resolve_unknown(tenant_id, id, Resolution::Retry, (OPERATOR, &actor())).await.unwrap();
        let waiting = front.services.waiting.of_campaign(tenant_id, id).await.unwrap().unwrap();
        assert_eq!(waiting.by, lever.held_by());
        resume(&front, lever).await;
        let waiting = front.services.waiting.of_campaign(tenant_id, id).await.unwrap().unwrap();
        assert_ne!(waiting.by, lever.held_by());
    }
}

async fn what_is_over_holds_nothing_and_goes(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session = front.connected_session(tenant_id).await;
    let over = |lever| Suspension {
        lever,
        reason: "maintenance".to_owned(),
        suspended_by: OPERATOR,
        since_ms: 1_000,
        until_ms: Some(2_000),
    };
    front.store.suspend(&over(Lever::Everything), &actor()).await.unwrap();
    front.store.suspend(&over(Lever::Session(session)), &actor()).await.unwrap();
    let until = Moment::from_ms(NOW_MS + 5_000);
    suspend(&front, Lever::Lane(session), NewSuspension { until: Some(until), ..because("maintenance") }).await;
    let held = Held { by: HeldBy::LaneSuspended, since: Moment::from_ms(NOW_MS), until: Some(until) };
    assert_eq!(front.store.lane(session).await.unwrap().unwrap().suspension, Some(held));
    assert_eq!(front.store.suspensions(PageRequest::default()).await.unwrap().total, 1);
    front.notices();
    front.services.levers.end_overdue().await.unwrap();
    let mut told = front.notices();
    told.sort_by_key(|notice| format!("{notice:?}"));
    assert_eq!(told, [Notice::LanesChanged, Notice::SessionChanged(session)]);
    front.services.levers.end_overdue().await.unwrap();
    assert_eq!(front.notices(), [], "once");
    let by_system: Vec<_> = deeds(&front).await.into_iter().filter(|record| record.actor == Actor::SYSTEM).collect();
    assert_eq!(by_system.len(), 2);
    assert!(by_system.iter().all(|record| record.deed.action.ends_with(".resumed")));
}

async fn every_problem_of_a_suspension_is_told(store: Store) {
    let front = Front::new(store);
    let at = |ms| Some(Moment::from_ms(NOW_MS + ms));
    for (new, expected) in [
        (NewSuspension { until: at(0), ..because("") }, vec!["reason", "until"]),
        (NewSuspension { until: at(400 * 86_400_000), ..because("x\ny") }, vec!["reason", "until"]),
        (NewSuspension { for_seconds: Some(0), ..because(&"x".repeat(201)) }, vec!["reason", "forSeconds"]),
        (NewSuspension { for_seconds: Some(u64::MAX), ..because("x") }, vec!["forSeconds"]),
        (NewSuspension { until: at(1), for_seconds: Some(1), ..because("x") }, vec!["forSeconds"]),
    ] {
        assert_eq!(fields(front.services.levers.suspend(Lever::Everything, new, (OPERATOR, &actor())).await), expected);
    }
    assert_eq!(deeds(&front).await, []);
}

async fn what_is_not_there_is_not_held(store: Store) {
    let front = Front::new(store);
    let session = SessionId::generate();
    for lever in [Lever::Lane(session), Lever::Session(session), Lever::Tenant(TenantId::generate())] {
        let suspended = front.services.levers.suspend(lever, because("x"), (OPERATOR, &actor())).await;
        assert!(matches!(suspended, Err(Error::NotFound(_))), "{suspended:?}");
        let resumed = front.services.levers.resume(lever, &actor()).await;
        assert!(matches!(resumed, Err(Error::NotFound(_))), "{resumed:?}");
    }
    assert_eq!(deeds(&front).await, []);
}

async fn every_deed_is_written_down(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session = front.connected_session(tenant_id).await;
    suspend(&front, Lever::Lane(session), NewSuspension { for_seconds: Some(1), ..because("maintenance") }).await;
    resume(&front, Lever::Lane(session)).await;
    resume(&front, Lever::Lane(session)).await;
    suspend(&front, Lever::Everything, because("an incident")).await;
    let found: Vec<_> = deeds(&front).await;
    let shown: Vec<_> = found
        .iter()
        .map(|record| (record.deed.action.as_str(), record.deed.subject.clone(), record.deed.tenant_id))
        .collect();
    assert_eq!(
        shown,
        [
            ("everything.suspended", "everything".to_owned(), None),
            ("lane.resumed", session.to_string(), Some(tenant_id)),
            ("lane.suspended", session.to_string(), Some(tenant_id)),
        ]
    );
    assert!(found.iter().all(|record| record.actor == actor() && record.at_ms == NOW_MS));
    assert_eq!(found[2].deed.details, json!({ "reason": "maintenance", "untilMs": NOW_MS + 1_000 }));
}
