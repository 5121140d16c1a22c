//! Joining a team by mail: what an invitation says, and what becomes of it.
//!
//! Who may be invited, and by whom, is [`crate::service::team`].

use secrecy::SecretString;

use super::recovery::{Letter, not_good};
use super::{AuthService, LoggedIn, NAME_CHARS_MAX, email_taken, token};
use crate::clock::Moment;
use crate::domain::id::{InvitationId, UserId};
use crate::domain::team::InvitationState;
use crate::error::{Error, Problems, Result};
use crate::service::check::check_name;
use crate::service::password::check_password;
use crate::store::invitations::{Accepted, InvitationRecord};
use crate::store::mails::MailClaim;
use crate::store::users::UserRecord;

impl AuthService {
    /// Makes somebody who was invited a member of that team, and logs them in. That the mail arrived proves the address.
    ///
    /// # Errors
    /// `Validation` by the fields `token`, `name`, `password`; `Conflict` when the invitation was used, taken back or
    /// replaced, when it has expired, and when the address has an account meanwhile.
    pub async fn accept_invitation(
        &self,
        shown: &SecretString,
        name: &str,
        password: &SecretString,
    ) -> Result<LoggedIn> {
        let mut problems = Problems::default();
        let name = check_name("name", name, NAME_CHARS_MAX, &mut problems);
        check_password("password", password, &mut problems);
        problems.check()?;
        let (now, invitations) = (self.clock.now(), self.store.invitations());
        // Nobody makes us hash passwords with tokens out of the air.
        let invitation = invitations.find_by_token(token::hash_of(shown)).await?.ok_or_else(not_good)?;
        check_open(&invitation, now)?;
        let user = UserRecord {
            id: UserId::generate(),
            tenant_id: invitation.tenant_id,
            tenant_name: invitation.tenant_name.clone(),
            email: invitation.email.clone(),
            email_verified_at_ms: Some(now.as_ms()),
            name,
            password_hash: self.passwords.hash(password).await?,
            role: invitation.role,
            created_at_ms: now.as_ms(),
        };
        match invitations.accept(&invitation, &user).await? {
            Accepted::Done => self.let_in(user, now).await,
            Accepted::Taken => Err(email_taken()),
            Accepted::NotOpen => {
                // Somebody was faster; how it ended stands in the row.
                let invitation = invitations.find(invitation.id).await?.ok_or_else(not_good)?;
                Err(check_open(&invitation, now).err().unwrap_or_else(not_good))
            }
        }
    }

    /// Decides what the mail of an invitation says, and makes its token good; none when it is not open any more.
    pub(super) async fn invitation_letter(&self, mail: &MailClaim) -> Result<Option<Letter>> {
        let (now, invitations) = (self.clock.now(), self.store.invitations());
        let invitation = invitations.find(InvitationId(mail.about_id)).await?;
        let Some(invitation) = invitation.filter(|it| check_open(it, now).is_ok()) else { return Ok(None) };
        let (token, hash) = token::draw();
        invitations.keep_token(invitation.id, hash).await?;
        let lifetime = Moment::from_ms(invitation.expires_at_ms).since(now);
        Ok(Some(Letter { email: invitation.email, kind: mail.kind, token, lifetime }))
    }
}

/// Tells whether an invitation can be accepted.
fn check_open(invitation: &InvitationRecord, now: Moment) -> Result<()> {
    let ask_again = "ask for another one.";
    match invitation.state {
        InvitationState::Open if now.as_ms() < invitation.expires_at_ms => Ok(()),
        InvitationState::Open => Err(Error::conflict(format!("The invitation has expired: {ask_again}"))),
        InvitationState::Accepted => Err(Error::conflict("The invitation was used already: log in.")),
        InvitationState::Withdrawn => Err(Error::conflict(format!("The invitation was taken back: {ask_again}"))),
        InvitationState::Replaced => Err(Error::conflict("There is a newer invitation: use the mail that came last.")),
    }
}
