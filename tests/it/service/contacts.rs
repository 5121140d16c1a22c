//! Contacts, their groups and files, and campaigns to them: rules, races, and what is a snapshot.

use actiwapi_dispatcher::domain::campaign::PassOver;
use actiwapi_dispatcher::domain::id::{CampaignId, ContactId, GroupId, TenantId};
use actiwapi_dispatcher::domain::job::Job;
use actiwapi_dispatcher::domain::message::Variables;
use actiwapi_dispatcher::domain::opt_out::OptSource;
use actiwapi_dispatcher::domain::plan::{LimitChange, Meter, SubscriptionState};
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::campaign_audience::Audience;
use actiwapi_dispatcher::service::campaigns::{AddedRecipients, NewCampaign, RecipientInput};
use actiwapi_dispatcher::service::contacts::{ContactInput, ContactPatch};
use actiwapi_dispatcher::service::plans::NewSubscription;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::plans::PlanChange;

use super::front::{Front, campaign, conflict, fields, phone};
use crate::support::db::store_contract;
use crate::support::seed::{self, NOW_MS};

store_contract!(
    every_problem_of_a_contact_is_told,
    a_contact_opts_out_and_in_again,
    a_file_is_taken_in_line_by_line,
    a_file_fills_the_plan_and_no_more,
    ten_at_once_get_the_last_contact_once,
    groups_take_known_contacts_only,
    a_campaign_takes_groups_contacts_and_recipients_once,
    what_becomes_of_contacts_changes_no_campaign,
    an_audience_of_strangers_is_refused,
);

fn input(n: u64, name: &str) -> ContactInput {
    ContactInput { phone: format!("+{}", phone(n)), name: name.to_owned(), ..ContactInput::default() }
}

async fn contact(front: &Front, tenant_id: TenantId, n: u64, name: &str) -> ContactId {
    front.services.contacts.create(tenant_id, input(n, name)).await.unwrap().id
}

async fn subscribe(front: &Front, tenant_id: TenantId, contacts: i64) {
    let limits = LimitChange { contacts: Some(Some(contacts)), ..LimitChange::default() };
    let change = PlanChange { limits, ..PlanChange::default() };
    front.services.plans.change("starter", change, &Actor::SYSTEM).await.unwrap();
    let new = NewSubscription { plan: "starter".to_owned(), state: SubscriptionState::Active, period_end: None };
    front.services.plans.subscribe(tenant_id, new, Actor::SYSTEM).await.unwrap();
}

fn is_full<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::LimitExceeded(Meter::Contacts)))
}

async fn every_problem_of_a_contact_is_told(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let contacts = &front.services.contacts;
    let mut attributes = Variables::default();
    attributes.insert("Phone", "x".to_owned()).unwrap();
    let bad = ContactInput {
        phone: "12".to_owned(),
        name: "a\u{0}".to_owned(),
        email: Some("nobody".to_owned()),
        opt_in: None,
        time_zone: Some("Mars/Olympus".to_owned()),
        attributes: attributes.clone(),
    };
    let all = ["phone", "name", "email", "timeZone", "attributes"];
    assert_eq!(fields(contacts.create(tenant_id, bad.clone()).await), all);
    let id = contact(&front, tenant_id, 1, "Ana").await;
    let patch = ContactPatch {
        phone: Some(bad.phone),
        name: Some(bad.name),
        email: Some(bad.email),
        opt_in: Some(false),
        time_zone: Some(bad.time_zone),
        attributes: Some(attributes),
    };
    let mut told = fields(contacts.change(tenant_id, id, patch).await);
    told.sort_unstable();
    assert_eq!(told, ["attributes", "email", "name", "phone", "timeZone"]);
    assert!(front.store.contacts().find(tenant_id, id).await.unwrap().unwrap().is_opted_in(), "nothing was done");
    // The same person, written differently.
    let again = ContactInput { phone: "0091 98000-00001".to_owned(), ..input(1, "Again") };
    assert!(conflict(contacts.create(tenant_id, again).await).contains("this phone"));
    contact(&front, tenant_id, 2, "Bo").await;
    let taken = ContactPatch { phone: Some(phone(2)), ..ContactPatch::default() };
    assert!(conflict(contacts.change(tenant_id, id, taken).await).contains("this phone"));
    assert_eq!(fields(contacts.remove_all(tenant_id, &[]).await), ["ids"]);
    assert_eq!(fields(contacts.validate(tenant_id, vec![String::new(); 1_001]).await), ["phones"]);
    let validated = contacts.validate(tenant_id, vec![phone(1), phone(9), "x".to_owned()]).await.unwrap();
    let found: Vec<_> = validated.iter().map(|one| (one.phone.is_ok(), one.contact_id)).collect();
    assert_eq!(found, [(true, Some(id)), (true, None), (false, None)]);
}

