//! The connections of sessions: asked for, paired, closed, and told about by the provider's side.
//!
//! Speaks to no provider itself; a [`Connector`](crate::gateway::connector::Connector) does. What a person asks for holds
//! here before the provider's side is asked, so that nothing is sent whatever that says.

use crate::domain::failure::Reason;
use crate::domain::id::{SessionId, TenantId};
use crate::domain::message::MESSAGE_ID_CHARS_MAX;
use crate::domain::recipient::{Recipient, RecipientKind};
use crate::domain::session::{SessionEvent, SessionState};
use crate::domain::session_change::SessionNews;
use crate::error::{Error, Result};
use crate::gateway::connector::{Connection, DeviceNews, DeviceStanding, Link, QrCode, Refusal};
use crate::limits::CHANGE_TRIES_MAX;
use crate::notice::Notice;
use crate::service::SessionService;
use crate::service::sessions::phone_number_id_of;
use crate::store::session_events::SessionMove;
use crate::store::session_qrs::SessionQr;
use crate::store::sessions::SessionRecord;

pub use crate::gateway::connector::{ChatGroup, PairingCode};

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotOffered(sentence) => Self::conflict(sentence),
            Refusal::Refused(sentence) => Self::WhatsappUnavailable(sentence),
        }
    }
}

/// A pairing whose code has so many milliseconds left was not given up: half of what a code lives.
const QR_NOT_OVER_MS: i64 = 10_000;

/// Whether a number is on WhatsApp.
#[derive(Debug, Clone)]
pub struct CheckedNumber {
    /// The number.
    pub phone: Recipient,
    /// Whether it is.
    pub is_on_whatsapp: bool,
}

impl SessionService {
    /// Connects a session, or does nothing when it is connected; one that is not paired gets a code to be scanned.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is banned; `WhatsappUnavailable` when the provider refuses.
    pub async fn connect(&self, tenant_id: TenantId, id: SessionId) -> Result<SessionRecord> {
        let sessions = self.tools.store.sessions();
        for _ in 0..CHANGE_TRIES_MAX {
            let mut session = self.find(tenant_id, id).await?;
            match session.state {
                SessionState::Connected | SessionState::Reconnecting => return Ok(session),
                SessionState::Banned => return Err(banned()),
                _ => {}
            }
            if session.phone_number_id.is_none() && self.settings.assigns_phone_number_id {
                let assigned = phone_number_id_of(id);
                sessions.assign_number(tenant_id, id, &assigned).await?;
                session.phone_number_id = Some(assigned);
            }
            let connection = self.connector.connect(&link_of(&session)).await?;
            if self.connecting(&session, connection).await? {
                return self.find(tenant_id, id).await;
            }
        }
        Err(changed_meanwhile())
    }

    /// Closes the connection of a session and keeps its pairing; does nothing when it is closed.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is banned; `WhatsappUnavailable` when messages wait, and the provider's side did not
    /// close the connection.
    pub async fn disconnect(&self, tenant_id: TenantId, id: SessionId) -> Result<SessionRecord> {
        let session = self.ask(tenant_id, id, SessionEvent::DisconnectAsked).await?;
        self.connector.disconnect(&link_of(&session)).await?;
        Ok(session)
    }

    /// Unlinks a session, which must be paired anew; does nothing when it is unlinked.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is banned; `WhatsappUnavailable` when nothing is sent any more, and the provider's
    /// side did not unlink it.
    pub async fn logout(&self, tenant_id: TenantId, id: SessionId) -> Result<SessionRecord> {
        let session = self.ask(tenant_id, id, SessionEvent::LoggedOut).await?;
        self.connector.log_out(&link_of(&session)).await?;
        Ok(session)
    }

    /// Closes the connection of a session and makes it anew.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is banned; `WhatsappUnavailable` when the provider refuses.
    pub async fn restart(&self, tenant_id: TenantId, id: SessionId) -> Result<SessionRecord> {
        self.disconnect(tenant_id, id).await?;
        self.connect(tenant_id, id).await
    }

