//! Single messages and what can be read about deliveries.

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::campaign::CampaignState;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use actiwapi_dispatcher::domain::job::TrafficClass;
use actiwapi_dispatcher::domain::message::literal::{Degrees, Location};
use actiwapi_dispatcher::domain::message::{Content, MessageSpec, MessageTemplate, Variables};
use actiwapi_dispatcher::domain::plan::{LimitChange, SubscriptionState};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::limits::SCHEDULED_PER_TENANT_MAX;
use actiwapi_dispatcher::notice::Notice;
use actiwapi_dispatcher::service::message_bulk::{Bulk, BulkMessage, BulkRecipient};
use actiwapi_dispatcher::service::messages::{NewMessage, NewText};
use actiwapi_dispatcher::service::plans::NewSubscription;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::messages::{DeliveryRecord, ExportCursor, TimelineEvent, TimelineKind};
use actiwapi_dispatcher::store::plans::PlanChange;
use actiwapi_dispatcher::store::{Pool, Store};
use actiwapi_dispatcher::with_writer;

use super::front::{Front, conflict, fields, phone, silent};
use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{NOW_MS, NOW_US, count};

store_contract!(
    a_text_is_queued_at_once,
    a_text_reads_the_same_after_admission,
    every_problem_of_a_text_is_told,
    sessions_that_cannot_send_are_refused,
    an_export_goes_through_all_sessions,
    a_message_is_scheduled_within_a_year,
    only_so_many_messages_are_scheduled,
    several_messages_are_accepted_or_none,
    a_plan_has_room_for_all_of_several_or_none_is_sent,
    a_cancelled_message_gives_its_place_in_the_plan_back,
    messages_that_ended_are_not_cancelled,
    failed_messages_are_tried_again,
    a_removed_campaign_runs_no_more,
);

pub(crate) fn text(session_id: SessionId) -> NewText {
    NewText { session_id, to: "+91 98000 00001".to_owned(), text: "Your {code} is {{12|3}}".to_owned() }
}

async fn a_text_is_queued_at_once(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    front.notices();
    let sent = front.services.messages.send_text(tenant_id, text(own)).await.unwrap();
    assert_eq!((sent.state.api_word(), sent.recipient.as_str()), ("queued", phone(1).as_str()));
    assert_eq!(front.notices(), [Notice::OutboxWritten]);
    assert_eq!(front.store.messages().find(tenant_id, sent.id).await.unwrap(), Some(sent.clone()));
    let rows = front.store.outbox_next(10).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].outbox_id, rows[0].campaign_id), (sent.id.0, CampaignId::DIRECT));
    let job = rows[0].job.as_ref().unwrap();
    assert_eq!((job.tenant_id, job.session_id, job.campaign_id), (tenant_id, own, None));
    assert_eq!(job.traffic_class, TrafficClass::Transactional);
    assert_eq!(job.deliveries[0].id, sent.id);
    let timeline = front.store.messages().timeline(tenant_id, sent.id).await.unwrap().unwrap();
    assert_eq!(timeline, [TimelineEvent { at_ms: NOW_MS, kind: TimelineKind::Queued }]);
}

async fn a_text_reads_the_same_after_admission(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let sent = front.services.messages.send_text(tenant_id, text(own)).await.unwrap();
    let row = front.store.outbox_next(1).await.unwrap().remove(0);
    let job = row.job.unwrap();
    front.store.admit_jobs(&[&job], NOW_US).await.unwrap();
    front.store.outbox_remove(&[row.outbox_id]).await.unwrap();
    assert_eq!(count(&front.store, "outbox").await, 0);
    let found = front.store.messages().find(tenant_id, sent.id).await.unwrap().unwrap();
    assert_ne!(found.seq, sent.seq, "its place is given on admission");
    assert_eq!(DeliveryRecord { seq: sent.seq, ..found }, sent);
}

