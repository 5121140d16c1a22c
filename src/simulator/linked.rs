//! Messages of linked devices: `POST /devices/v1/{session}/send`, judged and put down like all others.
//!
//! The form is not the Cloud API's, and what it says is not looked at. A refusal keeps its Graph code, but for the one that
//! asks to go slower, which devices know as 429.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::clock::Moment;
use crate::simulator::REQUEST_BYTES_MAX;
use crate::simulator::answer::{self, Answer};
use crate::simulator::ledger::Verdict;
use crate::simulator::request::Order;
use crate::simulator::server::{Cut, Judged, Judging, Provider, without_success};

/// The code by which the Cloud API asks to go slower, and that of linked devices.
const THROUGHPUT: u32 = 130_429;
const SLOW_DOWN: u32 = 429;

/// A message of a linked device.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Send<'a> {
    id: Uuid,
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(borrow)]
    message: &'a RawValue,
}

/// Returns the device of a request that sends.
pub(super) fn device_of(head: &Parts) -> Option<Uuid> {
    let id = head.uri.path().strip_prefix("/devices/v1/")?.strip_suffix("/send")?;
    id.parse().ok().filter(|_| head.method == Method::POST)
}

impl Provider {
    /// Handles a message of a linked device.
    pub(super) async fn take_linked(
        &self,
        cut: &AtomicBool,
        (id, arrived_at): (Uuid, Moment),
        body: Incoming,
    ) -> Result<Answer, Cut> {
        let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await.map(|body| body.to_bytes()) else {
            self.n_incomplete.fetch_add(1, Ordering::Relaxed);
            return Err(Cut);
        };
        let Ok(send) = serde_json::from_slice::<Send<'_>>(&body) else {
            return Ok(said(StatusCode::BAD_REQUEST, &json!({ "error": "The body can not be read." })));
        };
        let Some(number) = self.devices.number_of(id) else {
            let reason = json!({ "outcome": "not_sent", "reason": "not_connected", "code": null });
            return Ok(said(StatusCode::OK, &reason));
        };
        let token = Some(Cow::Owned(send.id.hyphenated().to_string()));
        let order = Order { to: send.to, token, is_template: false, media_id: None };
        let body = send.message.get().as_bytes();
        let asked = Judging { number: &number, order: &order, form: Ok(()), body, arrived_at };
        let Judged { verdict, refusal, .. } = match self.judge(asked).await {
            Ok(judged) => judged,
            Err(full) => return Ok(full),
        };
        match verdict {
            Verdict::Accepted => Ok(said(StatusCode::OK, &json!({ "outcome": "accepted" }))),
            Verdict::Refused(code) => {
                let code = if code == THROUGHPUT { SLOW_DOWN } else { code };
                Ok(said(StatusCode::OK, &json!({ "outcome": "refused", "code": code, "expiresInMs": null })))
            }
            verdict => without_success(verdict, refusal, cut, arrived_at).await,
        }
    }
}

fn said(status: StatusCode, value: &serde_json::Value) -> Answer {
    answer::json(status, value.to_string())
}
