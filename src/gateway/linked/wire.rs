//! What is spoken with whoever holds the linked devices: version 1, JSON over HTTP.
//!
//! `POST /devices/v1/{session}/connect|disconnect|log-out|pairing-code|check-number`, `GET /devices/v1/{session}/groups`, and
//! `GET /devices/v1/changes?after=CURSOR`, which waits for something to change;
//! `POST /devices/v1/{session}/send` and `GET /devices/v1/events?after=NUMBER` for messages and their receipts. A device is told as it stands, never how it
//! came there.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Moment;
use crate::domain::id::{DeliveryId, SessionId};
use crate::domain::receipt::{Receipt, ReceiptKind};
use crate::domain::recipient::Recipient;
use crate::gateway::connector::{ChatGroup, Connection, DeviceNews, DeviceStanding, PairingCode, QrCode};
use crate::limits::QR_BYTES_MAX;

/// The number of a phone, in a body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfPhone<'a> {
    pub(super) phone_number: &'a str,
}

/// How a device stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireDevice {
    state: WireState,
    qr: Option<WireCode>,
    phone_number: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireState {
    Connecting,
    QrPending,
    Connected,
    Reconnecting,
    Disconnected,
    LoggedOut,
    Banned,
    Replaced,
}

/// A code to be scanned or typed in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireCode {
    code: String,
    expires_at_ms: i64,
}

impl std::fmt::Debug for WireCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WireCode").field("expires_at_ms", &self.expires_at_ms).finish_non_exhaustive()
    }
}

/// Whether a number is on WhatsApp.
#[derive(Debug, Deserialize)]
pub(super) struct WireCheck {
    pub(super) exists: bool,
}

/// The group chats of a device.
#[derive(Debug, Deserialize)]
pub(super) struct WireGroups {
    groups: Vec<WireGroup>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireGroup {
    id: String,
    name: String,
    participants: u32,
}

/// Devices that changed.
#[derive(Debug, Deserialize)]
pub(super) struct WireChanges {
    pub(super) next: String,
    /// Each a [`WireChange`]; one that can not be read stops no other.
    pub(super) devices: Vec<serde_json::Value>,
}

/// A device that changed.
#[derive(Debug, Deserialize)]
struct WireChange {
    session: Uuid,
    #[serde(flatten)]
    device: WireDevice,
}

/// What happened to messages.
#[derive(Debug, Deserialize)]
pub(super) struct WireEvents {
    pub(super) next: u64,
    /// Each a [`WireEvent`]; one that can not be read stops no other.
    pub(super) events: Vec<serde_json::Value>,
}

/// What happened to a message; other kinds are not read.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum WireEvent {
    #[serde(rename_all = "camelCase")]
    Receipt { id: Uuid, status: WireStatus, at_ms: i64 },
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireStatus {
    Delivered,
    Read,
    Played,
}

/// Reads a receipt, if it is one; the name of a message on the wire is the id of its delivery.
pub(super) fn receipt(event: serde_json::Value) -> Option<Receipt> {
    let WireEvent::Receipt { id, status, at_ms } = serde_json::from_value(event).ok()?;
    let kind = match status {
        WireStatus::Delivered => ReceiptKind::Delivered,
        // Only who read a voice message can have played it.
        WireStatus::Read | WireStatus::Played => ReceiptKind::Read,
    };
    Some(Receipt { delivery_id: DeliveryId(id), kind, at_ms, provider_message_id: None, failure: None })
}

/// A refusal.
#[derive(Debug, Deserialize)]
pub(super) struct WireRefusal {
    pub(super) error: String,
}

impl WireDevice {
    fn number(&self) -> Option<Recipient> {
        Recipient::parse(self.phone_number.as_deref()?).ok()
    }

    /// Reads what came of asking for a connection; none when it stands as no device does that was asked to connect.
    pub(super) fn connection(self) -> Option<Connection> {
        match self.state {
            WireState::Connected => Some(Connection::Connected { phone_number: self.number() }),
            WireState::Connecting | WireState::Reconnecting => Some(Connection::Connecting),
            WireState::QrPending => Some(Connection::QrPending(self.qr?.qr_code()?)),
            WireState::Disconnected | WireState::LoggedOut | WireState::Banned | WireState::Replaced => None,
        }
    }

