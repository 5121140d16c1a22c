//! Access tokens: short proofs of who logged in, checked without the database.
//!
//! Whether that log-in still holds, and refresh tokens, are [`crate::service::auth`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

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
    /// The log-in that the caller's token came from; none for a program.
    pub family_id: Option<Uuid>,
}

/// What a token proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Who logged in.
    pub user_id: UserId,
    /// Whose data that person works on.
    pub tenant_id: TenantId,
    /// The family of refresh tokens that began with that log-in.
    pub family_id: Uuid,
}

/// A key that signs access tokens.
#[derive(Debug, Clone)]
pub struct JwtKey {
    /// Its name, carried by each token.
    pub kid: String,
    /// At least 32 bytes.
    pub secret: SecretString,
}

impl JwtKey {
    /// Makes the key of a secret. Its name follows from the secret, so that all nodes give it the same one.
    #[must_use]
    pub fn of(secret: SecretString) -> Self {
        let digest = Sha256::new().chain_update(b"name of a key of access tokens\0");
        let digest = digest.chain_update(secret.expose_secret().as_bytes()).finalize();
        let kid = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { kid, secret }
    }
}

/// The keys of access tokens.
#[derive(Debug, Clone)]
pub struct JwtKeys {
    /// Signs, and is accepted.
    pub current: JwtKey,
    /// Only accepted: because tokens that they signed have not expired yet, or because another node signs with them.
    pub accepted: Vec<JwtKey>,
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
    /// The family.
    sid: Uuid,
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
        let all = keys.accepted.iter().chain([&keys.current]);
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
    pub fn issue(&self, proof: Proof, now: Moment) -> Result<SecretString> {
        let claims = Claims {
            sub: proof.user_id,
            tenant: proof.tenant_id,
            sid: proof.family_id,
            iat: seconds(now),
            exp: seconds(now + self.lifetime),
        };
        let token = encode(&self.keys.header, &claims, &self.keys.signing);
        Ok(token.map_err(Error::internal("sign an access token"))?.into())
    }

