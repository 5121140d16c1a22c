//! Who may come in: registration, log-in, access and refresh tokens.
//!
//! Does not decide what a caller may do; roles are checked where the call is taken.

use std::fmt::Write;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::{Clock, Moment};
use crate::domain::id::{TenantId, UserId};
use crate::domain::user::Role;
use crate::error::{Error, Problems, Result};
use crate::service::access_token::{AccessTokens, Caller, JwtKeys};
use crate::service::check::check_name;
use crate::service::password::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PasswordCost, Passwords};
use crate::store::Store;
use crate::store::tenants::TenantRecord;
use crate::store::tokens::{NewRefreshToken, Rotation};
use crate::store::users::UserRecord;

/// Characters of a name of a person or a business, at most.
const NAME_CHARS_MAX: usize = 100;
/// Characters of an address to log in with, at most; mail itself allows no more.
const EMAIL_CHARS_MAX: usize = 254;

/// Settings of tokens and passwords.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// Keys of access tokens.
    pub jwt_keys: JwtKeys,
    /// How long an access token is good; documented as 7 days.
    pub access_token_lifetime: Duration,
    /// How long a refresh token is good.
    pub refresh_token_lifetime: Duration,
    /// How much work a password's hash takes.
    pub password_cost: PasswordCost,
}

/// A registration.
#[derive(Debug, Clone)]
pub struct Registration {
    /// What the owner is called.
    pub name: String,
    /// Address to log in with.
    pub email: String,
    /// 8 to 128 characters.
    pub password: SecretString,
    /// The name of the tenant.
    pub business_name: String,
}

/// A fresh pair of tokens and whose they are.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// Proof of who is calling.
    pub access_token: SecretString,
    /// Good for one exchange against the next pair.
    pub refresh_token: SecretString,
    /// How long the access token is good.
    pub expires_in: Duration,
    /// Whose tokens these are.
    pub user: UserRecord,
}

/// Lets people in.
#[derive(Debug, Clone)]
pub struct AuthService {
    store: Store,
    clock: Clock,
    access_tokens: AccessTokens,
    refresh_token_lifetime: Duration,
    passwords: Passwords,
}

impl AuthService {
    /// Makes the service.
    #[must_use]
    pub fn new(store: Store, clock: Clock, settings: &AuthSettings) -> Self {
        Self {
            store,
            clock,
            access_tokens: AccessTokens::new(&settings.jwt_keys, settings.access_token_lifetime),
            refresh_token_lifetime: settings.refresh_token_lifetime,
            passwords: Passwords::new(settings.password_cost),
        }
    }

