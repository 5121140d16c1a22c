//! From the provider's answer to an outcome: the only file that makes a failure of one.
//!
//! Branches on the provider's code; the HTTP status counts only when there is no readable code,
//! since the provider changes it at will (Meta: support/error-codes). Sends nothing.

use std::time::Duration;

use serde::Deserialize;

use crate::domain::attempt::Outcome;
use crate::domain::failure::{Failure, FailureClass, Reason, Retry, Scope};

use FailureClass::{LimitExceeded as L, WhatsappUnavailable as U};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// One line of the failure table: codes from first to last have this meaning.
struct Line {
    first: i64,
    last: i64,
    class: FailureClass,
    reason: Reason,
    scope: Scope,
    retry: Retry,
}

const fn line(codes: (i64, i64), class: FailureClass, reason: Reason, scope: Scope, retry: Retry) -> Line {
    Line { first: codes.0, last: codes.1, class, reason, scope, retry }
}

const fn one(code: i64) -> (i64, i64) {
    (code, code)
}

const fn backoff(first: Duration, longest: Duration, attempts_max: u32) -> Retry {
    Retry::Backoff { first, longest, attempts_max }
}

const NEVER: Retry = Retry::Never;
/// A person has to act: looked at again once a minute, which costs one message's attempt.
const ACTION: Retry = Retry::AfterAction { probe: MINUTE };
const OVERLOAD: Retry = backoff(Duration::from_secs(2), Duration::from_secs(300), u32::MAX);
const THROTTLE: Retry = backoff(SECOND, MINUTE, u32::MAX);
const THRICE: Retry = backoff(SECOND, MINUTE, 3);
/// The documented pair pace is one message in 6 s; five waits span more than a full burst repays.
const PAIR: Retry = backoff(Duration::from_secs(6), Duration::from_secs(300), 10);

/// Meta's error codes (support/error-codes and the pages it links to), ascending.
const TABLE: &[Line] = &[
    line(one(0), U, Reason::AuthInvalid, Scope::App, ACTION),
    line(one(1), U, Reason::ProviderError, Scope::Message, THRICE),
    line(one(2), U, Reason::ProviderUnavailable, Scope::Platform, OVERLOAD),
    line(one(3), U, Reason::PermissionDenied, Scope::App, ACTION),
    line(one(4), L, Reason::AppRateLimit, Scope::App, backoff(MINUTE, HOUR, u32::MAX)),
    line(one(10), U, Reason::PermissionDenied, Scope::App, ACTION),
    line(one(33), U, Reason::NumberGone, Scope::Number, ACTION),
    line(one(100), U, Reason::RequestRejected, Scope::Message, NEVER),
    line(one(104), U, Reason::AuthInvalid, Scope::App, ACTION),
    line(one(190), U, Reason::AuthInvalid, Scope::App, ACTION),
    line((200, 299), U, Reason::PermissionDenied, Scope::App, ACTION),
    line(one(368), U, Reason::AccountRestricted, Scope::Account, ACTION),
    line((80_007, 80_008), L, Reason::AccountRateLimit, Scope::Account, backoff(MINUTE, HOUR, u32::MAX)),
    line(one(130_403), U, Reason::RecipientBlockedByUs, Scope::Recipient, NEVER),
    line(one(130_429), L, Reason::Throughput, Scope::Number, THROTTLE),
    line(one(130_472), U, Reason::RecipientExperiment, Scope::Recipient, NEVER),
    line(one(130_497), U, Reason::CountryRestricted, Scope::Recipient, NEVER),
    line(one(131_000), U, Reason::ProviderError, Scope::Message, THRICE),
    line(one(131_005), U, Reason::PermissionDenied, Scope::App, ACTION),
    line((131_008, 131_009), U, Reason::RequestRejected, Scope::Message, NEVER),
    line(one(131_016), U, Reason::ProviderUnavailable, Scope::Platform, OVERLOAD),
    line(one(131_021), U, Reason::RequestRejected, Scope::Message, NEVER),
    line(one(131_026), U, Reason::RecipientUnreachable, Scope::Recipient, NEVER),
    line(one(131_030), U, Reason::RecipientNotAllowed, Scope::Recipient, NEVER),
    line(one(131_031), U, Reason::AccountLocked, Scope::Account, ACTION),
    line(one(131_037), U, Reason::NumberNotReady, Scope::Number, ACTION),
    line(one(131_042), U, Reason::BillingBlocked, Scope::Account, ACTION),
    line(one(131_045), U, Reason::NumberNotReady, Scope::Number, ACTION),
    line(one(131_047), U, Reason::WindowClosed, Scope::Recipient, NEVER),
    line(one(131_048), L, Reason::SpamRateLimit, Scope::Number, Retry::AfterAction { probe: HOUR }),
    line(one(131_049), L, Reason::UserMarketingCap, Scope::Recipient, NEVER),
    line(one(131_050), U, Reason::RecipientOptedOut, Scope::Recipient, NEVER),
    line(one(131_051), U, Reason::RequestRejected, Scope::Message, NEVER),
    line((131_052, 131_053), U, Reason::MediaRejected, Scope::Message, NEVER),
    line(one(131_055), U, Reason::RequestRejected, Scope::Message, NEVER),
    line(one(131_056), L, Reason::PairRateLimit, Scope::Pair, PAIR),
    line(
        one(131_057),
        U,
        Reason::NumberMaintenance,
        Scope::Number,
        backoff(MINUTE, Duration::from_secs(300), u32::MAX),
    ),
    line(one(131_058), U, Reason::RequestRejected, Scope::Message, NEVER),
    line(one(131_063), U, Reason::TemplateUnavailable, Scope::Template, NEVER),
    line(one(131_064), L, Reason::ClassificationLimit, Scope::Account, Retry::AfterAction { probe: HOUR }),
    line(one(132_000), U, Reason::TemplateParams, Scope::Message, NEVER),
    line(one(132_001), U, Reason::TemplateUnavailable, Scope::Template, NEVER),
    line(one(132_005), U, Reason::TemplateParams, Scope::Message, NEVER),
    line(one(132_007), U, Reason::TemplateUnavailable, Scope::Template, NEVER),
    line(one(132_012), U, Reason::TemplateParams, Scope::Message, NEVER),
    line(one(132_015), U, Reason::TemplatePaused, Scope::Template, backoff(MINUTE, HOUR, 10)),
    line(one(132_016), U, Reason::TemplateUnavailable, Scope::Template, NEVER),
    line(one(132_018), U, Reason::TemplateParams, Scope::Message, NEVER),
    line(one(132_068), U, Reason::TemplateUnavailable, Scope::Template, NEVER),
    line(one(132_069), L, Reason::FlowThrottled, Scope::Template, Retry::After(HOUR)),
    line(one(133_000), U, Reason::NumberNotReady, Scope::Number, ACTION),
    line(one(133_004), U, Reason::ProviderUnavailable, Scope::Platform, OVERLOAD),
    line((133_005, 133_006), U, Reason::NumberNotReady, Scope::Number, ACTION),
    line((133_008, 133_009), L, Reason::PinAttempts, Scope::Number, ACTION),
    line(one(133_010), U, Reason::NumberNotReady, Scope::Number, ACTION),
    line(one(133_015), U, Reason::NumberNotReady, Scope::Number, Retry::After(Duration::from_secs(300))),
    line(one(133_016), L, Reason::RegistrationAttempts, Scope::Number, Retry::AfterAction { probe: HOUR }),
    line(one(134_011), U, Reason::AccountActionRequired, Scope::Account, ACTION),
    line(one(134_100), U, Reason::RequestRejected, Scope::Message, NEVER),
    line(one(134_101), U, Reason::TemplatePaused, Scope::Template, Retry::After(Duration::from_secs(600))),
    line(one(134_102), U, Reason::TemplateUnavailable, Scope::Template, NEVER),
    line(one(135_000), U, Reason::RequestRejected, Scope::Message, NEVER),
    line(one(136_024), U, Reason::RequestRejected, Scope::Message, NEVER),
    line(one(2_388_019), L, Reason::TemplateCount, Scope::Account, ACTION),
    line(
        one(2_494_100),
        U,
        Reason::NumberMaintenance,
        Scope::Number,
        backoff(MINUTE, Duration::from_secs(300), u32::MAX),
    ),
];

