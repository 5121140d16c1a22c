//! Campaigns: made, and given recipients.

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::campaign::{CampaignState, OnUnknown};
use actiwapi_dispatcher::domain::id::SessionId;
use actiwapi_dispatcher::domain::message::{MessageSpec, Variables};
use actiwapi_dispatcher::limits::RECIPIENTS_PER_BODY_MAX;
use actiwapi_dispatcher::service::campaigns::{AddedRecipients, NewCampaign, RecipientInput};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::campaign_stats::CampaignStats;
use actiwapi_dispatcher::store::page::PageRequest;

use super::front::{Front, campaign, conflict, fields, phone, recipients};
use crate::support::db::store_contract;
use crate::support::seed::{NOW_MS, count};

store_contract!(
    a_campaign_reads_back_as_it_was_made,
    every_problem_of_a_campaign_is_told,
    nothing_of_a_refused_campaign_stays,
    duplicates_are_counted_and_numbers_have_no_gaps,
    one_bad_recipient_refuses_the_list,
    recipients_are_added_to_drafts_only,
    appends_at_once_give_out_each_number_once,
    campaigns_are_listed_by_page_and_state,
);

async fn a_campaign_reads_back_as_it_was_made(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let sessions = [front.session(tenant_id).await, front.session(tenant_id).await, front.session(tenant_id).await];
    let sessions = [sessions[1], sessions[0], sessions[2]];
    let mut variables = Variables::default();
    variables.insert("name", "Zoë \"Z\" \u{0} \\".to_owned()).unwrap();
    let new = NewCampaign {
        name: " Spring ".to_owned(),
        on_unknown: OnUnknown::Resend,
        expires_at: Some(Moment::from_ms(NOW_MS + 1)),
        recipients: vec![RecipientInput { phone: "+91 98000-00007".to_owned(), variables: variables.clone() }],
        ..campaign(&sessions)
    };
    let (made, added) = front.services.campaigns.create(tenant_id, new.clone()).await.unwrap();
    assert_eq!(added, AddedRecipients { accepted: 1, duplicates: 0 });
    assert_eq!((made.name.as_str(), made.state), ("Spring", CampaignState::Draft));
    assert_eq!((made.on_unknown, made.expires_at_ms), (OnUnknown::Resend, Some(NOW_MS + 1)));
    assert_eq!(made.message, new.message);
    assert_eq!(made.stats(), CampaignStats { total: 1, ..CampaignStats::default() });
    assert_eq!(front.store.campaigns().find(tenant_id, made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(front.store.campaigns().session_ids(tenant_id, made.id).await.unwrap(), sessions);
    let page = PageRequest::default();
    let listed = front.store.campaign_recipients().list(tenant_id, made.id, page).await.unwrap().unwrap();
    assert_eq!((listed.total, listed.items[0].seq), (1, 0));
    assert_eq!(listed.items[0].recipient.as_str(), phone(7));
    assert_eq!(listed.items[0].variables, variables);
}

async fn every_problem_of_a_campaign_is_told(store: Store) {
    let front = Front::new(store);
    let (tenant_id, other) = (front.tenant().await, front.tenant().await);
    let foreign = front.session(other).await;
    let own = front.session(tenant_id).await;
    let bad = NewCampaign {
        name: String::new(),
        session_ids: vec![own, foreign, own],
        message: MessageSpec::Text { text: "Hello {{name".to_owned() },
        expires_at: Some(Moment::from_ms(NOW_MS)),
        recipients: [
            recipients(0..1),
            vec![RecipientInput { phone: "12".to_owned(), variables: Variables::default() }],
        ]
        .concat(),
        ..campaign(&[])
    };
    let told = fields(front.services.campaigns.create(tenant_id, bad).await);
    assert_eq!(told, ["name", "sessionIds", "sessionIds[1]", "message", "expiresAt", "recipients[1].phone"]);
    for ids in [vec![], vec![SessionId::generate(); 1_001]] {
        let told = fields(front.services.campaigns.create(tenant_id, campaign(&ids)).await);
        assert_eq!(told, ["sessionIds"]);
    }
}

async fn nothing_of_a_refused_campaign_stays(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    let too_many = u64::try_from(RECIPIENTS_PER_BODY_MAX).unwrap() + 1;
    let bad = NewCampaign { recipients: recipients(0..too_many), ..campaign(&[own]) };
    assert_eq!(fields(front.services.campaigns.create(tenant_id, bad).await), ["recipients"]);
    for table in ["campaigns", "campaign_sessions", "campaign_recipients"] {
        assert_eq!(count(&front.store, table).await, 0, "{table}");
    }
}

async fn duplicates_are_counted_and_numbers_have_no_gaps(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    // 2,500 recipients take three statements; each of the later ones knows some of the earlier.
    let first = (0..1_500).chain(500..2_000).chain([3, 3]);
    let new = NewCampaign { recipients: recipients(first), ..campaign(&[own]) };
    let (made, added) = front.services.campaigns.create(tenant_id, new).await.unwrap();
    assert_eq!(added, AddedRecipients { accepted: 2_000, duplicates: 1_002 });
    let more = recipients((1_990..2_010).chain([2_005]));
    let added = front.services.campaigns.add_recipients(tenant_id, made.id, more).await.unwrap();
    assert_eq!(added, AddedRecipients { accepted: 10, duplicates: 11 });
    let found = front.store.campaigns().find(tenant_id, made.id).await.unwrap().unwrap();
    assert_eq!(found.n_recipients, 2_010);
    assert_eq!(count(&front.store, "campaign_recipients").await, 2_010);
    assert_eq!(count(&front.store, "campaign_recipients WHERE seq >= 2010").await, 0, "no gaps");
    let last = PageRequest::new(101, 20).unwrap();
    let last = front.store.campaign_recipients().list(tenant_id, made.id, last).await.unwrap().unwrap();
    let phones: Vec<_> = last.items.iter().map(|record| record.recipient.as_str().to_owned()).collect();
    assert_eq!(phones, (2_000..2_010).map(phone).collect::<Vec<_>>());
}

async fn one_bad_recipient_refuses_the_list(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 0).await;
    let mut list = recipients(0..3);
    list[1].phone = "not a phone".to_owned();
    let told = fields(front.services.campaigns.add_recipients(tenant_id, id, list).await);
    assert_eq!(told, ["recipients[1].phone"]);
    assert_eq!(fields(front.services.campaigns.add_recipients(tenant_id, id, vec![]).await), ["recipients"]);
    assert_eq!(count(&front.store, "campaign_recipients").await, 0);
}

async fn recipients_are_added_to_drafts_only(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 1).await;
    front.services.campaigns.start(tenant_id, id).await.unwrap();
    let refused = front.services.campaigns.add_recipients(tenant_id, id, recipients(5..6)).await;
    assert_eq!(conflict(refused), "The campaign is running; recipients can only be added to a draft.");
    conflict(front.services.campaigns.import_recipients(tenant_id, id).await);
    assert_eq!(count(&front.store, "campaign_recipients").await, 1);
}

