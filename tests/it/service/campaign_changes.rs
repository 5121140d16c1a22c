//! Campaigns that are changed, scheduled, copied and removed.

use std::time::Duration;

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::campaign::CampaignState;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, TenantId};
use actiwapi_dispatcher::domain::message::MessageSpec;
use actiwapi_dispatcher::domain::pacing::CampaignPacing;
use actiwapi_dispatcher::domain::safeguards::{Canary, Guardrails};
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::campaign_changes::CampaignPatch;
use actiwapi_dispatcher::service::campaign_copies::CopyForm;
use actiwapi_dispatcher::service::campaigns::NewCampaign;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::campaigns::{CampaignRecord, Schedule};
use actiwapi_dispatcher::store::page::PageRequest;

use super::front::{Front, campaign, conflict, fields, phone, recipients};
use crate::support::db::store_contract;
use crate::support::seed::{NOW_MS, count, set_campaign_state};

store_contract!(
    a_draft_changes_in_everything,
    what_runs_changes_in_what_is_safe,
    changes_are_checked_like_new_ones,
    a_scheduled_campaign_starts_once_when_it_is_due,
    times_are_set_and_taken_back,
    a_time_that_has_passed_is_made_up_for_within_a_day,
    what_can_not_start_says_why,
    copies_are_drafts,
    drafts_and_old_campaigns_are_removed,
    recipients_of_drafts_are_removed,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn at(wait: Duration) -> Schedule {
    let at_ms = (Moment::from_ms(NOW_MS) + wait).as_ms();
    Schedule { at_ms, time_zone: Some("Asia/Kolkata".to_owned()) }
}

/// Returns the field of a conflict and its message.
fn conflict_of<T: std::fmt::Debug>(result: Result<T, Error>) -> (Option<&'static str>, String) {
    match result {
        Err(Error::Conflict { message, field }) => (field, message.into_owned()),
        other => panic!("not a conflict: {other:?}"),
    }
}

async fn find(front: &Front, tenant_id: TenantId, id: CampaignId) -> CampaignRecord {
    front.store.campaigns().find(tenant_id, id).await.unwrap().unwrap()
}

async fn a_draft_changes_in_everything(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let (one, other) = (front.connected_session(tenant_id).await, front.connected_session(tenant_id).await);
    let id = front.campaign(tenant_id, &[one], 3).await;
    let pacing = CampaignPacing { rate_per_minute: Some(5.0), ..CampaignPacing::default() };
    let patch = CampaignPatch {
        name: Some(" Autumn ".to_owned()),
        session_ids: Some(vec![other, one]),
        message: Some(MessageSpec::Text { text: "Bye".to_owned() }),
        expires_at: Some(Some(Moment::from_ms(NOW_MS) + HOUR)),
        pacing: Some(pacing.clone()),
        failover: Some(true),
        guardrails: Some(Some(Guardrails::default())),
        respect_opt_in: Some(false),
        skip_duplicates_hours: Some(Some(24)),
        ..CampaignPatch::default()
    };
    let changed = front.services.campaigns.change(tenant_id, id, patch).await.unwrap();
    assert_eq!(changed, find(&front, tenant_id, id).await);
    assert_eq!((changed.name.as_str(), changed.n_recipients, changed.revision), ("Autumn", 3, 1));
    assert_eq!((changed.pacing, changed.safeguards.failover), (pacing, true));
    assert_eq!((changed.pass_over.opted_out, changed.pass_over.written_within_hours), (false, Some(24)));
    assert_eq!(front.store.campaigns().session_ids(tenant_id, id).await.unwrap(), [other, one]);

    // What is none stays, and an inner none takes back.
    let patch = CampaignPatch {
        expires_at: Some(None),
        guardrails: Some(None),
        skip_duplicates_hours: Some(None),
        ..CampaignPatch::default()
    };
    let changed = front.services.campaigns.change(tenant_id, id, patch).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.expires_at_ms, changed.revision), ("Autumn", None, 2));
    assert_eq!((changed.safeguards.guardrails, changed.pass_over.written_within_hours), (None, None));
    let same = front.services.campaigns.change(tenant_id, id, CampaignPatch::default()).await.unwrap();
    assert_eq!(same, changed, "nothing was written");
    front.services.campaigns.start(tenant_id, id).await.unwrap();
    let jobs = front.store.expand_campaign(id, 0, 10).await.unwrap().jobs;
    assert_eq!(jobs[0].message, MessageSpec::Text { text: "Bye".to_owned() });
}

