//! What linked devices are told: why a session was disconnected, and why a message was refused.
//!
//! From the sources of whatsmeow, wacore and Baileys and from issues of gateways on top of them, for want of a document.
//! The codes look like HTTP statuses and Graph subcodes and are neither, so each is kept under a name space of its own.

use std::time::Duration;

use super::table::{
    CLOSED, DAY, FAIL, LOST, Line, NUMBER_ACTION, Reaction, SECOND, THROTTLE, backoff, find, line, one,
};
use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};

use FailureClass::{LimitExceeded as L, WhatsappUnavailable as U};

const FIVE_MINUTES: Duration = Duration::from_secs(300);

const fn reconnect(first: Duration) -> Reaction {
    Reaction(backoff(first, FIVE_MINUTES, u32::MAX), Handling::HoldLane)
}

const SLOWER: Reaction = Reaction(THROTTLE, Handling::Throttle);
/// Nobody says for how long unless the provider does: a day, so that probing does not prolong it.
const UNTIL_EXPIRY: Retry = Retry::AfterAction { probe: DAY };

/// Why a session was disconnected, ascending.
pub(super) const DISCONNECTS: &[Line] = &[
    line(one(401), U, Reason::SessionLoggedOut, Scope::Number, LOST),
    line(one(402), U, Reason::AccountTempBanned, Scope::Number, Reaction(UNTIL_EXPIRY, Handling::HoldLane)),
    line(one(403), U, Reason::AccountLocked, Scope::Number, LOST),
    line(one(405), U, Reason::ClientOutdated, Scope::Number, NUMBER_ACTION),
    line(one(406), U, Reason::AccountBanned, Scope::Number, LOST),
    line(one(408), U, Reason::SessionDisconnected, Scope::Number, reconnect(Duration::from_secs(2))),
    line(one(409), U, Reason::ClientOutdated, Scope::Number, NUMBER_ACTION),
    line(one(411), U, Reason::SessionLoggedOut, Scope::Number, LOST),
    line(one(413), U, Reason::SessionDisconnected, Scope::Number, reconnect(SECOND)),
    line(one(414), U, Reason::SessionDisconnected, Scope::Number, reconnect(SECOND)),
    line(one(418), U, Reason::ClientOutdated, Scope::Number, NUMBER_ACTION),
    line(one(428), U, Reason::SessionDisconnected, Scope::Number, reconnect(Duration::from_secs(2))),
    line(one(429), L, Reason::SessionRateLimit, Scope::Number, SLOWER),
    // Connecting again would throw the other one out, which would connect again.
    line(one(440), U, Reason::SessionReplaced, Scope::Number, CLOSED),
    line(one(500), U, Reason::SessionBad, Scope::Number, reconnect(Duration::from_secs(5))),
    line(
        one(503),
        U,
        Reason::ProviderUnavailable,
        Scope::Platform,
        Reaction(backoff(Duration::from_secs(10), FIVE_MINUTES, u32::MAX), Handling::HoldAccount),
    ),
    line(one(515), U, Reason::SessionRestarting, Scope::Number, reconnect(Duration::from_millis(500))),
    // The socket died without a word.
    line(one(1_006), U, Reason::SessionDisconnected, Scope::Number, reconnect(Duration::from_secs(3))),
];

/// Why a message was refused, ascending.
pub(super) const ACKS: &[Line] = &[
    line(one(429), L, Reason::SessionRateLimit, Scope::Number, SLOWER),
    line(one(463), L, Reason::NewChatTimelock, Scope::Number, Reaction(UNTIL_EXPIRY, Handling::HoldCold)),
    // Once more under the same id, after the recipient's devices were read again.
    line(
        one(479),
        U,
        Reason::StanzaRejected,
        Scope::Message,
        Reaction(backoff(SECOND, SECOND, 2), Handling::RetryMessage),
    ),
];

/// What is known about a disconnect besides its code.
#[derive(Debug, Clone, Copy, Default)]
pub struct DisconnectContext {
    /// A restart (515) was asked for a moment ago: a logout right after it is a false one.
    pub restarted_just_now: bool,
    /// For how long a ban holds, if the provider said.
    pub expires_in: Option<Duration>,
}

/// Returns the failure that a disconnect stands for; one without a code is 1006.
///
/// An unknown code is a connection that is to be made again: only codes that are known to be final end a session.
#[must_use]
pub fn failure_of_disconnect(code: i64, context: DisconnectContext) -> Failure {
    let known = if code == 401 && context.restarted_just_now { 515 } else { code };
    let fallback = line(one(code), U, Reason::SessionDisconnected, Scope::Number, reconnect(Duration::from_secs(2)));
    let mut failure = find(DISCONNECTS, known, None).unwrap_or(&fallback).failure(format!("waweb:{code}"));
    expire(&mut failure, context.expires_in);
    failure
}

/// Returns the failure that a refused message stands for; `expires_in` is how long a time-lock holds, if the provider said.
#[must_use]
pub fn failure_of_ack(code: i64, expires_in: Option<Duration>) -> Failure {
    let fallback = line(one(code), U, Reason::ProviderError, Scope::Message, FAIL);
    let mut failure = find(ACKS, code, None).unwrap_or(&fallback).failure(format!("waweb-ack:{code}"));
    expire(&mut failure, expires_in);
    failure
}

/// Waits as long as the provider said, where it is the provider who lifts it.
fn expire(failure: &mut Failure, expires_in: Option<Duration>) {
    if let (Some(wait), UNTIL_EXPIRY) = (expires_in, failure.retry) {
        failure.retry = Retry::After(wait.max(SECOND));
    }
}
