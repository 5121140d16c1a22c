//! Socket.io: who may come, and what they are told.
//!
//! Clients only listen: nothing that they send is taken. What is told comes from the hub ([`crate::realtime`]); a client
//! that does not take it in time is dropped, because what it lost it has to read by the operations anyway.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use super::address::client_address;
use super::rates::RateNote;
use super::throttle::Visitor;
use super::v1::billing::usage::PlanUsageView;
use super::v1::campaigns::progress::ProgressView;
use super::{Shared, TOKEN_BEAT};
use crate::domain::realtime::RealtimeEvent;
use crate::error::Error;
use crate::limits::{REALTIME_PACKET_BYTES_MAX, REALTIME_PACKETS_MAX};
use crate::realtime::{Listener, News};

/// Where clients look for it.
const PATH: &str = "/socket.io";
/// How long a client may take to say who it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Rest before a client whose queue is full is dropped again.
const DISCONNECT_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a client says when it comes.
#[derive(Deserialize)]
struct Handshake {
    token: String,
}

/// A client that may come, until it is served.
#[derive(Clone)]
struct Admitted {
    token: SecretString,
    listener: Arc<Mutex<Option<Listener>>>,
}

/// Why a client may not come; it is told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NoToken,
    BadToken,
    TooMany,
    Full,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoToken => "UNAUTHORIZED: the handshake must have `auth: { token }`",
            Self::BadToken => "UNAUTHORIZED: the token is wrong or expired",
            Self::TooMany => "RATE_LIMITED: your business has as many clients as may listen",
            Self::Full => "SERVICE_UNAVAILABLE: come again later",
        })
    }
}

/// Puts Socket.io in front of a router.
pub(super) fn mount(router: Router, front: &Shared) -> Router {
    let (layer, io) = SocketIo::builder()
        .req_path(PATH)
        .connect_timeout(CONNECT_TIMEOUT)
        .max_buffer_size(REALTIME_PACKETS_MAX)
        .max_payload(u64::try_from(REALTIME_PACKET_BYTES_MAX).unwrap_or(u64::MAX))
        .ws_max_message_size(REALTIME_PACKET_BYTES_MAX)
        .ws_max_frame_size(REALTIME_PACKET_BYTES_MAX)
        .build_layer();
    let (at_the_door, inside) = (Arc::clone(front), Arc::clone(front));
    let admit = move |socket: SocketRef, TryData(handshake): TryData<Handshake>| {
        let front = Arc::clone(&at_the_door);
        async move { admit(&front, &socket, handshake.ok()).await }
    };
    let welcome = move |socket: SocketRef| {
        let front = Arc::clone(&inside);
        async move { welcome(&front, socket) }
    };
    io.ns("/", welcome.with(admit));
    let (stop, ended) = (front.stop.clone(), io.clone());
    front.tasks.spawn(async move {
        stop.cancelled().await;
        ended.close().await;
    });
    router.layer(layer).layer(from_fn_with_state(Arc::clone(front), count_address))
}

/// Counts what comes from an address before anybody says who it is.
async fn count_address(State(front): State<Shared>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(PATH) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let from = client_address(&parts, &front.settings.trusted_proxies);
    let note = parts.extensions.get::<RateNote>().cloned().unwrap_or_default();
    if let Some(address) = from.map(Visitor::new).and_then(Visitor::address)
        && let Err(error) = front.rates.admit_address(address, &note)
    {
        return super::error::ApiError::from(error).into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

async fn admit(front: &Shared, socket: &SocketRef, handshake: Option<Handshake>) -> Result<(), Refusal> {
    let token = SecretString::from(handshake.ok_or(Refusal::NoToken)?.token);
    let caller = front.caller_of(&token).await.map_err(|error| match error {
        Error::Unauthorized => Refusal::BadToken,
        _ => Refusal::Full,
    })?;
    let listener = front.realtime.listen(caller.tenant_id).map_err(|error| match error {
        Error::RateLimited { .. } => Refusal::TooMany,
        _ => Refusal::Full,
    })?;
    socket.extensions.insert(Admitted { token, listener: Arc::new(Mutex::new(Some(listener))) });
    Ok(())
}

fn welcome(front: &Shared, socket: SocketRef) {
    let Some(Admitted { token, listener }) = socket.extensions.remove::<Admitted>() else { return };
    let Some(listener) = listener.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let gone = CancellationToken::new();
    let leaves = gone.clone();
    socket.on_disconnect(async move || leaves.cancel());
    if !socket.connected() {
        // It went before anybody could be told.
        return;
    }
    front.tasks.spawn(serve(Arc::clone(front), socket, (token, listener), gone));
}

/// Tells a client what happens until it goes, is too slow, may listen no longer, or we stop.
async fn serve(
    front: Shared,
    socket: SocketRef,
    (token, mut listener): (SecretString, Listener),
    gone: CancellationToken,
) {
    let mut looks = interval_at(Instant::now() + TOKEN_BEAT, TOKEN_BEAT);
    loop {
        let beat = tokio::select! {
            () = front.stop.cancelled() => break,
            () = gone.cancelled() => return,
            _ = looks.tick() => {
                if front.still_admits(&token).await {
                    continue;
                }
                break;
            }
            beat = listener.next() => beat,
        };
        // A client that stands still fills its own queue, and then it is behind the beats.
        let Some(beat) = beat else { break };
        let packets = beat.iter().map(packet);
        if packets.into_iter().any(|(event, data)| socket.emit(event.as_str(), &data).is_err()) {
            tracing::debug!("a client was too slow and is dropped");
            break;
        }
    }
    // A full queue takes no good-bye either: it is said again until there is room, and the place is taken until then.
    while socket.clone().disconnect().is_err() && !front.stop.is_cancelled() {
        if gone.run_until_cancelled(tokio::time::sleep(DISCONNECT_AGAIN_AFTER)).await.is_none() {
            return;
        }
    }
}

fn packet(news: &News) -> (RealtimeEvent, Value) {
    match news {
        News::Happened(news) => (news.event, news.data.clone()),
        News::Progress(progress) => (RealtimeEvent::CampaignProgress, json!(ProgressView::from(progress))),
        News::Completed(progress) => (RealtimeEvent::CampaignCompleted, json!(ProgressView::from(progress))),
        News::Usage(usage) => (RealtimeEvent::UsageUpdated, json!(PlanUsageView::from((**usage).clone()))),
    }
}
