//! Registration, log-in and the rotation of refresh tokens.

use std::time::Duration;

use actiwapi_dispatcher::domain::user::Role;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::limits::LOGIN_BELIEVED;
use actiwapi_dispatcher::service::auth::{LoggedIn, Registration};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::tokens::NewRefreshToken;
use actiwapi_dispatcher::store::users::ProfileChange;
use secrecy::{ExposeSecret, SecretString};

use super::front::{ACCESS_LIFETIME, Front, REFRESH_LIFETIME, fields};
use crate::support::db::store_contract;
use crate::support::seed::{NOW_MS, count};

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
    a_log_out_ends_one_log_in,
    a_log_out_everywhere_ends_all_on_every_node,
    nothing_is_added_to_log_ins_that_are_being_ended,
    another_password_ends_other_log_ins,
    whoever_knew_the_password_before_does_not_get_in,
    passwords_are_changed_by_who_knows_them,
    a_role_is_the_one_of_now,
    an_address_is_changed_to_a_free_one_only,
);

async fn registering_logs_in(store: Store) {
    let front = Front::new(store);
    let registered = front.register(" Ana@Example.com").await.unwrap();
    let user = &registered.user;
    assert_eq!((user.email.as_str(), user.role), ("ana@example.com", Role::Owner));
    assert_eq!(user.tenant_name, "Ana's Tea");
    assert_eq!(registered.expires_in, ACCESS_LIFETIME);
    let caller = front.services.auth.verify(registered.access_token.expose_secret()).await.unwrap();
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
    let (registered, refused): (Vec<_>, Vec<_>) = [a, b].into_iter().partition(Result::is_ok);
    assert_eq!((registered.len(), count(&front.store, "tenants").await), (1, 1));
    assert!(matches!(refused[0], Err(Error::Conflict { field: Some("email"), .. })), "{refused:?}");
    assert_eq!(count(&front.store, "mails").await, 1);
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
    assert!(matches!(auth.verify(first.access_token.expose_secret()).await, Err(Error::Unauthorized)));
    let second = auth.refresh(&first.refresh_token).await.unwrap();
    auth.verify(second.access_token.expose_secret()).await.unwrap();
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
    for token in [&phone.access_token, &thief.access_token] {
        assert!(matches!(auth.verify(token.expose_secret()).await, Err(Error::Unauthorized)), "with its access tokens");
    }
    auth.verify(laptop.access_token.expose_secret()).await.unwrap();
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

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

/// Tells which access tokens a node takes.
async fn takes<const N: usize>(front: &Front, tokens: [&LoggedIn; N]) -> [bool; N] {
    let mut taken = [false; N];
    for (taken, token) in taken.iter_mut().zip(tokens) {
        *taken = match front.services.auth.verify(token.access_token.expose_secret()).await {
            Ok(_) => true,
            Err(Error::Unauthorized) => false,
            Err(error) => panic!("{error}"),
        };
    }
    taken
}

async fn a_log_out_ends_one_log_in(store: Store) {
    let front = Front::new(store);
    let auth = &front.services.auth;
    let phone = front.register("ana@example.com").await.unwrap();
    let laptop = auth.login("ana@example.com", &secret("correct horse")).await.unwrap();
    let next = auth.refresh(&phone.refresh_token).await.unwrap();
    assert_eq!(takes(&front, [&phone, &next, &laptop]).await, [true, true, true]);
    // A token that was used names its log-in all the same; that it comes again is not held against anybody.
    for _ in 0..3 {
        auth.log_out(&phone.refresh_token).await.unwrap();
    }
    for unknown in ["", "00", phone.access_token.expose_secret()] {
        auth.log_out(&secret(unknown)).await.unwrap();
    }
    assert_eq!(takes(&front, [&phone, &next, &laptop]).await, [false, false, true]);
    assert!(matches!(auth.refresh(&next.refresh_token).await, Err(Error::Unauthorized)));
    auth.refresh(&laptop.refresh_token).await.unwrap();
}

async fn a_log_out_everywhere_ends_all_on_every_node(store: Store) {
    let (front, other_node) = (Front::new(store.clone()), Front::new(store));
    let auth = &front.services.auth;
    let (phone, bob) =
        (front.register("ana@example.com").await.unwrap(), front.register("bob@example.com").await.unwrap());
    let laptop = auth.login("ana@example.com", &secret("correct horse")).await.unwrap();
    assert_eq!(takes(&other_node, [&phone, &laptop, &bob]).await, [true, true, true]);
    let caller = auth.verify(phone.access_token.expose_secret()).await.unwrap();
    for _ in 0..2 {
        auth.log_out_everywhere(caller, &Actor::SYSTEM).await.unwrap();
    }
    assert_eq!(takes(&front, [&phone, &laptop, &bob]).await, [false, false, true], "at once where it was asked");
    other_node.clock.advance(LOGIN_BELIEVED - Duration::from_millis(1));
    assert_eq!(takes(&other_node, [&phone, &laptop, &bob]).await, [true, true, true], "what was read is believed");
    other_node.clock.advance(Duration::from_millis(1));
    assert_eq!(takes(&other_node, [&phone, &laptop, &bob]).await, [false, false, true], "and no longer than that");
    assert!(matches!(other_node.services.auth.refresh(&laptop.refresh_token).await, Err(Error::Unauthorized)));
    auth.login("ana@example.com", &secret("correct horse")).await.unwrap();
    assert_eq!(count(&front.store, "audit_log WHERE action = 'user.logged_out_everywhere'").await, 1);
}

/// An exchange under way puts its next token either before the end, which then takes it along, or not at all.
async fn nothing_is_added_to_log_ins_that_are_being_ended(store: Store) {
    let front = Front::new(store);
    let auth = &front.services.auth;
    let ana = front.register("ana@example.com").await.unwrap();
    let caller = auth.verify(ana.access_token.expose_secret()).await.unwrap();
    let live =
        format!("refresh_tokens WHERE user_id IN (SELECT user_id FROM users WHERE email = '{}')", ana.user.email);
    for round in 0..30 {
        let before = auth.login("ana@example.com", &secret("correct horse")).await.unwrap();
        let (first, second) = (auth.refresh(&before.refresh_token), auth.log_out_everywhere(caller, &Actor::SYSTEM));
        let (exchanged, ended) = tokio::join!(first, second);
        ended.unwrap();
        assert!(matches!(exchanged, Ok(_) | Err(Error::Unauthorized)), "{round}: {exchanged:?}");
        assert_eq!(count(&front.store, &live).await, 0, "{round}");
    }
    // The same where a stolen token is used again while the thief exchanges the next one.
    for round in 0..30 {
        let first = auth.login("ana@example.com", &secret("correct horse")).await.unwrap();
        let second = auth.refresh(&first.refresh_token).await.unwrap();
        let (reused, exchanged) = tokio::join!(auth.refresh(&first.refresh_token), auth.refresh(&second.refresh_token));
        assert!(reused.is_err(), "{round}");
        assert!(matches!(exchanged, Ok(_) | Err(Error::Unauthorized)), "{round}: {exchanged:?}");
        assert_eq!(count(&front.store, &live).await, 0, "{round}");
    }
}

async fn another_password_ends_other_log_ins(store: Store) {
    let front = Front::new(store);
    let auth = &front.services.auth;
    let phone = front.register("ana@example.com").await.unwrap();
    let laptop = auth.login("ana@example.com", &secret("correct horse")).await.unwrap();
    let caller = auth.verify(phone.access_token.expose_secret()).await.unwrap();
    let (old, new) = (secret("correct horse"), secret("staple battery"));
    auth.change_password(caller, (&old, &new), &Actor::SYSTEM).await.unwrap();
    assert_eq!(takes(&front, [&phone, &laptop]).await, [true, false]);
    assert!(matches!(auth.refresh(&laptop.refresh_token).await, Err(Error::Unauthorized)));
    auth.refresh(&phone.refresh_token).await.unwrap();
    assert!(matches!(auth.login("ana@example.com", &old).await, Err(Error::Unauthorized)));
    auth.login("ana@example.com", &new).await.unwrap();
}

/// Somebody whose password was looked at before it was changed does not log in after.
async fn whoever_knew_the_password_before_does_not_get_in(store: Store) {
    let front = Front::new(store);
    let ana = front.register("ana@example.com").await.unwrap();
    let seen = front.store.users().find(ana.user.tenant_id, ana.user.id).await.unwrap().unwrap();
    let token = |n: u8| NewRefreshToken { hash: [n; 32], expires_at_ms: NOW_MS + 1_000 };
    assert!(front.store.tokens().insert(&seen, uuid::Uuid::now_v7(), token(1)).await.unwrap());
    let (actor, hash) = (Actor::SYSTEM, secret("another hash"));
    assert!(front.store.users().change_password(&seen, &hash, None, (&actor, NOW_MS)).await.unwrap());
    assert!(!front.store.tokens().insert(&seen, uuid::Uuid::now_v7(), token(2)).await.unwrap());
    assert!(
        !front.store.users().change_password(&seen, &hash, None, (&actor, NOW_MS)).await.unwrap(),
        "nor changes it"
    );
    assert_eq!(count(&front.store, "refresh_tokens").await, 0);
}

async fn passwords_are_changed_by_who_knows_them(store: Store) {
    let front = Front::new(store);
    let auth = &front.services.auth;
    let ana = front.register("ana@example.com").await.unwrap();
    let caller = auth.verify(ana.access_token.expose_secret()).await.unwrap();
    let change = async |current: &str, new: &str| {
        auth.change_password(caller, (&secret(current), &secret(new)), &Actor::SYSTEM).await
    };
    assert_eq!(fields(change("wrong horse", "staple battery").await), ["currentPassword"]);
    assert_eq!(fields(change(&"x".repeat(100_000), "staple battery").await), ["currentPassword"]);
    for bad in ["", "short", &"x".repeat(129)] {
        assert_eq!(fields(change("correct horse", bad).await), ["newPassword"]);
    }
    let (a, b) = tokio::join!(change("correct horse", "staple battery"), change("correct horse", "battery staple"));
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1, "{a:?} {b:?}");
    assert_eq!(count(&front.store, "audit_log WHERE action = 'user.password_changed'").await, 1);
}