    /// Makes a tenant and its owner, and logs the owner in.
    ///
    /// # Errors
    /// `Validation`; `Conflict` on `email` when it is taken.
    pub async fn register(&self, registration: Registration) -> Result<LoggedIn> {
        let now = self.clock.now();
        let mut problems = Problems::default();
        let name = check_name("name", &registration.name, NAME_CHARS_MAX, &mut problems);
        let business_name = check_name("businessName", &registration.business_name, NAME_CHARS_MAX, &mut problems);
        let email = normalise_email(&registration.email);
        if !is_email(&email) {
            problems.push("email", "Valid email is required");
        }
        let n_chars = registration.password.expose_secret().chars().count();
        if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&n_chars) {
            let range = format!("must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters");
            problems.push("password", range);
        }
        problems.check()?;
        let password_hash = self.passwords.hash(&registration.password).await?;
        let tenant = TenantRecord { id: TenantId::generate(), name: business_name, created_at_ms: now.as_ms() };
        let owner = UserRecord {
            id: UserId::generate(),
            tenant_id: tenant.id,
            tenant_name: tenant.name.clone(),
            email,
            name,
            password_hash,
            role: Role::Owner,
            created_at_ms: now.as_ms(),
        };
        if !self.store.users().insert_with_tenant(&tenant, &owner).await? {
            let message = "There is an account with this email already.".into();
            return Err(Error::Conflict { message, field: Some("email") });
        }
        self.let_in(owner, now).await
    }

    /// Logs a person in.
    ///
    /// # Errors
    /// `Unauthorized` for an unknown address and for a wrong password alike.
    pub async fn login(&self, email: &str, password: &SecretString) -> Result<LoggedIn> {
        if PASSWORD_CHARS_MAX < password.expose_secret().chars().count() {
            return Err(Error::Unauthorized);
        }
        let Some(user) = self.store.users().find_by_email(&normalise_email(email)).await? else {
            // As much work as for a known address, so that time does not tell which ones are.
            self.passwords.hash(password).await?;
            return Err(Error::Unauthorized);
        };
        if !self.passwords.verify(password, &user.password_hash).await? {
            return Err(Error::Unauthorized);
        }
        self.let_in(user, self.clock.now()).await
    }

    /// Exchanges a refresh token for the next pair; one that was used before ends its whole family.
    ///
    /// # Errors
    /// `Unauthorized` when it is unknown, expired or was used before.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<LoggedIn> {
        let now = self.clock.now();
        let (next, record) = self.new_refresh_token(now);
        let presented = hash_of(refresh_token);
        match self.store.tokens().rotate(presented, record, now.as_ms()).await? {
            Rotation::Rotated { tenant_id, user_id } => {
                let user = self.store.users().find(tenant_id, user_id).await?.ok_or(Error::Unauthorized)?;
                self.pair_of(user, next, now)
            }
            Rotation::Reused { user_id } => {
                tracing::warn!(user.id = %user_id, "refresh token used twice, its family is revoked");
                Err(Error::Unauthorized)
            }
            Rotation::Refused => Err(Error::Unauthorized),
        }
    }

    /// Tells who is calling, by an access token.
    ///
    /// # Errors
    /// `Unauthorized` when the token is not ours or expired.
    pub fn verify(&self, access_token: &str) -> Result<Caller> {
        self.access_tokens.verify(access_token, self.clock.now())
    }

    /// Starts a family of tokens.
    async fn let_in(&self, user: UserRecord, now: Moment) -> Result<LoggedIn> {
        let (token, record) = self.new_refresh_token(now);
        self.store.tokens().insert(user.id, Uuid::now_v7(), record).await?;
        self.pair_of(user, token, now)
    }

    fn pair_of(&self, user: UserRecord, refresh_token: SecretString, now: Moment) -> Result<LoggedIn> {
        let caller = Caller { user_id: user.id, tenant_id: user.tenant_id, role: user.role };
        Ok(LoggedIn {
            access_token: self.access_tokens.issue(caller, now)?,
            refresh_token,
            expires_in: self.access_tokens.lifetime(),
            user,
        })
    }

    fn new_refresh_token(&self, now: Moment) -> (SecretString, NewRefreshToken) {
        let mut text = String::with_capacity(64);
        for byte in rand::random::<[u8; 32]>() {
            write!(text, "{byte:02x}").expect("writing to a String can not fail");
        }
        let token = SecretString::from(text);
        let record =
            NewRefreshToken { hash: hash_of(&token), expires_at_ms: (now + self.refresh_token_lifetime).as_ms() };
        (token, record)
    }
}

/// The token has 256 random bits, so a plain hash is as good as a slow one.
fn hash_of(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}

pub(super) fn normalise_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Tells whether mail could be sent there; whether it arrives is for a confirmation to find out.
fn is_email(email: &str) -> bool {
    let Some((user, host)) = email.rsplit_once('@') else {
        return false;
    };
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '@' | ',' | ';' | '<' | '>' | '"');
    email.chars().count() <= EMAIL_CHARS_MAX
        && !user.is_empty()
        && email.chars().filter(|c| *c == '@').count() == 1
        && user.chars().all(is_plain)
        && host.chars().all(is_plain)
        && host.contains('.')
        && host.split('.').all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_other_text() {
        for good in ["a@b.co", "ana+test@mail.example.com", "josé@exämple.de"] {
            assert!(is_email(&normalise_email(good)), "{good}");
        }
        for bad in ["", "a", "a@b", "@b.co", "a@.co", "a@b..co", "a@b@c.co", "a b@c.co", "a@b.co,c@d.co", "<a@b.co>"] {
            assert!(!is_email(&normalise_email(bad)), "{bad}");
        }
        assert_eq!(normalise_email(" Ana@Example.COM "), "ana@example.com");
    }
}
