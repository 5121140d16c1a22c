//! The text of a key: `awp_`, 16 hex digits that find its row, and 64 that nobody else knows.
//!
//! The secret has 256 random bits, so a plain hash of it is as good as a slow one.

use std::fmt::Write;

use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::store::api_keys::KeptSecret;

/// How every key begins.
const MARK: &str = "awp_";
/// Characters up to the end of what is no secret.
const PREFIX_CHARS: usize = MARK.len() + 16;
/// Characters of a whole key.
const CHARS: usize = PREFIX_CHARS + 64;

/// Draws a key; returns it and what is kept of it.
pub(super) fn draw() -> (SecretString, KeptSecret) {
    let mut text = String::with_capacity(CHARS);
    text.push_str(MARK);
    for byte in rand::random::<[u8; 8]>().into_iter().chain(rand::random::<[u8; 32]>()) {
        write!(text, "{byte:02x}").expect("writing to a String can not fail");
    }
    let kept = KeptSecret { prefix: text[..PREFIX_CHARS].to_owned(), hash: hash_of(&text) };
    (text.into(), kept)
}

/// Returns what is no secret of a text that has the form of a key.
pub(super) fn prefix_of(shown: &str) -> Option<&str> {
    let digits = shown.strip_prefix(MARK)?;
    let is_plain = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (shown.len() == CHARS && is_plain).then(|| &shown[..PREFIX_CHARS])
}

/// Returns the hash of a key.
pub(super) fn hash_of(shown: &str) -> [u8; 32] {
    Sha256::digest(shown.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_drawn_key_has_the_form_of_one() {
        let ((first, kept), (second, _)) = (draw(), draw());
        let (first, second) = (first.expose_secret(), second.expose_secret());
        assert_ne!(first, second);
        assert_eq!((first.len(), prefix_of(first)), (84, Some(&*kept.prefix)));
        assert_eq!(kept.hash, hash_of(first));
        assert!(!format!("{kept:?}").contains(&first[PREFIX_CHARS..]));
    }

    #[test]
    fn other_texts_are_no_keys() {
        let good = format!("awp_{}", "0f".repeat(40));
        assert_eq!(prefix_of(&good), Some("awp_0f0f0f0f0f0f0f0f"));
        for bad in ["", "awp_", &good[1..], &good[..83], &good.replace('f', "F"), &good.replacen("0f", "é", 1)] {
            assert_eq!(prefix_of(bad), None, "{bad}");
        }
        assert_eq!(prefix_of(&format!("{good}0")), None);
    }
}