async fn every_problem_of_a_text_is_told(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    for (to, body, told) in [
        ("12", " ", vec!["text", "to"]),
        ("919800000001", &*"x".repeat(4_097), vec!["text"]),
        ("someone@g.us", "x", vec!["to"]),
    ] {
        let new = NewText { session_id: own, to: to.to_owned(), text: body.to_owned() };
        assert_eq!(fields(front.services.messages.send_text(tenant_id, new).await), told);
    }
    assert_eq!(count(&front.store, "outbox").await, 0);
}

async fn sessions_that_cannot_send_are_refused(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    front.notices();
    let mut state = SessionState::Disconnected;
    for next in SessionState::ALL {
        front.store.sessions().transition(tenant_id, own, &silent(state, next)).await.unwrap();
        state = next;
        let sent = front.services.messages.send_text(tenant_id, text(own)).await;
        if state.accepts_messages() {
            sent.unwrap();
        } else {
            assert_eq!(conflict(sent), format!("The session is {}; connect it first.", state.as_str()));
        }
    }
    assert_eq!(front.notices().len(), 3);
    assert_eq!(count(&front.store, "outbox").await, 3);
    let unknown = front.services.messages.send_text(tenant_id, text(SessionId::generate())).await;
    assert!(matches!(unknown, Err(Error::NotFound("session"))), "{unknown:?}");
}

async fn an_export_goes_through_all_sessions(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let mut sessions = vec![];
    for _ in 0..4 {
        sessions.push(front.connected_session(tenant_id).await);
    }
    let id = front.campaign(tenant_id, &sessions, 1_403).await;
    // More than one session, more than one step, and one session without any delivery.
    let unused = sessions[2];
    let messages = front.store.messages();
    let start = messages.export(tenant_id, id, ExportCursor::START).await.unwrap().unwrap();
    assert_eq!((start.deliveries.len(), start.next), (0, None));
    let expansion = front.store.expand_campaign(id, 0, 1_403).await.unwrap();
    let mut expected = vec![];
    for job in expansion.jobs.iter().filter(|job| job.session_id != unused) {
        front.store.admit_jobs(&[job], NOW_US).await.unwrap();
        expected.extend(job.deliveries.iter().map(|delivery| (job.session_id, delivery.id)));
    }
    assert!(500 < expected.len());
    let mut exported = vec![];
    let mut next = Some(ExportCursor::START);
    while let Some(cursor) = next {
        let step = messages.export(tenant_id, id, cursor).await.unwrap().unwrap();
        exported.extend(step.deliveries.iter().map(|delivery| (delivery.session_id, delivery.id)));
        next = step.next;
    }
    let mut order: Vec<SessionId> = exported.iter().map(|(session_id, _)| *session_id).collect();
    order.dedup();
    assert_eq!(order, [sessions[0], sessions[1], sessions[3]]);
    exported.sort_unstable();
    expected.sort_unstable();
    assert_eq!(exported, expected);
}

fn place(session_id: SessionId) -> NewMessage {
    let degrees = |degrees| Degrees::new(degrees).unwrap();
    let location = Location { latitude: degrees(18.5), longitude: degrees(73.8), name: None, address: None };
    NewMessage { session_id, to: phone(1), message: MessageSpec::Location(location) }
}

async fn a_message_is_scheduled_within_a_year(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    front.notices();
    let messages = &front.services.messages;
    let at = |ms: i64| Moment::from_ms(NOW_MS + ms);
    let year_ms = 366 * 86_400_000;
    for ms in [-1, 0, year_ms + 1, i64::MAX - NOW_MS] {
        assert_eq!(fields(messages.schedule(tenant_id, place(own), at(ms)).await), ["scheduledAt"], "{ms}");
    }
    let bad = NewMessage { to: "12".to_owned(), message: MessageSpec::Text { text: " ".to_owned() }, ..place(own) };
    assert_eq!(fields(messages.schedule(tenant_id, bad, at(0)).await), ["message.text", "to", "scheduledAt"]);
    let unpaired = front.session(tenant_id).await;
    conflict(messages.schedule(tenant_id, place(unpaired), at(1)).await);
    for ms in [1, year_ms] {
        let kept = messages.schedule(tenant_id, place(own), at(ms)).await.unwrap();
        assert_eq!((kept.api_word(), kept.scheduled_at_ms), ("scheduled", Some(NOW_MS + ms)));
        assert_eq!(front.store.messages().find(tenant_id, kept.id).await.unwrap(), Some(kept));
    }
    assert_eq!(count(&front.store, "outbox").await, 0);
    front.notices();
}