    /// Removes a session: it is unlinked, and nobody is shown it any more.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while messages or campaigns wait for it; `WhatsappUnavailable` when the provider's side did
    /// not unlink it.
    pub async fn remove(&self, tenant_id: TenantId, id: SessionId) -> Result<()> {
        let (sessions, session) = (self.tools.store.sessions(), self.find(tenant_id, id).await?);
        let waiting = sessions.waiting_for(tenant_id, id).await?;
        if waiting.has_messages {
            return Err(Error::conflict("Messages wait for the session: cancel them or let them go first."));
        }
        if waiting.has_campaigns {
            return Err(Error::conflict("A campaign that is not over writes through the session: cancel it first."));
        }
        if session.state != SessionState::Banned {
            self.logout(tenant_id, id).await?;
        }
        let removed = sessions.remove(tenant_id, id, self.tools.clock.now().as_ms()).await?;
        if !removed {
            // Somebody else removed it, connected it again, or sent something through it.
            self.find(tenant_id, id).await?;
            return Err(changed_meanwhile());
        }
        self.tools.notices.tell(Notice::SessionChanged(id));
        Ok(())
    }

    /// Returns the code that a session waits to be paired by.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when no pairing is under way.
    pub async fn qr(&self, tenant_id: TenantId, id: SessionId) -> Result<SessionQr> {
        let session = self.find(tenant_id, id).await?;
        let now_ms = self.tools.clock.now().as_ms();
        let qr = self.tools.store.sessions().qr(tenant_id, id).await?;
        match (session.state, qr) {
            (SessionState::QrPending, Some(qr)) if now_ms < qr.expires_at_ms => Ok(qr),
            (SessionState::QrPending, _) => {
                Err(Error::conflict("The last QR code has expired; the next one comes within seconds."))
            }
            (SessionState::Connected | SessionState::Reconnecting, _) => {
                Err(Error::conflict("The session is paired: there is nothing to scan."))
            }
            _ => Err(Error::conflict("No pairing is under way: connect the session first.")),
        }
    }

    /// Gives out a code to be typed in on the phone of this number, and begins to pair if that is needed.
    ///
    /// # Errors
    /// `Validation` by the field `phoneNumber`; `NotFound`; `Conflict` when the session is paired or banned, or can not be
    /// paired so; `WhatsappUnavailable` when the provider refuses.
    pub async fn pairing_code(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        phone: &str,
    ) -> Result<(Recipient, PairingCode)> {
        let phone = phone_in("phoneNumber", phone)?;
        let session = self.find(tenant_id, id).await?;
        // Refused before a number of the Cloud API is connected by this.
        let session = if session.phone_number_id.is_some() { session } else { self.connect(tenant_id, id).await? };
        if matches!(session.state, SessionState::Connected | SessionState::Reconnecting)
            && session.phone_number_id.is_none()
        {
            return Err(Error::conflict("The session is paired already; log it out first."));
        }
        let code = self.connector.pairing_code(&link_of(&session), &phone).await?;
        Ok((phone, code))
    }

    /// Tells whether a number is on WhatsApp, asked through a session.
    ///
    /// # Errors
    /// `Validation` by the field `phone`; `NotFound`; `Conflict` when the session is not connected or can not tell;
    /// `WhatsappUnavailable` while it is being connected again, and when the provider refuses.
    pub async fn check_number(&self, tenant_id: TenantId, id: SessionId, phone: &str) -> Result<CheckedNumber> {
        let phone = phone_in("phone", phone)?;
        let link = self.connected(tenant_id, id).await?;
        let is_on_whatsapp = self.connector.check_number(&link, &phone).await?;
        Ok(CheckedNumber { phone, is_on_whatsapp })
    }

    /// Says at the provider that a message that somebody wrote to a session was read, and with `types` that an answer is being
    /// written.
    ///
    /// # Errors
    /// As [`Self::check_number`], `Validation` by the field `messageId`.
    pub async fn mark_read(&self, tenant_id: TenantId, id: SessionId, message_id: &str, types: bool) -> Result<()> {
        let is_id = message_id.bytes().all(|byte| byte.is_ascii_graphic());
        if !(1..=MESSAGE_ID_CHARS_MAX).contains(&message_id.len()) || !is_id {
            return Err(Error::invalid("messageId", "must be the provider's name of a message that somebody wrote"));
        }
        let link = self.connected(tenant_id, id).await?;
        Ok(self.connector.mark_read(&link, message_id, types).await?)
    }

