//! Another tenant's things are not there: for every method that takes an id.

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::campaign::CampaignState;
use actiwapi_dispatcher::domain::message::Variables;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::campaign_changes::CampaignPatch;
use actiwapi_dispatcher::service::campaign_copies::CopyForm;
use actiwapi_dispatcher::service::contacts::{ContactInput, ContactPatch};
use actiwapi_dispatcher::service::message_bulk::{Bulk, BulkMessage};
use actiwapi_dispatcher::service::messages::{NewMessage, NewText};
use actiwapi_dispatcher::service::sessions::SessionChange;
use actiwapi_dispatcher::service::webhooks::{WebhookForm, WebhookPatch};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::campaign_changes::RecipientRemoval;
use actiwapi_dispatcher::store::campaign_moves::Move;
use actiwapi_dispatcher::store::campaign_schedule::DueCampaign;
use actiwapi_dispatcher::store::campaigns::{CampaignRecord, Schedule};
use actiwapi_dispatcher::store::message_list::MessageFilter;
use actiwapi_dispatcher::store::messages::ExportCursor;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::session_qrs::SessionQr;
use actiwapi_dispatcher::store::templates::TemplateChange;

use super::front::{Front, campaign, fields, recipients, silent};
use crate::support::db::store_contract;
use crate::support::seed::NOW_MS;

store_contract!(
    foreign_ids_are_not_found,
    foreign_webhooks_are_not_found,
    foreign_messages_are_not_found,
    foreign_media_and_templates_are_not_found,
    foreign_rows_are_not_changed,
);

fn is_not_found<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::NotFound(_))), "{what}: {result:?}");
}

async fn foreign_ids_are_not_found(store: Store) {
    let front = Front::new(store);
    let (owner, thief) = (front.tenant().await, front.tenant().await);
    let session = front.connected_session(owner).await;
    let id = front.campaign(owner, &[session], 3).await;
    let text = || NewText { session_id: session, to: "919800000001".to_owned(), text: "x".to_owned() };
    let message = front.services.messages.send_text(owner, text()).await.unwrap().id;
    let (sessions, campaigns) = (&front.services.sessions, &front.services.campaigns);

    is_not_found("connect", sessions.connect(thief, session).await);
    is_not_found("disconnect", sessions.disconnect(thief, session).await);
    is_not_found("logout", sessions.logout(thief, session).await);
    is_not_found("restart", sessions.restart(thief, session).await);
    is_not_found("code", sessions.qr(thief, session).await);
    is_not_found("typed code", sessions.pairing_code(thief, session, "919800000001").await);
    is_not_found("check", sessions.check_number(thief, session, "919800000001").await);
    is_not_found("groups", sessions.groups(thief, session).await);
    is_not_found("remove a session", sessions.remove(thief, session).await);
    is_not_found("update", sessions.update(thief, session, SessionChange::default()).await);
    is_not_found("add", campaigns.add_recipients(thief, id, recipients(9..10)).await);
    is_not_found("import", campaigns.import_recipients(thief, id).await);
    is_not_found("start", campaigns.start(thief, id).await);
    is_not_found("pause", campaigns.pause(thief, id).await);
    is_not_found("resume", campaigns.resume(thief, id).await);
    is_not_found("cancel", campaigns.cancel(thief, id).await);
    is_not_found("change", campaigns.change(thief, id, CampaignPatch::default()).await);
    is_not_found("schedule", campaigns.schedule(thief, id, Schedule { at_ms: NOW_MS + 1, time_zone: None }).await);
    is_not_found("duplicate", campaigns.duplicate(thief, id, CopyForm::default()).await);
    is_not_found("delete", campaigns.delete(thief, id).await);
    let first = front.store.campaign_recipients().list(owner, id, PageRequest::default()).await.unwrap().unwrap();
    is_not_found("remove recipient", campaigns.remove_recipient(thief, id, first.items[0].id).await);
    let (contacts, groups) = (&front.services.contacts, &front.services.contact_groups);
    let input = ContactInput { phone: "919800000001".to_owned(), ..ContactInput::default() };
    let contact = contacts.create(owner, input).await.unwrap().id;
    let group = groups.create(owner, "A").await.unwrap().id;
    is_not_found("change", contacts.change(thief, contact, ContactPatch::default()).await);
    is_not_found("opt out", contacts.opt(thief, contact, false).await);
    is_not_found("remove", contacts.remove(thief, contact).await);
    is_not_found("erase", front.services.erasure.erase(thief, contact, &Actor::SYSTEM).await);
    assert_eq!(contacts.remove_all(thief, &[contact]).await.unwrap(), 0);
    is_not_found("rename", groups.rename(thief, group, Some("B".to_owned())).await);
    is_not_found("put in", groups.add(thief, group, &[contact]).await);
    is_not_found("take out", groups.take_out(thief, group, contact).await);
    is_not_found("remove the group", groups.remove(thief, group).await);
    assert_eq!(fields(campaigns.create(thief, campaign(&[session])).await), ["sessionIds[0]"]);

    let (store, page) = (&front.store, PageRequest::default());
    assert_eq!(store.sessions().find(thief, session).await.unwrap(), None);
    assert!(store.sessions().qr(thief, session).await.unwrap().is_none());
    assert_eq!(store.session_counts(thief, session, NOW_MS).await.unwrap(), Default::default());
    assert_eq!(store.sessions().events(thief, session, page).await.unwrap().total, 0);
    assert_eq!(store.sessions().known(thief, &[session]).await.unwrap(), []);
    assert_eq!(store.sessions().list(thief, page).await.unwrap().total, 0);
    assert_eq!(store.campaigns().find(thief, id).await.unwrap(), None);
    assert_eq!(store.campaigns().session_ids(thief, id).await.unwrap(), []);
    assert_eq!(store.campaigns().session_states(thief, id).await.unwrap(), []);
    assert_eq!(store.campaigns().list(thief, None, page).await.unwrap().total, 0);
    assert_eq!(store.campaign_recipients().list(thief, id, page).await.unwrap(), None);
    assert_eq!(store.messages().find(thief, message).await.unwrap(), None);
    assert_eq!(store.messages().timeline(thief, message).await.unwrap(), None);
    assert_eq!(store.messages().export(thief, id, ExportCursor::START).await.unwrap(), None);
}

