//! Sessions: made, connected, paced.
//!
//! Speaks to no provider itself; a [`Connector`] does.

use std::fmt;
use std::sync::Arc;

use crate::domain::id::{SessionId, TenantId};
use crate::domain::pacing::Pacing;
use crate::error::Result;
use crate::service::Tools;
use crate::store::sessions::SessionRecord;

/// The gateway's side of connecting a session.
pub trait Connector: fmt::Debug + Send + Sync {
    /// Starts connecting; what comes later arrives as session events.
    fn connect(&self, session: &SessionRecord) -> ConnectOutcome;
}

/// What came of asking for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectOutcome {
    /// It can send.
    Connected,
    /// It is being connected.
    Connecting,
    /// A QR code waits to be scanned.
    QrPending,
    /// It can not be connected this way; the text is for people.
    Refused(String),
}

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

/// Makes and connects sessions.
#[derive(Debug, Clone)]
pub struct SessionService {
    tools: Tools,
    settings: SessionSettings,
    connector: Arc<dyn Connector>,
}

impl SessionService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools, settings: SessionSettings, connector: Arc<dyn Connector>) -> Self {
        Self {
            tools,
            settings,
            connector,
        }
    }

    /// Returns the pacing that a session has, its own or the default.
    #[must_use]
    pub fn pacing_of(&self, session: &SessionRecord) -> Pacing {
        unimplemented!("{session:?} {:?} {:?} {:?}", self.settings, self.connector, self.tools)
    }

    /// Makes a session; it is disconnected.
    ///
    /// # Errors
    /// `Validation`; `Conflict` on `phoneNumberId` when another session of the tenant has it.
    pub async fn create(&self, tenant_id: TenantId, new: NewSession) -> Result<SessionRecord> {
        unimplemented!("{tenant_id} {new:?}")
    }

    /// Connects a session, or does nothing when it is connected.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is banned; `WhatsappUnavailable` when the provider refuses.
    pub async fn connect(&self, tenant_id: TenantId, id: SessionId) -> Result<SessionRecord> {
        unimplemented!("{tenant_id} {id}")
    }

    /// Changes a session's pacing, from the next send on.
    ///
    /// # Errors
    /// `Validation`; `NotFound`.
    pub async fn update_pacing(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        change: PacingChange,
    ) -> Result<SessionRecord> {
        unimplemented!("{tenant_id} {id} {change:?}")
    }
}
