//! Calls that change something, written down: one layer around all operations.
//!
//! Which operations these are follows from the document: whatever is not `GET`, but for those that are listed here with the
//! reason. A call is written when its answer is one of success, and when it may have changed something though it failed.
//! How rows come to the database is [`trail`].

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::body::HttpBody;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, json};
use tracing::Instrument;
use utoipa::openapi::OpenApi;

pub(super) use self::trail::Trail;
use super::error::{ApiError, NothingChanged};
use super::idempotency::REPLAYED;
use super::layers::REQUEST_ID;
use super::{Shared, mounts};
use crate::domain::id::{TenantId, UserId};
use crate::limits::CALL_ANSWER_BYTES_MAX;
use crate::store::audit::{Actor, CallRecord, Deed};

mod trail;

/// Operations that write a deed of their own, in the transaction that does it where there is one.
pub const OWN_DEEDS: [&str; 32] = [
    "create_api_key",
    "update_api_key",
    "delete_api_key",
    "rotate_api_key",
    "change_password",
    "reset_password",
    "update_tenant",
    "invite_member",
    "withdraw_invitation",
    "accept_invitation",
    "update_member",
    "remove_member",
    "make_owner",
    "retry_failed",
    "resolve_unknown",
    "suspend_lane",
    "resume_lane",
    "suspend_session",
    "resume_session",
    "suspend_tenant",
    "resume_tenant",
    "stop_everything",
    "start_everything",
    "update_plan",
    "set_subscription",
    "create_coupon",
    "update_coupon",
    "create_addon",
    "update_addon",
    "confirm_order",
    "drain_node",
    "replay_dead_letter",
];

/// Operations that are not written down though they are no `GET`. May only grow with a reason beside it.
pub const NOT_WRITTEN: [&str; 9] = [
    // They change nothing; a check only asks the provider.
    "preview_template",
    "forecast_campaign",
    "validate_phones",
    "validate_coupon",
    "check_number",
    // It goes on with a log-in that was written down.
    "refresh",
    // Nobody is known to have asked, and nothing is changed before the token of the mail is shown.
    "forgot_password",
    // The provider's: each message has a timeline.
    "take_receipts",
    // The provider of payments: orders and payments tell it.
    "take_payment_event",
];

/// The beginning of the names of operations whose calls are written down in a moment and not before the answer leaves: one
/// transaction is shared by many of them, and the message itself is durable.
const IN_A_MOMENT: &str = "send_";

/// The operations whose calls are written down, by path behind the mount.
pub(super) struct Calls(HashMap<String, Vec<(Method, Call)>>);

/// An operation whose calls are written down.
#[derive(Debug, Clone)]
struct Call {
    action: Arc<str>,
    is_urgent: bool,
}

/// Takes who it is that calls, on the way in.
#[derive(Debug, Clone, Default)]
pub(super) struct CallNote(Arc<OnceLock<(TenantId, Actor)>>);

/// What is known of a call before it is done.
struct Asked {
    call: Call,
    note: CallNote,
    /// The ids of the path.
    ids: Vec<(String, String)>,
    request_id: Option<String>,
    removes: bool,
}

impl CallNote {
    /// Notes who calls; the first to know is believed.
    pub(super) fn by(&self, tenant_id: TenantId, actor: Actor) {
        self.0.get_or_init(|| (tenant_id, actor));
    }

