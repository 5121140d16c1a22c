//! Contracts of contacts and their groups: found along indexes, counted exactly, apart by tenant.

use std::collections::BTreeSet;

use actiwapi_dispatcher::domain::contact::Search;
use actiwapi_dispatcher::domain::id::{ContactId, GroupId, TenantId};
use actiwapi_dispatcher::domain::message::Variables;
use actiwapi_dispatcher::domain::opt_out::{OptOut, OptSource};
use actiwapi_dispatcher::domain::plan::{LimitChange, Meter, SubscriptionState};
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::domain::zone::Zone;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::contact_groups::GroupRecord;
use actiwapi_dispatcher::store::contacts::{Changed, ContactChange, NewContact};
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::store::plan_usage::PlanRefusal;
use actiwapi_dispatcher::store::plans::{NewSubscription, PlanChange};
use tokio::task::JoinSet;

use crate::support::db::store_contract;
use crate::support::seed::{self, NOW_MS};

store_contract!(
    a_contact_is_kept_as_given,
    a_phone_is_a_contact_once,
    the_plan_is_never_passed_however_many_come_at_once,
    nothing_is_added_without_an_active_subscription,
    searches_find_phones_and_words_of_names_once,
    changes_move_what_is_searched,
    groups_count_who_is_in_them,
    nobody_reaches_the_contacts_of_others,
    who_is_said_to_have_opted_out_has,
);

pub(super) fn new(n: u64, name: &str) -> NewContact {
    NewContact {
        phone: Recipient::from_stored(&(919_800_000_000 + n).to_string()).expect("a stored phone number"),
        name: name.to_owned(),
        email: None,
        time_zone: None,
        attributes: Variables::default(),
        is_out: false,
    }
}

const BY: (OptSource, i64) = (OptSource::User, NOW_MS);

/// Adds contacts, all of which must be new; returns their ids.
pub(super) async fn add(store: &Store, tenant_id: TenantId, batch: &[NewContact]) -> Vec<ContactId> {
    let inserted = store.contacts().insert(tenant_id, batch, BY).await.expect("add").expect("the plan has room");
    assert_eq!((inserted.duplicates, inserted.n_refused), (vec![], 0));
    inserted.added.into_iter().map(|(_, id)| id).collect()
}

pub(super) async fn group(store: &Store, tenant_id: TenantId, name: &str) -> GroupRecord {
    let id = GroupId::generate();
    let group = GroupRecord { id, tenant_id, name: name.to_owned(), n_contacts: 0, created_at_ms: NOW_MS };
    assert!(store.contact_groups().insert(&group).await.expect("add a group"));
    group
}

/// Gives a tenant a plan with room for so many contacts.
async fn subscribe(store: &Store, tenant_id: TenantId, contacts: i64, state: SubscriptionState) {
    let limits = LimitChange { contacts: Some(Some(contacts)), ..LimitChange::default() };
    let change = PlanChange { limits, ..PlanChange::default() };
    store.plans().change("starter", &change, &Actor::SYSTEM, NOW_MS).await.unwrap();
    let new = NewSubscription { plan: "starter".to_owned(), state, period_end_ms: None, actor: Actor::SYSTEM };
    store.plans().subscribe(tenant_id, &new, NOW_MS).await.unwrap();
}

async fn found(store: &Store, tenant_id: TenantId, search: &str) -> (Vec<String>, u64) {
    let page = PageRequest::new(1, 100).unwrap();
    let search = Search::read(search);
    let page = store.contacts().list(tenant_id, search.as_ref(), page).await.expect("list contacts");
    (page.items.into_iter().map(|contact| contact.name).collect(), page.total)
}

/// Checks that every count is that of the rows.
async fn check_counts(store: &Store, tenant_id: TenantId) -> i64 {
    let n = seed::count(store, "contacts").await;
    assert_eq!(
        seed::count(
            store,
            "contact_books b WHERE n_contacts <> (SELECT COUNT(*) FROM contacts c \
        WHERE c.tenant_id = b.tenant_id)"
        )
        .await,
        0,
        "books"
    );
    assert_eq!(
        seed::count(
            store,
            "contact_groups g WHERE n_contacts <> (SELECT COUNT(*) FROM contact_group_members m \
        WHERE m.group_id = g.group_id)"
        )
        .await,
        0,
        "groups"
    );
    assert_eq!(
        seed::count(
            store,
            "contact_names n WHERE NOT EXISTS (SELECT 1 FROM contacts c \
        WHERE c.contact_id = n.contact_id)"
        )
        .await,
        0,
        "names of nobody"
    );
    assert_eq!(found(store, tenant_id, "").await.1, u64::try_from(n).unwrap());
    n
}

