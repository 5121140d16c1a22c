//! Mails that people are sent: what each is for.
//!
//! Their words are `mail::letter`; whether somebody is sent one is for `service::auth` to say.

use crate::domain::words::words;

words! {
    /// What a mail is for.
    MailKind {
        /// To prove that mail to an address reaches its owner.
        VerifyEmail = "verify_email",
        /// To set a new password.
        ResetPassword = "reset_password",
        /// To join the team of a tenant.
        Invitation = "invitation",
    }
}
