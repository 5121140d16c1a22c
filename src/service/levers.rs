//! Operators' levers: hold back a lane, a session, a tenant or everything, and let it go on.
//!
//! Writes what is wanted and nudges the daemon; the lanes hold. Who is an operator is asked before.

use std::time::Duration;

use crate::clock::Moment;
use crate::domain::id::UserId;
use crate::domain::lever::Lever;
use crate::error::{Error, Problems, Result};
use crate::notice::{Notice, Notices};
use crate::service::Tools;
use crate::service::check::check_name;
use crate::store::audit::Actor;
use crate::store::suspensions::Suspension;

/// Characters of a reason, at most.
const REASON_CHARS_MAX: usize = 200;

/// Longest time limit: a year; whoever wants longer gives none.
const FOR_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// What is to be held back, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewSuspension {
    /// Why; 1 to 200 characters, without anybody's data.
    pub reason: String,
    /// Until when; none and no `for_seconds`: until somebody resumes it.
    pub until: Option<Moment>,
    /// For how long from now, instead of `until`.
    pub for_seconds: Option<u64>,
}

/// Pulls levers.
#[derive(Debug, Clone)]
pub struct LeverService {
    tools: Tools,
}

impl LeverService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Holds something back; what is held back already gets the new reason and end.
    ///
    /// # Errors
    /// `Validation` by the fields `reason`, `until`, `forSeconds`; `NotFound`.
    pub async fn suspend(&self, lever: Lever, new: NewSuspension, by: (UserId, &Actor)) -> Result<Suspension> {
        let now = self.tools.clock.now();
        let mut problems = Problems::default();
        let reason = check_name("reason", &new.reason, REASON_CHARS_MAX, &mut problems);
        let until = end_of(&new, now, &mut problems);
        problems.check()?;
        let wanted =
            Suspension { lever, reason, suspended_by: by.0, since_ms: now.as_ms(), until_ms: until.map(Moment::as_ms) };
        let suspended = self.tools.store.suspend(&wanted, by.1).await?.ok_or_else(|| not_found(lever))?;
        tell(&self.tools.notices, lever);
        Ok(suspended)
    }

    /// Lets something go on; does nothing when it is not held back.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn resume(&self, lever: Lever, actor: &Actor) -> Result<()> {
        let now_ms = self.tools.clock.now().as_ms();
        let was_held = self.tools.store.resume(lever, actor, now_ms).await?.ok_or_else(|| not_found(lever))?;
        if was_held {
            tell(&self.tools.notices, lever);
        }
        Ok(())
    }

    /// Removes suspensions whose time is over; for the daemon, on a beat. Lanes know their ends by themselves.
    ///
    /// # Errors
    /// `Store` when nothing was removed.
    pub async fn end_overdue(&self) -> Result<()> {
        for lever in self.tools.store.end_suspensions(self.tools.clock.now().as_ms()).await? {
            tell(&self.tools.notices, lever);
        }
        Ok(())
    }
}

fn tell(notices: &Notices, lever: Lever) {
    notices.tell(match lever {
        Lever::Everything => Notice::LanesChanged,
        Lever::Tenant(tenant_id) => Notice::TenantChanged(tenant_id),
        Lever::Session(session_id) | Lever::Lane(session_id) => Notice::SessionChanged(session_id),
    });
}

fn not_found(lever: Lever) -> Error {
    Error::NotFound(match lever {
        Lever::Tenant(_) => "tenant",
        Lever::Session(_) | Lever::Lane(_) | Lever::Everything => "session",
    })
}

fn end_of(new: &NewSuspension, now: Moment, problems: &mut Problems) -> Option<Moment> {
    let most = now + FOR_MAX;
    match (new.until, new.for_seconds) {
        (Some(_), Some(_)) => {
            problems.push("forSeconds", "must not be given together with until");
            None
        }
        (Some(until), None) => {
            if until <= now || most < until {
                problems.push("until", "must be in the future, within a year");
            }
            Some(until)
        }
        (None, Some(seconds)) => {
            if seconds == 0 || FOR_MAX.as_secs() < seconds {
                problems.push("forSeconds", format!("must be 1 to {}", FOR_MAX.as_secs()));
            }
            Some(now + Duration::from_secs(seconds.min(FOR_MAX.as_secs())))
        }
        (None, None) => None,
    }
}
