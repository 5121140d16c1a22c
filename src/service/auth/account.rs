//! What people change about their own account: profile and password, and where they are logged in.

use secrecy::SecretString;

use super::email::{is_email, normalise_email};
use super::{AuthService, NAME_CHARS_MAX, token};
use crate::domain::id::UserId;
use crate::error::{Error, Problems, Result};
use crate::service::access_token::Caller;
use crate::service::check::check_name;
use crate::service::password::check_password;
use crate::store::audit::Actor;
use crate::store::tokens::FamilyOwner;
use crate::store::users::{ProfileChange, UserRecord};

impl AuthService {
    /// Ends the log-in that a refresh token came from, and returns whose it was; does nothing where there is none.
    ///
    /// # Errors
    /// `Store` when it is not ended.
    pub async fn log_out(&self, refresh_token: &SecretString) -> Result<Option<FamilyOwner>> {
        let ended = self.store.tokens().revoke(token::hash_of(refresh_token)).await?;
        if let Some(FamilyOwner { family_id, .. }) = ended {
            self.known.forget(|family| family.id == family_id);
        }
        Ok(ended)
    }

    /// Tells whether a password is that of whoever is calling.
    ///
    /// # Errors
    /// `Validation` by the field `currentPassword`; `Unauthorized` when there is no such person any more.
    pub async fn prove_password(&self, caller: Caller, current: &SecretString) -> Result<()> {
        let user = self.store.users().find(caller.tenant_id, caller.user_id).await?.ok_or(Error::Unauthorized)?;
        self.check_current(current, &user).await
    }

    /// Reads anew what a person may do; to be called whenever that was changed.
    pub(in crate::service) fn forget_person(&self, user_id: UserId) {
        self.known.forget(|family| family.user_id == user_id);
    }

    /// Ends all log-ins of a person: refresh tokens at once, access tokens on this node at once and on others
    /// [`crate::limits::LOGIN_BELIEVED`] later at the latest.
    ///
    /// # Errors
    /// `Store` when they are not ended.
    pub async fn log_out_everywhere(&self, caller: Caller, actor: &Actor) -> Result<()> {
        let who = (caller.tenant_id, caller.user_id);
        let revoked = self.store.tokens().revoke_all(who, actor, self.clock.now().as_ms()).await;
        self.known.forget(|family| family.user_id == caller.user_id);
        Ok(revoked?)
    }

    /// Changes name and address. Another address takes the password, because whoever has it can set another one by mail; it
    /// is not verified, and gets a mail that says how to do that.
    ///
    /// # Errors
    /// `Validation` by the fields `name`, `email` and `currentPassword`; `Conflict` on `email` when it is somebody else's.
    pub async fn change_profile(
        &self,
        caller: Caller,
        change: ProfileChange,
        current: Option<&SecretString>,
        actor: &Actor,
    ) -> Result<UserRecord> {
        let mut problems = Problems::default();
        let name = change.name.map(|name| check_name("name", &name, NAME_CHARS_MAX, &mut problems));
        let email = change.email.map(|email| normalise_email(&email));
        if email.as_deref().is_some_and(|email| !is_email(email)) {
            problems.push("email", "Valid email is required");
        }
        problems.check()?;
        let (users, who) = (self.store.users(), (caller.tenant_id, caller.user_id));
        let user = users.find(caller.tenant_id, caller.user_id).await?.ok_or(Error::Unauthorized)?;
        if email.as_ref().is_some_and(|email| *email != user.email) {
            let current = current.ok_or_else(|| Error::invalid("currentPassword", "goes with another email"))?;
            self.check_current(current, &user).await?;
        }
        let change = ProfileChange { name, email };
        if !users.change_profile(who, &change, actor, self.clock.now().as_ms()).await? {
            return Err(super::email_taken());
        }
        users.find(caller.tenant_id, caller.user_id).await?.ok_or(Error::Unauthorized)
    }

    /// Gives a person another password. All log-ins end but the one that asks.
    ///
    /// # Errors
    /// `Validation` by the fields `currentPassword` and `newPassword`; `Conflict` when it was changed meanwhile.
    pub async fn change_password(
        &self,
        caller: Caller,
        (current, new): (&SecretString, &SecretString),
        actor: &Actor,
    ) -> Result<()> {
        let mut problems = Problems::default();
        check_password("newPassword", new, &mut problems);
        problems.check()?;
        let user = self.store.users().find(caller.tenant_id, caller.user_id).await?.ok_or(Error::Unauthorized)?;
        self.check_current(current, &user).await?;
        let hash = self.passwords.hash(new).await?;
        let now_ms = self.clock.now().as_ms();
        let changed = self.store.users().change_password(&user, &hash, caller.family_id, (actor, now_ms)).await;
        self.known.forget(|family| family.user_id == user.id);
        if changed? { Ok(()) } else { Err(Error::conflict("The password was changed a moment ago.")) }
    }

    async fn check_current(&self, current: &SecretString, user: &UserRecord) -> Result<()> {
        match self.passwords.verify(current, &user.password_hash).await? {
            true => Ok(()),
            false => Err(Error::invalid("currentPassword", "is not your password")),
        }
    }
}
