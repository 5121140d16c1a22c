//! Invitations to a team: sent, replaced, taken back, expired, used once.

use std::time::Duration;

use actiwapi_dispatcher::domain::user::Role;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::limits::{INVITATION_LIFETIME, INVITATION_REMEMBERED, INVITATIONS_PER_TENANT_MAX};
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::page::PageRequest;
use actiwapi_dispatcher::with_writer;
use secrecy::ExposeSecret;

use super::front::{Front, fields};
use super::team::{accept, caller, join, message, secret, token};
use crate::support::db::store_contract;
use crate::support::seed::{NOW_MS, count};

store_contract!(
    whoever_is_invited_joins,
    a_second_invitation_replaces_the_first,
    invitations_end,
    an_invitation_is_used_once,
    addresses_with_an_account_are_not_invited,
    nobody_invites_above_themselves,
    so_many_invitations_are_open,
    two_tenants_invite_one_address,
    an_invitation_to_a_removed_team_is_none,
    invitations_by_who_may_no_longer_are_taken_back,
);

async fn whoever_is_invited_joins(store: Store) {
    let front = Front::new(store);
    let owner = front.register("ana@example.com").await.unwrap();
    let by = caller(&front, &owner).await;
    let invitation =
        front.services.team.invite(by, " Bob@Example.com ", "agent", &Actor::user(by.user_id)).await.unwrap();
    assert_eq!((invitation.email.as_str(), invitation.role), ("bob@example.com", Role::Agent));
    assert_eq!(invitation.expires_at_ms, NOW_MS + i64::try_from(INVITATION_LIFETIME.as_millis()).unwrap());
    let token = token(&front, "bob@example.com").await;
    let kept = format!("invitation_tokens WHERE CAST(token_hash AS TEXT) LIKE '%{}%'", token.expose_secret());
    assert_eq!((count(&front.store, "invitation_tokens").await, count(&front.store, &kept).await), (1, 0));
    let auth = &front.services.auth;
    assert_eq!(fields(auth.accept_invitation(&token, "\n", &secret("short")).await), ["name", "password"]);
    assert_eq!(fields(accept(&front, &secret("00")).await), ["token"]);
    let bob = accept(&front, &token).await.unwrap();
    assert_eq!((bob.user.name.as_str(), bob.user.role, bob.user.tenant_id), ("Bob", Role::Agent, by.tenant_id));
    assert!(bob.user.email_verified_at_ms.is_some(), "the mail arrived");
    assert_eq!(caller(&front, &bob).await.role, Role::Agent);
    auth.login("bob@example.com", &secret("staple battery")).await.unwrap();
    let team = front.store.team().list(by.tenant_id, PageRequest::default()).await.unwrap();
    assert_eq!(team.items.iter().map(|member| member.role).collect::<Vec<_>>(), [Role::Owner, Role::Agent]);
    assert_eq!(front.store.invitations().list(by.tenant_id, PageRequest::default()).await.unwrap().total, 0);
    for action in ["team.invited", "team.joined"] {
        assert_eq!(count(&front.store, &format!("audit_log WHERE action = '{action}'")).await, 1);
    }
}

async fn a_second_invitation_replaces_the_first(store: Store) {
    let front = Front::new(store);
    let by = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    let invite =
        async |role: &str| front.services.team.invite(by, "bob@example.com", role, &Actor::SYSTEM).await.unwrap();
    invite("admin").await;
    let first = token(&front, "bob@example.com").await;
    let second = invite("viewer").await;
    let open = front.store.invitations().list(by.tenant_id, PageRequest::default()).await.unwrap();
    assert_eq!((open.total, open.items[0].id), (1, second.id));
    let newer = "There is a newer invitation: use the mail that came last.";
    assert_eq!(message(accept(&front, &first).await.unwrap_err()), newer);
    let joined = accept(&front, &token(&front, "bob@example.com").await).await.unwrap();
    assert_eq!(joined.user.role, Role::Viewer);
    assert_eq!(message(accept(&front, &first).await.unwrap_err()), newer);
}