    fn standing(self) -> Option<DeviceStanding> {
        Some(match self.state {
            WireState::Connecting => return None,
            WireState::QrPending => DeviceStanding::QrPending(self.qr?.qr_code()?),
            WireState::Connected => DeviceStanding::Connected { phone_number: self.number()? },
            WireState::Reconnecting => DeviceStanding::Reconnecting,
            WireState::Disconnected => DeviceStanding::Disconnected,
            WireState::LoggedOut => DeviceStanding::LoggedOut,
            WireState::Banned => DeviceStanding::Banned,
            WireState::Replaced => DeviceStanding::Replaced,
        })
    }
}

impl WireCode {
    /// Reads a code to be scanned; none when no picture can show it.
    fn qr_code(self) -> Option<QrCode> {
        let fits = self.code.len() <= QR_BYTES_MAX;
        fits.then(|| QrCode { code: self.code.into(), expires_at: Moment::from_ms(self.expires_at_ms) })
    }

    pub(super) fn pairing_code(self) -> PairingCode {
        PairingCode { code: self.code.into(), expires_at: Moment::from_ms(self.expires_at_ms) }
    }
}

/// Reads a change, if it is news.
pub(super) fn news(change: serde_json::Value) -> Option<DeviceNews> {
    let WireChange { session, device } = serde_json::from_value(change).ok()?;
    Some(DeviceNews { session_id: SessionId(session), standing: device.standing()? })
}

impl WireGroups {
    pub(super) fn groups(self) -> Vec<ChatGroup> {
        let group = |group: WireGroup| ChatGroup { id: group.id, name: group.name, n_participants: group.participants };
        self.groups.into_iter().map(group).collect()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn device(text: &str) -> WireDevice {
        serde_json::from_str(text).expect("a device")
    }

    #[test]
    fn a_receipt_names_its_delivery() {
        let event = |text: &str| receipt(serde_json::from_str(text).expect("JSON"));
        let id = "0198C0DE00007000800000000000000A";
        let read =
            event(&format!(r#"{{"at":7,"session":"{id}","kind":"receipt","id":"{id}","status":"played","atMs":5}}"#));
        let read = read.expect("a receipt");
        assert_eq!((read.kind, read.at_ms), (ReceiptKind::Read, 5));
        assert_eq!(format!("{:X}", read.delivery_id.0.simple()), id);
        for other in [
            r#"{"kind":"incoming","from":"919876543210","text":"Hi"}"#,
            r#"{"kind":"receipt","id":"3EB0A1","status":"read","atMs":5}"#,
            "7",
        ] {
            assert!(event(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_device_is_read_as_it_stands() {
        let qr = r#"{"state":"qr_pending","qr":{"code":"2@abc","expiresAtMs":20000}}"#;
        let Some(Connection::QrPending(code)) = device(qr).connection() else { panic!("a code waits") };
        assert_eq!((code.code.expose_secret(), code.expires_at), ("2@abc", Moment::from_ms(20_000)));
        let connected = r#"{"state":"connected","phoneNumber":"919876543210"}"#;
        let Some(DeviceStanding::Connected { phone_number }) = device(connected).standing() else {
            panic!("connected")
        };
        assert_eq!(phone_number.as_str(), "919876543210");
        assert!(device(r#"{"state":"connected","phoneNumber":"nobody"}"#).standing().is_none());
        assert!(device(r#"{"state":"qr_pending"}"#).standing().is_none());
        assert!(device(r#"{"state":"banned"}"#).connection().is_none());
        assert!(serde_json::from_str::<WireDevice>(r#"{"state":"new"}"#).is_err());
    }

    #[test]
    fn a_code_is_not_shown_by_accident() {
        let shown = format!("{:?}", device(r#"{"state":"qr_pending","qr":{"code":"2@abc","expiresAtMs":1}}"#));
        assert!(!shown.contains("2@abc"), "{shown}");
    }
}