async fn a_contact_opts_out_and_in_again(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let contacts = &front.services.contacts;
    let id = contact(&front, tenant_id, 1, "Ana").await;
    let out = contacts.opt(tenant_id, id, false).await.unwrap();
    let said = out.opt_out.unwrap();
    assert_eq!((said.is_out, said.changed_at_ms, said.by), (true, NOW_MS, OptSource::User));
    front.clock.advance(std::time::Duration::from_secs(5));
    // What is so already keeps its time.
    assert_eq!(contacts.opt(tenant_id, id, false).await.unwrap().opt_out, Some(said));
    let patch = ContactPatch { opt_in: Some(true), name: Some("Ana R".to_owned()), ..ContactPatch::default() };
    let changed = contacts.change(tenant_id, id, patch).await.unwrap();
    assert_eq!((changed.is_opted_in(), changed.name.as_str()), (true, "Ana R"));
    assert_eq!(front.store.contacts().find(tenant_id, id).await.unwrap(), Some(changed));
    // Making them anew takes nothing back, but may say so for the first time.
    contacts.opt(tenant_id, id, false).await.unwrap();
    contacts.remove(tenant_id, id).await.unwrap();
    let again = ContactInput { opt_in: Some(true), ..input(1, "Ana") };
    assert!(!contacts.create(tenant_id, again).await.unwrap().is_opted_in());
    let new = ContactInput { opt_in: Some(false), ..input(2, "Bo") };
    assert!(!contacts.create(tenant_id, new).await.unwrap().is_opted_in());
}

async fn a_file_is_taken_in_line_by_line(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    contact(&front, tenant_id, 5, "Was here").await;
    let file = "Name;Phone;E-Mail;Time Zone;Opt_In;City\n\
        Ana;+91 98000 00001;ana@example.com;Asia/Kolkata;yes;Pune\n\
        Bo;919800000002;;;no;\n\
        Cy;919800000003;nobody;;;\n\
        Di;919800000004;;Mars/Olympus;;\n\
        Ed;919800000005;;;false;Goa\n\
        Flo;919800000006;;;perhaps;\n\
        Gus;12;;;;\n\
        \"Hal\";919800000002;;;;\n";
    let mut import = front.services.contacts.import(tenant_id).await.unwrap();
    for chunk in file.as_bytes().chunks(7) {
        import.feed(chunk).await.unwrap();
    }
    let report = import.finish().await.unwrap();
    assert_eq!((report.accepted, report.duplicates, report.rejected), (2, 2, 4));
    let lines: Vec<String> = report.first_problems.iter().map(|p| format!("{}: {}", p.line, p.problem)).collect();
    let expected = [
        "4: email: Valid email is required",
        "5: time zone: must be a time zone like Europe/Berlin, or a country like DE",
        "7: optin: must be yes or no",
        "8: Valid phone number is required: it has too few digits for its country.",
    ];
    assert_eq!(lines, expected);
    let kept = front.store.contacts().list(tenant_id, None, PageRequest::default()).await.unwrap().items;
    let shown: Vec<_> =
        kept.iter().map(|c| (c.name.as_str(), c.email.as_deref(), c.is_opted_in(), c.attributes.get("city"))).collect();
    // Who was there stays as they were, but for having opted out.
    let expected = [
        ("Bo", None, false, None),
        ("Ana", Some("ana@example.com"), true, Some("Pune")),
        ("Was here", None, false, None),
    ];
    assert_eq!(shown, expected);
    let mut import = front.services.contacts.import(tenant_id).await.unwrap();
    import.feed(b"who,what\n1,2\n").await.unwrap_err();
}

