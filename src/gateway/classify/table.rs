//! The form in which failure tables are written: one line per code, with everything that follows from it.
//!
//! Which code means what stands in the tables of each kind of provider.

use std::time::Duration;

use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A failure's retry rule and handling, which are chosen together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaction(pub(super) Retry, pub(super) Handling);

pub(super) const fn backoff(first: Duration, longest: Duration, attempts_max: u32) -> Retry {
    Retry::Backoff { first, longest, attempts_max }
}

/// A person has to act: looked at again once a minute, which costs one message's attempt.
const ACTION: Retry = Retry::AfterAction { probe: MINUTE };
pub(super) const OVERLOAD: Retry = backoff(Duration::from_secs(2), Duration::from_secs(300), u32::MAX);
pub(super) const THROTTLE: Retry = backoff(SECOND, MINUTE, u32::MAX);
pub(super) const THRICE: Retry = backoff(SECOND, MINUTE, 3);

/// The message will never do.
pub(super) const FAIL: Reaction = Reaction(Retry::Never, Handling::FailMessage);
/// The provider does not know either.
pub(super) const TRY_THRICE: Reaction = Reaction(THRICE, Handling::RetryMessage);
/// The number, or whoever owns it, must be seen to.
pub(super) const NUMBER_ACTION: Reaction = Reaction(ACTION, Handling::HoldLane);
/// The account, the app or its token must be seen to.
pub(super) const ACCOUNT_ACTION: Reaction = Reaction(ACTION, Handling::HoldAccount);
/// Somebody must connect the session again; that is waited for, and nothing is tried.
pub(super) const CLOSED: Reaction = Reaction(ACTION, Handling::CloseSession);
/// The session or number is gone.
pub(super) const LOST: Reaction = Reaction(ACTION, Handling::LoseSession);

/// One line of a failure table: codes from first to last, with this subcode if one is named, have this meaning.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) subcode: Option<i64>,
    class: FailureClass,
    reason: Reason,
    scope: Scope,
    reaction: Reaction,
}

/// The codes of a line.
pub(super) struct Codes(i64, i64, Option<i64>);

pub(super) const fn one(code: i64) -> Codes {
    Codes(code, code, None)
}

pub(super) const fn range(first: i64, last: i64) -> Codes {
    Codes(first, last, None)
}

/// A code whose subcode changes what it means, or is worth keeping.
pub(super) const fn with_subcode(code: i64, subcode: i64) -> Codes {
    Codes(code, code, Some(subcode))
}

pub(super) const fn line(codes: Codes, class: FailureClass, reason: Reason, scope: Scope, reaction: Reaction) -> Line {
    Line { first: codes.0, last: codes.1, subcode: codes.2, class, reason, scope, reaction }
}

impl Line {
    /// Returns the failure of this line under the provider's own name of it.
    pub(super) fn failure(&self, provider_code: String) -> Failure {
        let Reaction(retry, handling) = self.reaction;
        let (class, reason, scope) = (self.class, self.reason, self.scope);
        Failure { class, reason, scope, retry, handling, provider_code: Some(provider_code) }
    }
}

/// Returns the line of a code: the one that names its subcode, else the one that names none.
pub(super) fn find(table: &[Line], code: i64, subcode: Option<i64>) -> Option<&Line> {
    let of_code = |line: &&Line| (line.first..=line.last).contains(&code);
    let exact = table.iter().find(|line| of_code(line) && line.subcode.is_some() && line.subcode == subcode);
    exact.or_else(|| table.iter().find(|line| of_code(line) && line.subcode.is_none()))
}
