//! Section `gateway`: the provider's address, our secrets with it, and timeouts.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::problems::Problems;
use super::secret::Secret;

/// Stands in for every secret that is not set while the provider is the simulator.
const SIMULATOR_SECRET: &str = "simulator";

/// The provider.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Which provider.
    pub kind: GatewayKind,
    /// Its address, without a slash at the end.
    pub base_url: String,
    /// Address of whoever holds linked devices, without a slash at the end; none where there are no linked devices.
    pub linked_url: Option<String>,
    /// What we show whoever holds linked devices.
    pub linked_token: Secret,
    /// Version of its API, `v25.0`.
    pub api_version: String,
    /// Our access token.
    pub access_token: Secret,
    /// The file that has it, looked at again and again: another one in it is used from then on.
    pub access_token_file: Option<PathBuf>,
    /// The key that signs its callbacks.
    pub app_secret: Secret,
    /// The word that proves that a callback address is ours.
    pub verify_token: Secret,
    /// Longest time of one call; an attempt without an answer by then is unknown.
    pub request_timeout: Duration,
    /// Longest time to connect; nothing was sent by then.
    pub connect_timeout: Duration,
}

/// The providers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayKind {
    /// `dispatcher simulate`.
    Simulator,
    /// Meta's Cloud API.
    Cloud,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GatewayFile {
    kind: String,
    base_url: String,
    linked_url: String,
    linked_token: Secret,
    api_version: String,
    access_token: Secret,
    access_token_file: String,
    app_secret: Secret,
    verify_token: Secret,
    request_timeout_ms: u64,
    connect_timeout_ms: u64,
}

impl Default for GatewayFile {
    fn default() -> Self {
        Self {
            kind: "simulator".into(),
            base_url: "http://127.0.0.1:8090".into(),
            linked_url: String::new(),
            linked_token: Secret::default(),
            api_version: "v25.0".into(),
            access_token: Secret::default(),
            access_token_file: String::new(),
            app_secret: Secret::default(),
            verify_token: Secret::default(),
            request_timeout_ms: 10_000,
            connect_timeout_ms: 3_000,
        }
    }
}

impl GatewayFile {
    pub(super) fn check(mut self, problems: &mut Problems) -> Option<GatewayConfig> {
        let access_token_file = self.read_token(problems);
        let kinds = [("simulator", GatewayKind::Simulator), ("cloud", GatewayKind::Cloud)];
        let kind = problems.one_of("gateway.kind", &self.kind, &kinds);
        let base_url = problems.or_push("gateway.base_url", check_base_url(&self.base_url, kind));
        let linked_url = (!self.linked_url.is_empty()).then(|| check_linked_url(&self.linked_url)).transpose();
        let linked_url = problems.or_push("gateway.linked_url", linked_url);
        let api_version = problems.or_push("gateway.api_version", check_version(&self.api_version));
        if kind == Some(GatewayKind::Cloud) {
            let secrets = [
                ("gateway.access_token", &self.access_token),
                ("gateway.app_secret", &self.app_secret),
                ("gateway.verify_token", &self.verify_token),
            ];
            for (key, _) in secrets.iter().filter(|(_, secret)| secret.is_empty()) {
                problems.push(key, "must be set when gateway.kind is \"cloud\"");
            }
        }
        let request_timeout = problems.millis("gateway.request_timeout_ms", self.request_timeout_ms, 100..=120_000);
        let connect_timeout = problems.millis("gateway.connect_timeout_ms", self.connect_timeout_ms, 50..=60_000);
        Some(GatewayConfig {
            kind: kind?,
            base_url: base_url?,
            linked_url: linked_url?,
            linked_token: self.linked_token.or(SIMULATOR_SECRET),
            api_version: api_version?,
            access_token: self.access_token.or(SIMULATOR_SECRET),
            access_token_file,
            app_secret: self.app_secret.or(SIMULATOR_SECRET),
            verify_token: self.verify_token.or(SIMULATOR_SECRET),
            request_timeout: request_timeout?,
            connect_timeout: connect_timeout?,
        })
    }
}

impl GatewayFile {
    /// Reads the token from its file, if there is one.
    fn read_token(&mut self, problems: &mut Problems) -> Option<PathBuf> {
        const KEY: &str = "gateway.access_token_file";
        if self.access_token_file.is_empty() {
            return None;
        }
        let path = PathBuf::from(&self.access_token_file);
        if !self.access_token.is_empty() {
            problems.push(KEY, "does not go with gateway.access_token: set one of them");
        }
        match std::fs::read_to_string(&path) {
            Ok(token) if token.trim().is_empty() => problems.push(KEY, "is an empty file"),
            Ok(token) => self.access_token = Secret::from(token.trim().to_owned()),
            Err(error) => problems.push(KEY, format!("cannot be read: {error}")),
        }
        Some(path)
    }
}

fn check_linked_url(text: &str) -> Result<String, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(text.to_owned()),
        Some(path) => {
            Err(format!("must name a socket by its whole path, such as unix:/run/dispatcher/web.sock, is {path:?}"))
        }
        None => check_base_url(text, None),
    }
}

fn check_base_url(text: &str, kind: Option<GatewayKind>) -> Result<String, String> {
    let uri: Option<Uri> = text.parse().ok();
    let scheme = uri.as_ref().and_then(Uri::scheme_str);
    let has_query = uri.as_ref().is_some_and(|uri| uri.query().is_some());
    match (scheme, kind) {
        (Some("http"), Some(GatewayKind::Cloud)) => {
            Err("must begin with https:// when gateway.kind is \"cloud\"".to_owned())
        }
        (Some("https" | "http"), _) if !has_query => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(format!("must be an address such as https://graph.facebook.com, is {text:?}")),
    }
}

fn check_version(text: &str) -> Result<String, String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = text.strip_prefix('v').and_then(|rest| rest.split_once('.'));
    match numbers {
        Some((major, minor)) if digits(major) && digits(minor) => Ok(text.to_owned()),
        _ => Err(format!("must be a version such as v25.0, is {text:?}")),
    }
}
