//! Passwords: hashed and compared off the runtime's threads, a few at a time.
//!
//! Knows no users.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::error::{Error, Problems, Result};
use crate::limits::{PASSWORD_HASHES_MAX, PASSWORD_QUEUE_MAX};

/// Characters of a password, at least.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Characters of a password, at most; more would only be a way to keep processors busy.
pub const PASSWORD_CHARS_MAX: usize = 128;

/// How much work a password's hash takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory, KiB; at least 8.
    pub memory_kib: u32,
    /// Passes over that memory; at least 1.
    pub passes: u32,
}

impl Default for PasswordCost {
    /// The least that OWASP names for argon2id: 19 MiB, two passes.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2 }
    }
}

/// Hashes and compares passwords; cheap to clone.
#[derive(Debug, Clone)]
pub struct Passwords {
    cost: PasswordCost,
    running: Arc<Semaphore>,
    queued: Arc<Semaphore>,
}

impl Passwords {
    /// Makes a hasher.
    #[must_use]
    pub fn new(cost: PasswordCost) -> Self {
        Self {
            cost,
            running: Arc::new(Semaphore::new(PASSWORD_HASHES_MAX)),
            queued: Arc::new(Semaphore::new(PASSWORD_QUEUE_MAX)),
        }
    }

    /// Hashes a password with a salt of its own.
    ///
    /// # Errors
    /// `Unavailable` when too many wait already; `Internal` when the cost is out of range.
    pub async fn hash(&self, password: &SecretString) -> Result<SecretString> {
        let cost = self.cost;
        let password = password.clone();
        self.run(move || {
            let hash = argon2(cost)?.hash_password(password.expose_secret().as_bytes());
            Ok(hash.map_err(|error| broken(&error))?.to_string().into())
        })
        .await
    }

    /// Tells whether a password is the one that was hashed; one that is too long to be anybody's takes no work.
    ///
    /// # Errors
    /// `Unavailable` when too many wait already; `Internal` when the hash can not be read.
    pub async fn verify(&self, password: &SecretString, hash: &SecretString) -> Result<bool> {
        if is_too_long(password) {
            return Ok(false);
        }
        let cost = self.cost;
        let (password, hash) = (password.clone(), hash.clone());
        self.run(move || {
            let hash = PasswordHash::new(hash.expose_secret()).map_err(|error| broken(&error))?;
            // The hash brings its own cost along; ours counts for new ones only.
            Ok(argon2(cost)?.verify_password(password.expose_secret().as_bytes(), &hash).is_ok())
        })
        .await
    }

    /// Does the work of [`Self::verify`] for nobody.
    ///
    /// # Errors
    /// As those of [`Self::verify`].
    pub async fn pretend(&self, password: &SecretString) -> Result<()> {
        if is_too_long(password) {
            return Ok(());
        }
        self.hash(password).await.map(drop)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let Ok(_queued) = self.queued.try_acquire() else {
            return Err(Error::Unavailable("password checking"));
        };
        // The permit goes along with the work: a caller who goes away does not make room for more.
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(Error::internal("hash a password"))?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(running);
            result
        });
        done.await.map_err(Error::internal("hash a password"))?
    }
}

/// Checks the length of a password to set.
pub(super) fn check_password(field: &'static str, password: &SecretString, problems: &mut Problems) {
    let n_chars = password.expose_secret().chars().count();
    if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&n_chars) {
        problems.push(field, format!("must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"));
    }
}

fn is_too_long(password: &SecretString) -> bool {
    PASSWORD_CHARS_MAX < password.expose_secret().chars().count()
}

fn argon2(cost: PasswordCost) -> Result<Argon2<'static>> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(|error| broken(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn broken(error: &impl std::fmt::Display) -> Error {
    Error::internal("hash a password")(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Passwords {
        Passwords::new(PasswordCost { memory_kib: 8, passes: 1 })
    }

    #[tokio::test]
    async fn only_the_same_password_passes() {
        let passwords = quick();
        let hash = passwords.hash(&"correct horse".into()).await.unwrap();
        assert!(hash.expose_secret().starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert!(passwords.verify(&"correct horse".into(), &hash).await.unwrap());
        assert!(!passwords.verify(&"correct horsf".into(), &hash).await.unwrap());
        let again = passwords.hash(&"correct horse".into()).await.unwrap();
        assert_ne!(again.expose_secret(), hash.expose_secret(), "the salt must differ");
    }

    #[tokio::test]
    async fn too_many_at_once_are_turned_away() {
        let passwords = quick();
        let _all = passwords.queued.acquire_many(u32::try_from(PASSWORD_QUEUE_MAX).unwrap()).await.unwrap();
        let refused = passwords.hash(&"correct horse".into()).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))));
    }
}
