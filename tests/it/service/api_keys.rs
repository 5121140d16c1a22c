//! API keys: proved, changed and taken back, on two nodes over one store.

use std::net::IpAddr;

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::domain::api_key::Scope;
use actiwapi_dispatcher::domain::id::{ApiKeyId, TenantId, UserId};
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::limits::API_KEY_BELIEVED;
use actiwapi_dispatcher::service::api_keys::{ApiKeyChange, ApiKeyService, FreshApiKey, NewApiKey};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use secrecy::ExposeSecret;

use super::front::{Front, fields};
use crate::support::db::store_contract;
use crate::support::seed::NOW_MS;

store_contract!(
    a_key_proves_whose_it_is,
    a_key_ends_at_its_time,
    a_key_is_for_its_networks,
    this_node_refuses_what_it_took_back_at_once,
    other_nodes_refuse_what_was_taken_back_soon,
    an_expired_key_can_be_renamed_and_renewed,
    a_use_is_written_once,
    others_have_no_say,
);

async fn key(front: &Front, tenant_id: TenantId) -> FreshApiKey {
    let new = NewApiKey { name: "Shop".to_owned(), scopes: vec![Scope::MessagesSend], ..NewApiKey::default() };
    front.services.api_keys.create(tenant_id, UserId::generate(), new, &Actor::SYSTEM).await.unwrap()
}

