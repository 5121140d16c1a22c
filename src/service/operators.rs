//! Who runs the platform: the role is given and taken back at the machine, never over the REST front.
//!
//! Whoever may call this has the database anyway. Does not make accounts; those register like any other.

use crate::domain::user::Role;
use crate::error::{Error, Result};
use crate::service::auth::normalise_email;
use crate::store::Store;
use crate::store::page::PageRequest;
use crate::store::users::UserRecord;

/// Makes an account an operator's; does nothing when it is one.
///
/// # Errors
/// `NotFound` without such an account; `Conflict` when its tenant has sessions or other people: an operator belongs to no
/// customer's team, and the customer would be left without an owner.
pub async fn grant(store: &Store, email: &str) -> Result<UserRecord> {
    let user = find(store, email).await?;
    if user.role != Role::Operator && 1 < store.team().list(user.tenant_id, PageRequest::default()).await?.total {
        return Err(Error::conflict("The account's business has a team: register another account for operating."));
    }
    if user.role != Role::Operator && 0 < store.sessions().list(user.tenant_id, PageRequest::default()).await?.total {
        return Err(Error::conflict("The account's business has sessions: register another account for operating."));
    }
    change(store, user, Role::Operator).await
}

/// Makes an operator's account an owner's again; one that is no operator's stays as it is.
///
/// # Errors
/// `NotFound` without such an account.
pub async fn revoke(store: &Store, email: &str) -> Result<UserRecord> {
    let user = find(store, email).await?;
    let role = if user.role == Role::Operator { Role::Owner } else { user.role };
    change(store, user, role).await
}

async fn find(store: &Store, email: &str) -> Result<UserRecord> {
    store.users().find_by_email(&normalise_email(email)).await?.ok_or(Error::NotFound("account"))
}

async fn change(store: &Store, user: UserRecord, role: Role) -> Result<UserRecord> {
    if user.role != role && !store.users().change_role(user.tenant_id, user.id, user.role, role).await? {
        return Err(Error::conflict("The account changed meanwhile."));
    }
    Ok(UserRecord { role, ..user })
}
