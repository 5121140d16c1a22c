//! Secrets of webhooks, and signatures by Standard Webhooks (spec 1.0, "Signature scheme").
//!
//! Draws no secret and knows no time; callers bring both.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What marks a secret whose key is written in Base64.
const PREFIX: &str = "whsec_";
/// Bytes of a key, by the specification.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Characters of a secret without the prefix, whose own bytes are the key.
const TEXT_CHARS: std::ops::RangeInclusive<usize> = 16..=256;

/// Writes a key as a secret.
#[must_use]
pub fn secret_of(key: &[u8; 32]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(key))
}

/// Checks a secret that a person chose; the sentence says what is wrong.
///
/// # Errors
/// A sentence for people.
pub fn check_secret(secret: &str) -> Result<(), &'static str> {
    if let Some(encoded) = secret.strip_prefix(PREFIX) {
        let fits = STANDARD.decode(encoded).is_ok_and(|key| KEY_BYTES.contains(&key.len()));
        return if fits { Ok(()) } else { Err("must be whsec_ and 24 to 64 bytes in Base64") };
    }
    if !TEXT_CHARS.contains(&secret.chars().count()) {
        return Err("must have 16 to 256 characters");
    }
    if secret.chars().any(char::is_control) {
        return Err("must not have control characters");
    }
    Ok(())
}

/// Returns the key of a secret: what is written in Base64 behind `whsec_`, else the bytes of the secret itself.
fn key_of(secret: &str) -> Vec<u8> {
    let encoded = secret.strip_prefix(PREFIX).and_then(|encoded| STANDARD.decode(encoded).ok());
    encoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

/// Returns the value of `webhook-signature`: one signature for each secret, the newest first.
///
/// # Panics
/// Never: every key is one for HMAC.
pub fn sign<'a>(id: &str, timestamp_seconds: u64, body: &[u8], secrets: impl IntoIterator<Item = &'a str>) -> String {
    let signed_by = |secret: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key_of(secret)).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    secrets.into_iter().map(signed_by).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn the_published_example() {
        let signature = sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_public_library_signs_alike() {
        let (old, new) = (secret_of(&[7; 32]), secret_of(&[9; 32]));
        let body = br#"{"event":"message.sent"}"#;
        let ours = sign("id", 1_800_000_000, body, [new.as_str(), old.as_str()]);
        let theirs = |secret| {
            let webhook = standardwebhooks::Webhook::new(secret).unwrap();
            webhook.sign("id", 1_800_000_000, body).unwrap()
        };
        assert_eq!(ours, format!("{} {}", theirs(&new), theirs(&old)));
    }

    #[test]
    fn secrets_of_people() {
        assert_eq!(check_secret(&secret_of(&[0; 32])), Ok(()));
        assert_eq!(check_secret("a secret of sixteen"), Ok(()));
        assert_eq!(check_secret(&"é".repeat(256)), Ok(()));
        for refused in
            ["", "short", "whsec_", "whsec_AAAA", "whsec_not base64 at all, though long", "sixteen chars \u{0}!!"]
        {
            assert!(check_secret(refused).is_err(), "{refused}");
        }
        assert!(check_secret(&"x".repeat(257)).is_err());
        assert_eq!(key_of("a plain secret!!"), b"a plain secret!!");
    }
}