async fn only_so_many_messages_are_scheduled(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let at = Moment::from_ms(NOW_MS + 1_000);
    let kept = front.services.messages.schedule(tenant_id, place(own), at).await.unwrap();
    let rows: Vec<_> = (1..SCHEDULED_PER_TENANT_MAX).map(|n| uuid::Uuid::from_u128(n.try_into().unwrap())).collect();
    for chunk in rows.chunks(1_000) {
        let values: Vec<String> = chunk
            .iter()
            .map(|id| match front.store.pool() {
                Pool::Postgres(_) => format!("SELECT '{id}'::uuid AS id"),
                Pool::Sqlite { .. } => format!("SELECT x'{}' AS id", id.simple()),
            })
            .collect();
        // Deep unions are refused, so they are made of few at a time.
        for values in values.chunks(200) {
            let sql = format!(
                "INSERT INTO scheduled_messages SELECT u.id, s.tenant_id, s.session_id, s.recipient, s.job, s.due_at_ms, \
                     s.created_at_ms FROM scheduled_messages s, ({}) AS u WHERE s.delivery_id = $1",
                values.join(" UNION ALL ")
            );
            with_writer!(front.store.pool(), |db| {
                sqlx::query(sqlx::AssertSqlSafe(sql.as_str())).bind(kept.id.0).execute(db).await.map(drop)
            })
            .unwrap();
        }
    }
    let refused = conflict(front.services.messages.schedule(tenant_id, place(own), at).await);
    assert_eq!(refused, "10000 messages wait for their time already.");
    front.services.messages.cancel(tenant_id, kept.id).await.unwrap();
    front.services.messages.schedule(tenant_id, place(own), at).await.unwrap();
    let other = front.tenant().await;
    let theirs = front.connected_session(other).await;
    front.services.messages.schedule(other, place(theirs), at).await.unwrap();
}

fn several(names: &[Option<&str>]) -> Bulk {
    let recipient = |(n, name): (u64, &Option<&str>)| {
        let mut variables = Variables::default();
        if let Some(name) = name {
            variables.insert("name", (*name).to_owned()).unwrap();
        }
        BulkRecipient { to: phone(n), variables }
    };
    Bulk::Text { text: "Hello {{name}}".to_owned(), recipients: (0..).zip(names).map(recipient).collect() }
}

async fn several_messages_are_accepted_or_none(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    front.notices();
    let messages = &front.services.messages;
    let send = async |bulk| messages.send_bulk(tenant_id, own, bulk).await;
    assert_eq!(fields(send(several(&[])).await), ["recipients"]);
    assert_eq!(fields(send(several(&[Some("Ana"); 201])).await), ["recipients"]);
    assert_eq!(fields(send(Bulk::Messages(vec![])).await), ["messages"]);
    assert_eq!(fields(send(several(&[Some("Ana"), None])).await), ["recipients[1].variables"]);
    let text = Bulk::Text {
        text: "Hello {{name".to_owned(),
        recipients: vec![BulkRecipient { to: "12".to_owned(), variables: Variables::default() }],
    };
    assert_eq!(fields(send(text).await), ["text", "recipients[0].to"]);
    let good = BulkMessage { to: phone(1), message: MessageSpec::Text { text: "Your {code}".to_owned() } };
    let bad = BulkMessage { to: "12".to_owned(), message: MessageSpec::Text { text: String::new() } };
    let refused = send(Bulk::Messages(vec![good.clone(), bad])).await;
    assert_eq!(fields(refused), ["messages[1].to", "messages[1].message.text"]);
    conflict(messages.send_bulk(tenant_id, front.session(tenant_id).await, several(&[Some("Ana")])).await);
    assert_eq!(count(&front.store, "outbox").await, 0);

    let sent = send(several(&[Some("Ana"), Some("Bo"), Some("{Cy}")])).await.unwrap();
    let more = send(Bulk::Messages(vec![good.clone(), good])).await.unwrap();
    let rows = front.store.outbox_next(10).await.unwrap();
    let ids: Vec<_> = sent.iter().chain(&more).map(|message| message.id.0).collect();
    assert_eq!(rows.iter().map(|row| row.outbox_id).collect::<Vec<_>>(), ids, "in the order in which they were named");
    let says = |at: usize| {
        let job = rows[at].job.as_ref().unwrap();
        let delivery = &job.deliveries[0];
        let template = MessageTemplate::compile(&job.message).unwrap();
        template.render(&delivery.variables, &delivery.to, 7).unwrap()
    };
    let text = |body: &str| Content::Text { body: body.to_owned() };
    assert_eq!([says(0), says(2), says(3)], [text("Hello Ana"), text("Hello {Cy}"), text("Your {code}")]);
    for message in sent.iter().chain(&more) {
        assert_eq!(front.store.messages().find(tenant_id, message.id).await.unwrap().as_ref(), Some(message));
    }
    assert!(front.notices().contains(&Notice::OutboxWritten));
}

