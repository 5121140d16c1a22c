//! What every way over HTTP is made of: an address, a bearer and pooled keep-alive connections.
//!
//! Makes no request.

use std::time::Duration;

use bytes::Buf;
use hyper::Uri;
use hyper::body::Body;
use hyper::header::HeaderValue;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Idle connections are closed after this time, before the other side closes them under a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections to one side, with bodies of one kind.
pub(super) type HttpClient<B> = Client<HttpsConnector<HttpConnector>, B>;

/// Makes a client; connects to nobody yet.
pub(super) fn client<B>(connect_timeout: Duration) -> HttpClient<B>
where
    B: Body<Data: Send> + Send,
    B::Data: Buf,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(connect_timeout));
    connector.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(connector);
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT).build(connector)
}

/// Tells whether requests can be made to an address.
pub(super) fn is_http(address: &str) -> bool {
    address.parse::<Uri>().is_ok_and(|address| matches!(address.scheme_str(), Some("http" | "https")))
}

/// Makes the header of an access token; none when it has characters that no header may have.
pub(super) fn bearer(access_token: &str) -> Option<HeaderValue> {
    let mut authorization = HeaderValue::from_str(&format!("Bearer {access_token}")).ok()?;
    authorization.set_sensitive(true);
    Some(authorization)
}
