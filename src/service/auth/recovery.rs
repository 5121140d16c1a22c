//! Addresses verified and passwords set by mail: who is sent what, and what becomes of it.
//!
//! A mail is asked for by address, so that asking takes the same work and time whether somebody has the address or not.
//! Who has it is looked up by whoever sends the mail, and only then its token is drawn. Writes and sends no mail.

use std::time::Duration;

use secrecy::SecretString;

use super::email::{is_email, normalise_email};
use super::{AuthService, token};
use crate::domain::id::{TenantId, UserId};
use crate::domain::mail::MailKind;
use crate::error::{Error, Problems, Result};
use crate::limits::{IDEMPOTENCY_ROWS_REMOVED_MAX, INVITATION_REMEMBERED, MAIL_BURST_MAX};
use crate::service::access_token::Caller;
use crate::service::password::check_password;
use crate::store::account_tokens::NewAccountToken;
use crate::store::mails::MailClaim;

/// How long a password can be reset by a mail, from when it is sent.
const RESET_LIFETIME: Duration = Duration::from_secs(3_600);
/// How long an address can be verified by a mail, from when it is sent.
const VERIFY_LIFETIME: Duration = Duration::from_secs(3 * 86_400);

/// What a mail is to say.
#[derive(Debug, Clone)]
pub struct Letter {
    /// To which address.
    pub email: String,
    /// What it is for.
    pub kind: MailKind,
    /// What its reader is to show.
    pub token: SecretString,
    /// How long that is good.
    pub lifetime: Duration,
}

impl AuthService {
    /// Asks for a mail by which whoever has the address sets a new password. Says nothing of whether somebody has it.
    ///
    /// # Errors
    /// `Validation` by the field `email`.
    pub async fn forgot_password(&self, email: &str) -> Result<()> {
        let email = normalise_email(email);
        if !is_email(&email) {
            return Err(Error::invalid("email", "Valid email is required"));
        }
        Ok(self.store.mails().ask(&email, MailKind::ResetPassword, self.clock.now().as_ms()).await?)
    }

    /// Sets a new password with what a mail brought, once. All log-ins end.
    ///
    /// # Errors
    /// `Validation` by the fields `password` and `token`.
    pub async fn reset_password(&self, shown: &SecretString, password: &SecretString) -> Result<()> {
        let mut problems = Problems::default();
        check_password("password", password, &mut problems);
        problems.check()?;
        let (hash, tokens) = (token::hash_of(shown), self.store.account_tokens());
        // Nobody makes us hash passwords with tokens out of the air.
        if !tokens.is_good(hash, MailKind::ResetPassword, self.clock.now().as_ms()).await? {
            return Err(not_good());
        }
        let password_hash = self.passwords.hash(password).await?;
        let user_id = tokens.reset_password(hash, &password_hash, self.clock.now().as_ms()).await?;
        let user_id = user_id.ok_or_else(not_good)?;
        self.known.forget(|family| family.user_id == user_id);
        Ok(())
    }

    /// Notes that mail to somebody arrives, by what it brought; returns to whom.
    ///
    /// # Errors
    /// `Validation` by the field `token`.
    pub async fn verify_email(&self, shown: &SecretString) -> Result<(TenantId, UserId)> {
        let now_ms = self.clock.now().as_ms();
        let verified = self.store.account_tokens().verify_email(token::hash_of(shown), now_ms).await?;
        verified.ok_or_else(not_good)
    }

    /// Asks for another mail to verify the address of a person; returns whether that was done before, and then none is
    /// asked for.
    ///
    /// # Errors
    /// `Unauthorized` when there is no such person any more.
    pub async fn resend_verification(&self, caller: Caller) -> Result<bool> {
        let user = self.store.users().find(caller.tenant_id, caller.user_id).await?.ok_or(Error::Unauthorized)?;
        if user.email_verified_at_ms.is_some() {
            return Ok(true);
        }
        self.store.mails().ask(&user.email, MailKind::VerifyEmail, self.clock.now().as_ms()).await?;
        Ok(false)
    }

    /// Decides what a mail that was asked for says, and makes its token good; none when nobody is to be sent it.
    ///
    /// # Errors
    /// `Store` when it is not known; the mail may be tried again, with another token.
    pub async fn letter(&self, mail: &MailClaim) -> Result<Option<Letter>> {
        if mail.kind == MailKind::Invitation {
            return self.invitation_letter(mail).await;
        }
        let Some(user) = self.store.users().find_by_email(&mail.email).await? else { return Ok(None) };
        let lifetime = match mail.kind {
            MailKind::VerifyEmail if user.email_verified_at_ms.is_some() => return Ok(None),
            MailKind::VerifyEmail => VERIFY_LIFETIME,
            MailKind::ResetPassword => RESET_LIFETIME,
            MailKind::Invitation => return Ok(None),
        };
        let (token, hash) = token::draw();
        let kept = NewAccountToken {
            hash,
            user_id: user.id,
            kind: mail.kind,
            email: user.email,
            expires_at_ms: (self.clock.now() + lifetime).as_ms(),
        };
        self.store.account_tokens().keep(&kept, MAIL_BURST_MAX.get()).await?;
        Ok(Some(Letter { email: kept.email, kind: mail.kind, token, lifetime }))
    }

    /// Forgets tokens that have expired, a bounded number of each kind; to be called about once a minute.
    ///
    /// # Errors
    /// `Store` when nothing was forgotten; safe to repeat.
    pub async fn forget_expired(&self) -> Result<()> {
        let now_ms = self.clock.now().as_ms();
        self.store.tokens().forget_expired(now_ms, IDEMPOTENCY_ROWS_REMOVED_MAX).await?;
        self.store.account_tokens().forget_expired(now_ms, IDEMPOTENCY_ROWS_REMOVED_MAX).await?;
        let before_ms = (self.clock.now() - INVITATION_REMEMBERED).as_ms();
        self.store.invitations().forget_expired(before_ms, IDEMPOTENCY_ROWS_REMOVED_MAX).await?;
        Ok(())
    }
}

pub(super) fn not_good() -> Error {
    Error::invalid("token", "is unknown, expired, or was used before")
}
