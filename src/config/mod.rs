//! What an operator may set, read in two steps: `…File` is what the text says, [`Config`] is what the rest may rely on.
//!
//! Order: built-in defaults < `config/default.toml` (when it is in the working folder) < the file of
//! `--config` < environment `DISPATCHER__SECTION__KEY`. Every problem is found before any is
//! reported, each with its key. Nothing else in the code reads the environment. Bounds that no
//! operator needs are in [`crate::limits`].

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use auth::AuthConfig;
pub use billing::{BillingConfig, RazorpayConfig};
pub use contacts::ContactsConfig;
pub use dispatch::DispatchConfig;
pub use gateway::{GatewayConfig, GatewayKind};
pub use kafka_client::{ClientSettings, OWN_SETTINGS};
pub use mail::{MailCarrier, MailConfig};
pub use media::{MediaConfig, MediaPlaceConfig};
pub use problems::{Problem, Problems};
pub use queue::{KafkaConfig, QueueConfig, QueueKind, TopicNames};
pub use rate_limits::{RateLimit, RateLimitsConfig};
pub use retention::RetentionConfig;
pub use secret::Secret;
pub use server::ServerConfig;
pub use store::{DatabaseUrl, StoreConfig};
pub use telemetry::{LogForm, TelemetryConfig};
pub use webhooks::WebhookConfig;

mod auth;
mod billing;
mod contacts;
mod dispatch;
mod gateway;
mod kafka_client;
mod mail;
mod media;
mod problems;
mod queue;
mod rate_limits;
mod retention;
mod secret;
mod server;
mod source;
mod store;
mod telemetry;
mod webhooks;

/// The file that is read from the working folder when it is there.
pub const DEFAULT_FILE: &str = "config/default.toml";

/// What every variable of the environment that concerns us begins with.
pub const ENVIRONMENT_PREFIX: &str = "DISPATCHER__";

/// Checked settings of the daemon.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses and timeouts of the REST front and the admin port.
    pub server: ServerConfig,
    /// Which database.
    pub store: StoreConfig,
    /// Where jobs come from.
    pub queue: QueueConfig,
    /// Tokens of the REST front.
    pub auth: AuthConfig,
    /// How many requests the REST front takes.
    pub rate_limits: RateLimitsConfig,
    /// Words by which recipients opt out and in.
    pub contacts: ContactsConfig,
    /// Lanes and pacing.
    pub dispatch: DispatchConfig,
    /// The provider.
    pub gateway: GatewayConfig,
    /// Where files are kept.
    pub media: MediaConfig,
    /// What tenants are told at addresses of theirs.
    pub webhooks: WebhookConfig,
    /// Mails to people.
    pub mail: MailConfig,
    /// Trials and payments.
    pub billing: BillingConfig,
    /// How long things are kept that are over.
    pub retention: RetentionConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
}

/// The settings as text: one field per section, one per key, as in `config/default.toml`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ConfigFile {
    server: server::ServerFile,
    store: store::StoreFile,
    queue: queue::QueueFile,
    auth: auth::AuthFile,
    rate_limits: rate_limits::RateLimitsFile,
    contacts: contacts::ContactsFile,
    dispatch: dispatch::DispatchFile,
    gateway: gateway::GatewayFile,
    media: media::MediaFile,
    webhooks: webhooks::WebhookFile,
    mail: mail::MailFile,
    billing: billing::BillingFile,
    retention: retention::RetentionFile,
    telemetry: telemetry::TelemetryFile,
}

/// Where settings come from, later ones beating earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// TOML files, weakest first.
    pub files: Vec<PathBuf>,
    /// Variables of the environment; those without our prefix are ignored.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// Names the sources of this process: the default file when it is there, `file`, the environment.
    #[must_use]
    pub fn of_process(file: Option<&Path>) -> Self {
        let default_file = Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.is_file());
        let readable = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Self {
            files: default_file.into_iter().chain(file.map(Path::to_owned)).collect(),
            environment: std::env::vars_os().filter_map(readable).collect(),
        }
    }
}

impl ConfigFile {
    /// Reads and merges the sources.
    ///
    /// # Errors
    /// Every unreadable file, unknown key and value of a wrong type. Whether the values make sense
    /// is asked by [`Self::check`], which should be called even then: see [`Config::load`].
    fn read(sources: &Sources, problems: &mut Problems) -> Self {
        let mut tables = source::merge(sources, problems);
        let file = Self {
            server: source::section("server", &mut tables, problems),
            store: source::section("store", &mut tables, problems),
            queue: source::section("queue", &mut tables, problems),
            auth: source::section("auth", &mut tables, problems),
            rate_limits: source::section("rate_limits", &mut tables, problems),
            contacts: source::section("contacts", &mut tables, problems),
            dispatch: source::section("dispatch", &mut tables, problems),
            gateway: source::section("gateway", &mut tables, problems),
            media: source::section("media", &mut tables, problems),
            webhooks: source::section("webhooks", &mut tables, problems),
            mail: source::section("mail", &mut tables, problems),
            billing: source::section("billing", &mut tables, problems),
            retention: source::section("retention", &mut tables, problems),
            telemetry: source::section("telemetry", &mut tables, problems),
        };
        source::refuse_unknown_sections(tables, problems);
        file
    }

    fn check(self, problems: &mut Problems) -> Option<Config> {
        let server = self.server.check(problems);
        let store = self.store.check(problems);
        let queue = self.queue.check(problems);
        let auth = self.auth.check(problems);
        let rate_limits = self.rate_limits.check(problems);
        let contacts = self.contacts.check(problems);
        let dispatch = self.dispatch.check(problems);
        let gateway = self.gateway.check(problems);
        let media = self.media.check(problems);
        let webhooks = self.webhooks.check();
        let mail = self.mail.check(problems);
        let billing = self.billing.check(problems);
        let retention = self.retention.check(problems);
        let telemetry = self.telemetry.check(problems);
        Some(Config {
            server: server?,
            store: store?,
            queue: queue?,
            auth: auth?,
            rate_limits: rate_limits?,
            contacts: contacts?,
            dispatch: dispatch?,
            gateway: gateway?,
            media: media?,
            webhooks,
            mail: mail?,
            billing: billing?,
            retention: retention?,
            telemetry: telemetry?,
        })
    }
}

impl Config {
    /// Reads, merges and checks the settings.
    ///
    /// # Errors
    /// [`Problems`] holds every mistake of every source.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        Self::load_with_text(sources).map(|(config, _)| config)
    }

    /// Does the same and also returns the settled values as TOML, secrets as `***`.
    ///
    /// # Errors
    /// [`Problems`] holds every mistake of every source.
    pub fn load_with_text(sources: &Sources) -> Result<(Self, String), Problems> {
        let mut problems = Problems::default();
        let file = ConfigFile::read(sources, &mut problems);
        let text = toml::to_string(&file);
        let config = file.check(&mut problems);
        problems.sort();
        match (config, text) {
            (Some(config), Ok(text)) if problems.is_empty() => Ok((config, text)),
            (_, Err(problem)) => {
                problems.push("", format!("the settings can not be written down: {problem}"));
                Err(problems)
            }
            _ => Err(problems),
        }
    }
}

impl Default for Config {
    /// Returns the built-in settings.
    fn default() -> Self {
        let mut problems = Problems::default();
        ConfigFile::default().check(&mut problems).expect("a test proves that the built-in settings are good")
    }
}

#[cfg(test)]
mod tests;