async fn a_role_is_the_one_of_now(store: Store) {
    let front = Front::new(store);
    let auth = &front.services.auth;
    let ana = front.register("ana@example.com").await.unwrap();
    let role = async || auth.verify(ana.access_token.expose_secret()).await.unwrap().role;
    assert_eq!(role().await, Role::Owner);
    let users = front.store.users();
    assert!(users.change_role(ana.user.tenant_id, ana.user.id, Role::Owner, Role::Viewer).await.unwrap());
    front.clock.advance(LOGIN_BELIEVED);
    assert_eq!(role().await, Role::Viewer);
}

async fn an_address_is_changed_to_a_free_one_only(store: Store) {
    let front = Front::new(store);
    let auth = &front.services.auth;
    let (ana, bob) =
        (front.register("ana@example.com").await.unwrap(), front.register("bob@example.com").await.unwrap());
    let caller = async |who: &LoggedIn| auth.verify(who.access_token.expose_secret()).await.unwrap();
    let (ana, bob) = (caller(&ana).await, caller(&bob).await);
    let change = async |who, name: Option<&str>, email: &str| {
        let change = ProfileChange { name: name.map(str::to_owned), email: Some(email.to_owned()) };
        auth.change_profile(who, change, Some(&"correct horse".into()), &Actor::SYSTEM).await
    };
    assert_eq!(fields(change(ana, Some(" "), "nobody").await), ["name", "email"]);
    assert_eq!(fields(change(ana, Some("a\nb"), "a@b.co\r\nBcc: c@d.co").await), ["name", "email"]);
    let taken = change(ana, Some("Eve"), "BOB@example.com").await;
    assert!(matches!(taken, Err(Error::Conflict { field: Some("email"), .. })), "{taken:?}");
    let unchanged = front.store.users().find(ana.tenant_id, ana.user_id).await.unwrap().unwrap();
    assert_eq!((unchanged.name.as_str(), unchanged.email.as_str()), ("Ana", "ana@example.com"), "all or nothing");
    let (a, b) = tokio::join!(change(ana, None, "free@example.com"), change(bob, None, "free@example.com"));
    let (changed, refused): (Vec<_>, Vec<_>) = [a, b].into_iter().partition(Result::is_ok);
    assert_eq!(changed.len(), 1);
    assert!(matches!(refused[0], Err(Error::Conflict { field: Some("email"), .. })), "{refused:?}");
    assert_eq!(count(&front.store, "audit_log WHERE action = 'user.email_changed'").await, 1);
}
