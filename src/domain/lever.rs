//! What an operator can hold back: everything, a tenant, a session, a lane.
//!
//! Only names them; who pulls a lever and until when is the service's. Whatever is held back, what is asked of it is
//! still taken, and waits: jobs come from other clients of the broker too, who can be refused nothing.

use uuid::Uuid;

use crate::domain::held_by::HeldBy;
use crate::domain::id::{SessionId, TenantId};

/// A thing that can be held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lever {
    /// All lanes of all tenants.
    Everything,
    /// All lanes of a tenant.
    Tenant(TenantId),
    /// All that goes through a session.
    Session(SessionId),
    /// The lane of a session, apart from it: each of the two ends for itself.
    Lane(SessionId),
}

impl Lever {
    /// Returns the word kept in the database and shown by the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Tenant(_) => "tenant",
            Self::Session(_) => "session",
            Self::Lane(_) => "lane",
        }
    }

    /// Returns the id of what is held back; the nil id for everything.
    #[must_use]
    pub fn subject(self) -> Uuid {
        match self {
            Self::Everything => Uuid::nil(),
            Self::Tenant(id) => id.0,
            Self::Session(id) | Self::Lane(id) => id.0,
        }
    }

    /// Reads a word with its subject.
    #[must_use]
    pub fn parse(word: &str, subject: Uuid) -> Option<Self> {
        let all = [
            Self::Everything,
            Self::Tenant(TenantId(subject)),
            Self::Session(SessionId(subject)),
            Self::Lane(SessionId(subject)),
        ];
        all.into_iter().find(|lever| lever.word() == word)
    }

    /// Returns what a lane says that is held by it.
    #[must_use]
    pub fn held_by(self) -> HeldBy {
        match self {
            Self::Everything => HeldBy::Stopped,
            Self::Tenant(_) => HeldBy::TenantSuspended,
            Self::Session(_) => HeldBy::SessionSuspended,
            Self::Lane(_) => HeldBy::LaneSuspended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_wider_ones_come_first() {
        let id = Uuid::from_u128(7);
        let all =
            [Lever::Everything, Lever::Tenant(TenantId(id)), Lever::Session(SessionId(id)), Lever::Lane(SessionId(id))];
        for lever in all {
            assert_eq!(Lever::parse(lever.word(), lever.subject()), Some(lever));
        }
        assert!(all.is_sorted_by_key(|lever| lever.held_by()), "the widest names a lane's hold");
        assert_eq!(Lever::parse("campaign", id), None);
    }
}
