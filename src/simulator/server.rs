//! The HTTP side: connections, paths, and the handling of one send request from its head to its answer.
//!
//! Plain hyper, because it shares two cores with what it measures. What becomes of a request is decided in [`super::decide`];
//! requests that are no sends go to [`super::desk`].

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Moment};
use crate::simulator::answer::{self, Answer};
use crate::simulator::decide::{Case, Decision, Memory, Refusal, decide};
use crate::simulator::desk;
use crate::simulator::device_desk::DeviceDesk;
use crate::simulator::dice::mix;
use crate::simulator::faults::{Faults, OutageKind};
use crate::simulator::ledger::{Arrival, Ledger, Verdict};
use crate::simulator::linked;
use crate::simulator::media::Library;
use crate::simulator::numbers::{Number, Numbers, Pairs};
use crate::simulator::policy::Contacts;
use crate::simulator::receipts::{self, Backlog, Message};
use crate::simulator::request::{self, Asked, Malformed, Order};
use crate::simulator::wire::Wire;
use crate::simulator::{CONNECTIONS_MAX, LEDGER_ENTRIES_MAX, NUMBERS_MAX, REQUEST_BYTES_MAX, micros};

/// How long open requests may take to end when the simulator stops.
const STOP_WITHIN: Duration = Duration::from_millis(500);

/// Pause after the system refused a connection, usually for want of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Everything that requests share.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(super) clock: Clock,
    started_at: Moment,
    seed: u64,
    pub(super) faults: Faults,
    pub(super) numbers: Numbers,
    pub(super) memory: Memory,
    pub(super) ledger: Arc<Ledger>,
    pub(super) backlog: Option<Arc<Backlog>>,
    pub(super) devices: DeviceDesk,
    pub(super) library: Library,
    /// The one token that is taken; any while there is none.
    pub(super) token: RwLock<Option<Box<str>>>,
    /// Makes message ids of this run differ from those of another one with the same seed.
    run: u64,
    n_messages: AtomicU64,
    pub(super) n_incomplete: AtomicU64,
}

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut")]
pub(crate) struct Cut;

impl Provider {
    /// Makes a provider that has seen nothing yet.
    pub(crate) fn new(clock: Clock, seed: u64, faults: Faults, backlog: Option<Arc<Backlog>>) -> Self {
        let started_at = clock.now();
        let run = mix(seed ^ started_at.0);
        Self {
            devices: DeviceDesk::new(clock.clone(), seed, run),
            clock,
            started_at,
            seed,
            faults,
            numbers: Numbers::default(),
            memory: Memory { pairs: Pairs::new(), contacts: Contacts::new() },
            ledger: Arc::new(Ledger::new(LEDGER_ENTRIES_MAX)),
            backlog,
            library: Library::default(),
            token: RwLock::default(),
            run,
            n_messages: AtomicU64::new(0),
            n_incomplete: AtomicU64::new(0),
        }
    }

    fn refuses_connections(&self) -> bool {
        self.faults.outage_at(self.clock.now().since(self.started_at)) == Some(OutageKind::Reset)
    }
}

/// Accepts connections until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    provider: Arc<Provider>,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accepting = async {
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) if provider.refuses_connections() => Wire::cut(stream),
                Ok((stream, _)) => {
                    tracker.spawn(serve_connection(stream, Arc::clone(&provider), stop.clone(), slot));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accepting).await;
}

async fn serve_connection(
    stream: TcpStream,
    provider: Arc<Provider>,
    stop: CancellationToken,
    slot: OwnedSemaphorePermit,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let cut = Arc::new(AtomicBool::new(false));
    let wire = TokioIo::new(Wire::new(stream, Arc::clone(&cut)));
    let service = service_fn(|request| handle(&provider, &cut, request));
    let mut connection = std::pin::pin!(http1::Builder::new().serve_connection(wire, service));
    tokio::select! {
        // A sender that goes away, or is cut off, is no error here.
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            if tokio::time::timeout(STOP_WITHIN, connection).await.is_err() {
                tracing::debug!("connection with an open request dropped");
            }
        }
    }
    drop(slot);
}

