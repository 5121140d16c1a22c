//! Where whoever holds the devices is reached: at an address, or at a socket of this machine.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use hyper::body::{Body, Incoming};
use hyper::header::HeaderValue;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tower::Service;

use super::{LinkedProblem, LinkedSettings};
use crate::gateway::http::{HttpClient, bearer, client, is_http};

/// How an address of a socket begins.
const UNIX: &str = "unix:";

/// Connections to the other side, with bodies of one kind.
#[derive(Debug, Clone)]
pub(super) struct Side<B> {
    wire: Wire<B>,
    prefix: String,
}

#[derive(Debug, Clone)]
enum Wire<B> {
    Address(HttpClient<B>),
    Socket(Client<Socket, B>),
}

/// Connects to one socket, whatever is asked for.
#[derive(Debug, Clone)]
struct Socket(Arc<str>);

impl Service<Uri> for Socket {
    type Response = TokioIo<UnixStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = Arc::clone(&self.0);
        Box::pin(async move { UnixStream::connect(&*path).await.map(TokioIo::new) })
    }
}

impl<B> Side<B>
where
    B: Body<Data: Buf + Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    /// Makes the way and the header of our token; connects to nobody yet.
    pub(super) fn of(settings: &LinkedSettings) -> Result<(Self, HeaderValue), LinkedProblem> {
        let authorization = bearer(&settings.access_token).ok_or(LinkedProblem::Token);
        if let Some(path) = settings.base_url.strip_prefix(UNIX).filter(|path| !path.is_empty()) {
            let wire = Wire::Socket(Client::builder(TokioExecutor::new()).build(Socket(path.into())));
            return Ok((Self { wire, prefix: "http://localhost/devices/v1/".to_owned() }, authorization?));
        }
        let prefix = format!("{}/devices/v1/", settings.base_url.trim_end_matches('/'));
        if !is_http(&prefix) {
            return Err(LinkedProblem::Address);
        }
        Ok((Self { wire: Wire::Address(client(settings.connect_timeout)), prefix }, authorization?))
    }

    /// Returns the address of a path.
    pub(super) fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Asks.
    pub(super) async fn request(&self, request: Request<B>) -> Result<Response<Incoming>, Error> {
        match &self.wire {
            Wire::Address(client) => client.request(request).await,
            Wire::Socket(client) => client.request(request).await,
        }
    }
}
