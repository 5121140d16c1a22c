//! Registration, log-in and the rotation of refresh tokens.

use std::time::Duration;

use actiwapi_dispatcher::domain::user::Role;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::service::auth::Registration;
use actiwapi_dispatcher::store::Store;
use secrecy::ExposeSecret;

use super::front::{ACCESS_LIFETIME, Front, REFRESH_LIFETIME, fields};
use crate::support::db::store_contract;
use crate::support::seed::count;

store_contract!(
    registering_logs_in,
    every_problem_of_a_registration_is_told,
    an_address_is_taken_once,
    two_registrations_at_once_make_one_tenant,
    wrong_passwords_and_unknown_addresses_are_refused_alike,
    tokens_expire,
    a_refresh_token_is_good_once,
    reuse_ends_the_family_and_no_other,
    two_exchanges_at_once_are_reuse,
);

async fn registering_logs_in(store: Store) {
    let front = Front::new(store);
    let registered = front.register(" Ana@Example.com").await.unwrap();
    let user = &registered.user;
    assert_eq!((user.email.as_str(), user.role), ("ana@example.com", Role::Owner));
    assert_eq!(user.tenant_name, "Ana's Tea");
    assert_eq!(registered.expires_in, ACCESS_LIFETIME);
    let caller = front.services.auth.verify(registered.access_token.expose_secret()).unwrap();
    assert_eq!((caller.user_id, caller.tenant_id, caller.role), (user.id, user.tenant_id, Role::Owner));
    let tenant = front.store.tenants().find(user.tenant_id).await.unwrap().unwrap();
    assert_eq!(tenant.name, "Ana's Tea");
    let again = front.services.auth.login("ANA@example.com ", &"correct horse".into()).await.unwrap();
    assert_eq!(again.user.id, user.id);
    assert!(!format!("{again:?}").contains("argon2id"), "no hash in logs");
}

async fn every_problem_of_a_registration_is_told(store: Store) {
    let front = Front::new(store);
    let bad = Registration {
        name: " ".to_owned(),
        email: "nobody".to_owned(),
        password: "short".into(),
        business_name: "x".repeat(101),
    };
    assert_eq!(fields(front.services.auth.register(bad).await), ["name", "businessName", "email", "password"]);
    let too_long = Registration {
        name: "Ana".to_owned(),
        email: "ana@example.com".to_owned(),
        password: "é".repeat(129).into(),
        business_name: "Tea".to_owned(),
    };
    assert_eq!(fields(front.services.auth.register(too_long).await), ["password"]);
    assert_eq!(count(&front.store, "tenants").await, 0);
}

async fn an_address_is_taken_once(store: Store) {
    let front = Front::new(store);
    front.register("ana@example.com").await.unwrap();
    let second = front.register("ANA@example.com").await;
    assert!(matches!(second, Err(Error::Conflict { field: Some("email"), .. })), "{second:?}");
    assert_eq!(count(&front.store, "tenants").await, 1, "the second tenant must not stay behind");
}

async fn two_registrations_at_once_make_one_tenant(store: Store) {
    let front = Front::new(store);
    let (a, b) = tokio::join!(front.register("ana@example.com"), front.register("ana@example.com"));
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1);
    assert_eq!(count(&front.store, "tenants").await, 1);
}

async fn wrong_passwords_and_unknown_addresses_are_refused_alike(store: Store) {
    let front = Front::new(store);
    front.register("ana@example.com").await.unwrap();
    let auth = &front.services.auth;
    for (email, password) in [
        ("ana@example.com", "wrong horse".to_owned()),
        ("eve@example.com", "correct horse".to_owned()),
        ("ana@example.com", "x".repeat(100_000)),
        ("", String::new()),
    ] {
        let refused = auth.login(email, &password.into()).await;
        assert!(matches!(refused, Err(Error::Unauthorized)), "{email}: {refused:?}");
    }
}

async fn tokens_expire(store: Store) {
    let front = Front::new(store);
    let first = front.register("ana@example.com").await.unwrap();
    let auth = &front.services.auth;
    front.clock.advance(ACCESS_LIFETIME);
    assert!(matches!(auth.verify(first.access_token.expose_secret()), Err(Error::Unauthorized)));
    let second = auth.refresh(&first.refresh_token).await.unwrap();
    auth.verify(second.access_token.expose_secret()).unwrap();
    front.clock.advance(REFRESH_LIFETIME - Duration::from_millis(1));
    let third = auth.refresh(&second.refresh_token).await.unwrap();
    front.clock.advance(REFRESH_LIFETIME);
    assert!(matches!(auth.refresh(&third.refresh_token).await, Err(Error::Unauthorized)));
}

async fn a_refresh_token_is_good_once(store: Store) {
    let front = Front::new(store);
    let auth = &front.services.auth;
    let mut last = front.register("ana@example.com").await.unwrap();
    for _ in 0..3 {
        let next = auth.refresh(&last.refresh_token).await.unwrap();
        assert_eq!(next.user.id, last.user.id);
        assert_ne!(next.refresh_token.expose_secret(), last.refresh_token.expose_secret());
        last = next;
    }
    for unknown in ["", "00", last.access_token.expose_secret()] {
        assert!(matches!(auth.refresh(&unknown.into()).await, Err(Error::Unauthorized)));
    }
}

async fn reuse_ends_the_family_and_no_other(store: Store) {
    let front = Front::new(store);
    let auth = &front.services.auth;
    let phone = front.register("ana@example.com").await.unwrap();
    let laptop = auth.login("ana@example.com", &"correct horse".into()).await.unwrap();
    let stolen = phone.refresh_token;
    let thief = auth.refresh(&stolen).await.unwrap();
    assert!(matches!(auth.refresh(&stolen).await, Err(Error::Unauthorized)));
    assert!(matches!(auth.refresh(&thief.refresh_token).await, Err(Error::Unauthorized)), "the family is revoked");
    auth.refresh(&laptop.refresh_token).await.unwrap();
}

async fn two_exchanges_at_once_are_reuse(store: Store) {
    let front = Front::new(store);
    let auth = &front.services.auth;
    let first = front.register("ana@example.com").await.unwrap();
    let (a, b) = tokio::join!(auth.refresh(&first.refresh_token), auth.refresh(&first.refresh_token));
    let good: Vec<_> = [a, b].into_iter().flatten().collect();
    assert_eq!(good.len(), 1);
    assert!(matches!(auth.refresh(&good[0].refresh_token).await, Err(Error::Unauthorized)));
    assert_eq!(count(&front.store, "refresh_tokens").await, 0);
}