async fn invitations_end(store: Store) {
    let front = Front::new(store);
    let by = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    let team = &front.services.team;
    let invite = async |email: &str| team.invite(by, email, "agent", &Actor::SYSTEM).await.unwrap().id;
    let withdrawn = invite("bob@example.com").await;
    let bobs = token(&front, "bob@example.com").await;
    team.withdraw(by.tenant_id, withdrawn, &Actor::SYSTEM).await.unwrap();
    let again = team.withdraw(by.tenant_id, withdrawn, &Actor::SYSTEM).await;
    assert!(matches!(again, Err(Error::NotFound("invitation"))), "{again:?}");
    let refused = message(accept(&front, &bobs).await.unwrap_err());
    assert_eq!(refused, "The invitation was taken back: ask for another one.");

    invite("eve@example.com").await;
    let eves = token(&front, "eve@example.com").await;
    invite("late@example.com").await;
    front.clock.advance(INVITATION_LIFETIME - Duration::from_millis(1));
    assert!(!matches!(accept(&front, &eves).await, Err(Error::Conflict { .. })));
    front.clock.advance(Duration::from_millis(1));
    // The mail went out too late: nothing is sent.
    let now_ms = NOW_MS + 365 * 86_400_000;
    let claims = front.store.mails().claim(now_ms, now_ms, 100).await.unwrap();
    let late = claims.iter().find(|claim| claim.email == "late@example.com").unwrap();
    assert!(front.services.auth.letter(late).await.unwrap().is_none());
    assert_eq!(count(&front.store, "invitations WHERE state = 'open'").await, 1);
    front.clock.advance(INVITATION_REMEMBERED);
    front.services.auth.forget_expired().await.unwrap();
    assert_eq!(count(&front.store, "invitations").await, 0);
    assert_eq!(count(&front.store, "invitation_tokens").await, 0);
    assert_eq!(fields(accept(&front, &bobs).await), ["token"]);
}

async fn an_invitation_is_used_once(store: Store) {
    let front = Front::new(store);
    let by = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    front.services.team.invite(by, "bob@example.com", "agent", &Actor::SYSTEM).await.unwrap();
    let token = token(&front, "bob@example.com").await;
    let (a, b) = tokio::join!(accept(&front, &token), accept(&front, &token));
    let (joined, refused): (Vec<_>, Vec<_>) = [a, b].into_iter().partition(Result::is_ok);
    assert_eq!((joined.len(), count(&front.store, "users").await), (1, 2));
    let refused = refused.into_iter().next().unwrap().unwrap_err();
    assert_eq!(message(refused), "The invitation was used already: log in.");
    assert_eq!(message(accept(&front, &token).await.unwrap_err()), "The invitation was used already: log in.");
}

async fn addresses_with_an_account_are_not_invited(store: Store) {
    let front = Front::new(store);
    let by = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    let invite = async |email: &str| front.services.team.invite(by, email, "agent", &Actor::SYSTEM).await;
    let own = invite("ANA@example.com").await.unwrap_err();
    assert_eq!(message(own), "Somebody with this email is in your team already.");
    front.register("bob@example.com").await.unwrap();
    // As registering with it would be answered.
    let registered = message(front.register("bob@example.com").await.unwrap_err());
    assert_eq!(message(invite("bob@example.com").await.unwrap_err()), registered);
    assert_eq!(count(&front.store, "mails WHERE kind = 'invitation'").await, 0);
    // Whoever registers in between keeps the address.
    invite("eve@example.com").await.unwrap();
    let token = token(&front, "eve@example.com").await;
    front.register("eve@example.com").await.unwrap();
    assert_eq!(message(accept(&front, &token).await.unwrap_err()), registered);
    for bad in ["", "nobody", "a@b.co\r\nBcc: c@d.co", &format!("{}@b.co", "x".repeat(300))] {
        assert_eq!(fields(invite(bad).await), ["email"], "{bad:?}");
    }
}

async fn nobody_invites_above_themselves(store: Store) {
    let front = Front::new(store);
    let owner = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    let admin = caller(&front, &join(&front, owner, "admin@example.com", "admin").await).await;
    let agent = caller(&front, &join(&front, owner, "agent@example.com", "agent").await).await;
    let invite = async |by, role: &str| front.services.team.invite(by, "new@example.com", role, &Actor::SYSTEM).await;
    assert!(matches!(invite(admin, "owner").await, Err(Error::Forbidden)));
    for role in ["owner", "admin", "agent", "viewer"] {
        assert!(matches!(invite(agent, role).await, Err(Error::Forbidden)), "{role}");
        assert!(invite(owner, role).await.is_ok(), "{role}");
        assert!(role == "owner" || invite(admin, role).await.is_ok(), "{role}");
    }
    for bad in ["operator", "root", "", "Owner"] {
        assert_eq!(fields(invite(owner, bad).await), ["role"], "{bad}");
    }
}

