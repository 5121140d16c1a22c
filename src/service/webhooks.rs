//! The addresses at which a tenant is told what happens: made, changed, given new secrets, tested, removed.
//!
//! Delivers nothing itself. A secret is in the answer of the call that makes it, and in none after.

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::domain::id::{TenantId, WebhookDeliveryId, WebhookId};
use crate::domain::webhook::signature::{check_secret, secret_of};
use crate::domain::webhook::{SECRET_OVERLAP, WebhookEvent};
use crate::error::{Error, Problems, Result};
use crate::limits::{WEBHOOK_URL_CHARS_MAX, WEBHOOKS_PER_TENANT_MAX};
use crate::service::Tools;
use crate::store::webhook_history::WebhookDeliveryRecord;
use crate::store::webhooks::{NewWebhook, WebhookChange, WebhookRecord};
use crate::webhooks::addresses::may_be_allowed;

/// What is said of an address that is not one of the public internet.
const NOT_PUBLIC: &str = "must be an address of the public internet";

/// A webhook as given.
#[derive(Debug, Clone)]
pub struct WebhookForm {
    /// Where to post.
    pub url: String,
    /// What is told, as words.
    pub events: Vec<String>,
    /// What signs; one is drawn if it is missing.
    pub secret: Option<SecretString>,
}

/// What is to be different, as given.
#[derive(Debug, Clone, Default)]
pub struct WebhookPatch {
    /// Where to post.
    pub url: Option<String>,
    /// What is told, as words.
    pub events: Option<Vec<String>>,
    /// Whether anything is told.
    pub is_active: Option<bool>,
}

/// A webhook and the secret that it got just now.
#[derive(Debug, Clone)]
pub struct WithSecret {
    /// The webhook.
    pub webhook: WebhookRecord,
    /// Its secret, to be shown once.
    pub secret: SecretString,
}

/// Keeps webhooks.
#[derive(Debug, Clone)]
pub struct WebhookService {
    tools: Tools,
    allows_loopback: bool,
}

impl WebhookService {
    /// Makes the service; `allows_loopback` opens this machine itself, and addresses without TLS.
    #[must_use]
    pub fn new(tools: Tools, allows_loopback: bool) -> Self {
        Self { tools, allows_loopback }
    }

    /// Makes a webhook.
    ///
    /// # Errors
    /// `Validation` with every problem, by the fields `url`, `events`, `secret`; `Conflict` when there are too many.
    pub async fn create(&self, tenant_id: TenantId, form: WebhookForm) -> Result<WithSecret> {
        let mut problems = Problems::default();
        let url = self.check_url(&form.url, &mut problems);
        let events = check_events(&form.events, &mut problems);
        let secret = checked_or_drawn(form.secret, &mut problems);
        problems.check()?;
        let new = NewWebhook {
            id: WebhookId::generate(),
            tenant_id,
            url,
            events,
            secret: secret.clone(),
            created_at_ms: self.tools.clock.now().as_ms(),
        };
        if !self.tools.store.webhooks().insert(&new, WEBHOOKS_PER_TENANT_MAX).await? {
            return Err(Error::conflict(format!("There are {WEBHOOKS_PER_TENANT_MAX} webhooks already.")));
        }
        Ok(WithSecret { webhook: self.find(tenant_id, new.id).await?, secret })
    }

    /// Changes a webhook. Switched on again it has another three days to be reached.
    ///
    /// # Errors
    /// `Validation` with every problem, by the fields `url` and `events`; `NotFound`.
    pub async fn update(&self, tenant_id: TenantId, id: WebhookId, patch: WebhookPatch) -> Result<WebhookRecord> {
        self.find(tenant_id, id).await?;
        let mut problems = Problems::default();
        let change = WebhookChange {
            url: patch.url.map(|url| self.check_url(&url, &mut problems)),
            events: patch.events.map(|events| check_events(&events, &mut problems)),
            is_active: patch.is_active,
        };
        problems.check()?;
        if !self.tools.store.webhooks().update(tenant_id, id, &change).await? {
            return Err(Error::NotFound("webhook"));
        }
        self.tools.store.told().notify_one();
        self.find(tenant_id, id).await
    }