    /// Lists the group chats of a session.
    ///
    /// # Errors
    /// As [`Self::check_number`], without `Validation`.
    pub async fn groups(&self, tenant_id: TenantId, id: SessionId) -> Result<Vec<ChatGroup>> {
        let link = self.connected(tenant_id, id).await?;
        Ok(self.connector.groups(&link).await?)
    }

    /// Notes what the provider's side has told about a session; nothing when that changes nothing.
    ///
    /// # Errors
    /// `Store` when it was not noted; `Conflict` when others changed it all the time.
    pub async fn report(&self, id: SessionId, event: SessionEvent, reason: Reason) -> Result<()> {
        for _ in 0..CHANGE_TRIES_MAX {
            let Some((tenant_id, from)) = self.tools.store.sessions().place_of(id).await? else { return Ok(()) };
            let Some(to) = from.apply(event) else { return Ok(()) };
            let reason = (to != SessionState::Connected).then(|| reason.as_str());
            if self.move_to(tenant_id, id, (from, to), (event, reason)).await? {
                return Ok(());
            }
        }
        Err(changed_meanwhile())
    }

    /// Notes how a linked device stands; nothing when that is known, or when it is about how it stood before it was last
    /// asked to connect.
    ///
    /// # Errors
    /// As [`Self::report`].
    pub async fn note_device(&self, news: DeviceNews) -> Result<()> {
        let DeviceNews { session_id: id, standing } = news;
        let sessions = self.tools.store.sessions();
        let Some((tenant_id, state)) = sessions.place_of(id).await? else { return Ok(()) };
        let is_pairing = matches!(state, SessionState::Connecting | SessionState::QrPending);
        let (event, reason) = match standing {
            DeviceStanding::QrPending(qr) => return self.note_qr(id, &qr).await,
            DeviceStanding::Connected { phone_number } => {
                if state.apply(SessionEvent::Connected).is_some() {
                    sessions.set_phone_number(tenant_id, id, phone_number.as_str()).await?;
                }
                (SessionEvent::Connected, Reason::SessionRestarting)
            }
            // A device that is being paired has no connection to lose, and nothing to be unlinked from; one that was paired
            // before and connects has.
            DeviceStanding::Reconnecting if is_pairing => return Ok(()),
            DeviceStanding::LoggedOut if is_pairing && !self.is_coming_back(tenant_id, id).await? => return Ok(()),
            DeviceStanding::Reconnecting => (SessionEvent::ConnectionLost, Reason::SessionDisconnected),
            DeviceStanding::LoggedOut => (SessionEvent::LoggedOut, Reason::SessionLoggedOut),
            DeviceStanding::Banned => (SessionEvent::Banned, Reason::AccountBanned),
            DeviceStanding::Replaced => (SessionEvent::Replaced, Reason::SessionReplaced),
            DeviceStanding::Disconnected if !is_pairing => return Ok(()),
            DeviceStanding::Disconnected => {
                let fresh_ms = self.tools.clock.now().as_ms() + QR_NOT_OVER_MS;
                if sessions.qr(tenant_id, id).await?.is_some_and(|qr| fresh_ms < qr.expires_at_ms) {
                    return Ok(());
                }
                (SessionEvent::ConnectionLost, Reason::SessionDisconnected)
            }
        };
        self.report(id, event, reason).await
    }

    /// Tells whether a session is asked to connect that was paired before.
    async fn is_coming_back(&self, tenant_id: TenantId, id: SessionId) -> Result<bool> {
        let session = self.tools.store.sessions().find(tenant_id, id).await?;
        Ok(session.is_some_and(|it| it.state == SessionState::Connecting && it.phone_number.is_some()))
    }

    async fn note_qr(&self, id: SessionId, qr: &QrCode) -> Result<()> {
        for _ in 0..CHANGE_TRIES_MAX {
            let Some((tenant_id, from)) = self.tools.store.sessions().place_of(id).await? else { return Ok(()) };
            // A session that nobody asked to connect shows no code.
            if !matches!(from, SessionState::Connecting | SessionState::QrPending)
                || self.issue_qr(tenant_id, id, from, qr).await?
            {
                return Ok(());
            }
        }
        Err(changed_meanwhile())
    }

