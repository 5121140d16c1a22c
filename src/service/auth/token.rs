//! Secrets that are handed out once and kept by their hash: refresh tokens, and what is sent by mail.

use std::fmt::Write;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// Draws a token of 256 random bits, in hex digits, and its hash.
pub(super) fn draw() -> (SecretString, [u8; 32]) {
    let mut text = String::with_capacity(64);
    for byte in rand::random::<[u8; 32]>() {
        write!(text, "{byte:02x}").expect("writing to a String can not fail");
    }
    let token = SecretString::from(text);
    let hash = hash_of(&token);
    (token, hash)
}

/// Returns the hash of a token; it has 256 random bits, so a plain hash is as good as a slow one.
pub(super) fn hash_of(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}
