//! Somebody is erased: nothing is sent to them any more, no table tells who they are, and all counts stay.

use actiwapi_dispatcher::domain::campaign::CampaignState;
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::id::{CampaignId, ContactId, DeliveryId, SessionId, TenantId};
use actiwapi_dispatcher::domain::inbound::InboundMessage;
use actiwapi_dispatcher::domain::message::Variables;
use actiwapi_dispatcher::domain::opt_out::OptWord;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::campaign_audience::Audience;
use actiwapi_dispatcher::service::campaigns::NewCampaign;
use actiwapi_dispatcher::service::contacts::ContactInput;
use actiwapi_dispatcher::service::ledger;
use actiwapi_dispatcher::service::messages::NewText;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::{Pool, Store};
use actiwapi_dispatcher::with_reader;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::front::{Front, campaign, conflict, phone};
use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS, NOW_US};

store_contract!(
    nothing_tells_who_somebody_was,
    what_is_on_its_way_is_finished_first,
    what_others_know_of_them_stays,
    nobody_is_written_to_who_was_erased,
);

const NAME: &str = "Xanthippe Quux";
const EMAIL: &str = "xq@example.org";
const N: u64 = 7_654_321;

fn actor() -> Actor {
    Actor { request_id: Some("erase-her".to_owned()), ..Actor::SYSTEM }
}

async fn contact(front: &Front, tenant_id: TenantId) -> ContactId {
    let mut attributes = Variables::default();
    attributes.insert("street", "7 Quux Lane".to_owned()).unwrap();
    let (phone, name, email) = (format!("+{}", phone(N)), NAME.to_owned(), Some(EMAIL.to_owned()));
    let input = ContactInput { phone, name, email, attributes, ..ContactInput::default() };
    front.services.contacts.create(tenant_id, input).await.unwrap().id
}

async fn campaign_for(front: &Front, tenant_id: TenantId, session: SessionId, contact: ContactId) -> CampaignId {
    let audience = Audience { contact_ids: vec![contact], ..Audience::default() };
    let new = NewCampaign { audience, ..campaign(&[session]) };
    front.services.campaigns.create(tenant_id, new).await.unwrap().0.id
}

async fn text(front: &Front, tenant_id: TenantId, session_id: SessionId) -> DeliveryId {
    let new = NewText { session_id, to: phone(N), text: format!("Dear {NAME}") };
    front.services.messages.send_text(tenant_id, new).await.unwrap().id
}

/// Brings everything from the outbox into lanes.
async fn hand_over(front: &Front) {
    for row in front.store.outbox_next(100).await.unwrap() {
        match row.job {
            Some(job) => drop(front.store.admit_jobs(&[&job], NOW_US).await.unwrap()),
            None => {
                for job in front.store.expand_campaign(row.campaign_id, 0, 100).await.unwrap().jobs {
                    front.store.admit_jobs(&[&job], NOW_US).await.unwrap();
                }
            }
        }
        front.store.outbox_remove(&[row.outbox_id]).await.unwrap();
    }
}

/// Lists the tables in which a text is found, in whatever column.
async fn tables_with(store: &Store, text: &str) -> Vec<String> {
    let list = match store.pool() {
        Pool::Postgres(_) => "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
        Pool::Sqlite { .. } => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    };
    let tables: Vec<String> =
        with_reader!(store.pool(), |db| sqlx::query_scalar(list).fetch_all(db).await).expect("list the tables");
    assert!(tables.iter().any(|table| table == "deliveries"), "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let condition = match store.pool() {
            Pool::Postgres(_) => format!("POSITION(LOWER('{text}') IN LOWER(t::text)) > 0"),
            Pool::Sqlite { reader, .. } => {
                let columns = format!("SELECT name FROM pragma_table_info('{table}')");
                let columns: Vec<String> = sqlx::query_scalar(AssertSqlSafe(columns)).fetch_all(reader).await.unwrap();
                let column = |name: String| format!("INSTR(LOWER(CAST(t.\"{name}\" AS TEXT)), LOWER('{text}')) > 0");
                columns.into_iter().map(column).collect::<Vec<_>>().join(" OR ")
            }
        };
        if seed::count(store, &format!("{table} t WHERE {condition}")).await != 0 {
            found.push(table);
        }
    }
    found.sort();
    found
}

