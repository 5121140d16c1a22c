//! Who may come in: registration, log-in, access and refresh tokens.
//!
//! Does not decide what a caller may do; roles are checked where the call is taken.

use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Clock;
use crate::error::Result;
use crate::service::access_token::{Caller, JwtKey};
use crate::service::password::PasswordCost;
use crate::store::Store;
use crate::store::users::UserRecord;

/// Settings of tokens and passwords.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// Keys of access tokens: the first signs, all are accepted, so that keys can be changed.
    pub jwt_keys: Vec<JwtKey>,
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
    settings: AuthSettings,
}

impl AuthService {
    /// Makes the service.
    #[must_use]
    pub fn new(store: Store, clock: Clock, settings: AuthSettings) -> Self {
        Self { store, clock, settings }
    }

    /// Makes a tenant and its owner, and logs the owner in.
    ///
    /// # Errors
    /// `Validation`; `Conflict` on `email` when it is taken.
    pub async fn register(&self, registration: Registration) -> Result<LoggedIn> {
        unimplemented!("{:?} {:?} {registration:?} {:?}", self.store, self.clock, self.settings)
    }

    /// Logs a person in.
    ///
    /// # Errors
    /// `Unauthorized` for an unknown address and for a wrong password alike.
    pub async fn login(&self, email: &str, password: &SecretString) -> Result<LoggedIn> {
        unimplemented!("{email:?} {password:?}")
    }

    /// Exchanges a refresh token for the next pair; one that was used before ends its whole family.
    ///
    /// # Errors
    /// `Unauthorized` when it is unknown, expired or was used before.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<LoggedIn> {
        unimplemented!("{refresh_token:?}")
    }

    /// Tells who is calling, by an access token.
    ///
    /// # Errors
    /// `Unauthorized` when the token is not ours or expired.
    pub fn verify(&self, access_token: &str) -> Result<Caller> {
        unimplemented!("{access_token:?}")
    }
}
