//! What a node remembers of keys: what it read of them, for a moment, and when they were used, until it is written.
//!
//! Both are bounded; what finds no room is read again, or not written.

use std::sync::Arc;

use dashmap::DashMap;

use crate::clock::Moment;
use crate::domain::id::ApiKeyId;
use crate::limits::{API_KEY_BELIEVED, API_KEYS_REMEMBERED_MAX};
use crate::store::api_keys::ApiKeyRecord;

/// What a node remembers of keys.
#[derive(Debug, Default)]
pub(super) struct KnownKeys {
    read: DashMap<String, (Moment, Arc<ApiKeyRecord>)>,
    used: DashMap<ApiKeyId, Moment>,
}

impl KnownKeys {
    /// Returns what was read of a key a moment ago.
    pub(super) fn get(&self, prefix: &str, now: Moment) -> Option<Arc<ApiKeyRecord>> {
        let read = self.read.get(prefix)?;
        let (read_at, key) = read.value();
        (now.since(*read_at) < API_KEY_BELIEVED).then(|| Arc::clone(key))
    }

    /// Remembers what was read of a key, if there is room.
    pub(super) fn put(&self, key: Arc<ApiKeyRecord>, read_at: Moment) -> Arc<ApiKeyRecord> {
        if API_KEYS_REMEMBERED_MAX <= self.read.len() {
            self.read.retain(|_, (then, _)| read_at.since(*then) < API_KEY_BELIEVED);
        }
        if self.read.len() < API_KEYS_REMEMBERED_MAX {
            self.read.insert(key.secret.prefix.clone(), (read_at, Arc::clone(&key)));
        }
        key
    }

    /// Reads a key anew the next time.
    pub(super) fn forget(&self, id: ApiKeyId) {
        self.read.retain(|_, (_, key)| key.id != id);
    }

    /// Remembers that a key was used.
    pub(super) fn note_use(&self, id: ApiKeyId, at: Moment) {
        if let Some(mut used_at) = self.used.get_mut(&id) {
            *used_at = at;
        } else if self.used.len() < API_KEYS_REMEMBERED_MAX {
            self.used.insert(id, at);
        }
    }

    /// Hands over when keys were used, UTC milliseconds.
    pub(super) fn take_uses(&self) -> Vec<(ApiKeyId, i64)> {
        let ids: Vec<ApiKeyId> = self.used.iter().map(|entry| *entry.key()).collect();
        ids.into_iter().filter_map(|id| self.used.remove(&id)).map(|(id, at)| (id, at.as_ms())).collect()
    }
}
