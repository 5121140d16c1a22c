//! Sessions: made, named, paced, removed.
//!
//! How they are connected is [`crate::service::pairing`].

use std::sync::Arc;

use crate::domain::id::{SessionId, TenantId};
use crate::domain::pacing::{LaneRules, Pacing, PacingProblem, PacingSettings};
use crate::domain::session::SessionState;
use crate::error::{Error, Problems, Result};
use crate::gateway::connector::Connector;
use crate::notice::Notice;
use crate::service::Tools;
use crate::service::check::check_name;
use crate::store::sessions::{SessionChange as StoredChange, SessionRecord};

/// Characters of a session's name, at most.
const NAME_CHARS_MAX: usize = 100;
/// Digits of a provider's number id, at most; those in use have 15 to 17.
const PHONE_NUMBER_ID_DIGITS_MAX: usize = 32;

/// Settings of sessions.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// Pacing of sessions that set none of their own.
    pub default_pacing: Pacing,
    /// Gives a session that connects without a provider's number id one of its own; for the simulator.
    pub assigns_phone_number_id: bool,
}

/// A session to make.
#[derive(Debug, Clone, Default)]
pub struct NewSession {
    /// What people call it; 1 to 100 characters.
    pub name: String,
    /// The provider's own name of the number, if known.
    pub phone_number_id: Option<String>,
    /// Pacing of its own.
    pub pacing: PacingChange,
}

/// A change of pacing; what is none stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PacingChange {
    /// Steady rate, sends per minute.
    pub rate_per_minute: Option<f64>,
    /// Sends at once after a rest.
    pub burst: Option<u32>,
}

/// A change of a session; what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionChange {
    /// What people call it; 1 to 100 characters.
    pub name: Option<String>,
    /// Its pacing.
    pub pacing: PacingChange,
}

/// Makes and connects sessions.
#[derive(Debug, Clone)]
pub struct SessionService {
    pub(super) tools: Tools,
    pub(super) settings: SessionSettings,
    pub(super) connector: Arc<dyn Connector>,
}

impl SessionService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools, settings: SessionSettings, connector: Arc<dyn Connector>) -> Self {
        Self { tools, settings, connector }
    }

    /// Returns the pacing of sessions that have none of their own.
    #[must_use]
    pub fn default_pacing(&self) -> Pacing {
        self.settings.default_pacing
    }

    /// Returns the pacing that a session has: its own, its profile's or the default.
    #[must_use]
    pub fn pacing_of(&self, session: &SessionRecord) -> Pacing {
        LaneRules::resolve(&session.settings(), self.settings.default_pacing, session.pacing_version).pacing
    }

    /// Makes a session; it is disconnected.
    ///
    /// # Errors
    /// `Validation`; `Conflict` on `phoneNumberId` when another session of the tenant has it.
    pub async fn create(&self, tenant_id: TenantId, new: NewSession) -> Result<SessionRecord> {
        let mut problems = Problems::default();
        let name = check_name("name", &new.name, NAME_CHARS_MAX, &mut problems);
        if new.phone_number_id.as_deref().is_some_and(|id| !is_phone_number_id(id)) {
            let form = format!("must be 1 to {PHONE_NUMBER_ID_DIGITS_MAX} digits");
            problems.push("phoneNumberId", form);
        }
        self.check_pacing(new.pacing, &mut problems);
        problems.check()?;
        let session = SessionRecord {
            id: SessionId::generate(),
            tenant_id,
            name,
            state: SessionState::Disconnected,
            state_reason: None,
            phone_number: None,
            phone_number_id: new.phone_number_id,
            rate_per_minute: new.pacing.rate_per_minute,
            burst: new.pacing.burst,
            pacing: PacingSettings::default(),
            pacing_version: 1,
            created_at_ms: self.tools.clock.now().as_ms(),
        };
        if !self.tools.store.sessions().insert(&session).await?? {
            let message = "Another session has this phone number id.".into();
            return Err(Error::Conflict { message, field: Some("phoneNumberId") });
        }
        self.tools.notices.tell(Notice::SessionChanged(session.id));
        Ok(session)
    }

    /// Changes a session's name and pacing; a new pace holds from the next send on.
    ///
    /// # Errors
    /// `Validation`; `NotFound`.
    pub async fn update(&self, tenant_id: TenantId, id: SessionId, change: SessionChange) -> Result<SessionRecord> {
        let sessions = self.tools.store.sessions();
        let session = sessions.find(tenant_id, id).await?.ok_or(Error::NotFound("session"))?;
        let mut problems = Problems::default();
        let name = change.name.map(|name| check_name("name", &name, NAME_CHARS_MAX, &mut problems));
        let merged = PacingChange {
            rate_per_minute: change.pacing.rate_per_minute.or(session.rate_per_minute),
            burst: change.pacing.burst.or(session.burst),
        };
        self.check_pacing(merged, &mut problems);
        problems.check()?;
        let PacingChange { rate_per_minute, burst } = change.pacing;
        if !sessions.update(tenant_id, id, StoredChange { name, rate_per_minute, burst }).await? {
            return Err(Error::NotFound("session"));
        }
        self.tools.notices.tell(Notice::SessionChanged(id));
        sessions.find(tenant_id, id).await?.ok_or(Error::NotFound("session"))
    }

    fn paced(&self, own: PacingChange) -> Result<Pacing, PacingProblem> {
        let default = self.settings.default_pacing;
        let rate_per_minute = own.rate_per_minute.unwrap_or_else(|| default.rate_per_minute());
        Pacing::new(rate_per_minute, own.burst.unwrap_or_else(|| default.burst().get()))
    }

    fn check_pacing(&self, own: PacingChange, problems: &mut Problems) {
        let rate_only = PacingChange { burst: Some(1), ..own };
        let burst_only = PacingChange { rate_per_minute: None, ..own };
        for (field, part) in [("ratePerMinute", rate_only), ("burst", burst_only)] {
            if let Err(problem) = self.paced(part) {
                problems.push(field, problem.to_string());
            }
        }
    }
}

fn is_phone_number_id(text: &str) -> bool {
    (1..=PHONE_NUMBER_ID_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Makes 15 digits out of a session's id, for a provider that takes any number.
pub(super) fn phone_number_id_of(id: SessionId) -> String {
    let (_, random) = id.0.as_u64_pair();
    let digits = 100_000_000_000_000 + random % 900_000_000_000_000;
    digits.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assigned_numbers_have_fifteen_digits() {
        for _ in 0..1_000 {
            let assigned = phone_number_id_of(SessionId::generate());
            assert_eq!(assigned.len(), 15);
            assert!(is_phone_number_id(&assigned));
        }
    }
}
