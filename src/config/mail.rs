//! Section `mail`: from whom mails are, by which server they go, and where their links lead.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use serde::{Deserialize, Serialize};
use url::Url;

use super::problems::Problems;
use super::secret::Secret;

/// Mails to people.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// Whom mails are from.
    pub from: Mailbox,
    /// What takes them.
    pub carrier: MailCarrier,
    /// Longest time to send one.
    pub timeout: Duration,
    /// The address of the pages that take their tokens, without a slash at the end.
    pub app_url: Option<String>,
}

/// What takes mails.
#[derive(Debug, Clone)]
pub enum MailCarrier {
    /// Nothing: that a mail was not sent is logged.
    Nobody,
    /// Files of a directory, for development.
    Directory(PathBuf),
    /// An SMTP server, by its address with name and password.
    Server(Secret),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MailFile {
    from: String,
    server: Secret,
    directory: String,
    timeout_ms: u64,
    app_url: String,
}

impl Default for MailFile {
    fn default() -> Self {
        Self {
            from: "ActiWAPI <no-reply@localhost>".into(),
            server: Secret::default(),
            directory: String::new(),
            timeout_ms: 10_000,
            app_url: String::new(),
        }
    }
}

impl MailFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<MailConfig> {
        let from = self.from.parse::<Mailbox>().map_err(|_| {
            format!(
                "must be an address, or a name and an address such as Shop <no-reply@example.com>, is {:?}",
                self.from
            )
        });
        let from = problems.or_push("mail.from", from);
        if !self.server.is_empty() && !self.directory.is_empty() {
            problems.push("mail.directory", "must be empty when mail.server is set");
        }
        let carrier = match (self.server.is_empty(), self.directory.is_empty()) {
            (false, _) => problems
                .or_push("mail.server", check_server(&self.server).map(|()| self.server))
                .map(MailCarrier::Server),
            (true, false) => Some(MailCarrier::Directory(PathBuf::from(self.directory))),
            (true, true) => Some(MailCarrier::Nobody),
        };
        let timeout = problems.millis("mail.timeout_ms", self.timeout_ms, 1_000..=120_000);
        let app_url = match self.app_url.as_str() {
            "" => Some(None),
            text => problems.or_push("mail.app_url", check_app_url(text)).map(Some),
        };
        Some(MailConfig { from: from?, carrier: carrier?, timeout: timeout?, app_url: app_url? })
    }
}

/// Says nothing of the address, which has a password in it.
fn check_server(server: &Secret) -> Result<(), &'static str> {
    const FORM: &str = "must be smtps://USER:PASSWORD@HOST:465 or smtp://USER:PASSWORD@HOST:587?tls=required";
    let url = Url::parse(server.expose()).map_err(|_| FORM)?;
    let is_mail = matches!(url.scheme(), "smtp" | "smtps") && url.host_str().is_some_and(|host| !host.is_empty());
    let is_known =
        url.query_pairs().all(|(key, value)| key == "tls" && value == "required") && url.fragment().is_none();
    if !is_mail || !is_known || url.password().is_some() == url.username().is_empty() {
        return Err(FORM);
    }
    if url.scheme() == "smtp" && url.query().is_none() && url.password().is_some() {
        return Err("must end in ?tls=required, or the password would go over the network as it is");
    }
    AsyncSmtpTransport::<Tokio1Executor>::from_url(server.expose()).map(drop).map_err(|_| FORM)
}

fn check_app_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let is_plain =
        url.is_some_and(|url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty());
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || !is_visible {
        return Err(format!("must be an address such as https://app.example.com, is {text:?}"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}