/// Fills what only other parts of the program fill: what is told of them, and what clients wrote.
async fn traces(front: &Front, tenant_id: TenantId, session: SessionId) {
    let (store, phone) = (&front.store, phone(N));
    let (tenant, id) = (seed::hex(store, tenant_id.0), seed::hex(store, Uuid::now_v7()));
    for sql in [
        format!(
            "INSERT INTO webhooks (webhook_id, tenant_id, url, events, secret, is_active, created_at_ms) VALUES \
             ({id}, {tenant}, 'https://a.example', '[\"message.received\",\"contact.opted_out\"]', 's', TRUE, 1)"
        ),
        format!(
            "INSERT INTO idempotency_keys (tenant_id, operation, idempotency_key, claim_id, fingerprint, claimed_at_ms, status, \
             answer) VALUES ({tenant}, 'POST', 'of-{phone}', {id}, {id}, 1, 201, '{{\"phone\":\"{phone}\",\"name\":\"{NAME}\"}}')"
        ),
        format!(
            "INSERT INTO realtime_feed (feed_id, tenant_id, created_at_ms, news) VALUES ({id}, {tenant}, 1, '[\"{phone}\"]')"
        ),
        format!(
            "INSERT INTO request_log (request_log_id, tenant_id, at_ms, caller_id, is_key, method, operation, status, duration_ms, \
             request_id) VALUES ({id}, {tenant}, 1, {id}, TRUE, 'GET', '/', 200, 1, 'about-{phone}')"
        ),
        "UPDATE sessions SET account_id = 'account', tier = 100".to_owned(),
        format!("INSERT INTO tier_recipients (account_id, recipient, counted_at_ms) VALUES ('account', '{phone}', 1)"),
    ] {
        seed::execute(store, &sql).await;
    }
    let number = format!("SELECT phone_number_id FROM sessions WHERE session_id = {}", seed::hex(store, session.0));
    let number: String =
        with_reader!(store.pool(), |db| { sqlx::query_scalar(AssertSqlSafe(number.as_str())).fetch_one(db).await })
            .expect("read the number of a session");
    let wrote = |name: &str, text: String, asks| InboundMessage {
        provider_message_id: name.to_owned(),
        phone_number_id: number.clone(),
        from: Recipient::from_stored(&phone).unwrap(),
        at_ms: NOW_MS,
        kind: "text".to_owned(),
        text: Some(text),
        asks,
    };
    let messages =
        [wrote("wamid.1", format!("I am {NAME}"), None), wrote("wamid.2", "STOP".to_owned(), Some(OptWord::Stop))];
    store.note_inbound(&messages).await.unwrap();
    store.tell_inbound(&messages).await.unwrap();
    store.note_opt_outs(&messages).await.unwrap();
}

async fn nothing_tells_who_somebody_was(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session = front.connected_session(tenant_id).await;
    let id = contact(&front, tenant_id).await;
    let group = front.services.contact_groups.create(tenant_id, "Friends").await.unwrap().id;
    front.services.contact_groups.add(tenant_id, group, &[id]).await.unwrap();
    campaign_for(&front, tenant_id, session, id).await;
    let running = campaign_for(&front, tenant_id, session, id).await;
    front.services.campaigns.start(tenant_id, running).await.unwrap();
    let erase = async || front.services.erasure.erase(tenant_id, id, &actor()).await;
    let told = conflict(erase().await);
    assert!(told.contains(&running.to_string()) && told.contains("about to send"), "{told}");
    hand_over(&front).await;
    seed::execute(
        &front.store,
        "UPDATE deliveries SET provider_message_id = 'wamid.of.her', state = 'read', settled_at_ms = 1",
    )
    .await;
    seed::execute(&front.store, "UPDATE campaign_counters SET pending = 0, read = accepted").await;
    seed::execute(&front.store, "DELETE FROM day_feed").await;
    text(&front, tenant_id, session).await;
    traces(&front, tenant_id, session).await;
    let holds = [
        "campaign_recipients",
        "contacts",
        "conversations",
        "deliveries",
        "idempotency_keys",
        "opt_outs",
        "outbox",
        "realtime_feed",
        "request_log",
        "tier_recipients",
        "webhook_deliveries",
    ];
    assert_eq!(tables_with(&front.store, &phone(N)).await, holds);

    // What waits is taken back, which takes until it is admitted.
    let told = conflict(erase().await);
    assert!(told.contains("on their way"), "{told}");
    assert_eq!(seed::count(&front.store, "contacts").await, 1, "they are still to be erased");
    hand_over(&front).await;
    let before = (ledger::count(&front.store).await.unwrap(), seed::count(&front.store, "webhook_deliveries").await);
    erase().await.unwrap();
    for text in [phone(N).as_str(), NAME, "Quux", "Xanthippe", EMAIL, "wamid.of.her"] {
        assert_eq!(tables_with(&front.store, text).await, [""; 0], "{text}");
    }
    let after = (ledger::count(&front.store).await.unwrap(), seed::count(&front.store, "webhook_deliveries").await);
    assert_eq!((after, before.0.drift), (before, 0));
    assert_eq!(seed::count(&front.store, "deliveries WHERE state IN ('read', 'cancelled')").await, 2);
    assert_eq!(seed::count(&front.store, "campaign_recipients").await, 2, "places in campaigns stay");
    let log = front.store.audit_log(PageRequest::default()).await.unwrap().items;
    let erased: Vec<_> = log.iter().filter(|record| record.deed.action == "contact.erased").collect();
    assert_eq!((erased.len(), &erased[0].deed.subject, &erased[0].actor), (1, &id.0.to_string(), &actor()));
    assert!(matches!(erase().await, Err(Error::NotFound("contact"))));
    // Lists still show that there was somebody, and what they said holds when they are named again.
    let list =
        front.store.campaign_recipients().list(tenant_id, running, PageRequest::default()).await.unwrap().unwrap();
    assert!(list.items[0].recipient.is_erased());
    let again = contact(&front, tenant_id).await;
    let again = front.store.contacts().find(tenant_id, again).await.unwrap().unwrap();
    assert!(!again.is_opted_in());
}

