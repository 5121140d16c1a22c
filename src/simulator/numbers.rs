//! The sending numbers that were seen, each with its rules and what it has used of its limits.
//!
//! A number is known from its first request on; there is no registration.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::simulator::dice::{mix, stable_hash};
use crate::simulator::faults::{Faults, Rules};
use crate::simulator::policy::Recipients;
use crate::simulator::throttle::{Bucket, Pair, PairLimit};

/// Slices of the memory of pairs, so that requests seldom wait for each other and no table grows large at once.
const SHARDS: usize = 64;

/// Pairs of one slice before those at rest are looked for.
const SWEEP_AT_LEAST: usize = 4_096;

/// One sending number.
#[derive(Debug)]
pub(crate) struct Number {
    /// Place in the order of first requests.
    pub(crate) index: u32,
    /// The phone number id of the path.
    pub(crate) id: Box<str>,
    /// Hash of the id, the same in every run.
    pub(crate) hash: u64,
    /// What goes wrong at it.
    pub(crate) rules: Arc<Rules>,
    /// What it used of its throughput.
    pub(crate) bucket: Mutex<Bucket>,
    /// The account that it belongs to.
    pub(crate) account: Arc<Account>,
    /// Messages that it sent to recipients who had not just written to it; counted where that matters.
    pub(crate) n_opened: AtomicU32,
}

/// An account with some numbers.
#[derive(Debug)]
pub(crate) struct Account {
    /// Its name; empty for the one of all numbers that are given none.
    pub(crate) name: Box<str>,
    /// Whom its numbers wrote to.
    pub(crate) recipients: Mutex<Recipients>,
}

/// All numbers by their id.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    by_id: RwLock<HashMap<Box<str>, Arc<Number>>>,
    accounts: Mutex<Vec<Arc<Account>>>,
}

impl Numbers {
    /// Returns the number of this id, new if it was not seen before; `None` when there are `max` others already.
    pub(crate) fn intern(&self, id: &str, faults: &Faults, max: usize) -> Option<Arc<Number>> {
        if let Some(number) = self.by_id.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Some(Arc::clone(number));
        }
        let mut by_id = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = by_id.get(id) {
            return Some(Arc::clone(number));
        }
        let index = u32::try_from(by_id.len()).ok().filter(|_| by_id.len() < max)?;
        let rules = faults.rules_of(id);
        let account = self.account(&rules.account);
        let number = Arc::new(Number {
            index,
            id: id.into(),
            hash: stable_hash(id.as_bytes()),
            rules,
            bucket: Mutex::default(),
            account,
            n_opened: AtomicU32::new(0),
        });
        by_id.insert(id.into(), Arc::clone(&number));
        Some(number)
    }

    /// Returns the account of this name, new if it was not seen before; there are few.
    fn account(&self, name: &str) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.iter().find(|account| &*account.name == name) {
            return Arc::clone(account);
        }
        let account = Arc::new(Account { name: name.into(), recipients: Mutex::default() });
        accounts.push(Arc::clone(&account));
        account
    }

    /// Returns all numbers in the order of their indexes.
    pub(crate) fn all(&self) -> Vec<Arc<Number>> {
        let mut all: Vec<_> =
            self.by_id.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect();
        all.sort_unstable_by_key(|number| number.index);
        all
    }

    /// Returns the ids in the order of their indexes.
    pub(crate) fn ids(&self) -> Vec<Box<str>> {
        self.all().iter().map(|number| number.id.clone()).collect()
    }

    /// Fills all buckets, and forgets what was counted.
    pub(crate) fn rest(&self) {
        for number in self.all() {
            *number.bucket.lock().unwrap_or_else(PoisonError::into_inner) = Bucket::default();
            *number.account.recipients.lock().unwrap_or_else(PoisonError::into_inner) = Recipients::default();
            number.n_opened.store(0, Ordering::Relaxed);
        }
    }
}

/// What is remembered of pairs of number and recipient; the key holds the number's index and the recipient's hash.
#[derive(Debug)]
pub(crate) struct Pairs {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug, Default)]
struct Shard {
    seen: HashMap<(u32, u64), u32>,
    limited: HashMap<(u32, u64), Pair>,
    sweep_at: usize,
}

impl Pairs {
    /// Makes an empty memory.
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Counts a request of the pair and returns how many came before it.
    pub(crate) fn count(&self, number: u32, recipient_hash: u64) -> u32 {
        self.with_shard(number, recipient_hash, |shard| {
            let seen = shard.seen.entry((number, recipient_hash)).or_default();
            let before = *seen;
            *seen = seen.saturating_add(1);
            before
        })
    }

    /// Takes one message of the pair, if the limit allows it now.
    pub(crate) fn take(&self, number: u32, recipient_hash: u64, now_us: u64, limit: &PairLimit) -> bool {
        self.with_shard(number, recipient_hash, |shard| {
            if shard.limited.len() >= shard.sweep_at.max(SWEEP_AT_LEAST) {
                shard.limited.retain(|_, pair| !pair.is_at_rest(now_us, limit));
                shard.sweep_at = shard.limited.len() * 2;
            }
            shard.limited.entry((number, recipient_hash)).or_default().take(now_us, limit)
        })
    }

    /// Forgets all pairs.
    pub(crate) fn rest(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    fn with_shard<T>(&self, number: u32, recipient_hash: u64, work: impl FnOnce(&mut Shard) -> T) -> T {
        let place = usize::try_from(mix(recipient_hash ^ u64::from(number)) % SHARDS as u64).unwrap_or(0);
        work(&mut self.shards[place].lock().unwrap_or_else(PoisonError::into_inner))
    }
}