async fn appends_at_once_give_out_each_number_once(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.session(tenant_id).await;
    let id = front.campaign(tenant_id, &[own], 0).await;
    let add = |numbers: std::ops::Range<u64>| {
        let campaigns = front.services.campaigns.clone();
        async move { campaigns.add_recipients(tenant_id, id, recipients(numbers)).await.unwrap().accepted }
    };
    let added = tokio::join!(add(0..700), add(500..1_200), add(1_000..1_700), add(300..900));
    assert_eq!(added.0 + added.1 + added.2 + added.3, 1_700);
    assert_eq!(count(&front.store, "campaign_recipients").await, 1_700);
    assert_eq!(count(&front.store, "campaign_recipients WHERE seq >= 1700").await, 0);
}

async fn campaigns_are_listed_by_page_and_state(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let own = front.connected_session(tenant_id).await;
    let mut ids = vec![];
    for _ in 0..3 {
        ids.push(front.campaign(tenant_id, &[own], 1).await);
    }
    front.services.campaigns.start(tenant_id, ids[1]).await.unwrap();
    ids.reverse();
    let list = async |state, page| {
        let page = PageRequest::new(page, 2).unwrap();
        let page = front.store.campaigns().list(tenant_id, state, page).await.unwrap();
        (page.items.into_iter().map(|record| record.id).collect::<Vec<_>>(), page.total)
    };
    assert_eq!(list(None, 1).await, (ids[..2].to_vec(), 3));
    assert_eq!(list(None, 2).await, (ids[2..].to_vec(), 3));
    assert_eq!(list(None, 3).await, (vec![], 3));
    assert_eq!(list(Some(CampaignState::Running), 1).await, (vec![ids[1]], 1));
}
