//! One session: its client, how it stands, and what is asked of it.
//!
//! A client is started and stopped under one lock, so that there are never two with the same keys. Each has a number; what an
//! old one still tells is not listened to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;
use whatsapp_rust::pair_code::PairCodeOptions;
use whatsapp_rust::prelude::*;

use super::checks::Budget;
use super::events::Listener;
use super::{Refusal, Shared};
use crate::clock::now_ms;
use crate::data::Known;
use crate::limits::{ASK_WAIT, PAIRING_CODE_KEPT, SENDS_MAX, SESSION_EVENTS_MAX};
use crate::wire::{Code, Device, State};

const NOT_CONNECTED: Refusal = Refusal::NotThere("The device is not connected.");
const NO_ANSWER: Refusal = Refusal::Failed("WhatsApp did not answer.");

/// A session.
pub struct Session {
    id: Uuid,
    pub(super) shared: Arc<Shared>,
    /// The client that runs; held while one is started or stopped.
    running: tokio::sync::Mutex<Option<Running>>,
    /// The same client, for those who only use it.
    client: Mutex<Option<Arc<Client>>>,
    standing: Mutex<Standing>,
    /// The number of the client whose word counts.
    generation: AtomicU64,
    budget: Budget,
    /// Room for messages on their way.
    pub(super) sends: Semaphore,
    /// Held while a message is written: they go out in the order they came.
    pub(super) writing: tokio::sync::Mutex<()>,
    /// Who waits for the server's word about which message.
    pub(super) waiting: Mutex<HashMap<String, oneshot::Sender<Option<i64>>>>,
}

/// A client that runs, until this is dropped.
struct Running(BotHandle);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id).field("standing", &self.standing).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Standing {
    device: Device,
    changed: u64,
    is_wanted: bool,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("state", &self.state).field("code", &self.code).finish_non_exhaustive()
    }
}

/// Whether a device is to be unlinked, or closed only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Closed,
    Unlinked,
}

fn blank(state: State) -> Device {
    Device { state, qr: None, phone_number: None, code: None, expires_at_ms: None }
}

