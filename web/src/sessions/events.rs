//! What a client tells: how its session stands, what became of messages, who wrote.
//!
//! Incoming messages are kept before WhatsApp is told that they arrived. Receipts are told to WhatsApp by whatsapp-rust
//! itself, so that one that comes in the moment of a crash is lost; a later one of the same message says more anyway.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use whatsapp_rust::prelude::*;
use whatsapp_rust::types::presence::ReceiptType;
use whatsapp_rust::wacore::types::events::{ConnectFailureReason, Receipt, ServerAck};

use super::Session;
use super::session::locked;
use crate::clock::now_ms;
use crate::message;
use crate::wire::{Code, Happening, Reached, State};

/// Characters of the name that a message of ours has on the wire.
const ID_CHARS: usize = 32;

/// Listens to one client of a session.
#[derive(Clone)]
pub(super) struct Listener {
    /// Weak: the client is the session's, and has this.
    session: Weak<Session>,
    generation: u64,
}

impl Listener {
    pub(super) fn new(session: &Arc<Session>, generation: u64) -> Self {
        Self { session: Arc::downgrade(session), generation }
    }

    /// Returns the session, as long as this client's word counts.
    fn session(&self) -> Option<Arc<Session>> {
        self.session.upgrade().filter(|session| session.is_current(self.generation))
    }

    /// Handles one event.
    pub(super) async fn hear(&self, event: &Event) {
        let Some(session) = self.session() else { return };
        match event {
            Event::ServerAck(ack) => heard_ack(&session, ack),
            Event::Receipt(receipt) => heard_receipt(&session, receipt).await,
            Event::Connected(_) => session.look(),
            Event::PairingQrCode(qr) => {
                let kept_ms = i64::try_from(qr.timeout.as_millis()).unwrap_or(i64::MAX);
                let code = Code { code: qr.code.clone(), expires_at_ms: now_ms().saturating_add(kept_ms) };
                session.stand(|device| {
                    if matches!(device.state, State::Connecting | State::QrPending) {
                        device.state = State::QrPending;
                        device.qr = Some(code);
                    }
                });
            }
            Event::PairSuccess(pair) => session.stand(|device| {
                device.state = State::Connecting;
                device.qr = None;
                device.phone_number = Some(pair.id.user.to_string());
            }),
            Event::PairingQrCodesExhausted(told) if told.disconnected => {
                session.end(State::Disconnected, 408, None).await
            }
            Event::Disconnected(_) => session.stand(|device| match device.state {
                State::Connected => device.state = State::Reconnecting,
                State::QrPending => {
                    device.state = State::Connecting;
                    device.qr = None;
                }
                _ => {}
            }),
            _ => heard_end(&session, event).await,
        }
    }
}

/// Handles what ends a session.
async fn heard_end(session: &Session, event: &Event) {
    match event {
        Event::LoggedOut(told) => match told.reason {
            ConnectFailureReason::AccountLocked => session.end(State::Banned, 403, None).await,
            ConnectFailureReason::UnknownLogout => session.end(State::Banned, 406, None).await,
            _ => session.end(State::LoggedOut, 401, None).await,
        },
        Event::TemporaryBan(ban) => {
            let until = now_ms().saturating_add(ban.expire.num_milliseconds());
            session.end(State::Banned, 402, Some(until)).await;
        }
        Event::ClientOutdated(_) => session.end(State::Disconnected, 405, None).await,
        Event::StreamReplaced(_) => session.end(State::Replaced, 440, None).await,
        Event::ConnectFailure(failure) if !failure.reason.should_reconnect() => match failure.reason {
            // A ban that does not say for how long.
            ConnectFailureReason::TempBanned => session.end(State::Banned, 402, None).await,
            _ => session.end(State::Disconnected, i64::from(failure.reason.code()), None).await,
        },
        _ => {}
    }
}

fn heard_ack(session: &Session, ack: &ServerAck) {
    if ack.class.as_deref().is_some_and(|class| class != "message") {
        return;
    }
    let waits = locked(&session.waiting).remove(&ack.id);
    // A code that is no number is one all the same: the message was not taken.
    let code = ack.error.as_deref().map(|code| code.parse().unwrap_or(0));
    if let Some(waits) = waits {
        waits.send(code).ok();
    }
}

async fn heard_receipt(session: &Session, receipt: &Receipt) {
    let status = match receipt.r#type {
        ReceiptType::Delivered => Reached::Delivered,
        ReceiptType::Read => Reached::Read,
        ReceiptType::Played => Reached::Played,
        _ => return,
    };
    if receipt.source.is_from_me {
        return;
    }
    let is_ours = |id: &&String| id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (session_id, at_ms) = (session.id(), receipt.timestamp.timestamp_millis());
    // whatsapp-rust handles receipts side by side: of two that came together, the later may be told first. What was read
    // was delivered, so that this is told with it, and what comes again is left out.
    let reached: &[Reached] = match status {
        Reached::Delivered => &[Reached::Delivered],
        Reached::Read => &[Reached::Delivered, Reached::Read],
        Reached::Played => &[Reached::Delivered, Reached::Played],
    };
    let mut happenings = Vec::new();
    for id in receipt.message_ids.iter().filter(is_ours) {
        for &status in reached {
            let same = format!("{session_id}/{id}/{status:?}");
            let receipt = Happening::Receipt { session: session_id, id: id.clone(), status, at_ms };
            happenings.push((Some(same), receipt));
        }
    }
    if let Err(error) = session.shared.data.keep(happenings).await {
        tracing::error!(session = %session_id, %error, "a receipt is lost");
    }
}

#[async_trait]
impl whatsapp_rust::InboundDurabilityHook for Listener {
    async fn on_messages(&self, _client: Arc<Client>, batch: &[InboundMessage]) -> anyhow::Result<()> {
        let Some(session) = self.session.upgrade() else { anyhow::bail!("the session is gone") };
        let happenings = batch.iter().filter_map(|inbound| incoming(&session, inbound)).collect();
        Ok(session.shared.data.keep(happenings).await?)
    }
}

fn incoming(session: &Session, inbound: &InboundMessage) -> Option<(Option<String>, Happening)> {
    let (info, source) = (&inbound.info, &inbound.info.source);
    if source.is_from_me || source.is_group {
        return None;
    }
    // Who hides the number is known by another name; only numbers are told on.
    let number = |jid: &Jid| (jid.server == Server::Pn).then(|| jid.user.to_string());
    let from = number(&source.sender).or_else(|| source.sender_alt.as_ref().and_then(number))?;
    let (kind, text) = message::describe(&inbound.message);
    let same = format!("{}/{}/{}/{}", session.id(), source.chat, source.sender, info.id);
    let at_ms = info.timestamp.timestamp_millis();
    let happening =
        Happening::Incoming { session: session.id(), id: info.id.clone(), from, text, r#type: kind.to_owned(), at_ms };
    Some((Some(same), happening))
}
