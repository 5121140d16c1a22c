//! API keys: found by their beginning, kept apart by tenant, changed with a deed in the audit log.

use actiwapi_dispatcher::domain::api_key::Scope;
use actiwapi_dispatcher::domain::id::{ApiKeyId, TenantId, UserId};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::api_keys::{ApiKeyRecord, KeptSecret, KeyTerms, KeyTermsChange};
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::page::PageRequest;
use futures::future::join_all;

use crate::support::db::store_contract;
use crate::support::seed::{self, NOW_MS};

store_contract!(
    a_key_reads_back_as_it_was_written,
    a_changed_key_reads_back,
    what_is_not_named_stays,
    a_rotated_key_is_found_by_its_new_beginning,
    a_deleted_key_is_gone,
    others_neither_see_nor_change_a_key,
    a_tenant_has_so_many_keys,
    not_one_more_key_at_once,
    the_latest_use_counts,
    every_change_is_written_down,
);

/// A key that begins like nobody else's.
pub(crate) fn key(tenant_id: TenantId) -> ApiKeyRecord {
    let id = ApiKeyId::generate();
    ApiKeyRecord {
        id,
        tenant_id,
        terms: KeyTerms {
            name: "Shop \"Süd\"".to_owned(),
            scopes: vec![Scope::MessagesSend, Scope::CampaignsRead],
            allowed_ips: vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            expires_at_ms: Some(NOW_MS + 1),
        },
        secret: secret(id),
        created_by: UserId::generate(),
        created_at_ms: NOW_MS,
        last_used_at_ms: None,
    }
}

fn secret(id: ApiKeyId) -> KeptSecret {
    KeptSecret { prefix: format!("awp_{id}"), hash: [7; 32] }
}

async fn kept(store: &Store) -> ApiKeyRecord {
    let key = key(seed::lane(store).await.tenant_id);
    assert!(store.api_keys().insert(&key, 100, &Actor::SYSTEM).await.unwrap());
    key
}

async fn a_key_reads_back_as_it_was_written(store: Store) {
    let (first, keys) = (kept(&store).await, store.api_keys());
    let mut second = key(first.tenant_id);
    second.terms = KeyTerms { name: "b".into(), scopes: vec![], allowed_ips: vec![], expires_at_ms: None };
    assert!(keys.insert(&second, 100, &Actor::SYSTEM).await.unwrap());
    assert_eq!(keys.find(first.tenant_id, first.id).await.unwrap().as_ref(), Some(&first));
    assert_eq!(keys.find_by_prefix(&second.secret.prefix).await.unwrap().as_ref(), Some(&second));
    assert_eq!(keys.find_by_prefix("awp_").await.unwrap(), None);
    let page = keys.list(first.tenant_id, PageRequest::new(1, 1).unwrap()).await.unwrap();
    assert_eq!((page.items, page.total), (vec![second], 2));
}

async fn a_changed_key_reads_back(store: Store) {
    let (before, keys) = (kept(&store).await, store.api_keys());
    let terms = KeyTerms { name: "New".into(), scopes: vec![], allowed_ips: vec![], expires_at_ms: None };
    let of = (before.tenant_id, before.id);
    let changed = keys.change(of, &all(&terms), &Actor::SYSTEM, NOW_MS).await.unwrap().unwrap();
    assert_eq!(changed, ApiKeyRecord { terms, ..before });
    assert_eq!(keys.find(of.0, of.1).await.unwrap(), Some(changed));
}

fn all(terms: &KeyTerms) -> KeyTermsChange {
    let KeyTerms { name, scopes, allowed_ips, expires_at_ms } = terms.clone();
    let (name, scopes) = (Some(name), Some(scopes));
    KeyTermsChange { name, scopes, allowed_ips: Some(allowed_ips), expires_at_ms: Some(expires_at_ms) }
}

/// Whoever renames a key must not give back what another has just taken from it.
async fn what_is_not_named_stays(store: Store) {
    let (before, keys) = (kept(&store).await, store.api_keys());
    let of = (before.tenant_id, before.id);
    let changes = [
        KeyTermsChange { scopes: Some(vec![Scope::MessagesRead]), ..KeyTermsChange::default() },
        KeyTermsChange { allowed_ips: Some(vec!["192.0.2.1/32".parse().unwrap()]), ..KeyTermsChange::default() },
        KeyTermsChange { expires_at_ms: Some(None), ..KeyTermsChange::default() },
        KeyTermsChange { name: Some("New".to_owned()), ..KeyTermsChange::default() },
    ];
    for change in &changes {
        keys.change(of, change, &Actor::SYSTEM, NOW_MS).await.unwrap().unwrap();
    }
    let terms = KeyTerms {
        name: "New".to_owned(),
        scopes: vec![Scope::MessagesRead],
        allowed_ips: vec!["192.0.2.1/32".parse().unwrap()],
        expires_at_ms: None,
    };
    assert_eq!(keys.find(of.0, of.1).await.unwrap().unwrap().terms, terms);
}