/// Gives a tenant a plan with so many messages.
async fn subscribe(front: &Front, tenant_id: TenantId, n_messages: i64) {
    let actor = Actor::SYSTEM;
    let limits = LimitChange { messages: Some(Some(n_messages)), ..LimitChange::default() };
    let change = PlanChange { limits, ..PlanChange::default() };
    front.services.plans.change("growth", change, &actor).await.unwrap();
    let new = NewSubscription { plan: "growth".to_owned(), state: SubscriptionState::Active, period_end: None };
    front.services.plans.subscribe(tenant_id, new, actor).await.unwrap();
}

async fn admit_all(front: &Front) {
    for row in front.store.outbox_next(100).await.unwrap() {
        front.store.admit_jobs(&[&row.job.unwrap()], NOW_US).await.unwrap();
    }
}

async fn a_plan_has_room_for_all_of_several_or_none_is_sent(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    subscribe(&front, tenant_id, 3).await;
    let send = async |n| front.services.messages.send_bulk(tenant_id, own, several(&vec![Some("Ana"); n])).await;
    let refused = send(4).await;
    assert!(matches!(refused, Err(Error::LimitExceeded(_))), "{refused:?}");
    assert_eq!(count(&front.store, "outbox").await, 0);
    send(3).await.unwrap();
    admit_all(&front).await;
    assert!(matches!(send(1).await, Err(Error::LimitExceeded(_))));
    let at = Moment::from_ms(NOW_MS + 1);
    assert!(matches!(front.services.messages.schedule(tenant_id, place(own), at).await, Err(Error::LimitExceeded(_))));
}

async fn a_cancelled_message_gives_its_place_in_the_plan_back(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    subscribe(&front, tenant_id, 1).await;
    let messages = front.services.messages.clone();
    let sent = messages.send_text(tenant_id, text(own)).await.unwrap();
    admit_all(&front).await;
    assert!(matches!(messages.send_text(tenant_id, text(own)).await, Err(Error::LimitExceeded(_))));
    for _ in 0..2 {
        assert_eq!(messages.cancel(tenant_id, sent.id).await.unwrap().api_word(), "cancelled");
    }
    let other = messages.send_text(tenant_id, text(own)).await.unwrap();
    front.notices();
    messages.cancel(tenant_id, other.id).await.unwrap();
    assert_eq!(front.notices(), [Notice::OutboxWritten]);
    admit_all(&front).await;
    let usage = front.services.plans.usage(tenant_id).await.unwrap().unwrap().allowance.usage;
    assert_eq!((usage.used, usage.sending, usage.reserved, usage.waiting), (0, 0, 0, 0));
    messages.send_text(tenant_id, text(own)).await.unwrap();
}

