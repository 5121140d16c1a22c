//! Teams: who gives which role to whom, and that somebody always owns the tenant.

use actiwapi_dispatcher::domain::id::{InvitationId, UserId};
use actiwapi_dispatcher::domain::mail::MailKind;
use actiwapi_dispatcher::domain::user::Role;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::limits::LOGIN_BELIEVED;
use actiwapi_dispatcher::service::access_token::Caller;
use actiwapi_dispatcher::service::auth::LoggedIn;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::audit::Actor;
use actiwapi_dispatcher::store::page::PageRequest;
use secrecy::{ExposeSecret, SecretString};

use super::front::{Front, fields};
use crate::support::db::store_contract;
use crate::support::seed::{NOW_MS, count};

store_contract!(
    roles_are_changed_up_to_the_own,
    owners_who_lower_each_other_at_once_leave_one,
    owners_who_leave_at_once_leave_one,
    a_removed_member_is_out_at_once,
    nobody_comes_in_while_being_removed,
    the_tenant_is_handed_over,
    others_are_not_of_the_team,
);

pub(super) fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

pub(super) fn message(error: Error) -> String {
    match error {
        Error::Conflict { message, .. } => message.into_owned(),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn caller(front: &Front, who: &LoggedIn) -> Caller {
    front.services.auth.verify(who.access_token.expose_secret()).await.unwrap()
}

/// Returns what the mail to an address brings.
pub(super) async fn token(front: &Front, email: &str) -> SecretString {
    let now_ms = NOW_MS + 365 * 86_400_000;
    let claims = front.store.mails().claim(now_ms, now_ms, 100).await.unwrap();
    let claim = claims.iter().rfind(|claim| claim.kind == MailKind::Invitation && claim.email == email).unwrap();
    let letter = front.services.auth.letter(claim).await.unwrap().expect("the invitation is open");
    front.store.mails().done(claim).await.unwrap();
    letter.token
}

pub(super) async fn accept(front: &Front, token: &SecretString) -> Result<LoggedIn, Error> {
    front.services.auth.accept_invitation(token, " Bob ", &secret("staple battery")).await
}

/// Has somebody join a team.
pub(super) async fn join(front: &Front, by: Caller, email: &str, role: &str) -> LoggedIn {
    front.services.team.invite(by, email, role, &Actor::user(by.user_id)).await.unwrap();
    accept(front, &token(front, email).await).await.unwrap()
}

async fn roles_are_changed_up_to_the_own(store: Store) {
    let front = Front::new(store);
    let owner = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    let (admin, agent) = (
        join(&front, owner, "admin@example.com", "admin").await,
        join(&front, owner, "agent@example.com", "agent").await,
    );
    let (by_admin, by_agent) = (caller(&front, &admin).await, caller(&front, &agent).await);
    let change = async |by, id: UserId, role: &str| front.services.team.change_role(by, id, role, &Actor::SYSTEM).await;
    for role in ["owner", "admin", "viewer"] {
        assert!(
            matches!(change(by_agent, agent.user.id, role).await, Err(Error::Forbidden)),
            "raises themselves: {role}"
        );
    }
    assert!(matches!(change(by_admin, admin.user.id, "owner").await, Err(Error::Forbidden)), "raises themselves");
    assert!(matches!(change(by_admin, agent.user.id, "owner").await, Err(Error::Forbidden)));
    assert!(matches!(change(by_admin, owner.user_id, "viewer").await, Err(Error::Forbidden)));
    assert!(matches!(front.services.team.remove(by_admin, owner.user_id, &Actor::SYSTEM).await, Err(Error::Forbidden)));
    let raised = change(by_admin, agent.user.id, "admin").await.unwrap();
    assert_eq!(raised.role, Role::Admin);
    assert_eq!(caller(&front, &agent).await.role, Role::Admin, "it holds at once on this node");
    let alone = message(change(owner, owner.user_id, "admin").await.unwrap_err());
    assert_eq!(alone, "Somebody must own the tenant: make somebody else an owner first.");
    assert_eq!(message(front.services.team.remove(owner, owner.user_id, &Actor::SYSTEM).await.unwrap_err()), alone);
    change(owner, agent.user.id, "owner").await.unwrap();
    assert_eq!(change(owner, owner.user_id, "admin").await.unwrap().role, Role::Admin);
    let n_deeds = count(&front.store, "audit_log WHERE action = 'team.role_changed'").await;
    change(by_admin, admin.user.id, "admin").await.unwrap();
    assert_eq!(count(&front.store, "audit_log WHERE action = 'team.role_changed'").await, n_deeds, "nothing changed");
    for bad in ["operator", ""] {
        assert_eq!(fields(change(owner, agent.user.id, bad).await), ["role"]);
    }
}

async fn owners_who_lower_each_other_at_once_leave_one(store: Store) {
    let front = Front::new(store);
    let ana = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    let bob = caller(&front, &join(&front, ana, "bob@example.com", "owner").await).await;
    let team = &front.services.team;
    for _ in 0..8 {
        let (a, b) = tokio::join!(
            team.change_role(ana, bob.user_id, "viewer", &Actor::SYSTEM),
            team.change_role(bob, ana.user_id, "viewer", &Actor::SYSTEM),
        );
        assert_eq!(count(&front.store, "users WHERE role = 'owner'").await, 1);
        let (lowered, refused) = if a.is_ok() { (a, b) } else { (b, a) };
        let id = lowered.unwrap().id;
        assert!(matches!(refused, Err(Error::Forbidden)), "who was lowered lowers nobody: {refused:?}");
        let other = if id == bob.user_id { ana } else { bob };
        team.change_role(other, id, "owner", &Actor::SYSTEM).await.unwrap();
    }
}

async fn owners_who_leave_at_once_leave_one(store: Store) {
    let front = Front::new(store);
    let mut ana = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    let team = &front.services.team;
    for n in 0..6 {
        let bob = caller(&front, &join(&front, ana, &format!("bob{n}@example.com"), "owner").await).await;
        let leave = async |who: Caller| match n % 2 {
            0 => team.remove(who, who.user_id, &Actor::SYSTEM).await,
            _ => team.change_role(who, who.user_id, "admin", &Actor::SYSTEM).await.map(drop),
        };
        let (a, b) = tokio::join!(leave(ana), leave(bob));
        assert_eq!(count(&front.store, "users WHERE role = 'owner'").await, 1);
        assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1, "{a:?} {b:?}");
        let refused = if a.is_ok() { b } else { a.map(drop) };
        assert!(message(refused.unwrap_err()).starts_with("Somebody must own the tenant"));
        let left = front.store.team().list(ana.tenant_id, PageRequest::new(1, 100).unwrap()).await.unwrap();
        let owner = left.items.into_iter().find(|member| member.role == Role::Owner).unwrap();
        ana = if owner.id == ana.user_id { ana } else { bob };
    }
}

async fn a_removed_member_is_out_at_once(store: Store) {
    let (here, there) = (Front::new(store.clone()), Front::new(store));
    let owner = caller(&here, &here.register("ana@example.com").await.unwrap()).await;
    let bob = join(&here, owner, "bob@example.com", "admin").await;
    let other = here.services.auth.login("bob@example.com", &secret("staple battery")).await.unwrap();
    for node in [&here, &there] {
        caller(node, &bob).await;
    }
    here.services.team.remove(owner, bob.user.id, &Actor::SYSTEM).await.unwrap();
    let verify = async |node: &Front| node.services.auth.verify(bob.access_token.expose_secret()).await;
    assert!(matches!(verify(&here).await, Err(Error::Unauthorized)), "at once");
    there.clock.advance(LOGIN_BELIEVED);
    assert!(matches!(verify(&there).await, Err(Error::Unauthorized)), "a moment later on other nodes");
    for token in [&bob.refresh_token, &other.refresh_token] {
        assert!(matches!(there.services.auth.refresh(token).await, Err(Error::Unauthorized)));
    }
    let login = here.services.auth.login("bob@example.com", &secret("staple battery")).await;
    assert!(matches!(login, Err(Error::Unauthorized)));
    assert_eq!(count(&here.store, "refresh_tokens").await, 1, "the owner's");
    // The address is free again.
    join(&here, owner, "bob@example.com", "viewer").await;
}

async fn nobody_comes_in_while_being_removed(store: Store) {
    let front = Front::new(store);
    let owner = caller(&front, &front.register("ana@example.com").await.unwrap()).await;
    for n in 0..5 {
        let email = format!("bob{n}@example.com");
        let bob = join(&front, owner, &email, "agent").await;
        let password = secret("staple battery");
        let (login, refresh, removed) = tokio::join!(
            front.services.auth.login(&email, &password),
            front.services.auth.refresh(&bob.refresh_token),
            front.services.team.remove(owner, bob.user.id, &Actor::SYSTEM),
        );
        removed.unwrap();
        for let_in in [login, refresh] {
            let Ok(let_in) = let_in else { continue };
            let refused = front.services.auth.refresh(&let_in.refresh_token).await;
            assert!(matches!(refused, Err(Error::Unauthorized)), "{refused:?}");
        }
        assert_eq!(count(&front.store, "refresh_tokens").await, 1, "the owner's");
    }
}

async fn the_tenant_is_handed_over(store: Store) {
    let front = Front::new(store);
    let owner = front.register("ana@example.com").await.unwrap();
    let by = caller(&front, &owner).await;
    let bob = join(&front, by, "bob@example.com", "viewer").await;
    let give = async |by, id: UserId, password: &str| {
        front.services.team.make_owner(by, id, &secret(password), &Actor::SYSTEM).await
    };
    assert_eq!(fields(give(by, bob.user.id, "wrong horse").await), ["currentPassword"]);
    let bobs = caller(&front, &bob).await;
    assert!(matches!(give(bobs, bob.user.id, "staple battery").await, Err(Error::Forbidden)));
    assert_eq!(message(give(by, by.user_id, "correct horse").await.unwrap_err()), "That is an owner already.");
    let (a, b) = tokio::join!(give(by, bob.user.id, "correct horse"), give(by, bob.user.id, "correct horse"));
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1, "{a:?} {b:?}");
    assert_eq!(caller(&front, &bob).await.role, Role::Owner);
    assert_eq!(caller(&front, &owner).await.role, Role::Admin);
    assert_eq!(count(&front.store, "users WHERE role = 'owner'").await, 1);
    assert_eq!(count(&front.store, "audit_log WHERE action = 'team.owner_made'").await, 1);
}