async fn proves(keys: &ApiKeyService, key: &FreshApiKey) -> bool {
    match keys.verify(key.secret.expose_secret(), None).await {
        Ok(found) => {
            assert_eq!(found.id, key.record.id);
            true
        }
        Err(Error::Unauthorized) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn a_key_proves_whose_it_is(store: Store) {
    let front = Front::new(store);
    let (ours, theirs) = (front.tenant().await, front.tenant().await);
    let (first, second) = (key(&front, ours).await, key(&front, theirs).await);
    let found = front.services.api_keys.verify(first.secret.expose_secret(), None).await.unwrap();
    assert_eq!((found.tenant_id, &found.terms.scopes[..]), (ours, &[Scope::MessagesSend][..]));
    assert!(proves(&front.services.api_keys, &second).await);
    assert!(!format!("{first:?}").contains(first.secret.expose_secret()), "no key in logs");
    let mixed = format!("{}{}", first.record.secret.prefix, &second.secret.expose_secret()[20..]);
    for bad in ["", "awp_", &mixed, &mixed[..83]] {
        assert!(matches!(front.services.api_keys.verify(bad, None).await, Err(Error::Unauthorized)), "{bad}");
    }
}

async fn a_key_ends_at_its_time(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let keys = &front.services.api_keys;
    let expires_at = Some(Moment::from_ms(NOW_MS + 500));
    let new = NewApiKey { name: "Shop".into(), scopes: vec![Scope::MessagesSend], allowed_ips: vec![], expires_at };
    let key = keys.create(tenant_id, UserId::generate(), new, &Actor::SYSTEM).await.unwrap();
    assert!(proves(keys, &key).await);
    front.clock.advance(std::time::Duration::from_millis(499));
    assert!(proves(keys, &key).await);
    // Also while it is believed.
    front.clock.advance(std::time::Duration::from_millis(1));
    assert!(!proves(keys, &key).await);
}

async fn a_key_is_for_its_networks(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let keys = &front.services.api_keys;
    let key = key(&front, tenant_id).await;
    let change = ApiKeyChange { allowed_ips: Some(vec!["192.0.2.0/24".to_owned()]), ..ApiKeyChange::default() };
    keys.change(tenant_id, key.record.id, change, &Actor::SYSTEM).await.unwrap();
    let from = async |ip: &str| keys.verify(key.secret.expose_secret(), Some(ip.parse::<IpAddr>().unwrap())).await;
    assert!(from("192.0.2.200").await.is_ok());
    assert!(matches!(from("192.0.3.1").await, Err(Error::AddressRefused)));
    assert!(matches!(keys.verify(key.secret.expose_secret(), None).await, Err(Error::AddressRefused)));
}

async fn this_node_refuses_what_it_took_back_at_once(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let keys = &front.services.api_keys;
    let first = key(&front, tenant_id).await;
    assert!(proves(keys, &first).await);
    let second = keys.rotate(tenant_id, first.record.id, &Actor::SYSTEM).await.unwrap();
    assert!(!proves(keys, &first).await);
    assert!(proves(keys, &second).await);
    keys.delete(tenant_id, first.record.id, &Actor::SYSTEM).await.unwrap();
    assert!(!proves(keys, &second).await);
}

async fn other_nodes_refuse_what_was_taken_back_soon(store: Store) {
    let (here, there) = (Front::new(store.clone()), Front::new(store));
    let tenant_id = here.tenant().await;
    let first = key(&here, tenant_id).await;
    assert!(proves(&there.services.api_keys, &first).await);
    let second = here.services.api_keys.rotate(tenant_id, first.record.id, &Actor::SYSTEM).await.unwrap();
    assert!(proves(&there.services.api_keys, &second).await, "a new key is good everywhere at once");
    there.clock.advance(API_KEY_BELIEVED);
    assert!(!proves(&there.services.api_keys, &first).await);
    assert!(proves(&there.services.api_keys, &second).await);
    here.services.api_keys.delete(tenant_id, first.record.id, &Actor::SYSTEM).await.unwrap();
    there.clock.advance(API_KEY_BELIEVED);
    assert!(!proves(&there.services.api_keys, &second).await);
}

async fn an_expired_key_can_be_renamed_and_renewed(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let keys = &front.services.api_keys;
    let key = key(&front, tenant_id).await;
    let change = async |change| keys.change(tenant_id, key.record.id, change, &Actor::SYSTEM).await;
    let ends = |ms| ApiKeyChange { expires_at: Some(Some(Moment::from_ms(ms))), ..ApiKeyChange::default() };
    assert_eq!(fields(change(ends(NOW_MS)).await), ["expiresAt"]);
    change(ends(NOW_MS + 1)).await.unwrap();
    front.clock.advance(std::time::Duration::from_secs(1));
    let renamed = change(ApiKeyChange { name: Some("Old".to_owned()), ..ApiKeyChange::default() }).await.unwrap();
    assert_eq!((renamed.terms.name.as_str(), renamed.terms.expires_at_ms), ("Old", Some(NOW_MS + 1)));
    assert!(!proves(keys, &key).await);
    change(ApiKeyChange { expires_at: Some(None), ..ApiKeyChange::default() }).await.unwrap();
    assert!(proves(keys, &key).await);
}

async fn a_use_is_written_once(store: Store) {
    let front = Front::new(store);
    let tenant_id = front.tenant().await;
    let keys = &front.services.api_keys;
    let key = key(&front, tenant_id).await;
    let used = async || front.store.api_keys().find(tenant_id, key.record.id).await.unwrap().unwrap().last_used_at_ms;
    for _ in 0..5 {
        front.clock.advance(std::time::Duration::from_millis(10));
        assert!(proves(keys, &key).await);
    }
    assert_eq!(used().await, None);
    keys.write_uses().await.unwrap();
    assert_eq!(used().await, Some(NOW_MS + 50));
    keys.write_uses().await.unwrap();
    assert_eq!(used().await, Some(NOW_MS + 50));
}

async fn others_have_no_say(store: Store) {
    let front = Front::new(store);
    let (owner, thief) = (front.tenant().await, front.tenant().await);
    let keys = &front.services.api_keys;
    let key = key(&front, owner).await;
    let change = || ApiKeyChange { name: Some("Mine".to_owned()), ..ApiKeyChange::default() };
    for id in [key.record.id, ApiKeyId::generate()] {
        let changed = keys.change(thief, id, change(), &Actor::SYSTEM).await;
        assert!(matches!(changed, Err(Error::NotFound(_))), "{changed:?}");
        assert!(matches!(keys.rotate(thief, id, &Actor::SYSTEM).await, Err(Error::NotFound(_))));
        assert!(matches!(keys.delete(thief, id, &Actor::SYSTEM).await, Err(Error::NotFound(_))));
    }
    assert!(proves(keys, &key).await);
    assert_eq!(front.store.api_keys().find(owner, key.record.id).await.unwrap().unwrap(), key.record);
}