async fn a_contact_is_kept_as_given(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    let mut attributes = Variables::default();
    attributes.insert("city", "Pune \"West\"\n; DROP TABLE contacts".to_owned()).unwrap();
    let given = NewContact {
        email: Some("ana@example.com".to_owned()),
        time_zone: Zone::parse("asia/kolkata"),
        attributes,
        ..new(1, "Zoë O'Hara")
    };
    let id = add(&store, tenant_id, std::slice::from_ref(&given)).await[0];
    let kept = store.contacts().find(tenant_id, id).await.unwrap().unwrap();
    assert_eq!((&kept.phone, &kept.name, &kept.email), (&given.phone, &given.name, &given.email));
    assert_eq!((&kept.time_zone, &kept.attributes), (&given.time_zone, &given.attributes));
    assert_eq!((kept.opt_out, kept.created_at_ms, kept.changed_at_ms), (None, NOW_MS, NOW_MS));
    assert_eq!(store.contacts().find_all(tenant_id, &[id, ContactId::generate()]).await.unwrap(), [kept]);
}

async fn a_phone_is_a_contact_once(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    add(&store, tenant_id, &[new(1, "Ana")]).await;
    let batch = [new(2, "Bo"), new(1, "Another Ana"), new(2, "Another Bo"), new(3, "Cy")];
    let inserted = store.contacts().insert(tenant_id, &batch, BY).await.unwrap().unwrap();
    assert_eq!(inserted.added.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 3]);
    assert_eq!((inserted.duplicates, inserted.n_refused), (vec![1, 2], 0));
    assert_eq!(found(&store, tenant_id, "").await.0, ["Cy", "Bo", "Ana"]);
    assert_eq!(check_counts(&store, tenant_id).await, 3);
    // Another tenant's book is its own.
    let other = seed::lane(&store).await.tenant_id;
    add(&store, other, &[new(1, "Ana of others")]).await;
}

async fn the_plan_is_never_passed_however_many_come_at_once(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    subscribe(&store, tenant_id, 7, SubscriptionState::Active).await;
    let mut tasks = JoinSet::new();
    for n in 0..6 {
        let store = store.clone();
        // Each overlaps with the next by one.
        tasks.spawn(async move {
            let batch = [new(n * 2, "a"), new(n * 2 + 1, "b"), new(n * 2 + 2, "c")];
            store.contacts().insert(tenant_id, &batch, BY).await.unwrap().unwrap()
        });
    }
    let (mut n_added, mut n_refused) = (0, 0);
    while let Some(inserted) = tasks.join_next().await {
        let inserted = inserted.unwrap();
        assert_eq!(inserted.added.len() + inserted.duplicates.len() + inserted.n_refused, 3);
        n_added += inserted.added.len();
        n_refused += inserted.n_refused;
    }
    assert!(n_added == 7 && n_refused != 0, "{n_added} {n_refused}");
    assert_eq!(check_counts(&store, tenant_id).await, 7);
    let usage = store.usage_of_tenant(tenant_id, NOW_MS).await.unwrap().unwrap();
    assert_eq!((usage.n_contacts, usage.check(Meter::Contacts, NOW_MS)), (7, Err(PlanRefusal::Full(Meter::Contacts))));
    // Who is there has no need of room, and who goes makes some.
    let known = store.contacts().list(tenant_id, None, PageRequest::default()).await.unwrap().items;
    assert_eq!(store.contacts().remove(tenant_id, &[known[0].id, known[1].id]).await.unwrap(), 2);
    add(&store, tenant_id, &[new(50, "x"), new(51, "y")]).await;
    let full = store.contacts().insert(tenant_id, &[new(50, "x"), new(52, "z")], BY).await.unwrap().unwrap();
    assert_eq!((full.added, full.duplicates, full.n_refused), (vec![], vec![0], 1));
}

async fn nothing_is_added_without_an_active_subscription(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    subscribe(&store, tenant_id, 7, SubscriptionState::Expired).await;
    let refused = store.contacts().insert(tenant_id, &[new(1, "Ana")], BY).await.unwrap();
    assert_eq!(refused, Err(PlanRefusal::Inactive));
    assert_eq!(seed::count(&store, "contacts").await, 0);
}

