//! Checks of what is around the daemon: the provider, secrets, and the addresses it listens on.

use std::io::ErrorKind;
use std::net::SocketAddr;

use axum::http::Request;
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

use super::check::{Check, in_time};
use crate::config::{AuthConfig, GatewayConfig, GatewayKind, ServerConfig};
use crate::error::chain;

/// Any answer will do: it says that name, route, certificate and server are right.
pub(super) async fn examine_provider(gateway: &GatewayConfig) -> Check {
    let name = "provider";
    let advice = match gateway.kind {
        GatewayKind::Simulator => "start dispatcher simulate, or correct gateway.base_url",
        GatewayKind::Cloud => "correct gateway.base_url, or open the way to it (DNS, firewall, proxy)",
    };
    let address = &gateway.base_url;
    let ask = async {
        match answer_of(address).await {
            Ok(status) => Check::ok(name, format!("{address} answers (status {status})")),
            Err(problem) => Check::fail(name, format!("{address}: {problem}"), advice),
        }
    };
    in_time(name, advice, ask).await
}

pub(super) fn examine_secrets(gateway: &GatewayConfig) -> Check {
    match gateway.kind {
        GatewayKind::Cloud => Check::ok("secrets", "gateway.access_token, app_secret and verify_token are set"),
        GatewayKind::Simulator => {
            let detail = "gateway.kind is \"simulator\": no message reaches anybody";
            Check::warn("secrets", detail, "set gateway.kind = \"cloud\" and its secrets to send")
        }
    }
}

pub(super) fn examine_tokens(auth: &AuthConfig) -> Check {
    if auth.jwt_secret.is_some() {
        return Check::ok("auth.jwt_secret", "set");
    }
    let detail = "not set: tokens end with the process, and other nodes do not know them";
    Check::warn("auth.jwt_secret", detail, "set it to 32 random bytes or more, the same on all nodes")
}

pub(super) async fn examine_addresses(server: &ServerConfig) -> [Check; 2] {
    let (front, admin) = tokio::join!(
        examine_address("server.listen", server.listen, "/api/v1/health"),
        examine_address("server.admin_listen", server.admin_listen, "/livez"),
    );
    [front, admin]
}

/// An address is right when it is free, or when a daemon answers there already.
async fn examine_address(name: &str, address: SocketAddr, path: &str) -> Check {
    let advice = "name a free address of this machine in the settings";
    let look = async {
        match TcpListener::bind(address).await {
            Ok(_) => return Check::ok(name, format!("{address} is free")),
            Err(problem) if problem.kind() != ErrorKind::AddrInUse => {
                return Check::fail(name, format!("{address} can not be used: {problem}"), advice);
            }
            Err(_) => {}
        }
        match answer_of(&format!("http://{address}{path}")).await {
            Ok(200) => Check::ok(name, format!("{address} answers already")),
            Ok(status) => Check::fail(name, format!("something else has {address} (status {status})"), advice),
            Err(problem) => Check::fail(name, format!("something else has {address}: {problem}"), advice),
        }
    };
    in_time(name, advice, look).await
}

/// Asks as the gateway does: the same TLS, the same roots; returns the status.
async fn answer_of(address: &str) -> Result<u16, String> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::get(address).body(Empty::new()).map_err(|problem| problem.to_string())?;
    let answer = client.request(request).await.map_err(|problem| chain(&problem))?;
    Ok(answer.status().as_u16())
}