async fn a_file_fills_the_plan_and_no_more(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    subscribe(&front, tenant_id, 1_500).await;
    let file = (0..2_500).fold("phone\n".to_owned(), |text, n| text + &phone(n) + "\n");
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let (services, file) = (front.services.clone(), file.clone());
        tasks.push(async move {
            let mut import = services.contacts.import(tenant_id).await.unwrap();
            match import.feed(file.as_bytes()).await {
                Ok(()) => import.finish().await.map(drop),
                Err(error) => Err(error),
            }
        });
    }
    for result in futures::future::join_all(tasks).await {
        assert!(is_full(result));
    }
    assert_eq!(seed::count(&front.store, "contacts").await, 1_500);
    assert!(is_full(front.services.contacts.create(tenant_id, input(9_999, "x")).await));
    // What is there is no news.
    let mut import = front.services.contacts.import(tenant_id).await.unwrap();
    import.feed(format!("phone\n{}\n", phone(0)).as_bytes()).await.unwrap();
    assert_eq!(import.finish().await.unwrap().duplicates, 1);
}

async fn ten_at_once_get_the_last_contact_once(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    subscribe(&front, tenant_id, 1).await;
    let all = (0..10).map(|n| front.services.contacts.create(tenant_id, input(n, "x")));
    let made = futures::future::join_all(all).await.into_iter().filter(|result| result.is_ok()).count();
    assert_eq!((made, seed::count(&front.store, "contacts").await), (1, 1));
}

async fn groups_take_known_contacts_only(store: Store) {
    let front = Front::new(store);
    let (tenant_id, other) = (front.tenant().await, front.tenant().await);
    let groups = &front.services.contact_groups;
    let group = groups.create(tenant_id, " Regulars ").await.unwrap();
    assert_eq!(group.name, "Regulars");
    assert!(conflict(groups.create(tenant_id, "Regulars").await).contains("this name"));
    assert_eq!(fields(groups.create(tenant_id, " ").await), ["name"]);
    let second = groups.create(tenant_id, "Second").await.unwrap();
    assert!(conflict(groups.rename(tenant_id, second.id, Some("Regulars".to_owned())).await).contains("this name"));
    let (own, foreign) = (contact(&front, tenant_id, 1, "Ana").await, contact(&front, other, 1, "Ana").await);
    let added = groups.add(tenant_id, group.id, &[own, foreign, ContactId::generate()]).await;
    assert_eq!(fields(added), ["contactIds[1]", "contactIds[2]"]);
    let added = groups.add(tenant_id, group.id, &[own, own]).await.unwrap();
    assert_eq!((added.added, added.duplicates), (1, 1));
    assert_eq!(fields(groups.add(tenant_id, group.id, &[]).await), ["contactIds"]);
    groups.take_out(tenant_id, group.id, own).await.unwrap();
    assert!(matches!(groups.take_out(tenant_id, group.id, own).await, Err(Error::NotFound(_))));
    groups.remove(tenant_id, group.id).await.unwrap();
    assert!(matches!(groups.remove(tenant_id, group.id).await, Err(Error::NotFound(_))));
    assert_eq!(seed::count(&front.store, "contacts").await, 2);
}

/// A tenant with a session, three contacts, and a group of the first two.
struct Book {
    front: Front,
    tenant_id: TenantId,
    new: NewCampaign,
    group_id: GroupId,
    contacts: Vec<ContactId>,
}

async fn book(store: Store) -> Book {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let session_id = front.connected_session(tenant_id).await;
    let mut attributes = Variables::default();
    attributes.insert("city", "Pune".to_owned()).unwrap();
    let ana = ContactInput {
        email: Some("ana@example.com".to_owned()),
        time_zone: Some("America/New_York".to_owned()),
        attributes,
        ..input(1, "Ana")
    };
    let ana = front.services.contacts.create(tenant_id, ana).await.unwrap().id;
    let contacts = vec![ana, contact(&front, tenant_id, 2, "").await, contact(&front, tenant_id, 3, "Cy").await];
    let group_id = front.services.contact_groups.create(tenant_id, "A").await.unwrap().id;
    front.services.contact_groups.add(tenant_id, group_id, &contacts[..2]).await.unwrap();
    let audience = Audience { group_ids: vec![group_id, group_id], contact_ids: contacts[1..].to_vec() };
    let given = RecipientInput { phone: phone(3), variables: Variables::default() };
    let new = NewCampaign { recipients: vec![given], audience, ..campaign(&[session_id]) };
    Book { front, tenant_id, new, group_id, contacts }
}

