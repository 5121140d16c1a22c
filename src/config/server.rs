//! Section `server`: the REST front and the admin port.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::{HeaderValue, Uri};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::problems::Problems;

/// Addresses and timeouts of the REST front and the admin port.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where the REST front listens.
    pub listen: SocketAddr,
    /// Where metrics and health answer.
    pub admin_listen: SocketAddr,
    /// Longest time of one request, uploads and exports apart.
    pub request_timeout: Duration,
    /// Origins of web pages that may call the API.
    pub cors_origins: Vec<HeaderValue>,
    /// Proxies whose word about the client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerFile {
    listen: String,
    admin_listen: String,
    request_timeout_ms: u64,
    #[serde(deserialize_with = "list_or_commas")]
    cors_origins: Vec<String>,
    #[serde(deserialize_with = "list_or_commas")]
    trusted_proxies: Vec<String>,
}

impl Default for ServerFile {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            admin_listen: "127.0.0.1:9090".into(),
            request_timeout_ms: 30_000,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

impl ServerFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<ServerConfig> {
        let address = |text: &str| {
            text.parse::<SocketAddr>().map_err(|_| format!("must be ADDRESS:PORT such as 127.0.0.1:8080, is {text:?}"))
        };
        let listen = problems.or_push("server.listen", address(&self.listen));
        let admin_listen = problems.or_push("server.admin_listen", address(&self.admin_listen));
        if let (Some(listen), Some(admin)) = (listen, admin_listen)
            && listen == admin
            && listen.port() != 0
        {
            problems.push("server.admin_listen", "must not be the address of server.listen");
        }
        let request_timeout = problems.millis("server.request_timeout_ms", self.request_timeout_ms, 100..=600_000);
        let origins: Vec<_> = self.cors_origins.iter().map(|text| check_origin(text)).collect();
        let cors_origins = problems.or_push("server.cors_origins", origins.into_iter().collect::<Result<_, _>>());
        let networks: Result<_, String> = self.trusted_proxies.iter().map(|text| check_network(text)).collect();
        let trusted_proxies = problems.or_push("server.trusted_proxies", networks);
        Some(ServerConfig {
            listen: listen?,
            admin_listen: admin_listen?,
            request_timeout: request_timeout?,
            cors_origins: cors_origins?,
            trusted_proxies: trusted_proxies?,
        })
    }
}

fn check_network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
    address
        .or_else(|_| text.parse::<IpNet>())
        .map_err(|_| format!("each must be an address or a network such as 10.0.0.0/8; {text:?} is not"))
}

fn check_origin(text: &str) -> Result<HeaderValue, String> {
    let refused = || format!("each must be an origin such as https://app.example.com, or *; {text:?} is not");
    let uri = text.parse::<Uri>().ok();
    let is_origin = uri.is_some_and(|uri| uri.scheme().is_some() && uri.path() == "/" && !text.ends_with('/'));
    if text != "*" && !is_origin {
        return Err(refused());
    }
    HeaderValue::from_str(text).map_err(|_| refused())
}

/// Reads a list, or one text with commas, which is how the environment says it.
pub(super) fn list_or_commas<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "must be a list of texts, or one text with commas")]
    enum ListOrText {
        List(Vec<String>),
        Text(String),
    }
    Ok(match ListOrText::deserialize(deserializer)? {
        ListOrText::List(list) => list,
        ListOrText::Text(text) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
        }
    })
}