async fn what_runs_changes_in_what_is_safe(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 2).await;
    front.services.campaigns.start(tenant_id, id).await.unwrap();
    let change = async |patch| front.services.campaigns.change(tenant_id, id, patch).await;
    let none = CampaignPatch::default;
    for state in [CampaignState::Running, CampaignState::Paused] {
        set_campaign_state(&front.store, id, state).await;
        let name = format!("It is {}", state.as_str());
        let guardrails = Guardrails { max_failure_rate: Some(0.1), ..Guardrails::default() };
        let patch = CampaignPatch { name: Some(name.clone()), guardrails: Some(Some(guardrails)), ..none() };
        let changed = change(patch).await.unwrap();
        assert_eq!((changed.state, changed.safeguards.guardrails), (state, Some(guardrails)));
        assert_eq!(changed, find(&front, tenant_id, id).await);

        let later = Some(Some(Moment::from_ms(NOW_MS) + HOUR));
        let pacing = CampaignPacing { rate_per_minute: Some(1.0), ..CampaignPacing::default() };
        for (field, patch) in [
            ("message", CampaignPatch { message: Some(MessageSpec::Text { text: "Other".to_owned() }), ..none() }),
            ("expiresAt", CampaignPatch { expires_at: later, ..none() }),
            ("pacing", CampaignPatch { pacing: Some(pacing), ..none() }),
            ("failover", CampaignPatch { failover: Some(true), ..none() }),
            ("respectOptIn", CampaignPatch { respect_opt_in: Some(false), ..none() }),
        ] {
            let told = format!("The campaign is {}; this can not be changed any more.", state.as_str());
            let patch = CampaignPatch { name: Some("Not this either".to_owned()), ..patch };
            assert_eq!(conflict_of(change(patch).await), (Some(field), told));
        }
        assert_eq!(conflict_of(change(CampaignPatch { scheduled_at: later, ..none() }).await).0, Some("scheduledAt"));
        assert_eq!(find(&front, tenant_id, id).await.name, name);
        // What is given as it is does no harm.
        let same = CampaignPatch { session_ids: Some(vec![own]), respect_opt_in: Some(true), ..none() };
        change(same).await.unwrap();
    }
    set_campaign_state(&front.store, id, CampaignState::Completed).await;
    let name = CampaignPatch { name: Some("Done".to_owned()), ..none() };
    assert_eq!(change(name).await.unwrap().name, "Done");
    let guardrails = CampaignPatch { guardrails: Some(None), ..none() };
    assert_eq!(conflict_of(change(guardrails).await).0, Some("guardrails"));
}

async fn changes_are_checked_like_new_ones(store: Store) {
    let front = Front::new(store);
    let (tenant_id, other) = (front.tenant().await, front.tenant().await);
    let (own, foreign) = (front.session(tenant_id).await, front.session(other).await);
    let id = front.campaign(tenant_id, &[own], 1).await;
    let patch = CampaignPatch {
        name: Some(String::new()),
        session_ids: Some(vec![own, foreign]),
        message: Some(MessageSpec::Text { text: "{{".to_owned() }),
        expires_at: Some(Some(Moment::from_ms(NOW_MS))),
        pacing: Some(CampaignPacing { rate_per_minute: Some(-1.0), ..CampaignPacing::default() }),
        guardrails: Some(Some(Guardrails { min_sample: 0, ..Guardrails::default() })),
        skip_duplicates_hours: Some(Some(0)),
        time_zone: Some(Some("Asia/Kolkata".to_owned())),
        ..CampaignPatch::default()
    };
    let wrong = fields(front.services.campaigns.change(tenant_id, id, patch).await);
    let expected = [
        "name",
        "sessionIds[1]",
        "message",
        "expiresAt",
        "pacing.ratePerMinute",
        "guardrails.minSample",
        "skipDuplicatesHours",
        "timezone",
    ];
    assert_eq!(wrong, expected);
    assert_eq!(find(&front, tenant_id, id).await.revision, 0);
}