    /// Notes what came of asking for a connection; `false` when the session changed meanwhile.
    async fn connecting(&self, session: &SessionRecord, connection: Connection) -> Result<bool> {
        let (tenant_id, id, from) = (session.tenant_id, session.id, session.state);
        let asked = after(from, SessionEvent::ConnectAsked);
        let (event, to) = match connection {
            Connection::QrPending(qr) => return self.issue_qr(tenant_id, id, from, &qr).await,
            Connection::Connecting => (SessionEvent::ConnectAsked, asked),
            Connection::Connected { phone_number } => {
                if let Some(phone_number) = phone_number {
                    self.tools.store.sessions().set_phone_number(tenant_id, id, phone_number.as_str()).await?;
                }
                (SessionEvent::Connected, after(asked, SessionEvent::Connected))
            }
        };
        Ok(to == from || self.move_to(tenant_id, id, (from, to), (event, None)).await?)
    }

    async fn issue_qr(&self, tenant_id: TenantId, id: SessionId, from: SessionState, qr: &QrCode) -> Result<bool> {
        let qr = SessionQr {
            code: qr.code.clone(),
            issued_at_ms: self.tools.clock.now().as_ms(),
            expires_at_ms: qr.expires_at.as_ms(),
        };
        let issued = self.tools.store.sessions().issue_qr(tenant_id, id, from, &qr).await?;
        if issued && from != SessionState::QrPending {
            self.tools.notices.tell(Notice::SessionChanged(id));
        }
        Ok(issued)
    }

    /// Does what a person asks of a session's connection.
    async fn ask(&self, tenant_id: TenantId, id: SessionId, event: SessionEvent) -> Result<SessionRecord> {
        for _ in 0..CHANGE_TRIES_MAX {
            let session = self.find(tenant_id, id).await?;
            if session.state == SessionState::Banned {
                return Err(banned());
            }
            let Some(to) = session.state.apply(event) else { return Ok(session) };
            if self.move_to(tenant_id, id, (session.state, to), (event, None)).await? {
                return self.find(tenant_id, id).await;
            }
        }
        Err(changed_meanwhile())
    }

    async fn move_to(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        (from, to): (SessionState, SessionState),
        (event, reason): (SessionEvent, Option<&'static str>),
    ) -> Result<bool> {
        let news = SessionNews::of(event, to);
        let step = SessionMove { from, to, news, reason, at_ms: self.tools.clock.now().as_ms() };
        let moved = self.tools.store.sessions().transition(tenant_id, id, &step).await?;
        if moved {
            self.tools.notices.tell(Notice::SessionChanged(id));
        }
        Ok(moved)
    }

    async fn find(&self, tenant_id: TenantId, id: SessionId) -> Result<SessionRecord> {
        self.tools.store.sessions().find(tenant_id, id).await?.ok_or(Error::NotFound("session"))
    }

    /// Returns a session through which something can be asked now.
    async fn connected(&self, tenant_id: TenantId, id: SessionId) -> Result<Link> {
        let session = self.find(tenant_id, id).await?;
        match session.state {
            SessionState::Connected => Ok(link_of(&session)),
            SessionState::Reconnecting => {
                Err(Error::WhatsappUnavailable("The session is being connected again; try later.".into()))
            }
            state => Err(Error::conflict(format!("The session is {}; connect it first.", state.as_str()))),
        }
    }
}

fn link_of(session: &SessionRecord) -> Link {
    Link { session_id: session.id, phone_number_id: session.phone_number_id.clone() }
}

/// Reads the number of a phone; other addresses have none.
fn phone_in(field: &'static str, text: &str) -> Result<Recipient> {
    let phone = Recipient::parse(text).map_err(|problem| Error::invalid(field, problem.to_string()))?;
    match phone.kind() {
        RecipientKind::Phone => Ok(phone),
        RecipientKind::Lid | RecipientKind::UserId => Err(Error::invalid(field, "Valid phone number is required.")),
    }
}

fn after(state: SessionState, event: SessionEvent) -> SessionState {
    state.apply(event).unwrap_or(state)
}

fn banned() -> Error {
    Error::conflict("The session is banned.")
}

fn changed_meanwhile() -> Error {
    Error::conflict("The session changed meanwhile.")
}