async fn messages_that_ended_are_not_cancelled(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let sent = front.services.messages.send_text(tenant_id, text(own)).await.unwrap();
    admit_all(&front).await;
    let entries = Entries { session_id: own, campaign_id: CampaignId::DIRECT, at_ms: NOW_MS };
    let cancel = async || front.services.messages.cancel(tenant_id, sent.id).await;
    let retry = async || front.services.messages.retry(tenant_id, sent.id).await;
    assert_eq!(retry().await.unwrap().api_word(), "queued", "it is in line already");
    journal::begin(&front.store, vec![entries.begin(sent.id, 1)]).await;
    assert_eq!(conflict(cancel().await), "The message is being sent.");
    assert_eq!(retry().await.unwrap().api_word(), "sending");
    journal::end(&front.store, vec![entries.end(sent.id, 1, journal::unknown())]).await;
    assert_eq!(conflict(cancel().await), "The message is unknown already.");
    assert_eq!(conflict(retry().await), "The message may have been sent; it is not tried again.");
    journal::receive(&front.store, vec![entries.receipt(sent.id, ReceiptKind::Delivered)]).await;
    assert_eq!(conflict(cancel().await), "The message is delivered already.");
    assert_eq!(conflict(retry().await), "The message is delivered and has not failed.");
    let unknown = front.services.messages.cancel(tenant_id, DeliveryId::generate()).await;
    assert!(matches!(unknown, Err(Error::NotFound("message"))), "{unknown:?}");
}

async fn fail(front: &Front, session_id: SessionId, (id, campaign_id): (DeliveryId, CampaignId)) {
    let entries = Entries { session_id, campaign_id, at_ms: NOW_MS };
    journal::begin(&front.store, vec![entries.begin(id, 1)]).await;
    journal::end(&front.store, vec![entries.end(id, 1, journal::rejected_by_limit())]).await;
}

/// Makes a campaign that is over, and of which the only message has failed.
async fn completed_with_a_failure(front: &Front, tenant_id: TenantId, own: SessionId) -> (CampaignId, DeliveryId) {
    let campaign = front.campaign(tenant_id, &[own], 1).await;
    front.services.campaigns.start(tenant_id, campaign).await.unwrap();
    let job = front.store.expand_campaign(campaign, 0, 10).await.unwrap().jobs.remove(0);
    front.store.admit_jobs(&[&job], NOW_US).await.unwrap();
    front.store.outbox_remove(&[campaign.0]).await.unwrap();
    let id = job.deliveries[0].id;
    fail(front, own, (id, campaign)).await;
    assert!(front.store.finish_if_settled(campaign, NOW_MS).await.unwrap());
    (campaign, id)
}

async fn a_removed_campaign_runs_no_more(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let (campaign, failed) = completed_with_a_failure(&front, tenant_id, own).await;
    front.services.campaigns.delete(tenant_id, campaign).await.unwrap();
    let refused = conflict(front.services.messages.retry(tenant_id, failed).await);
    assert!(refused.starts_with("The campaign is cancelled"), "{refused}");
    assert_eq!(front.store.campaign_state(campaign).await.unwrap(), Some(CampaignState::Completed));
}

async fn failed_messages_are_tried_again(store: Store) {
    let mut front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let (campaign, of_campaign) = completed_with_a_failure(&front, tenant_id, own).await;
    let single = front.services.messages.send_text(tenant_id, text(own)).await.unwrap();
    admit_all(&front).await;
    fail(&front, own, (single.id, CampaignId::DIRECT)).await;
    front.notices();
    let retry = async |front: &Front, id| front.services.messages.retry(tenant_id, id).await.unwrap().api_word();
    assert_eq!(retry(&front, single.id).await, "queued");
    assert_eq!(front.notices(), [Notice::SessionChanged(own)]);
    assert_eq!(retry(&front, of_campaign).await, "queued");
    assert_eq!(front.notices(), [Notice::CampaignChanged(campaign)]);
    assert_eq!(front.store.campaign_state(campaign).await.unwrap(), Some(CampaignState::Running));
}
