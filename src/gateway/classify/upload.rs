//! What comes of bringing a file to the provider: nothing of a message has left, so nothing is ever unknown.
//!
//! Codes mean what they mean elsewhere; only silence and broken answers mean less.

use std::time::Duration;

use serde::Deserialize;

use super::table::{MINUTE, SECOND, THRICE, backoff};
use super::{outcome_of_answer, outcome_of_failure};
use crate::domain::attempt::Outcome;
use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};

/// How often what waits for a file looks whether it is there.
const LOOK: Duration = SECOND;

#[derive(Deserialize)]
struct TakenBody {
    id: String,
}

/// Returns the provider's name of a file that was brought there, or the outcome of messages that need it.
///
/// # Errors
/// The outcome, when it was not taken.
pub fn name_of_upload(status: u16, body: &[u8], retry_after: Option<Duration>) -> Result<String, Outcome> {
    if (200..300).contains(&status)
        && let Ok(TakenBody { id }) = serde_json::from_slice(body)
    {
        return Ok(id);
    }
    Err(match outcome_of_answer(status, body, retry_after) {
        Outcome::Unknown(_) | Outcome::Accepted { .. } => outcome_of_broken_upload(),
        known => known,
    })
}

/// Returns the outcome of messages whose file did not arrive, for a reason that passes.
#[must_use]
pub fn outcome_of_broken_upload() -> Outcome {
    let retry = backoff(Duration::from_secs(5), Duration::from_secs(300), 10);
    outcome_of_failure(of_message(Reason::Network, retry, Handling::RetryMessage, "net:upload"))
}

/// Returns the outcome of messages whose file is not there, or is not what they say.
#[must_use]
pub fn outcome_of_missing_media() -> Outcome {
    outcome_of_failure(of_message(Reason::MediaRejected, Retry::Never, Handling::FailMessage, "media:missing"))
}

/// Returns the outcome of messages whose file could not be read from where we keep it.
#[must_use]
pub fn outcome_of_unreadable_media() -> Outcome {
    outcome_of_failure(of_message(Reason::MediaRejected, THRICE, Handling::RetryMessage, "media:unreadable"))
}

/// Returns the outcome of a message whose file is on its way to the provider: a single one looks again by itself, those of
/// a campaign wait together.
#[must_use]
pub fn outcome_while_uploading(is_single: bool) -> Outcome {
    let mut failure = of_message(
        Reason::MediaUploading,
        backoff(LOOK, MINUTE / 2, u32::MAX),
        Handling::RetryMessage,
        "media:uploading",
    );
    if !is_single {
        (failure.scope, failure.retry, failure.handling) = (Scope::Template, Retry::After(LOOK), Handling::HoldStream);
    }
    outcome_of_failure(failure)
}

/// Tells whether a refusal may mean that the provider does not know the file any more.
#[must_use]
pub fn may_be_unknown_media(outcome: &Outcome) -> bool {
    let Outcome::Rejected(failure) = outcome else { return false };
    matches!(failure.reason, Reason::RequestRejected | Reason::MediaRejected)
}

fn of_message(reason: Reason, retry: Retry, handling: Handling, code: &'static str) -> Failure {
    Failure {
        class: FailureClass::WhatsappUnavailable,
        reason,
        scope: Scope::Message,
        retry,
        handling,
        provider_code: Some(code.to_owned()),
    }
}