async fn a_scheduled_campaign_starts_once_when_it_is_due(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let new = NewCampaign { schedule: Some(at(HOUR)), recipients: recipients(0..3), ..campaign(&[own]) };
    let made = front.services.campaigns.create(tenant_id, new).await.unwrap().0;
    assert_eq!((made.state, made.schedule.clone(), made.n_recipients), (CampaignState::Scheduled, Some(at(HOUR)), 3));
    let campaigns = &front.services.campaigns;
    campaigns.start_due().await.unwrap();
    front.clock.advance(HOUR - Duration::from_millis(1));
    campaigns.start_due().await.unwrap();
    assert_eq!(find(&front, tenant_id, made.id).await.state, CampaignState::Scheduled);
    front.clock.advance(Duration::from_millis(1));
    let (a, b, c) = tokio::join!(campaigns.start_due(), campaigns.start_due(), campaigns.start_due());
    a.and(b).and(c).unwrap();
    let started = find(&front, tenant_id, made.id).await;
    assert_eq!((started.state, started.started_at_ms), (CampaignState::Running, Some(NOW_MS + 3_600_000)));
    assert_eq!(count(&front.store, "outbox").await, 1);
    // A person who starts it at the same time finds it running.
    assert_eq!(campaigns.start(tenant_id, made.id).await.unwrap().state, CampaignState::Running);
    assert_eq!(count(&front.store, "outbox").await, 1);
}

async fn times_are_set_and_taken_back(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 1).await;
    let campaigns = &front.services.campaigns;
    let refused = async |schedule| fields(campaigns.schedule(tenant_id, id, schedule).await);
    assert_eq!(refused(Schedule { at_ms: NOW_MS, time_zone: None }).await, ["scheduledAt"]);
    assert_eq!(refused(at(HOUR * 24 * 400)).await, ["scheduledAt"]);
    assert_eq!(refused(Schedule { time_zone: Some("Moon/Sea".to_owned()), ..at(HOUR) }).await, ["timezone"]);

    assert_eq!(campaigns.schedule(tenant_id, id, at(HOUR)).await.unwrap().state, CampaignState::Scheduled);
    let later = campaigns.schedule(tenant_id, id, at(HOUR * 2)).await.unwrap();
    assert_eq!((later.state, later.schedule), (CampaignState::Scheduled, Some(at(HOUR * 2))));
    let early_end =
        CampaignPatch { expires_at: Some(Some(Moment::from_ms(NOW_MS) + HOUR)), ..CampaignPatch::default() };
    assert_eq!(fields(campaigns.change(tenant_id, id, early_end).await), ["expiresAt"]);
    assert_eq!(
        conflict(campaigns.delete(tenant_id, id).await),
        "The campaign is scheduled; only drafts and campaigns that are over can be removed."
    );
    let added = campaigns.add_recipients(tenant_id, id, recipients(5..6)).await;
    assert_eq!(conflict(added), "The campaign is scheduled; recipients can only be added to a draft.");
    let paused = campaigns.pause(tenant_id, id).await.unwrap();
    assert_eq!((paused.state, paused.schedule), (CampaignState::Draft, None));
    campaigns.schedule(tenant_id, id, at(HOUR)).await.unwrap();
    let patch = CampaignPatch { scheduled_at: Some(None), ..CampaignPatch::default() };
    assert_eq!(campaigns.change(tenant_id, id, patch).await.unwrap().state, CampaignState::Draft);

    // One that was put off does not start at its former time.
    campaigns.schedule(tenant_id, id, at(HOUR)).await.unwrap();
    let due = front.store.campaigns().due(NOW_MS + 3_600_000, None, 10).await.unwrap();
    campaigns.schedule(tenant_id, id, at(HOUR * 3)).await.unwrap();
    assert!(!front.store.campaigns().start_due(&due[0], NOW_MS + 3_600_000, None).await.unwrap());
    // Nor one to everybody that was to go to a few first, when that was said behind the look.
    let due = front.store.campaigns().due(NOW_MS + 10_800_000, None, 10).await.unwrap();
    let canary = Some(Some(Canary { first: Some(1), percent: None }));
    let few_first = CampaignPatch { canary, ..CampaignPatch::default() };
    campaigns.change(tenant_id, id, few_first).await.unwrap();
    assert!(!front.store.campaigns().start_due(&due[0], NOW_MS + 10_800_000, None).await.unwrap());
    assert_eq!(count(&front.store, "outbox").await, 0);
    let empty = front.campaign(tenant_id, &[own], 0).await;
    assert_eq!(conflict(campaigns.schedule(tenant_id, empty, at(HOUR)).await), "The campaign has no recipients.");
}

