//! What a service refuses or fails with.
//!
//! Transport-neutral: how a caller is told, over HTTP or on a terminal, is not decided here. A
//! variant does not print its cause; whoever logs prints the whole chain once.

use std::borrow::Cow;
use std::time::Duration;

use crate::domain::api_key::Scope;
use crate::domain::campaign;
use crate::domain::id::CampaignId;
use crate::domain::plan::Meter;
use crate::store::StoreError;
use crate::store::plan_usage::PlanRefusal;

/// What every service answers with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was given breaks rules; every problem at once, at most [`PROBLEMS_MAX`].
    #[error("{} field(s) are not valid", .0.len())]
    Validation(Vec<Problem>),
    /// It is not there, or belongs to another tenant; names the kind of thing.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The present state refuses it; the message is for people.
    #[error("{message}")]
    Conflict {
        /// What stands in the way.
        message: Cow<'static, str>,
        /// The field whose value is taken, if it is about one.
        field: Option<&'static str>,
    },
    /// Nobody we know, or no longer.
    #[error("the credentials are missing, wrong or expired")]
    Unauthorized,
    /// Known, and not allowed.
    #[error("the role does not allow this")]
    Forbidden,
    /// The key has not the scope that this takes.
    #[error("the key lacks the scope {}", .0.as_str())]
    ScopeMissing(Scope),
    /// The key is not to be used from where it was used.
    #[error("the key is not for this address")]
    AddressRefused,
    /// The subscription is not active; only what sends or makes something is refused for it.
    #[error("the subscription is not active")]
    SubscriptionInactive,
    /// The plan has no more of it.
    #[error("the plan has no {} left", .0.as_str())]
    LimitExceeded(Meter),
    /// Too often; may be asked again after the wait.
    #[error("too many requests")]
    RateLimited {
        /// Wait before the next request.
        retry_after: Duration,
    },
    /// The session or the provider can not do it now; the message is for people.
    #[error("{0}")]
    WhatsappUnavailable(Cow<'static, str>),
    /// This daemon can not do it now: overloaded or draining; says what is short.
    #[error("{0} is not available now")]
    Unavailable(&'static str),
    /// The database did not do its work.
    #[error("the store failed")]
    Store(#[source] StoreError),
    /// Something that should not happen; completes "could not …".
    #[error("could not {doing}")]
    Internal {
        /// What was being done.
        doing: &'static str,
        /// Why it did not work.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Problems that one answer lists, at most.
pub const PROBLEMS_MAX: usize = 100;

/// One rule that what was given breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field by its documented name: `email`, `recipients[3].phone`.
    pub field: Cow<'static, str>,
    /// What is wrong with it, as a sentence for people.
    pub problem: Cow<'static, str>,
}

/// Collects problems until the body has been looked at as a whole.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a problem, unless [`PROBLEMS_MAX`] are noted already.
    pub fn push(&mut self, field: impl Into<Cow<'static, str>>, problem: impl Into<Cow<'static, str>>) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(Problem { field: field.into(), problem: problem.into() });
        }
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an error if there is any problem.
    ///
    /// # Errors
    /// [`Error::Validation`] with all of them.
    pub fn check(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Validation(self.0)) }
    }
}

impl Error {
    /// Makes the refusal of one field.
    pub fn invalid(field: impl Into<Cow<'static, str>>, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Validation(vec![Problem { field: field.into(), problem: problem.into() }])
    }

    /// Makes a conflict with the present state.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Conflict { message: message.into(), field: None }
    }

    /// Makes the refusal of a field by the present state.
    pub fn conflict_of(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Conflict { message: message.into(), field: Some(field) }
    }

    /// Makes the failure of something that should not fail; `doing` completes "could not …".
    pub fn internal<E>(doing: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Internal { doing, source: source.into() }
    }

    /// Tells whether it is certain that nothing was changed, whoever is to blame.
    ///
    /// What the database fails with says so of one transaction, and what was asked may take several.
    #[must_use]
    pub fn changed_nothing(&self) -> bool {
        !matches!(self, Self::Store(_) | Self::Internal { .. })
    }

    /// Tells whether the same request may work later without anybody changing anything.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::RateLimited { .. } => true,
            Self::Store(error) => error.is_outage(),
            _ => false,
        }
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        Self::Store(source)
    }
}

impl From<campaign::Refused> for Error {
    fn from(refused: campaign::Refused) -> Self {
        Self::conflict(format!(
            "The campaign is {}, so it can not be {}.",
            refused.from.as_str(),
            refused.event.as_str()
        ))
    }
}

impl From<PlanRefusal> for Error {
    fn from(refusal: PlanRefusal) -> Self {
        match refusal {
            PlanRefusal::Inactive => Self::SubscriptionInactive,
            PlanRefusal::Full(meter) => Self::LimitExceeded(meter),
        }
    }
}

/// What went wrong in work on campaign after campaign: one that fails must not stop those behind it.
#[derive(Debug, Default)]
pub struct Failures(Option<Error>);

impl Failures {
    /// Logs the failure of one campaign and keeps the first; returns the value where there is one.
    ///
    /// # Errors
    /// An outage, which concerns all that are left.
    pub fn note<T>(&mut self, campaign_id: CampaignId, doing: &'static str, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_outage() => Err(error),
            Err(error) => {
                tracing::warn!(campaign.id = %campaign_id, doing, error = chain(&error), "one campaign failed");
                self.0.get_or_insert(error);
                Ok(None)
            }
        }
    }

    /// Returns the first failure, if there was any.
    ///
    /// # Errors
    /// That failure.
    pub fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Writes an error with all its causes, for the one log line where it stops.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_kept_and_an_outage_stops_all() {
        let (id, mut failures) = (CampaignId::generate(), Failures::default());
        assert_eq!(failures.note(id, "look", Ok(7)).ok(), Some(Some(7)));
        for thing in ["first", "second"] {
            let failed = failures.note::<()>(id, "look", Err(Error::NotFound(thing)));
            assert_eq!(failed.ok(), Some(None));
        }
        assert!(failures.note::<()>(id, "look", Err(Error::Unavailable("the database"))).is_err());
        assert!(matches!(failures.into_result(), Err(Error::NotFound("first"))));
        assert!(Failures::default().into_result().is_ok());
    }
}