async fn searches_find_phones_and_words_of_names_once(store: Store) {
    let (tenant_id, other) = (seed::lane(&store).await.tenant_id, seed::lane(&store).await.tenant_id);
    let names = ["Ana Anand", "Ravi ANAND Rao", "Zoë", "", "100% %_\\", "anaïs"];
    let batch: Vec<_> = names.iter().zip(10..).map(|(name, n)| new(n, name)).collect();
    add(&store, tenant_id, &batch).await;
    add(&store, other, &[new(10, "Ana of others")]).await;
    let names = async |search: &str| found(&store, tenant_id, search).await.0;
    assert_eq!(names("an").await, ["Ana Anand", "Ravi ANAND Rao", "anaïs"]);
    assert_eq!(names("anand").await, ["Ana Anand", "Ravi ANAND Rao"]);
    assert_eq!(names("anand r").await, ["Ravi ANAND Rao"]);
    assert_eq!(names("ZO").await, ["Zoë"]);
    assert_eq!(names("%").await, ["100% %_\\"]);
    assert_eq!(names("nand").await, [""; 0]);
    assert_eq!(names("'; DROP TABLE contacts; --").await, [""; 0]);
    assert_eq!(names("+91 98000 00010").await, ["Ana Anand"]);
    assert_eq!(names("9198000000").await.len(), 6);
    assert_eq!(names("92").await, [""; 0]);
    // Pages follow each other, and what is found is counted.
    let search = Search::read("an");
    let mut seen = Vec::new();
    for page in 1..=4 {
        let page = PageRequest::new(page, 1).unwrap();
        let page = store.contacts().list(tenant_id, search.as_ref(), page).await.unwrap();
        assert_eq!(page.total, 3);
        seen.extend(page.items.into_iter().map(|contact| contact.name));
    }
    assert_eq!(seen, ["Ana Anand", "Ravi ANAND Rao", "anaïs"]);
}

async fn changes_move_what_is_searched(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    let ids = add(&store, tenant_id, &[new(1, "Ana Rao"), new(2, "Bo")]).await;
    let change = async |change| store.contacts().change(tenant_id, ids[0], change, NOW_MS + 5).await.unwrap();
    let named = ContactChange { name: Some("Ana Sen".to_owned()), ..ContactChange::default() };
    let Changed::To(contact) = change(named).await else { panic!("not changed") };
    assert_eq!((contact.name.as_str(), contact.created_at_ms, contact.changed_at_ms), ("Ana Sen", NOW_MS, NOW_MS + 5));
    assert_eq!(found(&store, tenant_id, "rao").await.0, [""; 0]);
    assert_eq!(found(&store, tenant_id, "sen").await.0, ["Ana Sen"]);
    let phone = |n| ContactChange { phone: Some(new(n, "").phone), ..ContactChange::default() };
    assert_eq!(change(phone(2)).await, Changed::PhoneTaken);
    assert!(matches!(change(phone(1)).await, Changed::To(_)));
    let Changed::To(contact) = change(phone(3)).await else { panic!("not changed") };
    assert_eq!(contact.phone, new(3, "").phone);
    let emptied = ContactChange { email: Some(None), time_zone: Some(None), ..ContactChange::default() };
    assert!(matches!(change(emptied).await, Changed::To(contact) if contact.name == "Ana Sen"));
    let missing = store.contacts().change(tenant_id, ContactId::generate(), phone(9), NOW_MS).await.unwrap();
    assert_eq!(missing, Changed::Missing);
    assert_eq!(check_counts(&store, tenant_id).await, 2);
}

async fn groups_count_who_is_in_them(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    let batch: Vec<_> = (0..30).map(|n| new(n, "Ana")).collect();
    let ids = add(&store, tenant_id, &batch).await;
    let (a, b) = (group(&store, tenant_id, "A").await, group(&store, tenant_id, "B").await);
    let groups = store.contact_groups();
    assert!(!groups.insert(&GroupRecord { id: GroupId::generate(), ..a.clone() }).await.unwrap(), "a name twice");
    let mut tasks = JoinSet::new();
    for part in ids.chunks(10) {
        let (store, part, a) = (store.clone(), part.to_vec(), a.id);
        tasks.spawn(async move { store.contact_groups().add(tenant_id, a, &part).await.unwrap() });
    }
    while let Some(n_added) = tasks.join_next().await {
        assert_eq!(n_added.unwrap(), 10);
    }
    assert_eq!(groups.add(tenant_id, b.id, &ids[..5]).await.unwrap(), 5);
    assert_eq!(groups.add(tenant_id, b.id, &ids[..6]).await.unwrap(), 1);
    assert!(groups.take_out(tenant_id, b.id, ids[5]).await.unwrap());
    assert!(!groups.take_out(tenant_id, b.id, ids[5]).await.unwrap());
    // Contacts that go leave their groups, while others come.
    let removing = store.contacts();
    let (removed, added) =
        tokio::join!(removing.remove(tenant_id, &ids[..3]), groups.add(tenant_id, b.id, &ids[10..12]));
    assert_eq!((removed.unwrap(), added.unwrap()), (3, 2));
    assert_eq!(check_counts(&store, tenant_id).await, 27);
    let now = groups.find(tenant_id, b.id).await.unwrap().unwrap();
    assert_eq!(now.n_contacts, 4);
    let page = groups.contacts(&now, PageRequest::new(2, 3).unwrap()).await.unwrap();
    assert_eq!((page.total, page.items.len(), page.items[0].id), (4, 1, ids[3]));
    let walked: BTreeSet<_> = groups.step(tenant_id, b.id, Some(ids[3])).await.unwrap().iter().map(|c| c.id).collect();
    assert_eq!(walked, BTreeSet::from([ids[4], ids[10], ids[11]]));
    assert!(groups.rename(tenant_id, b.id, "C").await.unwrap());
    assert!(groups.rename(tenant_id, b.id, "C").await.unwrap());
    assert!(!groups.rename(tenant_id, b.id, "A").await.unwrap());
    assert!(groups.remove(tenant_id, a.id).await.unwrap());
    assert!(!groups.remove(tenant_id, a.id).await.unwrap());
    assert_eq!(groups.list(tenant_id, PageRequest::default()).await.unwrap().total, 1);
    assert_eq!(check_counts(&store, tenant_id).await, 27);
}