    /// Removes a webhook, and what waits for it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete(&self, tenant_id: TenantId, id: WebhookId) -> Result<()> {
        let now_ms = self.tools.clock.now().as_ms();
        let is_gone = self.tools.store.webhooks().delete(tenant_id, id, now_ms).await?;
        if is_gone { Ok(()) } else { Err(Error::NotFound("webhook")) }
    }

    /// Gives a webhook a new secret; both sign for a day.
    ///
    /// # Errors
    /// `Validation` by the field `secret`; `NotFound`.
    pub async fn rotate_secret(
        &self,
        tenant_id: TenantId,
        id: WebhookId,
        secret: Option<SecretString>,
    ) -> Result<WithSecret> {
        self.find(tenant_id, id).await?;
        let mut problems = Problems::default();
        let secret = checked_or_drawn(secret, &mut problems);
        problems.check()?;
        let until = self.tools.clock.now() + SECRET_OVERLAP;
        if !self.tools.store.webhooks().rotate(tenant_id, id, &secret, until.as_ms()).await? {
            return Err(Error::NotFound("webhook"));
        }
        Ok(WithSecret { webhook: self.find(tenant_id, id).await?, secret })
    }

    /// Queues a test, whatever the webhook is told otherwise, and returns its name.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the webhook is not active.
    pub async fn test(&self, tenant_id: TenantId, id: WebhookId) -> Result<WebhookDeliveryId> {
        let (store, test) = (&self.tools.store, WebhookDeliveryId::generate());
        if !store.queue_webhook_test(tenant_id, id, test, self.tools.clock.now().as_ms()).await? {
            self.find(tenant_id, id).await?;
            return Err(inactive());
        }
        Ok(test)
    }

    /// Puts something told, or given up, back in line with all its attempts and under the same name.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the webhook is not active.
    pub async fn retry(
        &self,
        tenant_id: TenantId,
        id: WebhookId,
        delivery_id: WebhookDeliveryId,
    ) -> Result<WebhookDeliveryRecord> {
        let webhook = self.find(tenant_id, id).await?;
        if !webhook.is_active {
            return Err(inactive());
        }
        let now_ms = self.tools.clock.now().as_ms();
        let retried = self.tools.store.webhooks().retry(tenant_id, id, delivery_id, now_ms).await?;
        retried.ok_or(Error::NotFound("delivery"))
    }

    async fn find(&self, tenant_id: TenantId, id: WebhookId) -> Result<WebhookRecord> {
        self.tools.store.webhooks().find(tenant_id, id).await?.ok_or(Error::NotFound("webhook"))
    }

    /// Checks an address and returns it as it is used. Where a name leads is judged when it is connected to.
    fn check_url(&self, text: &str, problems: &mut Problems) -> String {
        match self.read_url(text) {
            Ok(url) => url.into(),
            Err(problem) => {
                problems.push("url", problem);
                String::new()
            }
        }
    }

    fn read_url(&self, text: &str) -> Result<Url, &'static str> {
        let text = text.trim();
        if WEBHOOK_URL_CHARS_MAX < text.chars().count() {
            return Err("must have at most 2048 characters");
        }
        // The parser would leave tabs and line breaks out.
        if text.chars().any(char::is_control) {
            return Err("must not have control characters");
        }
        let url = Url::parse(text).map_err(|_| "must be an address such as https://example.com/hooks")?;
        let is_plain = url.scheme() == "http" && self.allows_loopback;
        if url.scheme() != "https" && !is_plain {
            return Err("must begin with https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not have a user or a password");
        }
        let host = url.host().ok_or("must name a host")?;
        let is_here =
            matches!(host, Host::Domain(name) if name.trim_end_matches('.').eq_ignore_ascii_case("localhost"));
        if !may_be_allowed(&host, self.allows_loopback) || (is_here && !self.allows_loopback) {
            return Err(NOT_PUBLIC);
        }
        Ok(url)
    }
}

fn inactive() -> Error {
    Error::conflict("The webhook is not active.")
}

fn check_events(words: &[String], problems: &mut Problems) -> Vec<WebhookEvent> {
    if words.is_empty() || WebhookEvent::ALL.len() < words.len() {
        problems.push("events", format!("must name 1 to {} events", WebhookEvent::ALL.len()));
        return Vec::new();
    }
    let mut events = Vec::new();
    for (place, word) in words.iter().enumerate() {
        match WebhookEvent::parse(word) {
            Some(event) if events.contains(&event) => problems.push("events", "must name each event once"),
            Some(event) => events.push(event),
            None => problems.push(format!("events[{place}]"), "is not an event"),
        }
    }
    events
}

fn checked_or_drawn(secret: Option<SecretString>, problems: &mut Problems) -> SecretString {
    let Some(secret) = secret else { return secret_of(&rand::random()).into() };
    if let Err(problem) = check_secret(secret.expose_secret()) {
        problems.push("secret", problem);
    }
    secret
}