    /// Tells what a token proves.
    ///
    /// # Errors
    /// `Unauthorized` when the token is not ours or has expired.
    pub fn verify(&self, token: &str, now: Moment) -> Result<Proof> {
        let kid = decode_header(token).ok().and_then(|header| header.kid).ok_or(Error::Unauthorized)?;
        let key = self.keys.verifying.get(&kid).ok_or(Error::Unauthorized)?;
        let mut validation = Validation::new(Algorithm::HS256);
        // The crate would ask the machine's clock; the expiry is checked below, by ours.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, key, &validation).map_err(|_| Error::Unauthorized)?.claims;
        if claims.exp <= seconds(now) {
            return Err(Error::Unauthorized);
        }
        Ok(Proof { user_id: claims.sub, tenant_id: claims.tenant, family_id: claims.sid })
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

    fn tokens(current: &str, accepted: &[&str]) -> AccessTokens {
        let accepted = accepted.iter().map(|kid| key(kid)).collect();
        AccessTokens::new(&JwtKeys { current: key(current), accepted }, LIFETIME)
    }

    fn proof() -> Proof {
        Proof { user_id: UserId::generate(), tenant_id: TenantId::generate(), family_id: Uuid::now_v7() }
    }

    /// Signs claims under any header, as whoever knows the key of `kid` could.
    fn sign(header: &Header, kid: &str, proof: Proof, exp: u64) -> String {
        let claims = Claims { sub: proof.user_id, tenant: proof.tenant_id, sid: proof.family_id, iat: 0, exp };
        encode(header, &claims, &EncodingKey::from_secret(key(kid).secret.expose_secret().as_bytes())).unwrap()
    }

    #[test]
    fn a_token_is_good_until_it_expires() {
        let (tokens, proof, now) = (tokens("a", &[]), proof(), Moment::from_ms(1_700_000_000_000));
        let token = tokens.issue(proof, now).unwrap();
        let verify = |at| tokens.verify(token.expose_secret(), at);
        assert_eq!(verify(now).unwrap(), proof);
        assert_eq!(verify(now + LIFETIME - Duration::from_secs(1)).unwrap(), proof);
        assert!(matches!(verify(now + LIFETIME), Err(Error::Unauthorized)));
    }

    /// As an operator changes them: the next key is accepted everywhere, then signs, then the one before is dropped.
    #[test]
    fn keys_can_be_changed() {
        let (proof, now) = (proof(), Moment::from_ms(1_700_000_000_000));
        let old = tokens("a", &["b"]).issue(proof, now).unwrap();
        let new = tokens("b", &["a"]).issue(proof, now).unwrap();
        for both in [tokens("a", &["b"]), tokens("b", &["a"]), tokens("c", &["b", "a"])] {
            assert_eq!(both.verify(old.expose_secret(), now).unwrap(), proof);
            assert_eq!(both.verify(new.expose_secret(), now).unwrap(), proof);
        }
        assert!(tokens("b", &[]).verify(old.expose_secret(), now).is_err());
        assert_eq!(tokens("b", &[]).verify(new.expose_secret(), now).unwrap(), proof);
    }

    #[test]
    fn keys_are_named_by_their_secrets() {
        let name = |secret: &str| JwtKey::of(secret.to_owned().into()).kid;
        assert_eq!(name("a"), name("a"));
        assert_ne!(name("a"), name("b"));
        assert_eq!(name("a").len(), 16);
    }

    #[test]
    fn forged_tokens_are_refused() {
        let (tokens, now) = (tokens("a", &["b"]), Moment::from_ms(1_700_000_000_000));
        let token = tokens.issue(proof(), now).unwrap();
        let token = token.expose_secret();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let other = tokens.issue(proof(), now).unwrap();
        let (other_signed, other_signature) = other.expose_secret().rsplit_once('.').unwrap();
        let (_, other_claims) = other_signed.split_once('.').unwrap();
        for bad in [
            String::new(),
            "a.b.c".to_owned(),
            token[1..].to_owned(),
            // {"alg":"none","kid":"a"} and {"alg":"None","typ":"JWT","kid":"a"}
            format!("eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.{claims}."),
            format!("eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.{claims}.{signature}"),
            format!("eyJhbGciOiJOb25lIiwidHlwIjoiSldUIiwia2lkIjoiYSJ9.{claims}."),
            format!("{header}.{other_claims}.{signature}"),
            format!("{signed}.{other_signature}"),
            format!("{signed}.{}", &signature[1..]),
            format!("{signed}."),
            signed.to_owned(),
        ] {
            assert!(matches!(tokens.verify(&bad, now), Err(Error::Unauthorized)), "{bad}");
        }
    }

    #[test]
    fn only_our_keys_and_our_algorithm_are_taken() {
        let (tokens, now) = (tokens("a", &["b"]), Moment::from_ms(1_700_000_000_000));
        let (proof, later) = (proof(), seconds(now) + 60);
        let header = |algorithm, kid: Option<&str>| Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        let check =
            |algorithm, kid, secret, exp| tokens.verify(&sign(&header(algorithm, kid), secret, proof, exp), now);
        assert_eq!(check(Algorithm::HS256, Some("a"), "a", later).unwrap(), proof);
        assert_eq!(check(Algorithm::HS256, Some("b"), "b", later).unwrap(), proof);
        for (what, refused) in [
            ("without a name of a key", check(Algorithm::HS256, None, "a", later)),
            ("an unknown name", check(Algorithm::HS256, Some("c"), "a", later)),
            ("the key of another name", check(Algorithm::HS256, Some("b"), "a", later)),
            ("another key", check(Algorithm::HS256, Some("a"), "c", later)),
            ("HS384", check(Algorithm::HS384, Some("a"), "a", later)),
            ("HS512", check(Algorithm::HS512, Some("a"), "a", later)),
            ("expired", check(Algorithm::HS256, Some("a"), "a", seconds(now))),
        ] {
            assert!(matches!(refused, Err(Error::Unauthorized)), "{what}");
        }
    }
}