async fn a_time_that_has_passed_is_made_up_for_within_a_day(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let (early, late) = (front.campaign(tenant_id, &[own], 1).await, front.campaign(tenant_id, &[own], 1).await);
    front.services.campaigns.schedule(tenant_id, early, at(HOUR)).await.unwrap();
    front.services.campaigns.schedule(tenant_id, late, at(HOUR * 2)).await.unwrap();
    // Nobody ran for a day and some.
    front.clock.advance(HOUR * 25 + Duration::from_secs(1));
    front.services.campaigns.start_due().await.unwrap();
    let missed = find(&front, tenant_id, early).await;
    assert_eq!((missed.state, missed.finished_at_ms.is_some()), (CampaignState::Failed, true));
    assert_eq!(missed.schedule_problem.as_deref(), Some("schedule: the time had passed by more than a day"));
    assert_eq!(find(&front, tenant_id, late).await.state, CampaignState::Running);
    assert_eq!(count(&front.store, "outbox").await, 1);
}

async fn what_can_not_start_says_why(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let (offline, online) = (front.session(tenant_id).await, front.connected_session(tenant_id).await);
    let (id, other) = (front.campaign(tenant_id, &[offline], 1).await, front.campaign(tenant_id, &[online], 1).await);
    let campaigns = &front.services.campaigns;
    campaigns.schedule(tenant_id, id, at(HOUR)).await.unwrap();
    campaigns.schedule(tenant_id, other, at(HOUR * 2)).await.unwrap();
    front.clock.advance(HOUR * 2);
    for _ in 0..2 {
        campaigns.start_due().await.unwrap();
        let waits = find(&front, tenant_id, id).await;
        let problem = Some("schedule: none of the sessions is connected");
        assert_eq!((waits.state, waits.schedule_problem.as_deref()), (CampaignState::Scheduled, problem));
    }
    // One that waits is not in the way of those behind it.
    assert_eq!(find(&front, tenant_id, other).await.state, CampaignState::Running);
    front.services.sessions.connect(tenant_id, offline).await.unwrap();
    campaigns.start_due().await.unwrap();
    let started = find(&front, tenant_id, id).await;
    assert_eq!((started.state, started.schedule_problem), (CampaignState::Running, None));
}

async fn copies_are_drafts(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let pacing = CampaignPacing { daily_cap: Some(7), ..CampaignPacing::default() };
    let expires_at = Some(Moment::from_ms(NOW_MS) + HOUR);
    let new = NewCampaign { pacing, expires_at, recipients: recipients(0..1_500), ..campaign(&[own]) };
    let source = front.services.campaigns.create(tenant_id, new).await.unwrap().0;
    front.services.campaigns.start(tenant_id, source.id).await.unwrap();
    let duplicate = async |form| front.services.campaigns.duplicate(tenant_id, source.id, form).await;
    let (bare, sessions) = duplicate(CopyForm::default()).await.unwrap();
    assert_eq!((bare.name.as_str(), bare.state, bare.n_recipients), ("Spring (copy)", CampaignState::Draft, 0));
    assert_eq!((sessions, bare.started_at_ms, bare.expires_at_ms), (vec![own], None, source.expires_at_ms));
    assert_eq!((&bare.message, &bare.pacing), (&source.message, &source.pacing));
    front.clock.advance(HOUR);
    let (whole, _) = duplicate(CopyForm { name: Some("Again".to_owned()), with_recipients: true }).await.unwrap();
    assert_eq!((whole.name.as_str(), whole.n_recipients, whole.expires_at_ms), ("Again", 1_500, None));
    assert_eq!(find(&front, tenant_id, whole.id).await, whole);
    let listed = front.store.campaign_recipients().list(tenant_id, whole.id, PageRequest::default()).await.unwrap();
    assert_eq!(listed.unwrap().items[0].recipient.as_str(), phone(0));
    front.services.campaigns.start(tenant_id, whole.id).await.unwrap();
    assert_eq!(fields(duplicate(CopyForm { name: Some("\n".to_owned()), with_recipients: false }).await), ["name"]);
}

