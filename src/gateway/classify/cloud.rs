//! What the codes of the Cloud API mean (Meta: support/error-codes and the pages it links to).
//!
//! The rows and the reactions are data; nothing is decided here.

use std::time::Duration;

use super::table::{
    ACCOUNT_ACTION, FAIL, HOUR, LOST, Line, MINUTE, NUMBER_ACTION, OVERLOAD, Reaction, THRICE, THROTTLE, TRY_THRICE,
    backoff, find, line, one, range, with_subcode,
};
use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};

use FailureClass::{LimitExceeded as L, WhatsappUnavailable as U};

/// Waits of 4^X seconds as documented (Meta: about the platform, pair rate limits): five of them span 341 s, more than the
/// 270 s that a full burst of 45 repays.
const PAIR_WAITS: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(16),
    Duration::from_secs(64),
    Duration::from_secs(256),
    Duration::from_secs(300),
];

const PAIR: Reaction = Reaction(Retry::Steps { waits: PAIR_WAITS, attempts_max: 10 }, Handling::HoldPair);
const THROUGHPUT: Reaction = Reaction(THROTTLE, Handling::Throttle);
const DOWN: Reaction = Reaction(OVERLOAD, Handling::HoldAccount);
const TOO_MANY_CALLS: Reaction = Reaction(backoff(MINUTE, Duration::from_secs(900), u32::MAX), Handling::HoldAccount);
const MAINTENANCE: Reaction = Reaction(backoff(MINUTE, Duration::from_secs(300), u32::MAX), Handling::HoldLane);
/// Lifted by the provider after hours, never minutes.
const SPAM: Reaction = Reaction(Retry::AfterAction { probe: HOUR }, Handling::HoldBusinessInitiated);
const UNTIL_LIFTED: Reaction = Reaction(Retry::AfterAction { probe: HOUR }, Handling::HoldAccount);
const RECENTLY_DELETED: Reaction = Reaction(Retry::After(Duration::from_secs(300)), Handling::HoldLane);
const REGISTRATIONS: Reaction = Reaction(Retry::AfterAction { probe: HOUR }, Handling::HoldLane);
const TEMPLATE_PAUSE: Reaction = Reaction(Retry::AfterAction { probe: HOUR }, Handling::HoldStream);
const TEMPLATE_SYNC: Reaction = Reaction(Retry::After(Duration::from_secs(600)), Handling::HoldStream);
/// Ten messages an hour, so the hour must pass.
const FLOW: Reaction = Reaction(Retry::After(HOUR), Handling::HoldStream);

