//! What takes a written mail: an SMTP server, or a directory.
//!
//! Says why a mail was not taken without the words of the server, which often repeat the address.

use std::time::Duration;

use lettre::transport::smtp;
use lettre::transport::smtp::response::{Category, Severity};
use lettre::{AsyncFileTransport, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;

use super::CarrierSettings;
use crate::error::{Error, Result};

/// What takes mails.
#[derive(Debug)]
pub(super) enum Carrier {
    Directory(AsyncFileTransport<Tokio1Executor>),
    Server { server: AsyncSmtpTransport<Tokio1Executor>, timeout: Duration },
}

/// Why a mail was not taken.
#[derive(Debug)]
pub(super) struct NotSent {
    /// For people; holds no address.
    pub(super) reason: String,
    pub(super) may_be_tried_again: bool,
}

impl NotSent {
    pub(super) fn for_good(reason: String) -> Self {
        Self { reason, may_be_tried_again: false }
    }

    fn for_now(reason: String) -> Self {
        Self { reason, may_be_tried_again: true }
    }
}

impl Carrier {
    /// Makes what the settings name; none when that is nobody.
    pub(super) fn new(settings: &CarrierSettings, timeout: Duration) -> Result<Option<Self>> {
        Ok(Some(match settings {
            CarrierSettings::Nobody => return Ok(None),
            CarrierSettings::Directory(path) => {
                std::fs::create_dir_all(path).map_err(Error::internal("make mail.directory"))?;
                Self::Directory(AsyncFileTransport::new(path))
            }
            CarrierSettings::Server(url) => {
                // The error may hold the address, and that the password.
                let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret());
                let builder = builder.map_err(|_| Error::internal("use mail.server")("it is no address of one"))?;
                Self::Server { server: builder.timeout(Some(timeout)).build(), timeout }
            }
        }))
    }

    /// Hands a mail over.
    pub(super) async fn take(&self, message: Message) -> Result<(), NotSent> {
        match self {
            Self::Directory(directory) => match directory.send(message).await {
                Ok(_) => Ok(()),
                Err(error) => Err(NotSent::for_now(format!("mail.directory: {error}"))),
            },
            // The client's own limit is one of each step.
            Self::Server { server, timeout } => match tokio::time::timeout(*timeout, server.send(message)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(judge(&error)),
                Err(_) => Err(NotSent::for_now("the server did not answer in time".to_owned())),
            },
        }
    }
}

/// A server that will never take the mail says 55x: the mailbox is not there, or it wants no mail of us. Whatever else it
/// says may be different later, a password that it does not know included.
fn judge(error: &smtp::Error) -> NotSent {
    match error.status() {
        Some(code) => {
            let is_final =
                code.severity == Severity::PermanentNegativeCompletion && code.category == Category::MailSystem;
            NotSent { reason: format!("the server answered {code}"), may_be_tried_again: !is_final }
        }
        None if error.is_tls() => NotSent::for_now("the server's certificate or TLS did not do".to_owned()),
        None if error.is_timeout() => NotSent::for_now("the server did not answer in time".to_owned()),
        None if error.is_response() => NotSent::for_now("the server's answer could not be read".to_owned()),
        // Such as an address that is not ASCII, or no STARTTLS where it must be.
        None if error.is_client() => NotSent::for_now("the server lacks what this mail takes".to_owned()),
        None => NotSent::for_now("the server could not be reached".to_owned()),
    }
}
