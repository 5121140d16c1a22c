//! Credentials on the wire: the bearer token, signatures of the provider, and comparison of secrets.
//!
//! Tokens are made and verified by the auth service; nothing here reads the database.

use axum::http::{HeaderMap, HeaderName, header};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The header of a program's key.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Returns the token of `Authorization: Bearer …`, if there is exactly one.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Returns the key of `X-API-Key`, if there is exactly one.
#[must_use]
pub fn api_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(API_KEY).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// Compares with a secret in a time that tells nothing about it.
#[must_use]
pub fn equals_secret(given: &str, secret: &SecretString) -> bool {
    given.as_bytes().ct_eq(secret.expose_secret().as_bytes()).into()
}

/// Tells whether `signature`, as in `X-Hub-Signature-256`, is that of `body`.
#[must_use]
pub fn is_signed(body: &[u8], signature: &str, secret: &SecretString) -> bool {
    let Some(given) = signature.strip_prefix("sha256=").and_then(from_hex) else {
        return false;
    };
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("keys of every length are taken");
    mac.update(body);
    mac.verify_slice(&given).is_ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        bearer(&headers).map(ToOwned::to_owned)
    }

    #[test]
    fn only_one_bearer_token_counts() {
        assert_eq!(check(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(check(&["bearer  abc "]).as_deref(), Some("abc"));
        for refused in [&[][..], &["Bearer"], &["Bearer "], &["Basic abc"], &["abc"], &["Bearer a", "Bearer b"]] {
            assert_eq!(check(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn only_one_key_counts() {
        let check = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(API_KEY, HeaderValue::from_static(value));
            }
            api_key(&headers).map(ToOwned::to_owned)
        };
        assert_eq!(check(&["awp_1"]).as_deref(), Some("awp_1"));
        assert_eq!((check(&[]), check(&["awp_1", "awp_1"])), (None, None));
    }

    /// Test case 2 of RFC 4231.
    #[test]
    fn signatures_are_checked() {
        let key = SecretString::from("Jefe");
        let body = b"what do ya want for nothing?";
        let good = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(is_signed(body, good, &key));
        assert!(is_signed(body, &good.to_uppercase().replace("SHA256", "sha256"), &key));
        assert!(!is_signed(b"what do ya want for nothing!", good, &key));
        assert!(!is_signed(body, good, &SecretString::from("jefe")));
        for bad in ["", "sha256=", "sha256=5b", &good[..good.len() - 1], &good[7..], "sha256=zz", "sha1=5bdc"] {
            assert!(!is_signed(body, bad, &key), "{bad}");
        }
    }

    #[test]
    fn secrets_are_compared_whole() {
        let secret = SecretString::from("word");
        assert!(equals_secret("word", &secret));
        assert!(!equals_secret("wor", &secret) && !equals_secret("", &secret) && !equals_secret("words", &secret));
    }
}
