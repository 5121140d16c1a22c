//! Who works for a tenant, and as what: invited, given roles, removed; and the tenant itself.
//!
//! What each role may do is [`crate::domain::ability`], and whom it may act upon [`crate::domain::team`]; both are looked at
//! in the transaction that changes something. How invitations are accepted is [`crate::service::auth::joining`].

use secrecy::SecretString;

use crate::domain::id::{InvitationId, TenantId, UserId};
use crate::domain::team::{InvitationState, MemberChange, TeamRefusal};
use crate::domain::user::Role;
use crate::error::{Error, Problems, Result};
use crate::limits::{INVITATION_LIFETIME, INVITATIONS_PER_TENANT_MAX};
use crate::service::access_token::Caller;
use crate::service::auth::{NAME_CHARS_MAX, email_taken, is_email, normalise_email};
use crate::service::check::check_name;
use crate::service::{AuthService, Tools};
use crate::store::audit::Actor;
use crate::store::invitations::{InvitationRecord, Invited};
use crate::store::team::{MemberChanged, MemberRecord};
use crate::store::tenants::TenantRecord;

/// Keeps teams.
#[derive(Debug, Clone)]
pub struct TeamService {
    tools: Tools,
    auth: AuthService,
}

impl TeamService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools, auth: AuthService) -> Self {
        Self { tools, auth }
    }

    /// Returns the tenant.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn tenant(&self, id: TenantId) -> Result<TenantRecord> {
        self.tools.store.tenants().find(id).await?.ok_or(Error::NotFound("tenant"))
    }

    /// Gives the tenant another name, if one is given.
    ///
    /// # Errors
    /// `Validation` by the field `name`.
    pub async fn rename_tenant(&self, id: TenantId, name: Option<&str>, actor: &Actor) -> Result<TenantRecord> {
        if let Some(name) = name {
            let mut problems = Problems::default();
            let name = check_name("name", name, NAME_CHARS_MAX, &mut problems);
            problems.check()?;
            let now_ms = self.tools.clock.now().as_ms();
            self.tools.store.team().rename_tenant(id, &name, (actor, now_ms)).await?;
        }
        self.tenant(id).await
    }

    /// Invites somebody by mail; an open invitation of the same address is replaced.
    ///
    /// # Errors
    /// `Validation` by the fields `email`, `role`; `Forbidden`; `Conflict` when the address has an account, which
    /// registering tells everybody anyway, and when there are too many open invitations.
    pub async fn invite(&self, caller: Caller, email: &str, role: &str, actor: &Actor) -> Result<InvitationRecord> {
        let mut problems = Problems::default();
        let email = normalise_email(email);
        if !is_email(&email) {
            problems.push("email", "Valid email is required");
        }
        let role = role_of_team(role, &mut problems);
        problems.check()?;
        let now = self.tools.clock.now();
        let invitation = InvitationRecord {
            id: InvitationId::generate(),
            tenant_id: caller.tenant_id,
            tenant_name: self.tenant(caller.tenant_id).await?.name,
            email,
            role,
            state: InvitationState::Open,
            invited_by: caller.user_id,
            created_at_ms: now.as_ms(),
            expires_at_ms: (now + INVITATION_LIFETIME).as_ms(),
        };
        match self.tools.store.invitations().invite(&invitation, INVITATIONS_PER_TENANT_MAX, actor).await? {
            Invited::Done => Ok(invitation),
            Invited::Refused(refusal) => Err(refused(refusal)),
            Invited::Member => Err(Error::conflict_of("email", "Somebody with this email is in your team already.")),
            Invited::Taken => Err(email_taken()),
            Invited::TooMany => {
                let message = format!("There are {INVITATIONS_PER_TENANT_MAX} open invitations: take one back.");
                Err(Error::conflict(message))
            }
        }
    }

    /// Takes an open invitation back.
    ///
    /// # Errors
    /// `NotFound`, also when it was accepted.
    pub async fn withdraw(&self, tenant_id: TenantId, id: InvitationId, actor: &Actor) -> Result<()> {
        let now_ms = self.tools.clock.now().as_ms();
        let withdrawn = self.tools.store.invitations().withdraw(tenant_id, id, (actor, now_ms)).await?;
        if withdrawn { Ok(()) } else { Err(Error::NotFound("invitation")) }
    }

    /// Gives a member another role, from now on.
    ///
    /// # Errors
    /// `Validation` by the field `role`; `NotFound`; `Forbidden`; `Conflict` for the last owner.
    pub async fn change_role(&self, caller: Caller, id: UserId, role: &str, actor: &Actor) -> Result<MemberRecord> {
        let mut problems = Problems::default();
        let role = role_of_team(role, &mut problems);
        problems.check()?;
        self.change(caller, id, MemberChange::Role(role), actor).await?;
        self.tools.store.team().find(caller.tenant_id, id).await?.ok_or(Error::NotFound("member"))
    }

    /// Removes a member with the account; log-ins end at once here, and on other nodes
    /// [`crate::limits::LOGIN_BELIEVED`] later at the latest. Keys that the member made stay, they are the tenant's.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden`; `Conflict` for the last owner.
    pub async fn remove(&self, caller: Caller, id: UserId, actor: &Actor) -> Result<()> {
        self.change(caller, id, MemberChange::Remove, actor).await
    }

    /// Makes a member the owner in place of whoever asks, who becomes an admin.
    ///
    /// # Errors
    /// `Validation` by the field `currentPassword`; `NotFound`; `Forbidden`; `Conflict` when that is an owner already.
    pub async fn make_owner(
        &self,
        caller: Caller,
        id: UserId,
        current: &SecretString,
        actor: &Actor,
    ) -> Result<MemberRecord> {
        self.auth.prove_password(caller, current).await?;
        self.change(caller, id, MemberChange::MakeOwner, actor).await?;
        self.tools.store.team().find(caller.tenant_id, id).await?.ok_or(Error::NotFound("member"))
    }

    async fn change(&self, caller: Caller, id: UserId, change: MemberChange, actor: &Actor) -> Result<()> {
        let now_ms = self.tools.clock.now().as_ms();
        let who = (caller.tenant_id, caller.user_id, id);
        let changed = self.tools.store.team().change(who, change, (actor, now_ms)).await;
        // Also when it is not known whether it was changed.
        self.auth.forget_person(id);
        self.auth.forget_person(caller.user_id);
        match changed? {
            MemberChanged::Done => Ok(()),
            MemberChanged::NotFound => Err(Error::NotFound("member")),
            MemberChanged::Refused(refusal) => Err(refused(refusal)),
        }
    }
}

/// Reads a role that people can be given; the least of them stands for what is none.
fn role_of_team(word: &str, problems: &mut Problems) -> Role {
    let role = Role::parse(word).filter(|role| role.is_of_team());
    role.unwrap_or_else(|| {
        problems.push("role", "must be one of owner, admin, agent, viewer");
        Role::Viewer
    })
}

fn refused(refusal: TeamRefusal) -> Error {
    match refusal {
        TeamRefusal::NotAllowed | TeamRefusal::AboveOwn => Error::Forbidden,
        TeamRefusal::LastOwner => Error::conflict("Somebody must own the tenant: make somebody else an owner first."),
        TeamRefusal::OwnerAlready => Error::conflict("That is an owner already."),
    }
}