async fn nobody_reaches_the_contacts_of_others(store: Store) {
    let (owner, thief) = (seed::lane(&store).await.tenant_id, seed::lane(&store).await.tenant_id);
    let ids = add(&store, owner, &[new(1, "Ana"), new(2, "Bo")]).await;
    let theirs = add(&store, thief, &[new(7, "Cy")]).await;
    let (contacts, groups) = (store.contacts(), store.contact_groups());
    let own = group(&store, owner, "A").await;
    let stolen = group(&store, thief, "A").await;
    groups.add(owner, own.id, &ids).await.unwrap();
    assert_eq!(contacts.find(thief, ids[0]).await.unwrap(), None);
    assert_eq!(contacts.find_all(thief, &ids).await.unwrap(), []);
    assert_eq!(contacts.known_ids(thief, &ids).await.unwrap(), []);
    assert_eq!(contacts.known(thief, &[new(1, "").phone]).await.unwrap(), []);
    assert_eq!(contacts.step(thief, None).await.unwrap().len(), 1);
    assert_eq!(contacts.remove(thief, &ids).await.unwrap(), 0);
    let change = ContactChange { name: Some("Mine".to_owned()), ..ContactChange::default() };
    assert_eq!(contacts.change(thief, ids[0], change, NOW_MS).await.unwrap(), Changed::Missing);
    assert_eq!(groups.find(thief, own.id).await.unwrap(), None);
    assert_eq!(groups.known(thief, &[own.id]).await.unwrap(), []);
    assert_eq!(groups.step(thief, own.id, None).await.unwrap(), []);
    assert_eq!(groups.add(thief, own.id, &theirs).await.unwrap(), 0, "into a group of others");
    assert_eq!(groups.add(thief, stolen.id, &ids).await.unwrap(), 0, "contacts of others");
    assert!(!groups.take_out(thief, own.id, ids[0]).await.unwrap());
    assert!(!groups.rename(thief, own.id, "Mine").await.unwrap());
    assert!(!groups.remove(thief, own.id).await.unwrap());
    assert_eq!(groups.find(owner, own.id).await.unwrap().unwrap().n_contacts, 2);
    assert_eq!(found(&store, owner, "").await, (vec!["Bo".to_owned(), "Ana".to_owned()], 2));
}

async fn who_is_said_to_have_opted_out_has(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    add(&store, tenant_id, &[new(1, "Ana")]).await;
    let out = |n| NewContact { is_out: true, ..new(n, "Ana") };
    let by = (OptSource::Import, NOW_MS + 7);
    store.contacts().insert(tenant_id, &[out(1), out(2), out(2), new(3, "Cy")], by).await.unwrap().unwrap();
    let said = OptOut { is_out: true, changed_at_ms: NOW_MS + 7, by: OptSource::Import };
    for (n, expected) in [(1, Some(said)), (2, Some(said)), (3, None)] {
        assert_eq!(store.opt_out_of(tenant_id, &new(n, "").phone).await.unwrap(), expected, "{n}");
    }
    let listed = store.contacts().list(tenant_id, None, PageRequest::default()).await.unwrap().items;
    let out: Vec<_> = listed.iter().map(|contact| !contact.is_opted_in()).collect();
    assert_eq!(out, [false, true, true]);
    // Made anew without a word about it, they stay out.
    store.contacts().remove(tenant_id, &[listed[1].id]).await.unwrap();
    let again = add(&store, tenant_id, &[new(2, "Ana")]).await[0];
    assert!(!store.contacts().find(tenant_id, again).await.unwrap().unwrap().is_opted_in());
}