async fn drafts_and_old_campaigns_are_removed(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let campaigns = &front.services.campaigns;
    let mut kept = 0;
    for state in CampaignState::ALL {
        let id = front.campaign(tenant_id, &[own], 2).await;
        set_campaign_state(&front.store, id, state).await;
        let removed = campaigns.delete(tenant_id, id).await;
        if matches!(state, CampaignState::Scheduled | CampaignState::Running | CampaignState::Paused) {
            conflict(removed);
            kept += 1;
            continue;
        }
        removed.unwrap();
        assert_eq!(front.store.campaigns().find(tenant_id, id).await.unwrap(), None);
        for answer in [
            campaigns.delete(tenant_id, id).await,
            campaigns.start(tenant_id, id).await.map(drop),
            campaigns.add_recipients(tenant_id, id, recipients(8..9)).await.map(drop),
            campaigns.change(tenant_id, id, CampaignPatch::default()).await.map(drop),
            campaigns.duplicate(tenant_id, id, CopyForm::default()).await.map(drop),
        ] {
            assert!(matches!(answer, Err(Error::NotFound(_))), "{answer:?}");
        }
    }
    assert_eq!(front.store.campaigns().list(tenant_id, None, PageRequest::default()).await.unwrap().total, kept);
    campaigns.forget_removed().await.unwrap();
    assert_eq!(count(&front.store, "campaign_recipients").await, i64::try_from(kept * 2).unwrap());
}

async fn recipients_of_drafts_are_removed(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 5).await;
    let campaigns = &front.services.campaigns;
    let list = async || {
        let page = front.store.campaign_recipients().list(tenant_id, id, PageRequest::default()).await.unwrap();
        page.unwrap().items
    };
    let before = list().await;
    campaigns.remove_recipient(tenant_id, id, before[1].id).await.unwrap();
    let again = campaigns.remove_recipient(tenant_id, id, before[1].id).await;
    assert!(matches!(again, Err(Error::NotFound("recipient"))), "{again:?}");
    campaigns.remove_recipient(tenant_id, id, before[3].id).await.unwrap();
    let after = list().await;
    assert_eq!(after.iter().map(|of| of.id).collect::<Vec<_>>(), [before[0].id, before[4].id, before[2].id]);
    assert_eq!(after.iter().map(|of| of.seq).collect::<Vec<_>>(), [0, 1, 2]);
    // Whoever was removed can come back, and the numbers go on.
    campaigns.add_recipients(tenant_id, id, recipients(0..5)).await.unwrap();
    assert_eq!(find(&front, tenant_id, id).await.n_recipients, 5);
    let unknown = campaigns.remove_recipient(tenant_id, id, DeliveryId::generate()).await;
    assert!(matches!(unknown, Err(Error::NotFound("recipient"))), "{unknown:?}");
    let mut two = list().await;
    for _ in 0..20 {
        let (a, b) = tokio::join!(
            campaigns.remove_recipient(tenant_id, id, two[0].id),
            campaigns.remove_recipient(tenant_id, id, two[4].id)
        );
        a.and(b).unwrap();
        let left = list().await;
        assert_eq!(left.iter().map(|of| of.seq).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(left.iter().all(|of| of.id != two[0].id && of.id != two[4].id), "a removed one is left");
        campaigns.add_recipients(tenant_id, id, recipients(0..5)).await.unwrap();
        two = list().await;
    }
    campaigns.start(tenant_id, id).await.unwrap();
    let told = "The campaign is running; recipients can only be removed from a draft.";
    assert_eq!(conflict(campaigns.remove_recipient(tenant_id, id, two[1].id).await), told);
}
