//! What happened to the connection of a session, as it is on the topic of session events: version 1.
//!
//! Carries ids and words only: never a number, never a name. At least once; a repeat has the same `eventId`.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::id::{SessionId, TenantId};
use crate::domain::session::{SessionEvent, SessionState};

/// The version of the wire form that this code writes and reads.
pub const SESSION_CHANGE_VERSION: u32 = 1;

/// What is told of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionNews {
    /// It can send.
    #[serde(rename = "session.connected")]
    Connected,
    /// It can not send until somebody connects it.
    #[serde(rename = "session.disconnected")]
    Disconnected,
    /// The connection broke and is being made again.
    #[serde(rename = "session.reconnecting")]
    Reconnecting,
    /// It was unlinked and must be paired again.
    #[serde(rename = "session.logged_out")]
    LoggedOut,
    /// The provider banned it.
    #[serde(rename = "session.banned")]
    Banned,
    /// Another client took its connection over.
    #[serde(rename = "session.replaced")]
    Replaced,
}

impl SessionNews {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Connected, Self::Disconnected, Self::Reconnecting, Self::LoggedOut, Self::Banned, Self::Replaced];

    /// Says what is told when `event` has moved a session to `state`; nothing on the way to a connection.
    #[must_use]
    pub fn of(event: SessionEvent, state: SessionState) -> Option<Self> {
        match (event, state) {
            (SessionEvent::Replaced, _) => Some(Self::Replaced),
            (_, SessionState::Connected) => Some(Self::Connected),
            (_, SessionState::Disconnected) => Some(Self::Disconnected),
            (_, SessionState::Reconnecting) => Some(Self::Reconnecting),
            (_, SessionState::LoggedOut) => Some(Self::LoggedOut),
            (_, SessionState::Banned) => Some(Self::Banned),
            (_, SessionState::Connecting | SessionState::QrPending) => None,
        }
    }

    /// Returns the word kept in the database and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "session.connected",
            Self::Disconnected => "session.disconnected",
            Self::Reconnecting => "session.reconnecting",
            Self::LoggedOut => "session.logged_out",
            Self::Banned => "session.banned",
            Self::Replaced => "session.replaced",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|news| news.as_str() == word)
    }
}

/// One record of the topic of session events; its key is the session's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionChange {
    /// Version of the wire form; 1.
    pub v: u32,
    /// Names the event, also when it is told twice.
    pub event_id: Uuid,
    /// What happened.
    pub event: SessionNews,
    /// Whose session it is.
    pub tenant_id: TenantId,
    /// Which session.
    pub session_id: SessionId,
    /// The state after the event.
    pub state: SessionState,
    /// The state before it.
    pub from: SessionState,
    /// Why, if it was not asked for: a word of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was noted, by our clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Why a record is no session event.
#[derive(Debug, thiserror::Error)]
#[error("the record is not a session event of version {SESSION_CHANGE_VERSION}")]
pub struct Unreadable(#[source] Option<serde_json::Error>);

impl SessionChange {
    /// Reads a record of the topic.
    ///
    /// # Errors
    /// [`Unreadable`] when it is of another form or version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let change: Self = serde_json::from_slice(bytes).map_err(|error| Unreadable(Some(error)))?;
        if change.v == SESSION_CHANGE_VERSION { Ok(change) } else { Err(Unreadable(None)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_everywhere() {
        for news in SessionNews::ALL {
            assert_eq!(SessionNews::parse(news.as_str()), Some(news));
            assert_eq!(serde_json::to_value(news).expect("a word"), news.as_str());
        }
    }

    #[test]
    fn golden_news() {
        let mut table = String::new();
        for state in SessionState::ALL {
            table += &format!("{:13}", state.as_str());
            for event in SessionEvent::ALL {
                let told = state.apply(event).and_then(|to| SessionNews::of(event, to));
                table += &format!(" {:12}", told.map_or("·", |news| &news.as_str()["session.".len()..]));
            }
            table = table.trim_end().to_owned() + "\n";
        }
        insta::assert_snapshot!(table, @"
        disconnected  ·            ·            ·            ·            ·            logged_out   banned       ·
        connecting    ·            ·            connected    disconnected disconnected logged_out   banned       replaced
        qr_pending    ·            ·            connected    disconnected disconnected logged_out   banned       replaced
        connected     ·            ·            ·            reconnecting disconnected logged_out   banned       replaced
        reconnecting  ·            ·            connected    ·            disconnected logged_out   banned       replaced
        logged_out    ·            ·            ·            ·            ·            ·            banned       ·
        banned        ·            ·            ·            ·            ·            ·            ·            ·
        ");
    }
}
