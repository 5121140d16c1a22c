//! Access tokens: short proofs of who is calling, checked without the database.
//!
//! Refresh tokens are [`crate::service::auth`]. A token is good until it expires, whatever happens
//! to its owner meanwhile; that is why it expires.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::domain::id::{TenantId, UserId};
use crate::domain::user::Role;
use crate::error::{Error, Result};

/// Who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The person.
    pub user_id: UserId,
    /// Whose data the person works on.
    pub tenant_id: TenantId,
    /// What the person may do.
    pub role: Role,
}

/// A key that signs access tokens.
#[derive(Debug, Clone)]
pub struct JwtKey {
    /// Its name, carried by each token.
    pub kid: String,
    /// At least 32 bytes.
    pub secret: SecretString,
}

/// The keys of access tokens.
#[derive(Debug, Clone)]
pub struct JwtKeys {
    /// Signs, and is accepted.
    pub current: JwtKey,
    /// Only accepted, until the tokens that they signed have expired.
    pub previous: Vec<JwtKey>,
}

/// Issues and verifies access tokens; cheap to clone.
#[derive(Clone)]
pub struct AccessTokens {
    keys: Arc<Keys>,
    lifetime: Duration,
}

struct Keys {
    header: Header,
    signing: EncodingKey,
    verifying: HashMap<String, DecodingKey>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    tenant: TenantId,
    role: Role,
    /// Seconds since the epoch.
    iat: u64,
    /// Seconds since the epoch.
    exp: u64,
}

impl AccessTokens {
    /// Makes an issuer of tokens that are good for `lifetime`.
    #[must_use]
    pub fn new(keys: &JwtKeys, lifetime: Duration) -> Self {
        let secret = |key: &JwtKey| key.secret.expose_secret().as_bytes().to_vec();
        let all = keys.previous.iter().chain([&keys.current]);
        let verifying = all.map(|key| (key.kid.clone(), DecodingKey::from_secret(&secret(key)))).collect();
        let header = Header { kid: Some(keys.current.kid.clone()), ..Header::new(Algorithm::HS256) };
        let signing = EncodingKey::from_secret(&secret(&keys.current));
        Self { keys: Arc::new(Keys { header, signing, verifying }), lifetime }
    }

    /// Returns how long a token is good.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Issues a token.
    ///
    /// # Errors
    /// `Internal` when it could not be signed.
    pub fn issue(&self, caller: Caller, now: Moment) -> Result<SecretString> {
        let claims = Claims {
            sub: caller.user_id,
            tenant: caller.tenant_id,
            role: caller.role,
            iat: seconds(now),
            exp: seconds(now + self.lifetime),
        };
        let token = encode(&self.keys.header, &claims, &self.keys.signing);
        Ok(token.map_err(Error::internal("sign an access token"))?.into())
    }

    /// Tells who is calling.
    ///
    /// # Errors
    /// `Unauthorized` when the token is not ours or has expired.
    pub fn verify(&self, token: &str, now: Moment) -> Result<Caller> {
        let kid = decode_header(token).ok().and_then(|header| header.kid).ok_or(Error::Unauthorized)?;
        let key = self.keys.verifying.get(&kid).ok_or(Error::Unauthorized)?;
        let mut validation = Validation::new(Algorithm::HS256);
        // The crate would ask the machine's clock; the expiry is checked below, by ours.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, key, &validation).map_err(|_| Error::Unauthorized)?.claims;
        if claims.exp <= seconds(now) {
            return Err(Error::Unauthorized);
        }
        Ok(Caller { user_id: claims.sub, tenant_id: claims.tenant, role: claims.role })
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTokens").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

fn seconds(moment: Moment) -> u64 {
    moment.0 / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

    fn key(kid: &str) -> JwtKey {
        JwtKey { kid: kid.to_owned(), secret: format!("{kid} with at least thirty-two bytes").into() }
    }

    fn tokens(current: &str, previous: &[&str]) -> AccessTokens {
        let previous = previous.iter().map(|kid| key(kid)).collect();
        AccessTokens::new(&JwtKeys { current: key(current), previous }, LIFETIME)
    }

    fn caller() -> Caller {
        Caller { user_id: UserId::generate(), tenant_id: TenantId::generate(), role: Role::Admin }
    }

    #[test]
    fn a_token_is_good_until_it_expires() {
        let (tokens, caller, now) = (tokens("a", &[]), caller(), Moment::from_ms(1_700_000_000_000));
        let token = tokens.issue(caller, now).unwrap();
        let verify = |at| tokens.verify(token.expose_secret(), at);
        assert_eq!(verify(now).unwrap(), caller);
        assert_eq!(verify(now + LIFETIME - Duration::from_secs(1)).unwrap(), caller);
        assert!(matches!(verify(now + LIFETIME), Err(Error::Unauthorized)));
    }

    #[test]
    fn keys_can_be_changed() {
        let (caller, now) = (caller(), Moment::from_ms(1_700_000_000_000));
        let old = tokens("a", &[]).issue(caller, now).unwrap();
        assert_eq!(tokens("b", &["a"]).verify(old.expose_secret(), now).unwrap(), caller);
        assert!(tokens("b", &[]).verify(old.expose_secret(), now).is_err());
    }

    #[test]
    fn forged_tokens_are_refused() {
        let (tokens, now) = (tokens("a", &[]), Moment::from_ms(1_700_000_000_000));
        let token = tokens.issue(caller(), now).unwrap();
        let token = token.expose_secret();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (_, claims) = signed.split_once('.').unwrap();
        // {"alg":"none","kid":"a"}
        let unsigned = format!("eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.{claims}.");
        let other = super::tests::tokens("b", &[]).issue(caller(), now).unwrap();
        let other_signature = other.expose_secret().rsplit_once('.').unwrap().1.to_owned();
        let forged = format!("{signed}.{other_signature}");
        for bad in ["", "a.b.c", &token[1..], &unsigned, &forged, &format!("{signed}.{}", &signature[1..])] {
            assert!(matches!(tokens.verify(bad, now), Err(Error::Unauthorized)), "{bad}");
        }
    }
}
