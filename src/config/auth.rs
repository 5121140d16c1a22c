//! Section `auth`: tokens of the REST front.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::problems::Problems;
use super::secret::Secret;
use super::server::list_or_commas;

/// Shortest key of access tokens: the 256 bits of its hash.
const JWT_SECRET_BYTES_MIN: usize = 32;

/// Tokens of the REST front.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// The key of access tokens; with none the daemon draws one, and tokens die with the process.
    pub jwt_secret: Option<Secret>,
    /// Further keys whose access tokens are accepted.
    pub jwt_accepted_secrets: Vec<Secret>,
    /// How long an access token holds.
    pub token_lifetime: Duration,
    /// How long a refresh token holds.
    pub refresh_lifetime: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuthFile {
    jwt_secret: Secret,
    #[serde(deserialize_with = "secrets")]
    jwt_accepted_secrets: Vec<Secret>,
    token_lifetime_hours: u64,
    refresh_lifetime_days: u64,
}

impl Default for AuthFile {
    fn default() -> Self {
        Self {
            jwt_secret: Secret::default(),
            jwt_accepted_secrets: Vec::new(),
            token_lifetime_hours: 168,
            refresh_lifetime_days: 30,
        }
    }
}

impl AuthFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<AuthConfig> {
        let n_bytes = self.jwt_secret.expose().len();
        if (1..JWT_SECRET_BYTES_MIN).contains(&n_bytes) {
            problems.push(
                "auth.jwt_secret",
                format!("must have at least {JWT_SECRET_BYTES_MIN} bytes, or be empty for one drawn at each start"),
            );
        }
        if self.jwt_accepted_secrets.iter().any(|secret| secret.expose().len() < JWT_SECRET_BYTES_MIN) {
            let problem = format!("each must have at least {JWT_SECRET_BYTES_MIN} bytes");
            problems.push("auth.jwt_accepted_secrets", problem);
        }
        let hours = problems.in_range("auth.token_lifetime_hours", self.token_lifetime_hours, 1..=8_760);
        let days = problems.in_range("auth.refresh_lifetime_days", self.refresh_lifetime_days, 1..=365);
        let token_lifetime = Duration::from_secs(hours? * 3_600);
        let refresh_lifetime = Duration::from_secs(days? * 86_400);
        if refresh_lifetime < token_lifetime {
            problems.push("auth.refresh_lifetime_days", "must not be shorter than auth.token_lifetime_hours");
        }
        let jwt_secret = Some(self.jwt_secret).filter(|secret| !secret.is_empty());
        let jwt_accepted_secrets = self.jwt_accepted_secrets;
        Some(AuthConfig { jwt_secret, jwt_accepted_secrets, token_lifetime, refresh_lifetime })
    }
}

fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    Ok(list_or_commas(deserializer)?.into_iter().map(Secret::from).collect())
}