async fn others_are_not_of_the_team(store: Store) {
    let front = Front::new(store);
    let (ana, eve) =
        (front.register("ana@example.com").await.unwrap(), front.register("eve@example.com").await.unwrap());
    let (owner, thief) = (caller(&front, &ana).await, caller(&front, &eve).await);
    let team = &front.services.team;
    let invitation = team.invite(owner, "bob@example.com", "agent", &Actor::SYSTEM).await.unwrap().id;
    let is_not_found = |what: &str, result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::NotFound(_))), "{what}: {result:?}");
    };
    for id in [ana.user.id, UserId::generate()] {
        is_not_found("change", team.change_role(thief, id, "viewer", &Actor::SYSTEM).await.map(drop));
        is_not_found("remove", team.remove(thief, id, &Actor::SYSTEM).await);
        let given = team.make_owner(thief, id, &secret("correct horse"), &Actor::SYSTEM).await;
        is_not_found("make owner", given.map(drop));
        assert!(front.store.team().find(thief.tenant_id, id).await.unwrap().is_none());
    }
    for id in [invitation, InvitationId::generate()] {
        is_not_found("withdraw", team.withdraw(thief.tenant_id, id, &Actor::SYSTEM).await);
    }
    assert_eq!(front.store.invitations().list(thief.tenant_id, PageRequest::default()).await.unwrap().total, 0);
    assert_eq!(front.store.team().list(thief.tenant_id, PageRequest::default()).await.unwrap().total, 1);
    // Operators belong to nobody's team.
    front.store.users().change_role(owner.tenant_id, owner.user_id, Role::Owner, Role::Operator).await.unwrap();
    is_not_found("an operator", team.remove(owner, owner.user_id, &Actor::SYSTEM).await);
    assert_eq!(front.store.team().list(owner.tenant_id, PageRequest::default()).await.unwrap().total, 0);
}
