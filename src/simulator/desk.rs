//! What tests ask of the simulator, and no sender does: the ledger, a new beginning, and recipients that write.
//!
//! `GET /ledger` ([`super::ledger::view`]), `GET /ledger/numbers` and `POST /ledger/violations` ([`super::ledger::counts`]),
//! `POST /ledger/reset`, `GET /media` and `POST /media/forget` (as if 30 days had passed), `POST /token` with `{"token": "new"}` (all others have expired),
//! `POST /inbound` with `{"number": "5551", "from": "4915112345678", "text": "STOP"}`, `GET /health`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::simulator::answer::{self, Answer};
use crate::simulator::decide::Refusal;
use crate::simulator::ledger::counts::{Paces, Which};
use crate::simulator::ledger::view::{Beside, Question};
use crate::simulator::receipts::{Backlog, Message, ReceiptKind};
use crate::simulator::request;
use crate::simulator::server::Provider;
use crate::simulator::{NUMBERS_MAX, micros};

/// Bytes of a body: 100,000 paces of about 80 bytes each.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A message that a recipient writes to a number.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inbound {
    number: String,
    from: String,
    #[serde(default)]
    text: String,
}

/// The one token that is taken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
}

/// Answers a request that is no send.
pub(super) async fn serve(provider: &Provider, head: &Parts, body: Incoming, arrived_at: Moment) -> Answer {
    let query = head.uri.query().unwrap_or_default();
    let answered = match (&head.method, head.uri.path()) {
        (&Method::GET, "/ledger") => show_ledger(provider, query).await,
        (&Method::GET, "/ledger/numbers") => show_numbers(provider, query).await,
        (&Method::POST, "/ledger/violations") => show_violations(provider, body).await,
        (&Method::POST, "/ledger/reset") => {
            provider.ledger.reset();
            provider.memory.pairs.rest();
            provider.memory.contacts.rest();
            provider.numbers.rest();
            Ok(answer::done())
        }
        (&Method::GET, "/media") => written(&provider.library.all()).map(|text| answer::json(StatusCode::OK, text)),
        (&Method::POST, "/media/forget") => {
            provider.library.forget();
            Ok(answer::done())
        }
        (&Method::POST, "/token") => take_token(provider, body).await,
        (&Method::POST, "/inbound") => take_inbound(provider, body, arrived_at).await,
        (&Method::GET, "/health") => Ok(answer::json(StatusCode::OK, r#"{"status":"ok"}"#.to_owned())),
        _ => return answer::refused(&Refusal::of(2_500, Some(404), "Unknown path components"), arrived_at.0),
    };
    answered.unwrap_or_else(|problem| {
        let mut text = String::from(r#"{"error":"#);
        answer::push_json(&mut text, &problem);
        text.push('}');
        answer::json(StatusCode::BAD_REQUEST, text)
    })
}

async fn show_ledger(provider: &Provider, query: &str) -> Result<Answer, String> {
    let question = Question::read(query)?;
    let numbers = provider.numbers.ids();
    let (receipts_waiting, receipts_dropped) = provider.backlog.as_deref().map_or((0, 0), Backlog::counts);
    let incomplete = provider.n_incomplete.load(Ordering::Relaxed);
    let beside = Beside { numbers: numbers.len(), incomplete, receipts_dropped, receipts_waiting };
    let ledger = Arc::clone(&provider.ledger);
    match question {
        Question::Entries { after, limit } => {
            let page = ledger.page(after, limit, &numbers).map_err(|error| error.to_string())?;
            Ok(answer::json(StatusCode::OK, page.get().to_owned()))
        }
        Question::Sums(schedule) => aside(move || written(&ledger.sums(schedule.as_ref(), beside))).await,
    }
}

async fn show_numbers(provider: &Provider, query: &str) -> Result<Answer, String> {
    let which = Which::read(query)?;
    let (ledger, numbers) = (Arc::clone(&provider.ledger), provider.numbers.all());
    aside(move || written(&ledger.counts(&which, &numbers)?)).await
}

async fn show_violations(provider: &Provider, body: Incoming) -> Result<Answer, String> {
    let paces: Paces = serde_json::from_slice(&whole(body).await?).map_err(|error| error.to_string())?;
    let (ledger, numbers) = (Arc::clone(&provider.ledger), provider.numbers.all());
    aside(move || written(&ledger.judge_each(&paces, &numbers)?)).await
}

/// Takes this token only from now on, as if all others had expired.
async fn take_token(provider: &Provider, body: Incoming) -> Result<Answer, String> {
    let Token { token } = serde_json::from_slice(&whole(body).await?).map_err(|error| error.to_string())?;
    *provider.token.write().unwrap_or_else(PoisonError::into_inner) = Some(token.into());
    Ok(answer::done())
}

/// Lets a recipient write: noted at once, and told to the receiver like a receipt.
async fn take_inbound(provider: &Provider, body: Incoming, arrived_at: Moment) -> Result<Answer, String> {
    let inbound: Inbound = serde_json::from_slice(&whole(body).await?).map_err(|error| error.to_string())?;
    let number = provider.numbers.intern(&inbound.number, &provider.faults, NUMBERS_MAX);
    let number = number.ok_or("number: the simulator knows too many")?;
    let from = request::normalise(&inbound.from).ok_or("from: not a phone number")?;
    let (at_us, id) = (micros(arrived_at), provider.message_id());
    provider.memory.contacts.wrote(number.index, &from, at_us);
    if let Some(backlog) = &provider.backlog {
        let (recipient, text) = (from.into(), Some(inbound.text.into()));
        let message = Message { number, recipient, token: None, id: id.clone(), is_template: false, text };
        backlog.add(&Arc::new(message), &[(at_us, ReceiptKind::Inbound)]);
    }
    let mut text = String::from(r#"{"id":"#);
    answer::push_json(&mut text, &id);
    text.push('}');
    Ok(answer::json(StatusCode::OK, text))
}

/// Works out an answer where it holds up no other; sorting millions of arrivals takes a while.
async fn aside(work: impl FnOnce() -> Result<String, String> + Send + 'static) -> Result<Answer, String> {
    let worked = tokio::task::spawn_blocking(work).await;
    let text = worked.map_err(|_| "the ledger could not be added up".to_owned())??;
    Ok(answer::json(StatusCode::OK, text))
}

fn written(view: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(view).map_err(|error| error.to_string())
}

async fn whole(body: Incoming) -> Result<Bytes, String> {
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    Ok(body.map_err(|_| "the body is too long, or did not come to its end".to_owned())?.to_bytes())
}