/// Locks what no panic can leave half done.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Makes one that nothing is known of.
    pub(super) fn new(shared: &Arc<Shared>, id: Uuid) -> Self {
        Self::standing_as(shared, id, blank(State::LoggedOut), false)
    }

    /// Makes one as it was left.
    pub(super) fn known(shared: &Arc<Shared>, known: &Known) -> Self {
        let ended = known.ended.as_deref().and_then(|ended| serde_json::from_str(ended).ok());
        let device = ended.unwrap_or_else(|| blank(State::Disconnected));
        Self::standing_as(shared, known.session, device, known.is_wanted)
    }

    fn standing_as(shared: &Arc<Shared>, id: Uuid, device: Device, is_wanted: bool) -> Self {
        Self {
            id,
            shared: Arc::clone(shared),
            running: tokio::sync::Mutex::new(None),
            client: Mutex::new(None),
            standing: Mutex::new(Standing { device, changed: shared.next_change(), is_wanted }),
            generation: AtomicU64::new(0),
            budget: Budget::new(),
            sends: Semaphore::new(SENDS_MAX),
            writing: tokio::sync::Mutex::new(()),
            waiting: Mutex::new(HashMap::new()),
        }
    }

    /// Which it is.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How it stands, and when it came to stand so, in changes of all sessions.
    #[must_use]
    pub fn shown(&self) -> (u64, Device) {
        let standing = locked(&self.standing);
        (standing.changed, standing.device.clone())
    }

    pub(super) fn is_gone(&self) -> bool {
        locked(&self.standing).device.state == State::LoggedOut && locked(&self.client).is_none()
    }

    pub(super) fn is_wanted_again(&self) -> bool {
        locked(&self.standing).is_wanted
    }

    /// Returns the client, if it can send.
    pub(super) fn sender(&self) -> Option<Arc<Client>> {
        locked(&self.client).clone().filter(|client| client.is_connected() && client.is_logged_in())
    }

    /// Tells whether a client of this number is the one whose word counts.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::SeqCst) == generation
    }

    /// Changes how it stands; what is as it was is not told.
    pub(super) fn stand(&self, change: impl FnOnce(&mut Device)) {
        {
            let mut standing = locked(&self.standing);
            let mut device = standing.device.clone();
            change(&mut device);
            let told = |device: &Device| serde_json::to_value(device).unwrap_or(Value::Null);
            if told(&device) == told(&standing.device) {
                return;
            }
            if device.state != standing.device.state {
                tracing::info!(session = %self.id, state = ?device.state, code = ?device.code, "a device stands anew");
            }
            standing.changed = self.shared.next_change();
            standing.device = device;
        }
        self.shared.tell();
    }

    /// Notes that it has ended for good, so that no restart connects it again.
    pub(super) async fn end(&self, state: State, code: i64, expires_at_ms: Option<i64>) {
        self.stand(|device| {
            let phone_number = device.phone_number.take().filter(|_| state != State::LoggedOut);
            *device = Device { state, qr: None, phone_number, code: Some(code), expires_at_ms };
        });
        self.remember(false).await;
    }

    async fn remember(&self, is_wanted: bool) {
        let ended = {
            let mut standing = locked(&self.standing);
            standing.is_wanted = is_wanted;
            if is_wanted { None } else { serde_json::to_string(&standing.device).ok() }
        };
        if let Err(error) = self.shared.data.remember(self.id, is_wanted, ended).await {
            tracing::error!(session = %self.id, %error, "how a session stands is not remembered");
        }
    }

    /// Starts connecting, pairing anew where that is needed; does nothing when it is connected or about to be.
    ///
    /// # Errors
    ///
    /// Refuses a number that is banned, and fails if its keys can not be read.
    pub async fn connect(self: &Arc<Self>) -> Result<Device, Refusal> {
        let mut running = self.running.lock().await;
        let (_, device) = self.shown();
        match device.state {
            State::Connecting | State::QrPending | State::Connected | State::Reconnecting if running.is_some() => {
                return Ok(device);
            }
            State::Banned if device.expires_at_ms.is_none_or(|at| now_ms() < at) => {
                return Err(Refusal::NotNow("The number is banned."));
            }
            _ => {}
        }
        // What is left of one that ended goes first: there are never two.
        self.close(&mut running, How::Closed).await;
        if device.state == State::LoggedOut {
            self.shared.data.forget(self.id).await?;
        }
        let device_id = self.shared.data.device_of(self.id).await?;
        let store = self.shared.data.keys(device_id).await?;
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let bot = self.bot(store, generation).await?;
        let client = bot.client();
        let phone_number = client.pn().map(|pn| pn.user.to_string());
        self.stand(|device| *device = Device { phone_number, ..blank(State::Connecting) });
        *locked(&self.client) = Some(client);
        *running = Some(Running(bot.spawn()));
        drop(running);
        self.remember(true).await;
        Ok(self.shown().1)
    }

    async fn bot(self: &Arc<Self>, store: SqliteStore, generation: u64) -> Result<Bot, Refusal> {
        let listener = Listener::new(self, generation);
        let hook = listener.clone();
        let mut builder = Bot::builder()
            .with_backend(store)
            .with_transport_factory(self.shared.ways.opener.clone())
            .skip_history_sync()
            .with_event_delivery(EventDelivery::Ordered { capacity: SESSION_EVENTS_MAX })
            .with_inbound_durability_hook(hook)
            .on_event(move |event, _| {
                let listener = listener.clone();
                async move { listener.hear(&event).await }
            });
        if let Some(version) = self.shared.ways.version {
            builder = builder.with_version(version);
        }
        if let Some(count) = self.shared.ways.n_keys {
            builder = builder.with_wanted_pre_key_count(count);
        }
        builder.build().await.map_err(|error| {
            tracing::error!(session = %self.id, %error, "a client can not be made");
            Refusal::Failed("The session's keys can not be read.")
        })
    }

    /// Closes the connection and keeps the pairing; does nothing when it is closed.
    pub async fn disconnect(&self) -> Device {
        let mut running = self.running.lock().await;
        self.close(&mut running, How::Closed).await;
        let is_open = |state| !matches!(state, State::LoggedOut | State::Banned | State::Replaced);
        self.stand(|device| {
            if is_open(device.state) {
                let (phone_number, code) = (device.phone_number.take(), device.code);
                *device = Device { phone_number, code, ..blank(State::Disconnected) };
            }
        });
        self.remember(false).await;
        self.shown().1
    }

    /// Unlinks it and deletes its keys; does nothing when that was done.
    ///
    /// # Errors
    ///
    /// Fails if its keys can not be deleted.
    pub async fn log_out(&self) -> Result<Device, Refusal> {
        let mut running = self.running.lock().await;
        self.close(&mut running, How::Unlinked).await;
        self.stand(|device| *device = blank(State::LoggedOut));
        self.shared.data.forget(self.id).await?;
        Ok(self.shown().1)
    }

    /// Closes the client at the end of the process; the session is connected again by the next one.
    pub(super) async fn stop(&self) {
        let mut running = self.running.lock().await;
        self.close(&mut running, How::Closed).await;
    }

    async fn close(&self, running: &mut Option<Running>, how: How) {
        // From here on nobody listens to it.
        self.generation.fetch_add(1, Ordering::SeqCst);
        let client = locked(&self.client).take();
        if let (Some(client), How::Unlinked) = (client, how) {
            let logged_out = tokio::time::timeout(ASK_WAIT, client.logout()).await;
            if logged_out.is_err() {
                tracing::warn!(session = %self.id, "unlinking of a device not answered");
            }
        }
        if let Some(Running(bot)) = running.take() {
            bot.shutdown().await;
        }
        // Whoever waits for a word is told that there is none.
        locked(&self.waiting).clear();
    }

    /// Looks how the client stands, for what raises no event.
    pub(super) fn look(&self) {
        let Some(client) = locked(&self.client).clone() else { return };
        let can_send = client.is_connected() && client.is_logged_in();
        let number = client.pn().map(|pn| pn.user.to_string());
        let is_failing = 0 < client.stats().reconnect_errors;
        self.stand(|device| match device.state {
            State::Connecting | State::Reconnecting | State::QrPending if can_send && number.is_some() => {
                *device = Device { phone_number: number, ..blank(State::Connected) };
            }
            State::Connected if !can_send => device.state = State::Reconnecting,
            // One that was never paired goes on connecting: there is nothing to connect again.
            State::Connecting if is_failing && device.phone_number.is_some() => device.state = State::Reconnecting,
            _ => {}
        });
    }

    /// Gives out a code to be typed in on a phone, for a session that is being paired.
    ///
    /// # Errors
    ///
    /// Refuses when it is not being paired, and fails when WhatsApp does.
    pub async fn pairing_code(&self, phone_number: String) -> Result<Code, Refusal> {
        let state = self.shown().1.state;
        let client = locked(&self.client).clone().filter(|client| client.is_connected());
        let client = client.filter(|_| matches!(state, State::QrPending | State::Connecting));
        let client = client.ok_or(Refusal::NotNow("The device is not being paired."))?;
        let options = PairCodeOptions { phone_number, ..Default::default() };
        let code = tokio::time::timeout(ASK_WAIT, client.pair_with_code(options)).await;
        let code = code.map_err(|_| NO_ANSWER)?;
        let code = code.map_err(|_| Refusal::Failed("WhatsApp gives out no code for this number now."))?;
        let kept_ms = i64::try_from(PAIRING_CODE_KEPT.as_millis()).unwrap_or(i64::MAX);
        let code = match code.split_at_checked(4) {
            Some((first, last)) if code.len() == 8 => format!("{first}-{last}"),
            _ => code,
        };
        Ok(Code { code, expires_at_ms: now_ms().saturating_add(kept_ms) })
    }

    /// Tells whether a number is on WhatsApp.
    ///
    /// # Errors
    ///
    /// Refuses when it is not connected or asks too often, and fails when WhatsApp does.
    pub async fn check_number(&self, number: &str) -> Result<bool, Refusal> {
        let client = self.sender().ok_or(NOT_CONNECTED)?;
        if let Some(exists) = self.shared.checks.get(number) {
            return Ok(exists);
        }
        self.budget.take().map_err(|again_in| Refusal::TooOften { again_in })?;
        let jids = [Jid::pn(number)];
        let (contacts, jids) = (client.contacts(), &jids);
        let told = within(ASK_WAIT, contacts.is_on_whatsapp(jids)).await.ok_or(NO_ANSWER)?;
        let told = told.map_err(|_| NO_ANSWER)?;
        let exists = told.iter().any(|told| told.is_registered && told.contact_error.is_none());
        self.shared.checks.put(number, exists);
        Ok(exists)
    }

    /// Lists its group chats.
    ///
    /// # Errors
    ///
    /// Refuses when it is not connected, and fails when WhatsApp does.
    pub async fn groups(&self) -> Result<Value, Refusal> {
        let client = self.sender().ok_or(NOT_CONNECTED)?;
        let groups = client.groups();
        let told = within(ASK_WAIT, groups.get_participating()).await.ok_or(NO_ANSWER)?;
        let mut groups: Vec<_> = told.map_err(|_| NO_ANSWER)?.into_values().collect();
        groups.sort_by(|a, b| a.subject.cmp(&b.subject));
        let group = |group: &whatsapp_rust::GroupMetadata| json!({ "id": group.id.to_string(), "name": group.subject, "participants": group.participants.len() });
        Ok(json!({ "groups": groups.iter().map(group).collect::<Vec<_>>() }))
    }
}

/// Waits so long and no longer. Boxed: the futures of whatsapp-rust are large.
pub(super) async fn within<T>(wait: Duration, asked: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(wait, Box::pin(asked)).await.ok()
}
