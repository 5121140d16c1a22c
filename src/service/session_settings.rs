//! Pacing settings of sessions: shown with what follows from them, and changed while the session sends.
//!
//! What is allowed stands in the rules of pacing; lanes are told by a notice and follow from the next send on.

use serde_json::{Map, Value};

use crate::domain::id::{SessionId, TenantId};
use crate::domain::pacing::{PacingSettings, SettingProblem};
use crate::error::{Error, Problems, Result};
use crate::limits::CHANGE_TRIES_MAX;
use crate::notice::Notice;
use crate::service::SessionService;
use crate::store::sessions::SessionRecord;

/// The pacing settings of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsOfSession {
    /// What it sets itself.
    pub own: PacingSettings,
    /// What holds: its own, filled from the profile and the default.
    pub effective: PacingSettings,
    /// One higher with each change.
    pub version: i64,
}

impl SessionService {
    /// Returns the pacing settings of a session.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn settings(&self, tenant_id: TenantId, id: SessionId) -> Result<SettingsOfSession> {
        let session = self.tools.store.sessions().find(tenant_id, id).await?.ok_or(Error::NotFound("session"))?;
        Ok(self.settings_of(&session))
    }

    /// Changes the pacing settings of a session: given fields replace, `null` removes, the others stay.
    ///
    /// # Errors
    /// `Validation` with every problem; `NotFound`; `Conflict` when somebody else changed them meanwhile, again
    /// and again.
    pub async fn change_settings(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        change: Map<String, Value>,
    ) -> Result<SettingsOfSession> {
        let sessions = self.tools.store.sessions();
        for _ in 0..CHANGE_TRIES_MAX {
            let session = sessions.find(tenant_id, id).await?.ok_or(Error::NotFound("session"))?;
            let own = session.settings();
            let changed = own.changed(change.clone()).map_err(refusal)?;
            if changed == own {
                return Ok(self.settings_of(&session));
            }
            if sessions.set_pacing(tenant_id, id, session.pacing_version, &changed).await? {
                self.tools.notices.tell(Notice::SessionChanged(id));
                return self.settings(tenant_id, id).await;
            }
        }
        Err(Error::conflict("The settings changed meanwhile."))
    }

    fn settings_of(&self, session: &SessionRecord) -> SettingsOfSession {
        let own = session.settings();
        let pacing = self.pacing_of(session);
        let mut effective = own.with_profile();
        effective.rate_per_minute.get_or_insert(pacing.rate_per_minute());
        effective.burst.get_or_insert(pacing.burst().get());
        SettingsOfSession { own, effective, version: session.pacing_version }
    }
}

fn refusal(found: Vec<SettingProblem>) -> Error {
    let mut problems = Problems::default();
    for problem in found {
        problems.push(problem.field, problem.rule);
    }
    problems.check().err().unwrap_or(Error::conflict("The settings can not be read."))
}