async fn so_many_invitations_are_open(store: Store) {
    let front = Front::new(store);
    let by = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    let invite = async |n: i64| {
        let email = format!("a{n}@example.com");
        front.services.team.invite(by, &email, "viewer", &Actor::SYSTEM).await
    };
    for n in 1..INVITATIONS_PER_TENANT_MAX {
        invite(n).await.unwrap();
    }
    let (a, b) = tokio::join!(invite(0), invite(INVITATIONS_PER_TENANT_MAX));
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1, "{a:?} {b:?}");
    invite(1).await.expect("replaces one");
    assert!(message(invite(-1).await.unwrap_err()).starts_with("There are 100 open invitations"));
    front.clock.advance(INVITATION_LIFETIME);
    invite(-1).await.expect("those that have expired make room");
}

async fn two_tenants_invite_one_address(store: Store) {
    let front = Front::new(store);
    let (ana, eve) =
        (front.register("ana@example.com").await.unwrap(), front.register("eve@example.com").await.unwrap());
    for by in [caller(&front, &ana).await, caller(&front, &eve).await] {
        front.services.team.invite(by, "bob@example.com", "agent", &Actor::SYSTEM).await.unwrap();
    }
    assert_eq!(count(&front.store, "mails WHERE kind = 'invitation'").await, 2, "neither takes the other's place");
    let (a, b) = (token(&front, "bob@example.com").await, token(&front, "bob@example.com").await);
    accept(&front, &a).await.unwrap();
    let taken = accept(&front, &b).await.unwrap_err();
    assert_eq!(message(taken), "There is an account with this email already.");
}

async fn an_invitation_to_a_removed_team_is_none(store: Store) {
    let front = Front::new(store);
    let by = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    front.services.team.invite(by, "bob@example.com", "agent", &Actor::SYSTEM).await.unwrap();
    front.services.team.invite(by, "eve@example.com", "agent", &Actor::SYSTEM).await.unwrap();
    let token = token(&front, "bob@example.com").await;
    // Nothing removes a tenant yet; whatever does takes its invitations along.
    for table in ["refresh_tokens", "users", "plan_usage", "api_requests", "usage", "subscriptions", "tenants"] {
        let sql = format!("DELETE FROM {table}");
        with_writer!(front.store.pool(), |db| sqlx::query(sqlx::AssertSqlSafe(sql)).execute(db).await.map(drop)).ok();
    }
    assert_eq!((count(&front.store, "tenants").await, count(&front.store, "invitations").await), (0, 0));
    assert_eq!(fields(accept(&front, &token).await), ["token"]);
    let now_ms = NOW_MS + 365 * 86_400_000;
    let claims = front.store.mails().claim(now_ms, now_ms, 100).await.unwrap();
    let eves = claims.iter().find(|claim| claim.email == "eve@example.com").unwrap();
    assert!(front.services.auth.letter(eves).await.unwrap().is_none());
}

async fn invitations_by_who_may_no_longer_are_taken_back(store: Store) {
    let front = Front::new(store);
    let owner = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    let team = &front.services.team;
    for (n, change) in ["agent", "removed", "admin"].into_iter().enumerate() {
        let admin = join(&front, owner, &format!("admin{n}@example.com"), "admin").await;
        let email = format!("friend{n}@example.com");
        team.invite(caller(&front, &admin).await, &email, "admin", &Actor::SYSTEM).await.unwrap();
        let friend = token(&front, &email).await;
        match change {
            "removed" => team.remove(owner, admin.user.id, &Actor::SYSTEM).await.unwrap(),
            role => drop(team.change_role(owner, admin.user.id, role, &Actor::SYSTEM).await.unwrap()),
        }
        let joined = accept(&front, &friend).await;
        match change {
            "admin" => assert!(joined.is_ok(), "nothing was taken away"),
            _ => assert_eq!(message(joined.unwrap_err()), "The invitation was taken back: ask for another one."),
        }
    }
}
