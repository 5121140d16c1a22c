//! From the provider's answer to an outcome: the only part that makes a failure of one.
//!
//! The tables are in [`cloud`] and [`web`]; this file reads answers. Branches on the provider's code; the HTTP status counts only when there is no readable code,
//! since the provider changes it at will (Meta: support/error-codes). Sends nothing.

use std::time::Duration;

use serde::Deserialize;

use crate::domain::attempt::Outcome;
use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};

use FailureClass::{LimitExceeded as L, WhatsappUnavailable as U};
use table::{HOUR, SECOND, THROTTLE};

pub use cloud::failure_of_code;
pub use web::{DisconnectContext, failure_of_ack, failure_of_disconnect};

mod cloud;

mod table;

pub mod upload;

mod web;

/// Returns the outcome of a request that was answered.
#[must_use]
pub fn outcome_of_answer(status: u16, body: &[u8], retry_after: Option<Duration>) -> Outcome {
    if (200..300).contains(&status) {
        return match serde_json::from_slice::<AcceptedBody>(body).ok().and_then(|body| body.messages.into_iter().next())
        {
            Some(message) => Outcome::Accepted { provider_message_id: message.id },
            // It said yes, but not to what: it may be on its way.
            None => Outcome::Unknown(unknown_outcome(format!("http:{status}"))),
        };
    }
    let mut failure = match serde_json::from_slice::<RefusedBody>(body) {
        Ok(RefusedBody { error }) => {
            failure_of_code(error.code, error.error_subcode, error.is_transient.unwrap_or(false))
        }
        Err(_) => return outcome_without_code(status, retry_after),
    };
    respect_retry_after(&mut failure, retry_after);
    outcome_of_failure(failure)
}

/// Returns the outcome of a request whose answer never came: it may have been taken.
#[must_use]
pub fn outcome_of_silence(code: &'static str) -> Outcome {
    Outcome::Unknown(unknown_outcome(code.to_owned()))
}

/// Returns the outcome of a request of which no byte was written.
///
/// Its scope is the platform: nothing can be sent to anybody until it can be reached again, and
/// no message's attempts are used up meanwhile.
#[must_use]
pub fn outcome_of_no_connection() -> Outcome {
    Outcome::Deferred(Failure {
        class: U,
        reason: Reason::Network,
        scope: Scope::Platform,
        retry: THROTTLE,
        handling: Handling::HoldAccount,
        provider_code: Some("net:connect".to_owned()),
    })
}

fn outcome_without_code(status: u16, retry_after: Option<Duration>) -> Outcome {
    let provider_code = Some(format!("http:{status}"));
    match status {
        429 => {
            let (scope, retry, handling) = (Scope::Number, THROTTLE, Handling::Throttle);
            let mut failure = Failure { class: L, reason: Reason::AppRateLimit, scope, retry, handling, provider_code };
            respect_retry_after(&mut failure, retry_after);
            Outcome::Deferred(failure)
        }
        // A gateway on the way, or the provider itself, gave up: nobody knows how far it got.
        408 | 500..=599 => Outcome::Unknown(unknown_outcome(format!("http:{status}"))),
        _ => Outcome::Rejected(Failure {
            class: U,
            reason: Reason::ProviderError,
            scope: Scope::Message,
            retry: Retry::Never,
            handling: Handling::FailMessage,
            provider_code,
        }),
    }
}

/// Returns the outcome that a failure stands for.
pub(super) fn outcome_of_failure(failure: Failure) -> Outcome {
    match failure.retry {
        Retry::Never => Outcome::Rejected(failure),
        Retry::AfterReconcile => Outcome::Unknown(failure),
        _ => Outcome::Deferred(failure),
    }
}

/// Honours the provider's own wait between one second and one hour.
fn respect_retry_after(failure: &mut Failure, retry_after: Option<Duration>) {
    if let (Some(wait), Retry::Backoff { .. }) = (retry_after, failure.retry) {
        failure.retry = Retry::After(wait.clamp(SECOND, HOUR));
    }
}

fn unknown_outcome(provider_code: String) -> Failure {
    Failure {
        class: U,
        reason: Reason::OutcomeUnknown,
        scope: Scope::Message,
        retry: Retry::AfterReconcile,
        handling: Handling::Reconcile,
        provider_code: Some(provider_code),
    }
}

#[derive(Deserialize)]
struct AcceptedBody {
    messages: Vec<AcceptedMessage>,
}

#[derive(Deserialize)]
struct AcceptedMessage {
    id: String,
}

#[derive(Deserialize)]
struct RefusedBody {
    error: RefusedError,
}

#[derive(Deserialize)]
struct RefusedError {
    code: i64,
    error_subcode: Option<i64>,
    is_transient: Option<bool>,
}

#[cfg(test)]
mod tests;
