//! Section `webhooks`: where tenants may have us connect to.

use serde::{Deserialize, Serialize};

/// What tenants are told at addresses of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Whether this machine itself may be told things, also without TLS.
    pub allow_loopback: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WebhookFile {
    allow_loopback: bool,
}

impl WebhookFile {
    pub(super) fn check(self) -> WebhookConfig {
        WebhookConfig { allow_loopback: self.allow_loopback }
    }
}