async fn foreign_webhooks_are_not_found(store: Store) {
    let front = Front::new(store);
    let (owner, thief) = (front.tenant().await, front.tenant().await);
    let form = WebhookForm {
        url: "https://hooks.example/in".to_owned(),
        events: vec!["message.sent".to_owned()],
        secret: None,
    };
    let webhooks = &front.services.webhooks;
    let hook = webhooks.create(owner, form).await.unwrap().webhook.id;
    let told = webhooks.test(owner, hook).await.unwrap();
    is_not_found("update webhook", webhooks.update(thief, hook, WebhookPatch::default()).await);
    is_not_found("delete webhook", webhooks.delete(thief, hook).await);
    is_not_found("rotate secret", webhooks.rotate_secret(thief, hook, None).await);
    is_not_found("test webhook", webhooks.test(thief, hook).await);
    is_not_found("retry", webhooks.retry(thief, hook, told).await);

    let (store, page) = (&front.store, PageRequest::default());
    assert_eq!(store.webhooks().find(thief, hook).await.unwrap(), None);
    assert_eq!(store.webhooks().list(thief, page).await.unwrap().total, 0);
    assert_eq!(store.webhooks().history(thief, hook, page).await.unwrap().total, 0);
}

async fn foreign_messages_are_not_found(store: Store) {
    let front = Front::new(store);
    let (owner, thief) = (front.tenant().await, front.tenant().await);
    let session = front.connected_session(owner).await;
    let text = || NewText { session_id: session, to: "919800000001".to_owned(), text: "x".to_owned() };
    let message = front.services.messages.send_text(owner, text()).await.unwrap().id;
    let messages = &front.services.messages;
    is_not_found("send", messages.send_text(thief, text()).await);
    let tomorrow = Moment::from_ms(NOW_MS + 86_400_000);
    is_not_found("schedule", messages.schedule(thief, text().into(), tomorrow).await);
    let kept = messages.schedule(owner, text().into(), tomorrow).await.unwrap().id;
    let bulk = || Bulk::Messages(vec![BulkMessage { to: text().to, message: NewMessage::from(text()).message }]);
    is_not_found("send several", messages.send_bulk(thief, session, bulk()).await);
    for id in [message, kept] {
        is_not_found("cancel a message", messages.cancel(thief, id).await);
        is_not_found("retry", messages.retry(thief, id).await);
    }
    let (store, page) = (&front.store, PageRequest::default());
    assert_eq!(store.messages().find(thief, kept).await.unwrap(), None);
    let own = MessageFilter { session_id: Some(session), ..MessageFilter::default() };
    assert_eq!(store.messages().list(thief, &own, page).await.unwrap().total, 0);
    assert_eq!(store.messages().scheduled(thief, &own, page).await.unwrap().total, 0);
    assert_eq!(store.messages().export_all(thief, &own, None).await.unwrap(), (vec![], None));
}