async fn what_is_on_its_way_is_finished_first(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session_id = front.connected_session(tenant_id).await;
    let id = contact(&front, tenant_id).await;
    let message = text(&front, tenant_id, session_id).await;
    hand_over(&front).await;
    let entries = Entries { session_id, campaign_id: CampaignId::DIRECT, at_ms: NOW_MS };
    journal::begin(&front.store, vec![entries.begin(message, 1)]).await;
    let later = text(&front, tenant_id, session_id).await;
    let erase = async || front.services.erasure.erase(tenant_id, id, &actor()).await;
    assert!(conflict(erase().await).contains("on their way"));
    hand_over(&front).await;
    assert_eq!(
        seed::state(&front.store, later).await,
        DeliveryState::Cancelled,
        "what waits is cancelled all the same"
    );
    assert!(conflict(erase().await).contains("on their way"));
    journal::end(&front.store, vec![entries.end(message, 1, journal::accepted())]).await;
    erase().await.unwrap();
    assert_eq!(seed::state(&front.store, message).await, DeliveryState::Sent);
    assert_eq!(tables_with(&front.store, &phone(N)).await, [""; 0]);
    // Nothing was ever said about campaigns, so nothing is kept of that.
    assert_eq!(seed::count(&front.store, "erased_opt_outs").await, 0);
    seed::days(&front.store).await;
}

async fn what_others_know_of_them_stays(store: Store) {
    let front = Front::new(store);
    let (owner, other) = (front.tenant().await, front.tenant().await);
    let (of_owner, of_other) = (contact(&front, owner).await, contact(&front, other).await);
    for (tenant_id, id) in [(owner, of_owner), (other, of_other)] {
        front.services.contacts.opt(tenant_id, id, false).await.unwrap();
    }
    assert!(matches!(front.services.erasure.erase(other, of_owner, &actor()).await, Err(Error::NotFound("contact"))));
    front.services.erasure.erase(owner, of_owner, &actor()).await.unwrap();
    let known = front.store.contacts().find(other, of_other).await.unwrap().unwrap();
    assert_eq!((known.name.as_str(), known.is_opted_in()), (NAME, false));
    assert_eq!(seed::count(&front.store, "opt_outs").await, 1);
    // They come back and opt in, and are erased once more: then nothing holds any more.
    let again = contact(&front, owner).await;
    front.services.contacts.opt(owner, again, true).await.unwrap();
    front.services.erasure.erase(owner, again, &actor()).await.unwrap();
    let again = contact(&front, owner).await;
    assert!(front.store.contacts().find(owner, again).await.unwrap().unwrap().is_opted_in());
}

async fn nobody_is_written_to_who_was_erased(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session_id = front.connected_session(tenant_id).await;
    let id = contact(&front, tenant_id).await;
    let draft = campaign_for(&front, tenant_id, session_id, id).await;
    front.services.contacts.opt(tenant_id, id, false).await.unwrap();
    front.services.erasure.erase(tenant_id, id, &actor()).await.unwrap();
    // The draft goes out all the same, and what was said holds for whoever names them again.
    front.services.campaigns.start(tenant_id, draft).await.unwrap();
    hand_over(&front).await;
    let list = front.store.campaign_recipients().list(tenant_id, draft, PageRequest::default()).await.unwrap().unwrap();
    let (delivery_id, recipient) = (list.items[0].id, list.items[0].recipient.clone());
    let entries = Entries { session_id, campaign_id: draft, at_ms: NOW_MS };
    let mut begin = entries.begin(delivery_id, 1);
    begin.recipient = recipient;
    journal::write(
        &front.store,
        actiwapi_dispatcher::store::journal::JournalBatch { begins: vec![begin], ..Default::default() },
    )
    .await;
    assert_eq!(seed::state(&front.store, delivery_id).await, DeliveryState::Skipped);
    assert_eq!(seed::count(&front.store, "opt_outs").await, 0);
    let new = NewCampaign { recipients: super::front::recipients([N]), ..campaign(&[session_id]) };
    let named = front.services.campaigns.create(tenant_id, new).await.unwrap().0;
    assert_eq!(named.state, CampaignState::Draft);
    front.services.campaigns.start(tenant_id, named.id).await.unwrap();
    hand_over(&front).await;
    assert_eq!(seed::count(&front.store, "opt_outs WHERE is_out").await, 1);
}
