//! What a node remembers of keys: what it read of them, for a moment, and when they were used, until it is written.
//!
//! Both are bounded; what finds no room is read again, or not written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    n_forgotten: AtomicU64,
}

impl KnownKeys {
    /// Returns what was read of a key a moment ago.
    pub(super) fn get(&self, prefix: &str, now: Moment) -> Option<Arc<ApiKeyRecord>> {
        let read = self.read.get(prefix)?;
        let (read_at, key) = read.value();
        (now.since(*read_at) < API_KEY_BELIEVED).then(|| Arc::clone(key))
    }

    /// Counts what was to be read anew so far; to be asked before a key is read.
    pub(super) fn n_forgotten(&self) -> u64 {
        self.n_forgotten.load(Ordering::Acquire)
    }

    /// Remembers what was read of a key, if there is room and none was changed since `n_forgotten` were.
    pub(super) fn put(&self, key: Arc<ApiKeyRecord>, read_at: Moment, n_forgotten: u64) -> Arc<ApiKeyRecord> {
        if API_KEYS_REMEMBERED_MAX <= self.read.len() {
            self.read.retain(|_, (then, _)| read_at.since(*then) < API_KEY_BELIEVED);
        }
        if self.read.len() < API_KEYS_REMEMBERED_MAX {
            self.read.insert(key.secret.prefix.clone(), (read_at, Arc::clone(&key)));
        }
        // Asked last: a change that is not seen here finds what was just put.
        if self.n_forgotten() != n_forgotten {
            self.read.remove(&key.secret.prefix);
        }
        key
    }

    /// Reads a key anew the next time.
    pub(super) fn forget(&self, id: ApiKeyId) {
        self.n_forgotten.fetch_add(1, Ordering::AcqRel);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{TenantId, UserId};
    use crate::store::api_keys::{KeptSecret, KeyTerms};

    /// What was read before a change and comes after it is not believed.
    #[test]
    fn a_key_that_was_changed_while_it_was_read_is_read_anew() {
        let terms = KeyTerms { name: "Shop".to_owned(), scopes: vec![], allowed_ips: vec![], expires_at_ms: None };
        let key = Arc::new(ApiKeyRecord {
            id: ApiKeyId::generate(),
            tenant_id: TenantId::generate(),
            terms,
            secret: KeptSecret { prefix: "awp_1".to_owned(), hash: [7; 32] },
            created_by: UserId::generate(),
            created_at_ms: 0,
            last_used_at_ms: None,
        });
        let (known, now) = (KnownKeys::default(), Moment::from_ms(0));
        let n_forgotten = known.n_forgotten();
        known.forget(key.id);
        known.put(Arc::clone(&key), now, n_forgotten);
        assert!(known.get("awp_1", now).is_none());
        known.put(key, now, known.n_forgotten());
        assert!(known.get("awp_1", now).is_some());
    }
}