async fn handle(provider: &Provider, cut: &AtomicBool, request: Request<Incoming>) -> Result<Answer, Cut> {
    let arrived_at = provider.clock.now();
    let (head, body) = request.into_parts();
    if let Some(id) = number_of(head.uri.path(), "/media").filter(|_| head.method == Method::POST) {
        return provider.take_media(cut, (id, &head.headers, arrived_at), body).await;
    }
    if let Some(id) = number_of(head.uri.path(), "/messages") {
        if head.method != Method::POST {
            return Ok(answer::refused(&Refusal::of(100, None, "Unsupported get request"), arrived_at.0));
        }
        let send = Send { id, headers: &head.headers, arrived_at };
        return provider.take_send(cut, send, body).await;
    }
    if let Some(id) = linked::device_of(&head) {
        return provider.take_linked(cut, (id, arrived_at), body).await;
    }
    if ["/devices/", "/phones/"].iter().any(|start| head.uri.path().starts_with(start)) {
        return Ok(provider.devices.serve(&head, body).await);
    }
    Ok(desk::serve(provider, &head, body, arrived_at).await)
}

/// Returns the number of `/vNN.N/{number}` with an ending such as `/messages`.
fn number_of<'a>(path: &'a str, ending: &str) -> Option<&'a str> {
    let (version, rest) = path.strip_prefix("/v")?.split_once('/')?;
    let (major, minor) = version.split_once('.')?;
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let id = rest.strip_suffix(ending)?;
    (is_digits(major) && is_digits(minor) && (1..=64).contains(&id.len()) && !id.contains('/')).then_some(id)
}

/// The head of a send request.
struct Send<'a> {
    id: &'a str,
    headers: &'a HeaderMap,
    arrived_at: Moment,
}

/// A message that is to be judged.
pub(super) struct Judging<'a> {
    /// The number that sends.
    pub(super) number: &'a str,
    pub(super) order: &'a Order<'a>,
    /// Whether its form is right.
    pub(super) form: Result<(), Malformed>,
    /// As it came, for the ledger.
    pub(super) body: &'a [u8],
    pub(super) arrived_at: Moment,
}

/// What became of it.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) refusal: Option<Refusal>,
    pub(super) recipient: Box<str>,
    pub(super) message_id: Box<str>,
}

