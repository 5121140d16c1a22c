//! A campaign as it goes on, as server-sent events.
//!
//! What has changed is found by the one reader of the node ([`crate::realtime`]), on whichever node the lanes are.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, interval_at};
use utoipa::ToSchema;

use super::progress::ProgressView;
use crate::api::error::{ApiError, Failures, Guarded, OfOne};
use crate::api::extract::Path;
use crate::api::{CallContext, TOKEN_BEAT, auth};
use crate::domain::campaign::CampaignState;
use crate::domain::id::CampaignId;
use crate::error::Error;
use crate::realtime::Watcher;
use crate::store::campaign_progress::CampaignProgress;

/// How long the stream may be silent.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When a client comes again whose stream broke off.
const RETRY: Duration = Duration::from_secs(2);
/// The header by which a client says what it had last.
const LAST_EVENT_ID: &str = "last-event-id";
/// Lets proxies pass on every event at once.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One stream on its way.
struct Streaming {
    ctx: CallContext,
    token: SecretString,
    watcher: Watcher,
    told: Told,
    due: VecDeque<Event>,
    is_over: bool,
    looks: tokio::time::Interval,
}

/// What the client knows.
#[derive(Debug, Default)]
struct Told {
    state: Option<CampaignState>,
    id: Option<String>,
}

/// One event of the stream.
#[derive(Debug, ToSchema)]
pub struct EventView {
    /// `progress`, `status`, `completed`, `cancelled`, `failed` or `closing`.
    #[schema(example = "progress")]
    pub event: String,
    /// What to show as `Last-Event-ID` when you come again.
    #[schema(example = "5d41402abc4b2a76")]
    pub id: Option<String>,
    /// The campaign as JSON: `campaignId`, `status`, `pauseReason` and `counters`.
    #[schema(example = "{\"status\":\"running\"}")]
    pub data: String,
}

/// Streams what becomes of a campaign: its numbers and every change of its status, at most four times a second, until it is
/// over. The first event tells where it stands, unless `Last-Event-ID` says that you know; the last one is named after the
/// status that it ended with. A stream that ends with `closing` is to be opened again: the token has expired, or this server
/// stops. Every 15 seconds there is at least a comment.
#[utoipa::path(get, path = "/campaigns/{id}/events", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that you have.")),
    responses(
        (status = 200, description = "Events `progress`, `status`, `completed`, `cancelled`, `failed` and `closing`.",
            content_type = "text/event-stream", body = EventView),
        (status = 204, description = "The campaign is over, and you know it: do not come again."),
        Failures, Guarded, OfOne))]
pub(super) async fn stream_campaign_events(
    ctx: CallContext,
    Path(id): Path<CampaignId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    find(&ctx, id).await?;
    let watcher = ctx.front().realtime.watch(ctx.caller.tenant_id, id)?;
    // Once more: what happened since the first look is not shown to the watcher.
    let first = find(&ctx, id).await?;
    let known = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let mut told = Told { state: Some(first.state), id: known.map(str::to_owned) };
    let mut due = VecDeque::from([Event::default().retry(RETRY)]);
    let is_over = told.tell(&first, &mut due);
    if is_over && due.len() == 1 {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let token = auth::bearer(&headers).ok_or(Error::Unauthorized)?.to_owned().into();
    let looks = interval_at(Instant::now() + TOKEN_BEAT, TOKEN_BEAT);
    let events = events(Streaming { ctx, token, watcher, told, due, is_over, looks });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    response.headers_mut().insert(BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

async fn find(ctx: &CallContext, id: CampaignId) -> Result<CampaignProgress, ApiError> {
    let campaign = ctx.store.campaigns().find(ctx.caller.tenant_id, id).await?;
    Ok(CampaignProgress::from(&campaign.ok_or(Error::NotFound("campaign"))?))
}

fn events(streaming: Streaming) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(streaming, |mut streaming| async move {
        let event = streaming.next().await?;
        Some((Ok(event), streaming))
    })
}

impl Streaming {
    /// Waits for the next event; none behind the last one.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.due.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            let stop = self.ctx.front().stop.clone();
            tokio::select! {
                () = stop.cancelled() => self.close("shutdown"),
                _ = self.looks.tick() => {
                    if !self.ctx.front().still_admits(&self.token).await {
                        self.close("token_expired");
                    }
                }
                progress = self.watcher.next() => match progress {
                    Some(progress) => self.is_over = self.told.tell(&progress, &mut self.due),
                    None => self.close("removed"),
                },
            }
        }
    }

    fn close(&mut self, reason: &str) {
        self.is_over = true;
        self.due.push_back(event("closing", &json!({ "reason": reason })));
    }
}

impl Told {
    /// Makes the events of where a campaign stands, none when the client knows; returns whether it is over.
    fn tell(&mut self, progress: &CampaignProgress, due: &mut VecDeque<Event>) -> bool {
        let view = json!(ProgressView::from(progress));
        let (is_over, id) = (progress.is_over(), id_of(&view));
        if self.id.as_ref() == Some(&id) {
            return is_over;
        }
        let before = self.state.replace(progress.state).filter(|before| *before != progress.state);
        if let Some(before) = before {
            let status = json!({
                "campaignId": progress.id,
                "status": progress.state.as_str(),
                "previousStatus": before.as_str(),
                "reason": progress.pause_reason,
            });
            due.push_back(event("status", &status));
        }
        due.push_back(event("progress", &view).id(&id));
        if is_over {
            due.push_back(event(progress.state.as_str(), &view).id(&id));
        }
        self.id = Some(id);
        is_over
    }
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// Names where a campaign stands by what is told of it: the same on every node.
fn id_of(view: &serde_json::Value) -> String {
    let digest = Sha256::digest(view.to_string());
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