    /// Notes a person who has just shown who they are.
    pub(super) fn by_user(&self, tenant_id: TenantId, id: UserId) {
        self.by(tenant_id, Actor::user(id));
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CallNote {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl Calls {
    /// Finds out from the document which calls are written down.
    pub(super) fn of(document: &OpenApi) -> Self {
        let mut calls = HashMap::<String, Vec<(Method, Call)>>::new();
        for (path, item) in &document.paths.paths {
            let patch = item.patch.as_ref();
            for (method, operation) in [
                (Method::POST, item.post.as_ref()),
                (Method::PATCH, patch),
                // Where people have `PATCH`, `PUT` does the same.
                (Method::PUT, item.put.as_ref().or(patch)),
                (Method::DELETE, item.delete.as_ref()),
            ] {
                let Some(id) = operation.and_then(|operation| operation.operation_id.as_deref()) else { continue };
                let action = id.trim_start_matches("external_").trim_end_matches("_by_put");
                if OWN_DEEDS.contains(&action) || NOT_WRITTEN.contains(&action) {
                    continue;
                }
                let call = Call { action: action.into(), is_urgent: !action.starts_with(IN_A_MOMENT) };
                calls.entry(behind_mount(path).to_owned()).or_default().push((method, call));
            }
        }
        Self(calls)
    }

    fn find(&self, request: &Request) -> Option<Call> {
        let path = request.extensions().get::<MatchedPath>()?;
        let calls = self.0.get(behind_mount(path.as_str()))?;
        calls.iter().find(|(method, _)| method == request.method()).map(|(_, call)| call.clone())
    }
}

fn behind_mount(path: &str) -> &str {
    path.strip_prefix(mounts::V1).or_else(|| path.strip_prefix(mounts::ALIAS)).unwrap_or(path)
}

/// Does a call and writes it down. It is done to its end, also when the client hangs up: what was changed is written.
pub(super) async fn write_down(
    calls: Arc<Calls>,
    Extension(front): Extension<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let Some(call) = calls.find(&request) else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    let asked = Asked::new(call, &mut parts).await;
    let tasks = front.tasks.clone();
    let work = async move {
        let done = AssertUnwindSafe(next.run(Request::from_parts(parts, body))).catch_unwind().await;
        let response = done.unwrap_or_else(|_| ApiError::Panicked.into_response());
        asked.write(&front, response).await
    };
    tasks.spawn(work.in_current_span()).await.unwrap_or_else(|_| ApiError::Panicked.into_response())
}

impl Asked {
    async fn new(call: Call, parts: &mut Parts) -> Self {
        let note = CallNote::default();
        parts.extensions.insert(note.clone());
        let params = RawPathParams::from_request_parts(parts, &()).await;
        let ids = params.iter().flatten().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let request_id = parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        Self { call, note, ids, request_id, removes: parts.method == Method::DELETE }
    }

    /// Writes down what was done, and what may have been; hands the answer on.
    async fn write(self, front: &Shared, response: Response) -> Response {
        let status = response.status();
        let is_unknown = status.is_server_error() && response.extensions().get::<NothingChanged>().is_none();
        let is_replayed = response.headers().contains_key(REPLAYED);
        let Some((tenant_id, actor)) = self.note.0.get().filter(|_| !is_replayed) else { return response };
        if !status.is_success() && !is_unknown {
            return response;
        }
        let (made, response) = id_made(response).await;
        let made = made.filter(|_| !self.removes);
        let first = self.ids.first().map(|(_, id)| id.clone());
        let subject = first.or_else(|| made.clone()).unwrap_or_else(|| tenant_id.to_string());
        let mut details = Map::new();
        if !self.ids.is_empty() {
            details.insert("before".to_owned(), self.ids.into_iter().map(|(name, id)| (name, json!(id))).collect());
        }
        if let Some(made) = made {
            details.insert("after".to_owned(), made.into());
        }
        if is_unknown {
            // It may have been done or not.
            details.insert("failedWith".to_owned(), status.as_u16().into());
        }
        let tenant_id = Some(*tenant_id);
        let deed = Deed { action: self.call.action.as_ref().to_owned(), subject, tenant_id, details: details.into() };
        let actor = Actor { request_id: self.request_id, ..actor.clone() };
        let record = CallRecord { at_ms: front.clock.now().as_ms(), actor, deed };
        front.trail.write(record, self.call.is_urgent).await;
        response
    }
}

/// Reads the id of what an answer is about.
async fn id_made(response: Response) -> (Option<String>, Response) {
    let (parts, body) = response.into_parts();
    if body.size_hint().exact().is_none_or(|n_bytes| CALL_ANSWER_BYTES_MAX < n_bytes) {
        return (None, Response::from_parts(parts, body));
    }
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => (read_id(&bytes), Response::from_parts(parts, bytes.into())),
        // The body is in memory already.
        Err(_) => (None, ApiError::Panicked.into_response()),
    }
}

fn read_id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Made {
        id: String,
    }
    let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    serde_json::from_str::<Made>(answer.data.get()).ok().map(|made| made.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_what_was_made_is_found() {
        assert_eq!(read_id(br#"{"success":true,"data":{"id":"a","x":[{"id":"b"}]}}"#).as_deref(), Some("a"));
        for other in ["", "[]", r#"{"data":[{"id":"a"}]}"#, r#"{"data":{"ids":["a"]}}"#, r#"{"data":{"id":1}}"#] {
            assert_eq!(read_id(other.as_bytes()), None, "{other}");
        }
    }

    /// Of the whole document: what is no `GET` is found by the path that it is mounted at, or listed.
    #[test]
    fn every_call_that_changes_something_is_found() {
        let document = crate::api::document();
        let calls = Calls::of(&document);
        let mut n_found = 0;
        for (path, item) in &document.paths.paths {
            for (method, operation) in [
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ] {
                let Some(id) = operation.as_ref().and_then(|operation| operation.operation_id.as_deref()) else {
                    continue;
                };
                let action = id.trim_start_matches("external_").trim_end_matches("_by_put");
                let found = calls.0.get(behind_mount(path)).into_iter().flatten().find(|(known, _)| *known == method);
                let is_listed = OWN_DEEDS.contains(&action) || NOT_WRITTEN.contains(&action);
                assert_eq!(found.is_some(), !is_listed, "{method} {path}");
                if let Some((_, call)) = found {
                    assert_eq!((&*call.action, call.is_urgent), (action, !action.starts_with("send_")));
                    n_found += 1;
                }
            }
        }
        assert!(50 < n_found, "{n_found}");
    }

    #[test]
    fn both_mounts_are_one() {
        assert_eq!(behind_mount("/api/v1/whatsapp/{id}"), "/whatsapp/{id}");
        assert_eq!(behind_mount("/api/whatsapp/{id}"), "/whatsapp/{id}");
    }
}
