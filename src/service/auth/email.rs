//! Addresses to log in with: how they are compared, and which of them mail could be sent to.

use lettre::Address;

/// Characters of an address to log in with, at most; mail itself allows no more.
const EMAIL_CHARS_MAX: usize = 254;

/// Returns an address in the form in which it is kept and compared.
pub(in crate::service) fn normalise_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Tells whether mail could be sent there; whether it arrives is for a confirmation to find out.
pub(in crate::service) fn is_email(email: &str) -> bool {
    let Some((user, host)) = email.rsplit_once('@') else {
        return false;
    };
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '@' | ',' | ';' | '<' | '>' | '"');
    email.chars().count() <= EMAIL_CHARS_MAX
        && !user.is_empty()
        && user.chars().all(is_plain)
        && host.chars().all(is_plain)
        && host.contains('.')
        && host.split('.').all(|part| !part.is_empty())
        // Whoever writes the mail must be able to.
        && email.parse::<Address>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_other_text() {
        for good in ["a@b.co", "ana+test@mail.example.com", "josé@exämple.de"] {
            assert!(is_email(&normalise_email(good)), "{good}");
        }
        for bad in [
            "",
            "a",
            "a@b",
            "@b.co",
            "a@.co",
            "a@b..co",
            "a@b@c.co",
            "a b@c.co",
            "a@b.co,c@d.co",
            "<a@b.co>",
            "a@b.co\r\nBcc: c@d.co",
            "a@b.co\n",
            "a\0@b.co",
            "a(x)@b.co",
            ".a@b.co",
            "a@-b.co",
        ] {
            assert!(!is_email(bad), "{bad:?}");
        }
        assert_eq!(normalise_email(" Ana@Example.COM "), "ana@example.com");
    }
}
