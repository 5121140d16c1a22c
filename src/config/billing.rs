//! Section `billing`: trials, and who takes the money.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::problems::Problems;
use super::secret::Secret;

/// Trials and payments.
#[derive(Debug, Clone)]
pub struct BillingConfig {
    /// How to reach Razorpay; without it operators say when money has come.
    pub razorpay: Option<RazorpayConfig>,
    /// How long new tenants may try everything; without it they have no limits.
    pub trial: Option<Duration>,
}

/// How to reach Razorpay.
#[derive(Debug, Clone)]
pub struct RazorpayConfig {
    /// Names us; web pages see it.
    pub key_id: String,
    /// Proves who we are.
    pub key_secret: Secret,
    /// Signs what its server tells.
    pub webhook_secret: Secret,
    /// The address of its API, without a slash at the end.
    pub base_url: String,
    /// Longest time of one call.
    pub timeout: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BillingFile {
    provider: String,
    trial_days: u32,
    razorpay: RazorpayFile,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RazorpayFile {
    key_id: String,
    key_secret: Secret,
    webhook_secret: Secret,
    base_url: String,
    timeout_ms: u64,
}

impl Default for BillingFile {
    fn default() -> Self {
        Self { provider: "manual".into(), trial_days: 7, razorpay: RazorpayFile::default() }
    }
}

impl Default for RazorpayFile {
    fn default() -> Self {
        Self {
            key_id: String::new(),
            key_secret: Secret::default(),
            webhook_secret: Secret::default(),
            base_url: "https://api.razorpay.com".into(),
            timeout_ms: 10_000,
        }
    }
}

impl BillingFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<BillingConfig> {
        if 90 < self.trial_days {
            problems.push("billing.trial_days", format!("must be 0 to 90, is {}", self.trial_days));
        }
        let days = u64::from(self.trial_days);
        let trial = (0 < days).then(|| Duration::from_secs(days * 86_400));
        let razorpay = match self.provider.as_str() {
            "manual" => Some(None),
            "razorpay" => self.razorpay.check(problems).map(Some),
            other => {
                problems.push("billing.provider", format!("must be \"manual\" or \"razorpay\", is {other:?}"));
                None
            }
        };
        Some(BillingConfig { razorpay: razorpay?, trial })
    }
}

impl RazorpayFile {
    fn check(self, problems: &mut Problems) -> Option<RazorpayConfig> {
        if self.key_id.is_empty() || !self.key_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            problems.push("billing.razorpay.key_id", "must be the id of a key, such as rzp_live_1DP5mmOlF5G5ag");
        }
        for (key, secret) in [("key_secret", &self.key_secret), ("webhook_secret", &self.webhook_secret)] {
            if secret.is_empty() {
                problems.push(&format!("billing.razorpay.{key}"), "must be set when billing.provider is \"razorpay\"");
            }
        }
        let timeout = problems.millis("billing.razorpay.timeout_ms", self.timeout_ms, 1_000..=25_000);
        let url = Url::parse(&self.base_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let is_plain = url.is_some_and(|url| url.query().is_none() && url.fragment().is_none());
        if !is_plain {
            let is = &self.base_url;
            problems.push(
                "billing.razorpay.base_url",
                format!("must be an address such as https://api.razorpay.com, is {is:?}"),
            );
        }
        Some(RazorpayConfig {
            key_id: self.key_id,
            key_secret: self.key_secret,
            webhook_secret: self.webhook_secret,
            base_url: self.base_url.trim_end_matches('/').to_owned(),
            timeout: timeout?,
        })
    }
}