async fn foreign_media_and_templates_are_not_found(store: Store) {
    let front = Front::new(store);
    let (owner, thief) = (front.tenant().await, front.tenant().await);
    let (media, templates) = (&front.services.media, &front.services.templates);
    let file = super::media::upload(&front, owner, &super::media::png(100)).await.unwrap().id;
    is_not_found("read media", media.read(thief, file).await.map(drop));
    is_not_found("remove media", media.remove(thief, file).await);
    let kept = templates.create(owner, "A", crate::support::seed::text()).await.unwrap().id;
    is_not_found("change template", templates.update(thief, kept, TemplateChange::default()).await);
    is_not_found("preview", templates.preview(thief, kept, (Variables::default(), None)).await);
    is_not_found("remove template", templates.remove(thief, kept).await);
    let (store, page) = (&front.store, PageRequest::default());
    assert_eq!(store.media().find(thief, file).await.unwrap(), None);
    assert_eq!(store.media().list(thief, page).await.unwrap().total, 0);
    assert_eq!(store.templates().find(thief, kept).await.unwrap(), None);
    assert_eq!(store.templates().list(thief, page).await.unwrap().total, 0);
}

async fn foreign_rows_are_not_changed(store: Store) {
    let front = Front::new(store);
    let (owner, thief) = (front.tenant().await, front.tenant().await);
    let session = front.connected_session(owner).await;
    let id = front.campaign(owner, &[session], 3).await;
    let (store, services) = (&front.store, &front.services);
    let before =
        (store.sessions().find(owner, session).await.unwrap(), store.campaigns().find(owner, id).await.unwrap());

    let step = silent(SessionState::Connected, SessionState::Banned);
    assert!(!store.sessions().transition(thief, session, &step).await.unwrap());
    assert!(!store.sessions().assign_number(thief, session, "1").await.unwrap());
    store.sessions().set_phone_number(thief, session, "919800000001").await.unwrap();
    let qr = SessionQr { code: "2@a".into(), issued_at_ms: NOW_MS, expires_at_ms: NOW_MS + 20_000 };
    assert!(!store.sessions().issue_qr(thief, session, SessionState::Connected, &qr).await.unwrap());
    assert!(!store.sessions().remove(thief, session, NOW_MS).await.unwrap());
    let step = Move { from: CampaignState::Draft, to: CampaignState::Running, at_ms: NOW_MS };
    assert!(!store.campaigns().transition(thief, id, step).await.unwrap());
    assert!(!store.campaigns().transition_into_outbox(thief, id, step, None).await.unwrap());
    assert!(!store.campaigns().transition_out_of_outbox(thief, id, step).await.unwrap());
    assert_eq!(store.campaign_recipients().append(thief, id, &[]).await.unwrap(), None);
    let listed = store.campaign_recipients().list(owner, id, PageRequest::default()).await.unwrap().unwrap();
    let removal = store.campaign_recipients().remove(thief, id, listed.items[0].id).await.unwrap();
    assert_eq!(removal, RecipientRemoval::NotFound);
    assert_eq!(store.campaign_recipients().step(thief, id, 0, 10).await.unwrap(), []);
    assert!(!store.campaigns().delete(thief, id, NOW_MS).await.unwrap());
    let before_it = before.1.clone().unwrap();
    let stolen = CampaignRecord { tenant_id: thief, ..before_it };
    assert!(!store.campaigns().update(&stolen, &stolen, None).await.unwrap());
    let due = DueCampaign { id, tenant_id: thief, scheduled_at_ms: NOW_MS, revision: 0 };
    assert!(!store.campaigns().start_due(&due, NOW_MS, None).await.unwrap());
    let after =
        (store.sessions().find(owner, session).await.unwrap(), store.campaigns().find(owner, id).await.unwrap());
    assert_eq!(before, after);

    // A cancel by the thief must not clear the owner's outbox either.
    services.campaigns.start(owner, id).await.unwrap();
    is_not_found("cancel", services.campaigns.cancel(thief, id).await);
    assert_eq!(store.outbox_next(10).await.unwrap().len(), 1);
}
