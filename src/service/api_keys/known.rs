//! What a node remembers of keys: what it read of them, for a moment, and when they were used, until it is written.
//!
//! Both are bounded; what finds no room is read again, or not written.

use std::sync::Arc;

use dashmap::DashMap;

use crate::clock::Moment;
use crate::domain::id::ApiKeyId;
use crate::limits::{API_KEY_BELIEVED, API_KEYS_REMEMBERED_MAX};
use crate::service::believed::Believed;
use crate::store::api_keys::ApiKeyRecord;

/// What a node remembers of keys.
#[derive(Debug)]
pub(super) struct KnownKeys {
    /// By their beginnings.
    pub(super) read: Believed<String, Arc<ApiKeyRecord>>,
    used: DashMap<ApiKeyId, Moment>,
}

impl Default for KnownKeys {
    fn default() -> Self {
        Self { read: Believed::new(API_KEY_BELIEVED, API_KEYS_REMEMBERED_MAX), used: DashMap::new() }
    }
}

impl KnownKeys {
    /// Reads a key anew the next time.
    pub(super) fn forget(&self, id: ApiKeyId) {
        self.read.forget(|key| key.id == id);
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
