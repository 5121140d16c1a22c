//! What a node remembers of families of tokens: what it read of them, for a moment.
//!
//! Bounded; what finds no room is read again.

use dashmap::DashMap;
use uuid::Uuid;

use crate::clock::Moment;
use crate::domain::id::UserId;
use crate::limits::{LOGIN_BELIEVED, LOGINS_REMEMBERED_MAX};
use crate::store::tokens::FamilyRecord;

/// What a node remembers of families.
#[derive(Debug, Default)]
pub(super) struct KnownFamilies(DashMap<Uuid, (Moment, FamilyRecord)>);

impl KnownFamilies {
    /// Returns what was read of a family a moment ago.
    pub(super) fn get(&self, id: Uuid, now: Moment) -> Option<FamilyRecord> {
        let read = self.0.get(&id)?;
        let (read_at, family) = read.value();
        (now.since(*read_at) < LOGIN_BELIEVED).then_some(*family)
    }

    /// Remembers what was read of a family, if there is room.
    pub(super) fn put(&self, family: FamilyRecord, read_at: Moment) {
        if LOGINS_REMEMBERED_MAX <= self.0.len() {
            self.0.retain(|_, (then, _)| read_at.since(*then) < LOGIN_BELIEVED);
        }
        if self.0.len() < LOGINS_REMEMBERED_MAX {
            self.0.insert(family.id, (read_at, family));
        }
    }

    /// Reads a family anew the next time.
    pub(super) fn forget(&self, id: Uuid) {
        self.0.remove(&id);
    }

    /// Reads all families of a person anew the next time.
    pub(super) fn forget_user(&self, user_id: UserId) {
        self.0.retain(|_, (_, family)| family.user_id != user_id);
    }
}
