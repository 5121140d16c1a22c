//! The provider's side of a session apart from sending: connecting, pairing, and what only linked devices can tell.
//!
//! Asked by the service of sessions; every answer comes in a bounded time. What happens to a session later, such as a code
//! that was scanned, comes as [`DeviceNews`]. Knows no states of sessions and no database.

use std::borrow::Cow;
use std::fmt;

use futures::future::BoxFuture;
use secrecy::SecretString;

use crate::clock::Moment;
use crate::domain::id::SessionId;
use crate::domain::recipient::Recipient;

/// A session as its provider's side knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The session.
    pub session_id: SessionId,
    /// The Cloud API's name of its number; a session without one is a linked device.
    pub phone_number_id: Option<String>,
}

/// Connects sessions and asks about them.
pub trait Connector: fmt::Debug + Send + Sync {
    /// Starts connecting, pairing anew where that is needed; what comes later arrives as news.
    fn connect<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<Connection, Refusal>>;

    /// Closes the connection and keeps the pairing; does nothing when it is closed.
    fn disconnect<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), Refusal>>;

    /// Unlinks it; does nothing when it is unlinked.
    fn log_out<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), Refusal>>;

    /// Gives out a code to be typed in on the phone of this number, for a session that is being paired.
    fn pairing_code<'a>(&'a self, link: &'a Link, phone: &'a Recipient) -> BoxFuture<'a, Result<PairingCode, Refusal>>;

    /// Tells whether a number is on WhatsApp, asked through a session that is connected.
    fn check_number<'a>(&'a self, link: &'a Link, phone: &'a Recipient) -> BoxFuture<'a, Result<bool, Refusal>>;

    /// Says that a message that somebody wrote was read, and with `types` that an answer is being written.
    fn mark_read<'a>(&'a self, link: &'a Link, message_id: &'a str, types: bool) -> BoxFuture<'a, Result<(), Refusal>>;

    /// Lists the group chats of a session that is connected.
    fn groups<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<Vec<ChatGroup>, Refusal>>;
}

/// What came of asking for a connection.
#[derive(Debug, Clone)]
pub enum Connection {
    /// It can send.
    Connected {
        /// Its number, where that is known.
        phone_number: Option<Recipient>,
    },
    /// It is being connected.
    Connecting,
    /// A code waits to be scanned.
    QrPending(QrCode),
}

/// A code that pairs a session with whoever scans it.
#[derive(Debug, Clone)]
pub struct QrCode {
    /// What the picture says.
    pub code: SecretString,
    /// When another one takes its place, or pairing ends.
    pub expires_at: Moment,
}

/// A code that pairs a session with whoever types it in on the phone.
#[derive(Debug, Clone)]
pub struct PairingCode {
    /// As it is typed: `ABCD-1234`.
    pub code: SecretString,
    /// Until when it may be used.
    pub expires_at: Moment,
}

/// A group chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatGroup {
    /// WhatsApp's own name of it.
    pub id: String,
    /// What its members call it.
    pub name: String,
    /// How many they are.
    pub n_participants: u32,
}

/// Why something was not done. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This kind of session can not do it, now or ever.
    #[error("{0}")]
    NotOffered(Cow<'static, str>),
    /// The provider's side does not do it now, or does not answer.
    #[error("{0}")]
    Refused(Cow<'static, str>),
}

/// What happened to a linked device. May be told more than once, and late.
#[derive(Debug, Clone)]
pub struct DeviceNews {
    /// The session.
    pub session_id: SessionId,
    /// How it stands since.
    pub standing: DeviceStanding,
}

/// How a linked device stands.
#[derive(Debug, Clone)]
pub enum DeviceStanding {
    /// A code waits to be scanned.
    QrPending(QrCode),
    /// It can send.
    Connected {
        /// Its number.
        phone_number: Recipient,
    },
    /// Its connection broke and is being made again.
    Reconnecting,
    /// It is closed, or nobody scanned its code in time.
    Disconnected,
    /// It was unlinked.
    LoggedOut,
    /// It was banned.
    Banned,
    /// Another client took its place.
    Replaced,
}
