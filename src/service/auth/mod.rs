//! Who may come in: registration, log-in, access and refresh tokens.
//!
//! An access token is good while the log-in that it came from is: a node believes for [`LOGIN_BELIEVED`] what it has
//! read of that. Does not decide what a caller may do; roles are checked where the call is taken.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use uuid::Uuid;

pub(super) use self::email::{is_email, normalise_email};

use crate::clock::{Clock, Moment};
use crate::domain::id::{TenantId, UserId};
use crate::domain::user::Role;
use crate::error::{Error, Problems, Result};
use crate::limits::{LOGIN_BELIEVED, LOGINS_REMEMBERED_MAX};
use crate::service::access_token::{AccessTokens, Caller, JwtKeys, Proof};
use crate::service::believed::Believed;
use crate::service::check::check_name;
use crate::service::password::{PasswordCost, Passwords, check_password};
use crate::store::Store;
use crate::store::tenants::TenantRecord;
use crate::store::tokens::{FamilyRecord, NewRefreshToken, Rotation};
use crate::store::users::UserRecord;

mod account;
mod email;
pub mod joining;
pub mod recovery;
mod token;

/// Characters of a name of a person or a business, at most.
pub(super) const NAME_CHARS_MAX: usize = 100;

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
    trial: Option<Duration>,
    passwords: Passwords,
    known: Arc<Believed<Uuid, FamilyRecord>>,
}

impl AuthService {
    /// Makes the service; `trial` is how long new tenants may try everything, and those without one have no limits.
    #[must_use]
    pub fn new(store: Store, clock: Clock, (settings, trial): (&AuthSettings, Option<Duration>)) -> Self {
        Self {
            store,
            clock,
            access_tokens: AccessTokens::new(&settings.jwt_keys, settings.access_token_lifetime),
            refresh_token_lifetime: settings.refresh_token_lifetime,
            trial,
            passwords: Passwords::new(settings.password_cost),
            known: Arc::new(Believed::new(LOGIN_BELIEVED, LOGINS_REMEMBERED_MAX)),
        }
    }

    /// Makes a tenant and its owner, begins its trial, asks for a mail to verify the owner's address, and logs the owner in.
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
        check_password("password", &registration.password, &mut problems);
        problems.check()?;
        let password_hash = self.passwords.hash(&registration.password).await?;
        let tenant = TenantRecord { id: TenantId::generate(), name: business_name, created_at_ms: now.as_ms() };
        let owner = UserRecord {
            id: UserId::generate(),
            tenant_id: tenant.id,
            tenant_name: tenant.name.clone(),
            email,
            email_verified_at_ms: None,
            name,
            password_hash,
            role: Role::Owner,
            created_at_ms: now.as_ms(),
        };
        let trial_until_ms = self.trial.map(|trial| (now + trial).as_ms());
        if !self.store.users().insert_with_tenant(&tenant, &owner, trial_until_ms).await? {
            return Err(email_taken());
        }
        self.let_in(owner, now).await
    }

    /// Logs a person in.
    ///
    /// # Errors
    /// `Unauthorized` for an unknown address and for a wrong password alike.
    pub async fn login(&self, email: &str, password: &SecretString) -> Result<LoggedIn> {
        let Some(user) = self.store.users().find_by_email(&normalise_email(email)).await? else {
            // As much work as for a known address, so that time does not tell which ones are.
            self.passwords.pretend(password).await?;
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
        let presented = token::hash_of(refresh_token);
        match self.store.tokens().rotate(presented, record, now.as_ms()).await? {
            Rotation::Rotated { family_id, tenant_id, user_id } => {
                let user = self.store.users().find(tenant_id, user_id).await?.ok_or(Error::Unauthorized)?;
                self.pair_of(user, family_id, next, now)
            }
            Rotation::Reused { family_id, user_id } => {
                self.known.forget(|family| family.id == family_id);
                tracing::warn!(user.id = %user_id, "refresh token used twice, its family is revoked");
                Err(Error::Unauthorized)
            }
            Rotation::Refused => Err(Error::Unauthorized),
        }
    }

    /// Tells who is calling, by an access token.
    ///
    /// # Errors
    /// `Unauthorized` when the token is not ours or expired, or its log-in was ended.
    pub async fn verify(&self, access_token: &str) -> Result<Caller> {
        let now = self.clock.now();
        let proof = self.access_tokens.verify(access_token, now)?;
        let family = match self.known.get(&proof.family_id, now) {
            Some(family) => family,
            None => {
                let before = self.known.before();
                let family = self.store.tokens().family(proof.family_id).await?.ok_or(Error::Unauthorized)?;
                self.known.put(family.id, family, (now, before));
                family
            }
        };
        if (family.user_id, family.tenant_id) != (proof.user_id, proof.tenant_id) {
            return Err(Error::Unauthorized);
        }
        let (user_id, tenant_id, family_id) = (family.user_id, family.tenant_id, Some(family.id));
        Ok(Caller { user_id, tenant_id, role: family.role, family_id })
    }

    /// Starts a family of tokens.
    async fn let_in(&self, user: UserRecord, now: Moment) -> Result<LoggedIn> {
        let (token, record) = self.new_refresh_token(now);
        let family_id = Uuid::now_v7();
        if !self.store.tokens().insert(&user, family_id, record).await? {
            // The password was changed since it was looked at.
            return Err(Error::Unauthorized);
        }
        self.pair_of(user, family_id, token, now)
    }

    fn pair_of(&self, user: UserRecord, family_id: Uuid, refresh_token: SecretString, now: Moment) -> Result<LoggedIn> {
        let proof = Proof { user_id: user.id, tenant_id: user.tenant_id, family_id };
        Ok(LoggedIn {
            access_token: self.access_tokens.issue(proof, now)?,
            refresh_token,
            expires_in: self.access_tokens.lifetime(),
            user,
        })
    }

    fn new_refresh_token(&self, now: Moment) -> (SecretString, NewRefreshToken) {
        let (token, hash) = token::draw();
        let record = NewRefreshToken { hash, expires_at_ms: (now + self.refresh_token_lifetime).as_ms() };
        (token, record)
    }
}

pub(super) fn email_taken() -> Error {
    Error::Conflict { message: "There is an account with this email already.".into(), field: Some("email") }
}
