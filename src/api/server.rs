//! The listening side of the front: connections, their number, and how they end.
//!
//! Differs from `axum::serve` where a daemon must: a head that never ends is cut off, connections are bounded, and a
//! client that stands still can not hold up the drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ApiState, router_with};
use crate::limits::CONNECTIONS_MAX;

/// How long a head may take, the rest between two requests included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long calls may take to end once the drain has begun.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// Wait after the system has refused a connection, for instance for want of file handles.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);

/// Serves the front until `stop`; then takes no more, and returns when all calls have ended or were given up.
pub async fn serve(listener: TcpListener, state: ApiState, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let router = router_with(state, tasks.clone(), stop.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer, place)) => {
                let connection =
                    converse(stream, router.clone().layer(axum::Extension(ConnectInfo(peer))), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection refused");
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    let ended = async {
        while connections.join_next().await.is_some() {}
        tasks.wait().await;
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "calls given up");
        connections.shutdown().await;
    }
}

/// Waits for a place and then for a client.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // An answer is one small packet; waiting for more to send would only delay it.
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}

/// Serves one connection; once `stop` is cancelled, to the end of the call that is under way.
async fn converse(stream: TcpStream, router: Router, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection broken");
    }
}
