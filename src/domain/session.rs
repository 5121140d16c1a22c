//! One WhatsApp identity: its state and who may send through it.
//!
//! Does no I/O; connecting is the gateway's, the rules of when are here.

use serde::{Deserialize, Serialize};

/// Where a session stands; the words are the documented ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Not paired, or its connection was closed by a person.
    Disconnected,
    /// A connection is being made.
    Connecting,
    /// A QR code waits to be scanned.
    QrPending,
    /// Able to send.
    Connected,
    /// The connection was lost and is being made again.
    Reconnecting,
    /// Unlinked; must be paired again.
    LoggedOut,
    /// Banned by the provider.
    Banned,
}

/// What can happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEvent {
    /// A person asked to connect.
    ConnectAsked,
    /// A QR code was issued.
    QrIssued,
    /// The provider confirmed the connection.
    Connected,
    /// The connection broke.
    ConnectionLost,
    /// A person closed the connection.
    DisconnectAsked,
    /// It was unlinked, here or on the phone.
    LoggedOut,
    /// The provider banned it.
    Banned,
    /// Another client took its connection over; connecting again would only take it back.
    Replaced,
}

impl SessionEvent {
    /// All events.
    pub const ALL: [Self; 8] = [
        Self::ConnectAsked,
        Self::QrIssued,
        Self::Connected,
        Self::ConnectionLost,
        Self::DisconnectAsked,
        Self::LoggedOut,
        Self::Banned,
        Self::Replaced,
    ];
}

impl SessionState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Disconnected,
        Self::Connecting,
        Self::QrPending,
        Self::Connected,
        Self::Reconnecting,
        Self::LoggedOut,
        Self::Banned,
    ];

    /// Returns the state after `event`, or `None` when the event changes nothing.
    #[must_use]
    pub fn apply(self, event: SessionEvent) -> Option<Self> {
        use SessionEvent as E;
        let to = match (self, event) {
            (Self::Banned, _) => Self::Banned,
            (_, E::Banned) => Self::Banned,
            (_, E::LoggedOut) => Self::LoggedOut,
            (_, E::DisconnectAsked | E::Replaced) if self != Self::LoggedOut => Self::Disconnected,
            (Self::Disconnected | Self::LoggedOut, E::ConnectAsked) => Self::Connecting,
            (Self::Connecting | Self::QrPending, E::QrIssued) => Self::QrPending,
            (Self::Connecting | Self::QrPending | Self::Reconnecting, E::Connected) => Self::Connected,
            (Self::Connected, E::ConnectionLost) => Self::Reconnecting,
            (Self::Connecting | Self::QrPending, E::ConnectionLost) => Self::Disconnected,
            (from, _) => from,
        };
        (to != self).then_some(to)
    }

    /// Tells whether it can not send again before a person has paired it anew, if ever.
    #[must_use]
    pub fn is_lost(self) -> bool {
        matches!(self, Self::LoggedOut | Self::Banned)
    }

    /// Tells whether messages for it may be accepted: it is connected or on its way.
    #[must_use]
    pub fn accepts_messages(self) -> bool {
        matches!(self, Self::Connected | Self::Reconnecting | Self::Connecting)
    }

    /// Returns the documented word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::QrPending => "qr_pending",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::LoggedOut => "logged_out",
            Self::Banned => "banned",
        }
    }

    /// Reads the documented word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_table() {
        let mut table = String::new();
        for state in SessionState::ALL {
            table += &format!("{:13}", state.as_str());
            for event in SessionEvent::ALL {
                let to = state.apply(event).map_or("·", SessionState::as_str);
                table += &format!(" {to:12}");
            }
            table = table.trim_end().to_owned() + "\n";
        }
        insta::assert_snapshot!(table, @"
        disconnected  connecting   ·            ·            ·            ·            logged_out   banned       ·
        connecting    ·            qr_pending   connected    disconnected disconnected logged_out   banned       disconnected
        qr_pending    ·            ·            connected    disconnected disconnected logged_out   banned       disconnected
        connected     ·            ·            ·            reconnecting disconnected logged_out   banned       disconnected
        reconnecting  ·            ·            connected    ·            disconnected logged_out   banned       disconnected
        logged_out    connecting   ·            ·            ·            ·            ·            banned       ·
        banned        ·            ·            ·            ·            ·            ·            ·            ·
        ");
    }
}
