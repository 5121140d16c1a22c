//! Posts to addresses that tenants gave: bounded in time, no redirect followed, and connected only to the public internet.
//!
//! The guard judges the addresses that a name has at the moment of connecting, and only those are connected to, so that
//! a name can not become another place in between. Signs nothing and tries nothing again.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

use super::addresses::is_allowed;
use crate::domain::webhook::WebhookProblem;
use crate::limits::WEBHOOK_ANSWER_BYTES_MAX;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const AGENT: HeaderValue = HeaderValue::from_static("actiwapi-dispatcher");
/// Idle connections are closed after this time, before a receiver closes them under a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the body of an answer may take, which nobody reads.
const BODY_TIMEOUT: Duration = Duration::from_millis(250);
/// Idle connections kept to one receiver.
const IDLE_MAX: usize = 8;

/// What is posted.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) url: String,
    pub(super) id: String,
    pub(super) timestamp_seconds: u64,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status, if there was an answer.
    pub(super) status: Option<u16>,
    /// Why it did not arrive; none when it did.
    pub(super) problem: Option<WebhookProblem>,
}

/// What posts; clones share its connections.
#[derive(Debug, Clone)]
pub(super) struct Poster {
    client: Client<HttpsConnector<HttpConnector<Guard>>, Full<Bytes>>,
    timeout: Duration,
    allows_loopback: bool,
}

impl Poster {
    pub(super) fn new(timeout: Duration, allows_loopback: bool) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Guard { names: GaiResolver::new(), allows_loopback });
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        connector.enforce_http(false);
        let builder = hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots();
        // Where this machine itself is opened there is nobody to vouch for it.
        let builder = if allows_loopback { builder.https_or_http() } else { builder.https_only() };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(builder.enable_http1().wrap_connector(connector));
        Self { client, timeout, allows_loopback }
    }

    /// Posts, and waits for the answer for as long as is allowed.
    pub(super) async fn post(&self, post: Post) -> Answer {
        match tokio::time::timeout(self.timeout, self.exchange(post)).await {
            Ok(Ok(answer)) => {
                let status = answer.status().as_u16();
                let problem = (!(200..300).contains(&status)).then_some(WebhookProblem::HttpStatus);
                // The status is the answer. A short body is read so that the connection can be used again; another ends it.
                let body = Limited::new(answer.into_body(), WEBHOOK_ANSWER_BYTES_MAX).collect();
                drop(tokio::time::timeout(BODY_TIMEOUT, body).await);
                Answer { status: Some(status), problem }
            }
            Ok(Err(problem)) => Answer { status: None, problem: Some(problem) },
            Err(_) => Answer { status: None, problem: Some(WebhookProblem::Timeout) },
        }
    }

    async fn exchange(&self, post: Post) -> Result<Response<Incoming>, WebhookProblem> {
        let uri: Uri = post.url.parse().map_err(|_| WebhookProblem::NotConnected)?;
        // The connector resolves names only; an address goes past the guard.
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if host.parse::<IpAddr>().is_ok_and(|address| !is_allowed(address, self.allows_loopback)) {
            return Err(WebhookProblem::AddressNotAllowed);
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, AGENT)
            .header(ID, post.id)
            .header(TIMESTAMP, post.timestamp_seconds)
            .header(SIGNATURE, post.signature)
            .body(Full::new(Bytes::from(post.body)))
            .map_err(|_| WebhookProblem::NotConnected)?;
        self.client.request(request).await.map_err(|error| problem_of(&error))
    }
}

fn problem_of(error: &Error) -> WebhookProblem {
    let first: &dyn std::error::Error = error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    if causes.any(|error| error.is::<NotAllowed>()) {
        WebhookProblem::AddressNotAllowed
    } else if error.is_connect() {
        WebhookProblem::NotConnected
    } else {
        WebhookProblem::NoAnswer
    }
}

/// Resolves names to those of their addresses that may be connected to.
#[derive(Debug, Clone)]
struct Guard {
    names: GaiResolver,
    allows_loopback: bool,
}

/// None of a name's addresses may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to no public address")]
struct NotAllowed;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Name> for Guard {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.names.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, allows_loopback) = (self.names.call(name), self.allows_loopback);
        Box::pin(async move { Ok(only_allowed(resolving.await?, allows_loopback)?.into_iter()) })
    }
}

fn only_allowed(
    addresses: impl Iterator<Item = SocketAddr>,
    allows_loopback: bool,
) -> Result<Vec<SocketAddr>, NotAllowed> {
    let allowed: Vec<_> = addresses.filter(|address| is_allowed(address.ip(), allows_loopback)).collect();
    if allowed.is_empty() { Err(NotAllowed) } else { Ok(allowed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_ones_of_a_names_addresses_are_connected_to() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = addresses(&["10.0.0.1:443", "1.1.1.1:443", "[::ffff:1.1.1.1]:443", "[fe80::1]:443"]);
        assert_eq!(only_allowed(mixed.into_iter(), false).unwrap(), addresses(&["1.1.1.1:443"]));
        assert!(only_allowed(addresses(&["127.0.0.1:80", "[::1]:80"]).into_iter(), false).is_err());
        assert!(only_allowed(std::iter::empty(), true).is_err());
    }

    fn post(url: String) -> Post {
        Post { url, id: "x".to_owned(), timestamp_seconds: 1, signature: "v1,x".to_owned(), body: b"{}".to_vec() }
    }

    #[tokio::test]
    async fn this_machine_is_not_connected_to_under_any_name() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let poster = Poster::new(Duration::from_secs(10), false);
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let answer = poster.post(post(format!("https://{host}:{port}/"))).await;
            assert_eq!(answer, Answer { status: None, problem: Some(WebhookProblem::AddressNotAllowed) }, "{host}");
        }
        let odd = poster.post(post(format!("https://0x7f.1:{port}/"))).await;
        assert!(odd.problem.is_some(), "whether it is a name depends on the system");
        let plain = poster.post(post(format!("http://localhost:{port}/"))).await;
        assert!(plain.problem.is_some(), "only https");
        assert!(futures::FutureExt::now_or_never(listener.accept()).is_none(), "nobody came");
    }
}