/// Returns the failure that a code of the provider stands for.
///
/// An unknown code is tried again, at most three times, when the provider calls it transient.
#[must_use]
pub fn failure_of_code(code: i64, is_transient: bool) -> Failure {
    let provider_code = Some(format!("graph:{code}"));
    match TABLE.iter().find(|line| (line.first..=line.last).contains(&code)) {
        Some(line) => {
            Failure { class: line.class, reason: line.reason, scope: line.scope, retry: line.retry, provider_code }
        }
        None => Failure {
            class: U,
            reason: Reason::ProviderError,
            scope: Scope::Message,
            retry: if is_transient { THRICE } else { NEVER },
            provider_code,
        },
    }
}

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
        Ok(RefusedBody { error }) => failure_of_code(error.code, error.is_transient.unwrap_or(false)),
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
        provider_code: Some("net:connect".to_owned()),
    })
}

fn outcome_without_code(status: u16, retry_after: Option<Duration>) -> Outcome {
    let provider_code = Some(format!("http:{status}"));
    match status {
        429 => {
            let (scope, retry) = (Scope::Number, THROTTLE);
            let mut failure = Failure { class: L, reason: Reason::AppRateLimit, scope, retry, provider_code };
            respect_retry_after(&mut failure, retry_after);
            Outcome::Deferred(failure)
        }
        // A gateway on the way, or the provider itself, gave up: nobody knows how far it got.
        408 | 500..=599 => Outcome::Unknown(unknown_outcome(format!("http:{status}"))),
        _ => Outcome::Rejected(Failure {
            class: U,
            reason: Reason::ProviderError,
            scope: Scope::Message,
            retry: NEVER,
            provider_code,
        }),
    }
}

fn outcome_of_failure(failure: Failure) -> Outcome {
    match failure.retry {
        Retry::Never => Outcome::Rejected(failure),
        Retry::AfterReconcile => Outcome::Unknown(failure),
        Retry::Backoff { .. } | Retry::After(_) | Retry::AfterAction { .. } => Outcome::Deferred(failure),
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
    is_transient: Option<bool>,
}

#[cfg(test)]
mod tests;