/// All codes, ascending; a code with a subcode stands right after the code alone.
pub(super) const TABLE: &[Line] = &[
    line(one(0), U, Reason::AuthInvalid, Scope::App, ACCOUNT_ACTION),
    line(one(1), U, Reason::ProviderError, Scope::Message, TRY_THRICE),
    line(one(2), U, Reason::ProviderUnavailable, Scope::Platform, DOWN),
    line(one(3), U, Reason::PermissionDenied, Scope::App, ACCOUNT_ACTION),
    line(one(4), L, Reason::AppRateLimit, Scope::App, TOO_MANY_CALLS),
    line(one(10), U, Reason::PermissionDenied, Scope::App, ACCOUNT_ACTION),
    line(one(33), U, Reason::NumberGone, Scope::Number, LOST),
    line(one(100), U, Reason::RequestRejected, Scope::Message, FAIL),
    // Of a send that is the number in its path; a template has a code of its own.
    line(with_subcode(100, 33), U, Reason::ObjectMissing, Scope::Number, NUMBER_ACTION),
    line(one(104), U, Reason::AuthInvalid, Scope::App, ACCOUNT_ACTION),
    line(one(190), U, Reason::AuthInvalid, Scope::App, ACCOUNT_ACTION),
    // Expired, where the others are wrong or withdrawn: kept, because a fresh token is all it takes.
    line(with_subcode(190, 463), U, Reason::AuthInvalid, Scope::App, ACCOUNT_ACTION),
    line(range(200, 299), U, Reason::PermissionDenied, Scope::App, ACCOUNT_ACTION),
    line(one(368), U, Reason::AccountRestricted, Scope::Account, ACCOUNT_ACTION),
    line(range(80_007, 80_008), L, Reason::AccountRateLimit, Scope::Account, TOO_MANY_CALLS),
    line(one(130_403), U, Reason::RecipientBlockedByUs, Scope::Recipient, FAIL),
    line(one(130_429), L, Reason::Throughput, Scope::Number, THROUGHPUT),
    line(one(130_472), U, Reason::RecipientExperiment, Scope::Recipient, FAIL),
    line(one(130_497), U, Reason::CountryRestricted, Scope::Recipient, FAIL),
    line(one(131_000), U, Reason::ProviderError, Scope::Message, TRY_THRICE),
    line(one(131_005), U, Reason::PermissionDenied, Scope::App, ACCOUNT_ACTION),
    line(range(131_008, 131_009), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(131_016), U, Reason::ProviderUnavailable, Scope::Platform, DOWN),
    line(one(131_021), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(131_026), U, Reason::RecipientUnreachable, Scope::Recipient, FAIL),
    line(one(131_030), U, Reason::RecipientNotAllowed, Scope::Recipient, FAIL),
    line(one(131_031), U, Reason::AccountLocked, Scope::Account, ACCOUNT_ACTION),
    line(one(131_037), U, Reason::NumberNotReady, Scope::Number, NUMBER_ACTION),
    line(one(131_042), U, Reason::BillingBlocked, Scope::Account, ACCOUNT_ACTION),
    line(one(131_045), U, Reason::NumberNotReady, Scope::Number, NUMBER_ACTION),
    line(one(131_047), U, Reason::WindowClosed, Scope::Recipient, FAIL),
    line(one(131_048), L, Reason::SpamRateLimit, Scope::Number, SPAM),
    // Never by itself: even after 24 h it may still hold, and others are not concerned.
    line(one(131_049), L, Reason::UserMarketingCap, Scope::Recipient, FAIL),
    line(one(131_050), U, Reason::RecipientOptedOut, Scope::Recipient, FAIL),
    line(one(131_051), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(131_052), U, Reason::InboundMedia, Scope::Message, FAIL),
    line(one(131_053), U, Reason::MediaRejected, Scope::Message, FAIL),
    line(one(131_055), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(131_056), L, Reason::PairRateLimit, Scope::Pair, PAIR),
    line(one(131_057), U, Reason::NumberMaintenance, Scope::Number, MAINTENANCE),
    line(one(131_058), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(131_063), U, Reason::TemplateUnavailable, Scope::Template, FAIL),
    line(one(131_064), L, Reason::ClassificationLimit, Scope::Account, UNTIL_LIFTED),
    line(one(132_000), U, Reason::TemplateParams, Scope::Message, FAIL),
    line(one(132_001), U, Reason::TemplateUnavailable, Scope::Template, FAIL),
    line(one(132_005), U, Reason::TemplateParams, Scope::Message, FAIL),
    line(one(132_007), U, Reason::TemplateUnavailable, Scope::Template, FAIL),
    line(one(132_012), U, Reason::TemplateParams, Scope::Message, FAIL),
    line(one(132_015), U, Reason::TemplatePaused, Scope::Template, TEMPLATE_PAUSE),
    line(one(132_016), U, Reason::TemplateUnavailable, Scope::Template, FAIL),
    line(one(132_018), U, Reason::TemplateParams, Scope::Message, FAIL),
    line(one(132_068), U, Reason::TemplateUnavailable, Scope::Template, FAIL),
    line(one(132_069), L, Reason::FlowThrottled, Scope::Template, FLOW),
    line(one(133_000), U, Reason::NumberNotReady, Scope::Number, NUMBER_ACTION),
    line(one(133_004), U, Reason::ProviderUnavailable, Scope::Platform, DOWN),
    line(range(133_005, 133_006), U, Reason::NumberNotReady, Scope::Number, NUMBER_ACTION),
    line(range(133_008, 133_009), L, Reason::PinAttempts, Scope::Number, NUMBER_ACTION),
    line(one(133_010), U, Reason::NumberNotReady, Scope::Number, NUMBER_ACTION),
    line(one(133_015), U, Reason::NumberNotReady, Scope::Number, RECENTLY_DELETED),
    line(one(133_016), L, Reason::RegistrationAttempts, Scope::Number, REGISTRATIONS),
    line(one(134_011), U, Reason::AccountActionRequired, Scope::Account, ACCOUNT_ACTION),
    line(one(134_100), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(134_101), U, Reason::TemplatePaused, Scope::Template, TEMPLATE_SYNC),
    line(one(134_102), U, Reason::TemplateUnavailable, Scope::Template, FAIL),
    line(one(135_000), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(136_024), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(range(200_005, 200_007), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(2_388_019), L, Reason::TemplateCount, Scope::Account, ACCOUNT_ACTION),
    // Formats of templates.
    line(range(2_388_039, 2_388_040), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(2_388_047), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(range(2_388_072, 2_388_073), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(2_388_293), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(2_388_299), U, Reason::RequestRejected, Scope::Message, FAIL),
    line(one(2_494_100), U, Reason::NumberMaintenance, Scope::Number, MAINTENANCE),
    line(range(2_593_107, 2_593_108), U, Reason::RequestRejected, Scope::Message, FAIL),
];

/// Returns the failure that a code of the Cloud API stands for.
///
/// An unknown code is tried again, at most three times, when the provider calls it transient.
#[must_use]
pub fn failure_of_code(code: i64, subcode: Option<i64>, is_transient: bool) -> Failure {
    match find(TABLE, code, subcode) {
        Some(line) => line.failure(match line.subcode {
            Some(subcode) => format!("graph:{code}/{subcode}"),
            None => format!("graph:{code}"),
        }),
        None => {
            let (retry, handling) =
                if is_transient { (THRICE, Handling::RetryMessage) } else { (Retry::Never, Handling::FailMessage) };
            let (class, reason, scope) = (U, Reason::ProviderError, Scope::Message);
            Failure { class, reason, scope, retry, handling, provider_code: Some(format!("graph:{code}")) }
        }
    }
}