async fn a_campaign_takes_groups_contacts_and_recipients_once(store: Store) {
    let Book { front, tenant_id, new, .. } = book(store).await;
    let pass_over = PassOver { opted_out: false, written_within_hours: Some(24) };
    let (made, added) = front.services.campaigns.create(tenant_id, NewCampaign { pass_over, ..new }).await.unwrap();
    assert_eq!(added, AddedRecipients { accepted: 3, duplicates: 4 });
    let found = front.store.campaigns().find(tenant_id, made.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&made));
    assert_eq!((made.n_recipients, made.pass_over), (3, pass_over));
    let page = PageRequest::default();
    let recipients = front.store.campaign_recipients().list(tenant_id, made.id, page).await.unwrap().unwrap().items;
    let shown: Vec<_> =
        recipients.iter().map(|r| (r.recipient.as_str().to_owned(), r.variables.iter().collect::<Vec<_>>())).collect();
    let ana = vec![("city", "Pune"), ("email", "ana@example.com"), ("name", "Ana")];
    // What was given by hand comes first and keeps what was given.
    assert_eq!(shown, [(phone(3), vec![]), (phone(2), vec![]), (phone(1), ana)]);
}

/// The jobs of a campaign, but for what is new each time.
async fn expanded(store: &Store, id: CampaignId) -> Vec<Job> {
    store.expand_campaign(id, 0, 100).await.unwrap().jobs
}

async fn what_becomes_of_contacts_changes_no_campaign(store: Store) {
    let Book { front, tenant_id, new, group_id, contacts } = book(store).await;
    let id = front.services.campaigns.create(tenant_id, new).await.unwrap().0.id;
    front.services.campaigns.start(tenant_id, id).await.unwrap();
    let before = expanded(&front.store, id).await;
    let ana = before.iter().flat_map(|job| &job.deliveries).find(|delivery| delivery.to.as_str() == phone(1)).unwrap();
    assert_eq!(ana.time_zone.as_ref().map(|zone| zone.as_str()), Some("America/New_York"));
    let patch = ContactPatch {
        phone: Some(phone(77)),
        name: Some("Another".to_owned()),
        email: Some(None),
        time_zone: Some(None),
        attributes: Some(Variables::default()),
        opt_in: Some(false),
    };
    front.services.contacts.change(tenant_id, contacts[0], patch).await.unwrap();
    let late = contact(&front, tenant_id, 4, "Late").await;
    front.services.contact_groups.add(tenant_id, group_id, &[late]).await.unwrap();
    front.services.contact_groups.take_out(tenant_id, group_id, contacts[0]).await.unwrap();
    assert_eq!(expanded(&front.store, id).await, before);
    front.services.contacts.remove_all(tenant_id, &contacts).await.unwrap();
    front.services.contact_groups.remove(tenant_id, group_id).await.unwrap();
    assert_eq!(expanded(&front.store, id).await, before);
    let found = front.store.campaigns().find(tenant_id, id).await.unwrap().unwrap();
    assert_eq!(found.n_recipients, 3);
}

async fn an_audience_of_strangers_is_refused(store: Store) {
    let Book { front, tenant_id, new, group_id, contacts } = book(store).await;
    let thief = front.tenant().await;
    let session_id = front.connected_session(thief).await;
    let audience = Audience { group_ids: vec![group_id], contact_ids: vec![contacts[0]] };
    let stolen = NewCampaign { audience, ..campaign(&[session_id]) };
    let mut told = fields(front.services.campaigns.create(thief, stolen).await);
    told.sort_unstable();
    assert_eq!(told, ["contactIds[0]", "groupIds[0]"]);
    for (hours, good) in [(0, false), (1, true), (2_160, true), (2_161, false), (u32::MAX, false)] {
        let pass_over = PassOver { opted_out: true, written_within_hours: Some(hours) };
        let created = front.services.campaigns.create(tenant_id, NewCampaign { pass_over, ..new.clone() }).await;
        match good {
            true => drop(created.unwrap()),
            false => assert_eq!(fields(created), ["skipDuplicatesHours"]),
        }
    }
    let audience = Audience { group_ids: vec![group_id; 101], contact_ids: vec![contacts[0]; 10_001] };
    let mut told = fields(front.services.campaigns.create(tenant_id, NewCampaign { audience, ..new }).await);
    told.sort_unstable();
    assert_eq!(told, ["contactIds", "groupIds"]);
}
