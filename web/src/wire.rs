//! What is spoken with the daemon: version 1, JSON over HTTP over a socket of this machine.
//!
//! A device is told as it stands, never how it came there. The shapes are those of the daemon's `gateway::linked::wire`;
//! what differs is an error there.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of this protocol.
pub const PROTOCOL: u32 = 1;

/// How a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Being connected.
    Connecting,
    /// A code waits to be scanned.
    QrPending,
    /// It can send.
    Connected,
    /// Its connection broke and is being made again.
    Reconnecting,
    /// Closed, or nobody scanned its code in time.
    Disconnected,
    /// Unlinked.
    LoggedOut,
    /// Banned, or locked.
    Banned,
    /// Another client took its place.
    Replaced,
}

/// A code to be scanned or typed in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Code {
    /// What it says.
    pub code: String,
    /// Until when it may be used.
    pub expires_at_ms: i64,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code").field("expires_at_ms", &self.expires_at_ms).finish_non_exhaustive()
    }
}

/// A device as it stands.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// How it stands.
    pub state: State,
    /// The code that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qr: Option<Code>,
    /// Its number, once it is paired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    /// WhatsApp's code of what ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// When a ban ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
}

/// A device that changed.
#[derive(Serialize, Deserialize)]
pub struct Change {
    /// Its session.
    pub session: Uuid,
    /// How it stands.
    #[serde(flatten)]
    pub device: Device,
}

/// Devices that changed.
#[derive(Serialize, Deserialize)]
pub struct Changes {
    /// What to ask with next.
    pub next: String,
    /// Each as it stands.
    pub devices: Vec<Change>,
}

/// The number of a phone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Phone {
    /// Its digits.
    pub phone_number: String,
}

/// A message to be sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendRequest {
    /// The name it has on the wire: 32 digits, sixteen to a place, large letters.
    pub id: String,
    /// The number it goes to.
    pub to: String,
    /// What it says.
    pub message: serde_json::Value,
    /// For how long it may still be written, from when it was asked: no two machines show the same time.
    pub within_ms: u64,
    /// For how long "is typing" is shown before.
    #[serde(default)]
    pub typing_ms: u64,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The server took it.
    Accepted,
    /// The server did not take it.
    #[serde(rename_all = "camelCase")]
    Refused {
        /// Its code.
        code: i64,
        /// For how long that holds, where it says.
        expires_in_ms: Option<i64>,
    },
    /// It was written, and nothing was heard.
    Unknown,
    /// Nothing was written.
    NotSent {
        /// Why.
        reason: Why,
        /// WhatsApp's code of what ended the session.
        code: Option<i64>,
    },
}

/// Why nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was too late.
    Deadline,
    /// The session has no connection.
    NotConnected,
    /// The session has too much to do, or this message is on its way.
    Busy,
    /// This kind of message, or this recipient, can not be sent to.
    Unsupported,
}

/// What happened to a message, or came in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// A message reached its recipient.
    #[serde(rename_all = "camelCase")]
    Receipt {
        /// Its session.
        session: Uuid,
        /// Its name on the wire.
        id: String,
        /// How far it came.
        status: Reached,
        /// When.
        at_ms: i64,
    },
    /// Somebody wrote.
    #[serde(rename_all = "camelCase")]
    Incoming {
        /// The session that was written to.
        session: Uuid,
        /// The message's name on the wire.
        id: String,
        /// The number of who wrote.
        from: String,
        /// What it says, if it is words.
        text: Option<String>,
        /// What it is.
        r#type: String,
        /// When it was sent.
        at_ms: i64,
    },
}

/// How far a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// The phone has it.
    Delivered,
    /// It was read.
    Read,
    /// It was listened to.
    Played,
}
