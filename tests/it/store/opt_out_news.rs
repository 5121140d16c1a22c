//! Contracts of what comes of an opt-out: it is told once, and charged to the campaign that it answers.

use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::id::{CampaignId, TenantId, WebhookId};
use actiwapi_dispatcher::domain::inbound::InboundMessage;
use actiwapi_dispatcher::domain::opt_out::{OptOut, OptSource, OptWord};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::domain::webhook::WebhookEvent;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::opt_outs::OptChange;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::webhooks::NewWebhook;
use serde_json::{Value, json};

use crate::support::db::store_contract;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, Lane, NOW_MS};

store_contract!(
    who_opts_out_is_told_once,
    people_and_files_are_told_of_as_well,
    a_stop_is_charged_to_the_campaign_it_answers,
    only_an_answer_to_a_campaign_that_is_not_over_is_charged,
);

const NUMBER: &str = "106540352242922";

fn phone(n: u64) -> Recipient {
    Recipient::from_stored(&(919_800_000_000 + n).to_string()).expect("a stored phone number")
}

fn said(n: u64, word: OptWord, at_ms: i64) -> InboundMessage {
    InboundMessage {
        provider_message_id: format!("wamid.{n}.{at_ms}"),
        phone_number_id: NUMBER.to_owned(),
        from: phone(n),
        at_ms,
        kind: "text".to_owned(),
        text: None,
        asks: Some(word),
    }
}

async fn webhook(store: &Store, tenant_id: TenantId) -> WebhookId {
    let new = NewWebhook {
        id: WebhookId::generate(),
        tenant_id,
        url: "https://hooks.example/in".to_owned(),
        events: vec![WebhookEvent::ContactOptedOut],
        secret: "secret".into(),
        created_at_ms: NOW_MS,
    };
    assert!(store.webhooks().insert(&new, 100).await.unwrap());
    new.id
}

/// Returns whom a webhook was told of, and who said so, in their order.
async fn told(store: &Store, tenant_id: TenantId, id: WebhookId) -> Vec<(String, String)> {
    let page = store.webhooks().history(tenant_id, id, PageRequest::default()).await.unwrap();
    let read = |data: &str| {
        let data: Value = serde_json::from_str(data).unwrap();
        let text = |field: &str| data[field].as_str().unwrap().to_owned();
        (text("phone"), text("optedOutBy"))
    };
    page.items.iter().rev().map(|told| read(&told.data)).collect()
}

async fn who_opts_out_is_told_once(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    let id = webhook(&store, tenant_id).await;
    let stop = said(1, OptWord::Stop, NOW_MS);
    for _ in 0..3 {
        store.note_opt_outs(&[stop.clone(), said(2, OptWord::Start, NOW_MS)]).await.unwrap();
    }
    store.note_opt_outs(&[said(1, OptWord::Stop, NOW_MS + 5_000)]).await.unwrap();
    let one = (phone(1).as_str().to_owned(), "recipient".to_owned());
    assert_eq!(told(&store, tenant_id, id).await, std::slice::from_ref(&one), "it is out already");
    store.note_opt_outs(&[said(1, OptWord::Start, NOW_MS + 10_000)]).await.unwrap();
    store.note_opt_outs(&[said(1, OptWord::Stop, NOW_MS + 2_000)]).await.unwrap();
    assert_eq!(told(&store, tenant_id, id).await.len(), 1, "an older word changes nothing");
    store.note_opt_outs(&[said(1, OptWord::Stop, NOW_MS + 20_000)]).await.unwrap();
    assert_eq!(told(&store, tenant_id, id).await, [one.clone(), one]);
}

async fn people_and_files_are_told_of_as_well(store: Store) {
    let (lane, other) = (seed::lane(&store).await, seed::lane(&store).await);
    let (id, theirs) = (webhook(&store, lane.tenant_id).await, webhook(&store, other.tenant_id).await);
    let change = |n, is_out, by| OptChange {
        tenant_id: lane.tenant_id,
        recipient: phone(n),
        opt_out: OptOut { is_out, changed_at_ms: NOW_MS, by },
    };
    let changes =
        [change(1, true, OptSource::User), change(2, true, OptSource::Import), change(3, false, OptSource::User)];
    store.set_opt_outs(&changes).await.unwrap();
    store.set_opt_outs(&changes).await.unwrap();
    let expected = [(1, "user"), (2, "import")].map(|(n, by)| (phone(n).as_str().to_owned(), by.to_owned()));
    assert_eq!(told(&store, lane.tenant_id, id).await, expected);
    assert_eq!(told(&store, other.tenant_id, theirs).await, [], "of another tenant");
}

