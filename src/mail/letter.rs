//! The words of mails, and their form.
//!
//! A mail says nothing that somebody typed in, so that nobody can have us write to strangers what they like; its headers hold
//! an address that was parsed and words of ours.

use std::time::Duration;

use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::domain::mail::MailKind;
use crate::service::auth::recovery::Letter;

/// From whom letters are, and where their links lead.
#[derive(Debug, Clone)]
pub(super) struct Stationery {
    pub(super) from: Mailbox,
    pub(super) app_url: Option<String>,
}

impl Stationery {
    /// Writes a letter; none when its address is no address.
    pub(super) fn write(&self, letter: &Letter, mail_id: Uuid) -> Option<Message> {
        let to = Mailbox::new(None, letter.email.parse::<Address>().ok()?);
        let (subject, text) = self.words(letter);
        // No machine is to answer it.
        let by_machine = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .message_id(Some(format!("<{mail_id}@{}>", self.from.email.domain())))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .raw_header(HeaderValue::new(by_machine, "auto-generated".to_owned()))
            .body(text)
            .ok()
    }

    fn words(&self, letter: &Letter) -> (&'static str, String) {
        let (subject, page, purpose) = match letter.kind {
            MailKind::VerifyEmail => {
                ("Confirm your email address", "verify-email", "confirm that this is your address")
            }
            MailKind::ResetPassword => ("Set a new password", "reset-password", "set a new password for your account"),
            MailKind::Invitation => ("Join a team", "accept-invite", "join the team that invites you"),
        };
        let token = letter.token.expose_secret();
        let way = match &self.app_url {
            Some(app_url) => format!("To {purpose}, open this page:\n\n{app_url}/{page}?token={token}\n"),
            None => format!("To {purpose}, use this code:\n\n{token}\n"),
        };
        let lifetime = in_words(letter.lifetime);
        let expected = if letter.kind == MailKind::Invitation { "expect" } else { "ask for" };
        let text = format!(
            "Hello,\n\n{way}\nIt is good once, for {lifetime}.\n\n\
             If you did not {expected} this, do nothing: without it nothing changes.\n"
        );
        (subject, text)
    }
}

/// Writes a lifetime in its largest whole unit, rounded up: the mail of an invitation goes out a moment after it.
fn in_words(lifetime: Duration) -> String {
    match lifetime.as_secs().div_ceil(3_600) {
        1 => "one hour".to_owned(),
        hours if hours % 24 == 0 => format!("{} days", hours / 24),
        hours => format!("{hours} hours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(kind: MailKind, email: &str) -> Letter {
        let lifetime = Duration::from_secs(if kind == MailKind::ResetPassword { 3_600 } else { 3 * 86_400 });
        Letter { email: email.to_owned(), kind, token: "0123abcd".to_owned().into(), lifetime }
    }

    fn written(app_url: Option<&str>, letter: &Letter) -> Option<String> {
        let from = "Tea <no-reply@example.com>".parse().unwrap();
        let stationery = Stationery { from, app_url: app_url.map(str::to_owned) };
        let message = stationery.write(letter, Uuid::nil())?;
        let text = String::from_utf8(message.formatted()).unwrap().replace("\r\n", "\n");
        // The only line that depends on when it is written.
        Some(text.lines().filter(|line| !line.starts_with("Date: ")).fold(String::new(), |all, line| all + line + "\n"))
    }

    #[test]
    fn letters_have_their_form() {
        let reset = letter(MailKind::ResetPassword, "ana@example.com");
        insta::assert_snapshot!(written(None, &reset).unwrap(), @r"
        From: Tea <no-reply@example.com>
        To: ana@example.com
        Subject: Set a new password
        Message-ID: <00000000-0000-0000-0000-000000000000@example.com>
        MIME-Version: 1.0
        Content-Type: text/plain; charset=utf-8
        Auto-Submitted: auto-generated
        Content-Transfer-Encoding: 7bit

        Hello,

        To set a new password for your account, use this code:

        0123abcd

        It is good once, for one hour.

        If you did not ask for this, do nothing: without it nothing changes.
        ");
        let verify =
            written(Some("https://app.example.com"), &letter(MailKind::VerifyEmail, "ana@example.com")).unwrap();
        let body = verify.split_once("\n\n").unwrap().1;
        insta::assert_snapshot!(body, @r"
        Hello,

        To confirm that this is your address, open this page:

        https://app.example.com/verify-email?token=0123abcd

        It is good once, for 3 days.

        If you did not ask for this, do nothing: without it nothing changes.
        ");
    }

    #[test]
    fn an_invitation_says_nothing_that_somebody_typed_in() {
        let invitation =
            Letter { lifetime: Duration::from_secs(7 * 86_400), ..letter(MailKind::Invitation, "ana@example.com") };
        let text = written(Some("https://app.example.com"), &invitation).unwrap();
        assert!(text.contains("\nSubject: Join a team\n"), "{text}");
        insta::assert_snapshot!(text.split_once("\n\n").unwrap().1, @r"
        Hello,

        To join the team that invites you, open this page:

        https://app.example.com/accept-invite?token=0123abcd

        It is good once, for 7 days.

        If you did not expect this, do nothing: without it nothing changes.
        ");
    }

    #[test]
    fn an_address_can_not_bring_headers_along() {
        for bad in
            ["ana@example.com\r\nBcc: eve@example.com", "ana@example.com, eve@example.com", "Ana <ana@example.com>"]
        {
            assert_eq!(written(None, &letter(MailKind::VerifyEmail, bad)), None, "{bad:?}");
        }
    }
}
