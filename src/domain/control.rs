//! A nudge between nodes, as it is on the control topic: version 1.
//!
//! The topic is only a nudge, the database is the truth: a message says where to look again, never what is
//! there. One that is lost, repeated or out of order changes nothing but how soon somebody looks.

use serde::{Deserialize, Serialize};

use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::job::TrafficClass;
use crate::domain::zone::{Band, Zone};

/// The version of the wire form that this code writes and reads.
pub const CONTROL_VERSION: u32 = 1;

/// What to look at again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ControlMessage {
    /// A campaign was paused, resumed, cancelled or otherwise changed.
    CampaignChanged {
        /// Which one.
        campaign_id: CampaignId,
    },
    /// A session or its settings changed.
    SessionChanged {
        /// Which one.
        session_id: SessionId,
    },
    /// What holds for all lanes of a tenant changed.
    TenantChanged {
        /// Which one.
        tenant_id: TenantId,
    },
    /// What holds for all lanes changed.
    LanesChanged {},
    /// Deliveries were admitted for a session by a node that may not own it.
    WorkAdmitted {
        /// Whose lane has work.
        session_id: SessionId,
        /// Its campaign; the nil id for single messages.
        campaign_id: CampaignId,
        /// The kind of recipients.
        band: Band,
        /// Their zone, where it is known.
        zone: Option<Zone>,
        /// Kind of traffic.
        traffic_class: TrafficClass,
        /// The first place that may hold new work; everything below it was there before.
        done_below_seq: i64,
    },
    /// The outbox has a new row.
    OutboxWritten {},
}

/// Why a record is no message that this code understands; it is skipped then.
#[derive(Debug, thiserror::Error)]
pub enum ControlProblem {
    /// Not JSON, or not of the form of version 1.
    #[error("the record is not a control message of version {CONTROL_VERSION}")]
    Unreadable(#[source] serde_json::Error),
    /// A version this code does not know.
    #[error("the control message has version {0}, known is {CONTROL_VERSION}")]
    UnknownVersion(u64),
}

impl ControlMessage {
    /// Reads a record of the control topic.
    ///
    /// # Errors
    /// [`ControlProblem`] says what is wrong; newer nodes may write what older ones do not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlProblem> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
            #[serde(flatten)]
            rest: serde_json::Map<String, serde_json::Value>,
        }
        let versioned: Versioned = serde_json::from_slice(bytes).map_err(ControlProblem::Unreadable)?;
        if versioned.v != u64::from(CONTROL_VERSION) {
            return Err(ControlProblem::UnknownVersion(versioned.v));
        }
        serde_json::from_value(versioned.rest.into()).map_err(ControlProblem::Unreadable)
    }

    /// Writes the record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Versioned<'a> {
            v: u32,
            #[serde(flatten)]
            message: &'a ControlMessage,
        }
        let versioned = Versioned { v: CONTROL_VERSION, message: self };
        serde_json::to_vec(&versioned).expect("ids, words and numbers can be written as JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> ControlMessage {
        let id = uuid::Uuid::from_u128(7);
        ControlMessage::WorkAdmitted {
            session_id: SessionId(id),
            campaign_id: CampaignId::DIRECT,
            band: Band(5),
            zone: Zone::parse("Asia/Kolkata"),
            traffic_class: TrafficClass::Bulk,
            done_below_seq: -3,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let session_id = SessionId(uuid::Uuid::from_u128(1));
        for message in [
            example(),
            ControlMessage::OutboxWritten {},
            ControlMessage::SessionChanged { session_id },
            ControlMessage::TenantChanged { tenant_id: TenantId(uuid::Uuid::from_u128(2)) },
            ControlMessage::LanesChanged {},
            ControlMessage::CampaignChanged { campaign_id: CampaignId::DIRECT },
        ] {
            assert_eq!(ControlMessage::decode(&message.encode()).expect("a message"), message);
        }
        let text = String::from_utf8(example().encode()).expect("JSON is UTF-8");
        assert!(text.starts_with(r#"{"v":1,"type":"workAdmitted","sessionId":"0"#), "{text}");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["", "7", "{}", r#"{"v":1}"#, r#"{"v":1,"type":"x"}"#, r#"{"v":1,"type":"outboxWritten","x":1}"#] {
            assert!(matches!(ControlMessage::decode(text.as_bytes()), Err(ControlProblem::Unreadable(_))), "{text}");
        }
        let newer = ControlMessage::decode(br#"{"v":2,"type":"outboxWritten"}"#);
        assert!(matches!(newer, Err(ControlProblem::UnknownVersion(2))));
    }
}