async fn a_rotated_key_is_found_by_its_new_beginning(store: Store) {
    let (before, keys) = (kept(&store).await, store.api_keys());
    let next = KeptSecret { prefix: "awp_next".to_owned(), hash: [8; 32] };
    let of = (before.tenant_id, before.id);
    let rotated = keys.rotate(of, &next, &Actor::SYSTEM, NOW_MS).await.unwrap().unwrap();
    assert_eq!(rotated, ApiKeyRecord { secret: next, ..before.clone() });
    assert_eq!(keys.find_by_prefix("awp_next").await.unwrap(), Some(rotated));
    assert_eq!(keys.find_by_prefix(&before.secret.prefix).await.unwrap(), None);
}

async fn a_deleted_key_is_gone(store: Store) {
    let (key, keys) = (kept(&store).await, store.api_keys());
    assert!(keys.delete(key.tenant_id, key.id, &Actor::SYSTEM, NOW_MS).await.unwrap());
    assert!(!keys.delete(key.tenant_id, key.id, &Actor::SYSTEM, NOW_MS).await.unwrap());
    assert_eq!(keys.find_by_prefix(&key.secret.prefix).await.unwrap(), None);
}

async fn others_neither_see_nor_change_a_key(store: Store) {
    let (key, keys) = (kept(&store).await, store.api_keys());
    let thief = seed::lane(&store).await.tenant_id;
    let of = (thief, key.id);
    assert_eq!(keys.find(thief, key.id).await.unwrap(), None);
    assert_eq!(keys.list(thief, PageRequest::default()).await.unwrap().total, 0);
    assert_eq!(keys.change(of, &all(&key.terms), &Actor::SYSTEM, NOW_MS).await.unwrap(), None);
    let next = KeptSecret { prefix: "awp_next".to_owned(), hash: [8; 32] };
    assert_eq!(keys.rotate(of, &next, &Actor::SYSTEM, NOW_MS).await.unwrap(), None);
    assert!(!keys.delete(thief, key.id, &Actor::SYSTEM, NOW_MS).await.unwrap());
    assert_eq!(keys.find(key.tenant_id, key.id).await.unwrap(), Some(key));
}

async fn a_tenant_has_so_many_keys(store: Store) {
    let (first, keys) = (kept(&store).await, store.api_keys());
    assert!(!keys.insert(&key(first.tenant_id), 1, &Actor::SYSTEM).await.unwrap());
    assert!(keys.insert(&key(first.tenant_id), 2, &Actor::SYSTEM).await.unwrap());
    let other = seed::lane(&store).await.tenant_id;
    assert!(keys.insert(&key(other), 1, &Actor::SYSTEM).await.unwrap());
}

async fn not_one_more_key_at_once(store: Store) {
    let tenant_id = seed::lane(&store).await.tenant_id;
    let keys: Vec<ApiKeyRecord> = (0..16).map(|_| key(tenant_id)).collect();
    let added = join_all(keys.iter().map(async |key| store.api_keys().insert(key, 3, &Actor::SYSTEM).await)).await;
    assert_eq!(added.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 3);
    assert_eq!(store.api_keys().list(tenant_id, PageRequest::default()).await.unwrap().total, 3);
}

async fn the_latest_use_counts(store: Store) {
    let (used, keys) = (kept(&store).await, store.api_keys());
    let rests = key(used.tenant_id);
    assert!(keys.insert(&rests, 100, &Actor::SYSTEM).await.unwrap());
    keys.note_uses(&[]).await.unwrap();
    keys.note_uses(&[(used.id, NOW_MS + 5), (ApiKeyId::generate(), NOW_MS)]).await.unwrap();
    keys.note_uses(&[(used.id, NOW_MS + 2)]).await.unwrap();
    let at = async |key: &ApiKeyRecord| keys.find(key.tenant_id, key.id).await.unwrap().unwrap().last_used_at_ms;
    assert_eq!((at(&used).await, at(&rests).await), (Some(NOW_MS + 5), None));
}

async fn every_change_is_written_down(store: Store) {
    let (key, keys) = (kept(&store).await, store.api_keys());
    let actor = Actor { request_id: Some("r".to_owned()), ..Actor::user(key.created_by) };
    let of = (key.tenant_id, key.id);
    keys.change(of, &all(&key.terms), &actor, NOW_MS).await.unwrap().unwrap();
    keys.rotate(of, &secret(ApiKeyId::generate()), &actor, NOW_MS).await.unwrap().unwrap();
    keys.delete(of.0, of.1, &actor, NOW_MS).await.unwrap();
    let log = store.audit_log(PageRequest::default()).await.unwrap().items;
    let actions: Vec<&str> = log.iter().map(|record| record.deed.action.as_str()).collect();
    assert_eq!(actions, ["api_key.deleted", "api_key.rotated", "api_key.changed", "api_key.created"]);
    assert!(log.iter().all(|record| record.deed.subject == key.id.to_string()));
    assert_eq!((&log[0].actor, &log[3].actor), (&actor, &Actor::SYSTEM));
}