/// Sends a message of a campaign to recipients 0 to 2; it arrives, is refused, and is read.
async fn sent(store: &Store, lane: Lane, state: CampaignState, at_ms: i64) -> CampaignId {
    let campaign_id = match state {
        CampaignState::Draft => CampaignId::DIRECT,
        state => seed::campaign(store, lane.tenant_id, state, OnUnknown::Quarantine).await,
    };
    let ids = seed::admit(store, &seed::job(lane, campaign_id, 3)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms };
    journal::begin(store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
    let ends = [journal::accepted(), journal::rejected(), journal::accepted()];
    journal::end(store, ids.iter().zip(ends).map(|(id, ended)| entries.end(*id, 1, ended)).collect()).await;
    journal::receive(store, vec![entries.receipt(ids[2], ReceiptKind::Read)]).await;
    campaign_id
}

async fn stops(store: &Store, campaign_id: CampaignId) -> i64 {
    let charged = seed::count(store, "campaign_stops").await;
    let judged = store.campaigns().judged().await.unwrap();
    let of = judged.iter().find(|judged| judged.campaign_id == campaign_id);
    let counted = of.map(|judged| judged.standing.unwrap().sample.opted_out);
    assert!(charged <= 1, "one campaign is charged");
    counted.unwrap_or(0)
}

async fn watch(store: &Store) {
    let text = format!("UPDATE campaigns SET guardrails = '{}'", json!({"maxOptOutRate": 0.1}));
    actiwapi_dispatcher::with_writer!(store.pool(), |db| {
        sqlx::query(sqlx::AssertSqlSafe(text.as_str())).execute(db).await.map(drop)
    })
    .unwrap();
}

async fn a_stop_is_charged_to_the_campaign_it_answers(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = sent(&store, lane, CampaignState::Running, NOW_MS).await;
    watch(&store).await;
    let stop = |n, at_ms| said(n, OptWord::Stop, NOW_MS + at_ms);
    // The provider's times are whole seconds, and its clock is another one.
    store.note_opt_outs(&[stop(0, -900), stop(1, 5_000)]).await.unwrap();
    assert_eq!(stops(&store, campaign_id).await, 1, "the refused one got nothing");
    store.note_opt_outs(&[stop(0, -900), stop(0, 9_000)]).await.unwrap();
    assert_eq!(stops(&store, campaign_id).await, 1, "once");
    store.note_opt_outs(&[stop(2, 60_000), stop(7, 60_000)]).await.unwrap();
    assert_eq!(stops(&store, campaign_id).await, 2);
}

async fn only_an_answer_to_a_campaign_that_is_not_over_is_charged(store: Store) {
    let lane = seed::lane(&store).await;
    let campaign_id = sent(&store, lane, CampaignState::Running, NOW_MS).await;
    watch(&store).await;
    let stop = |n, at_ms| said(n, OptWord::Stop, NOW_MS + at_ms);
    store.note_opt_outs(&[stop(0, -3_600_000)]).await.unwrap();
    assert_eq!(stops(&store, campaign_id).await, 0, "said before the message");
    let foreign = InboundMessage { phone_number_id: "1".to_owned(), ..stop(2, 5_000) };
    store.note_opt_outs(&[foreign]).await.unwrap();
    assert_eq!(stops(&store, campaign_id).await, 0, "said to another number");
    sent(&store, lane, CampaignState::Draft, NOW_MS + 10_000).await;
    store.note_opt_outs(&[stop(2, 80_000)]).await.unwrap();
    assert_eq!(stops(&store, campaign_id).await, 0, "the answer to a single message");
    seed::set_campaign_state(&store, campaign_id, CampaignState::Completed).await;
    store.set_opt_outs(&[]).await.unwrap();
    assert_eq!(seed::count(&store, "campaign_stops").await, 0);
}