impl Provider {
    /// Handles a file that is brought.
    async fn take_media(
        &self,
        cut: &AtomicBool,
        (id, headers, arrived_at): (&str, &HeaderMap, Moment),
        body: Incoming,
    ) -> Result<Answer, Cut> {
        match self.faults.outage_at(arrived_at.since(self.started_at)) {
            Some(OutageKind::Unavailable) => return Ok(answer::unavailable()),
            Some(OutageKind::Reset) => {
                cut.store(true, Ordering::Relaxed);
                return Err(Cut);
            }
            None => {}
        }
        if !self.is_authorised(headers) {
            return Ok(answer::refused(&Refusal::of(190, None, "An access token is required."), arrived_at.0));
        }
        match self.library.take(id, headers, body).await {
            Ok(name) => Ok(answer::json(StatusCode::OK, format!(r#"{{"id":"{name}"}}"#))),
            Err(Some(details)) => Ok(answer::refused(&Refusal::of(100, None, details), arrived_at.0)),
            Err(None) => Err(Cut),
        }
    }

    /// Handles a send request from its body to its answer; all that must be put down is before the first wait after the body.
    async fn take_send(&self, cut: &AtomicBool, send: Send<'_>, body: Incoming) -> Result<Answer, Cut> {
        let Send { id, headers, arrived_at } = send;
        let body = match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
            Ok(body) => Some(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => None,
            Err(_) => {
                self.n_incomplete.fetch_add(1, Ordering::Relaxed);
                return Err(Cut);
            }
        };
        let is_authorised = self.is_authorised(headers);
        let (order, form) = match body.as_deref().map(request::read) {
            Some(Asked::MarkRead) if is_authorised => return Ok(answer::done()),
            Some(Asked::MarkRead) => (Order::default(), Err(no_token())),
            Some(Asked::Send(order, _)) if !is_authorised => (order, Err(no_token())),
            Some(Asked::Send(order, form)) => (order, form),
            None => {
                (Order::default(), Err(Malformed { code: 100, details: Cow::Borrowed("The request body is too long") }))
            }
        };
        let asked = Judging { number: id, order: &order, form, body: body.as_deref().unwrap_or_default(), arrived_at };
        let Judged { verdict, refusal, recipient, message_id } = match self.judge(asked).await {
            Ok(judged) => judged,
            Err(full) => return Ok(full),
        };
        match verdict {
            Verdict::Accepted => Ok(answer::accepted(&order.to, &recipient, &message_id)),
            verdict => without_success(verdict, refusal, cut, arrived_at).await,
        }
    }

    /// Decides what becomes of a message, puts it down, and takes as long as an answer takes.
    pub(super) async fn judge(&self, asked: Judging<'_>) -> Result<Judged, Answer> {
        let Judging { number: id, order, form, body, arrived_at } = asked;
        let Some(number) = self.numbers.intern(id, &self.faults, NUMBERS_MAX) else {
            return Err(full("The simulator knows too many numbers"));
        };
        let media = order.media_id.as_deref().map(|media| self.library.find(media, id));
        let form = match &media {
            Some(None) => form.and(Err(unknown_media())),
            _ => form,
        };
        let recipient = request::normalise(&order.to).unwrap_or(Cow::Borrowed(&order.to));
        let since_start = arrived_at.since(self.started_at);
        let (is_template, arrived_us) = (order.is_template, micros(arrived_at));
        let case = Case { number: &number, recipient: &recipient, is_template, form, arrived_us, since_start };
        let decision = decide(self.seed, &self.faults, &self.memory, case);
        let arrival = Arrival {
            number: number.index,
            recipient: &recipient,
            token: order.token.as_deref(),
            body,
            at_us: micros(arrived_at),
            verdict: decision.verdict,
            media: media.as_ref().and_then(|media| Some(&*media.as_ref()?.sha256)),
        };
        if self.ledger.record(arrival).is_err() {
            return Err(full("The ledger of the simulator is full"));
        }
        let message_id = if decision.verdict.is_acceptance() {
            self.take_on(number, &recipient, order, &decision)
        } else {
            "".into()
        };
        if !decision.latency.is_zero() {
            tokio::time::sleep(decision.latency).await;
        }
        let recipient = recipient.into();
        Ok(Judged { verdict: decision.verdict, refusal: decision.refusal, recipient, message_id })
    }

    /// Tells whether a token was sent that is taken.
    fn is_authorised(&self, headers: &HeaderMap) -> bool {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let taken = self.token.read().unwrap_or_else(PoisonError::into_inner);
        token.is_some_and(|token| !token.is_empty() && taken.as_deref().is_none_or(|taken| taken.as_bytes() == token))
    }

    /// Makes a name for a message, as Meta does.
    pub(super) fn message_id(&self) -> Box<str> {
        let nth = self.n_messages.fetch_add(1, Ordering::Relaxed);
        format!("wamid.HBgM{:016X}{:016X}", self.run, mix(nth)).into()
    }

    /// Takes responsibility for a message: names it and plans its receipts, which may come before the answer.
    fn take_on(&self, number: Arc<Number>, recipient: &str, order: &Order<'_>, decision: &Decision) -> Box<str> {
        let id = self.message_id();
        if let Some(backlog) = &self.backlog {
            let accepted_us = micros(self.clock.now());
            let planned = receipts::plan(&number.rules.receipts, decision.dice, decision.fails_later, accepted_us);
            let token = order.token.as_deref().map(Into::into);
            let (recipient, is_template) = (recipient.into(), order.is_template);
            backlog.add(
                &Arc::new(Message { number, recipient, token, id: id.clone(), is_template, text: None }),
                &planned,
            );
        }
        id
    }
}

/// Answers, or does not answer, a request that gets no success.
pub(super) async fn without_success(
    verdict: Verdict,
    refusal: Option<Refusal>,
    cut: &AtomicBool,
    arrived_at: Moment,
) -> Result<Answer, Cut> {
    match verdict {
        Verdict::Unavailable => Ok(answer::unavailable()),
        Verdict::AcceptedThenReset | Verdict::ResetBeforeAcceptance => {
            cut.store(true, Ordering::Relaxed);
            Err(Cut)
        }
        Verdict::Refused(code) => {
            let refusal = refusal.unwrap_or_else(|| Refusal::of(code, None, ""));
            Ok(answer::refused(&refusal, arrived_at.0))
        }
        // Dropped when the sender gives up or the simulator stops.
        Verdict::AcceptedThenHung | Verdict::HungBeforeAcceptance | Verdict::Accepted => std::future::pending().await,
    }
}

fn unknown_media() -> Malformed {
    let details = "Param id is not a valid whatsapp business account media attachment ID";
    Malformed { code: 100, details: Cow::Borrowed(details) }
}

fn no_token() -> Malformed {
    Malformed { code: 190, details: Cow::Borrowed("An access token is required to request this resource.") }
}

/// Answers when a bound of the simulator itself is reached.
fn full(details: &'static str) -> Answer {
    answer::refused(&Refusal::of(131_016, None, details), 0)
}
