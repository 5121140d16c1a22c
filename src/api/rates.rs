//! How many requests are taken from one key, one person and one address, and the headers that tell them.
//!
//! governor's arithmetic on our clock. Each node counts for itself. Tries at credentials are held back by
//! [`super::throttle`] on top.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::state::StateStore;
use governor::state::keyed::DashMapStateStore;
use governor::{NotUntil, Quota, RateLimiter};
use uuid::Uuid;

use super::error::{RATE_REMAINING, RATE_RESET};
use super::throttle::{Places, Reading, Wall};
use crate::clock::Clock;
use crate::domain::id::{ApiKeyId, UserId};
use crate::error::{Error, Result};
use crate::limits::CALLERS_SWEPT_EVERY;

/// Requests that are taken at once after a rest.
const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// What tells a client how many requests are taken from it.
pub(super) const RATE_HEADERS: [HeaderName; 3] = [RATE_LIMIT, RATE_REMAINING, RATE_RESET];

/// How many requests are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub per_minute: NonZeroU32,
    /// At once after a rest.
    pub burst: NonZeroU32,
}

/// How many requests are taken from whom; any number where none is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateSettings {
    /// From one API key.
    pub key: Option<Rate>,
    /// From one person.
    pub user: Option<Rate>,
    /// From one address, whoever calls from there; loopback apart.
    pub address: Option<Rate>,
}

type Limiter<S> = RateLimiter<<S as StateStore>::Key, S, Wall, StateInformationMiddleware>;

/// Counts requests.
pub struct Rates {
    keys: Option<Callers>,
    users: Option<Callers>,
    addresses: Option<Limiter<Places>>,
    hash: RandomState,
    clock: Clock,
}

/// Counts requests of those who have proved who they are, so that there are not too many of them.
struct Callers {
    limiter: Limiter<DashMapStateStore<Uuid>>,
    n_requests: AtomicU64,
}

/// What a limit says about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RateState {
    limit: u32,
    remaining: u32,
    reset: Duration,
}

/// Takes what is to be told of the limit that the request came up against, on its way out.
#[derive(Debug, Clone, Default)]
pub(super) struct RateNote(Arc<OnceLock<RateState>>);

impl Rates {
    /// Makes limits that nobody has used yet.
    #[must_use]
    pub fn new(settings: &RateSettings, clock: &Clock) -> Self {
        let callers = |rate| Callers { limiter: limiter(rate, clock), n_requests: AtomicU64::new(0) };
        Self {
            keys: settings.key.map(callers),
            users: settings.user.map(callers),
            addresses: settings.address.map(|rate| limiter(rate, clock)),
            hash: RandomState::new(),
            clock: clock.clone(),
        }
    }

    pub(super) fn admit_key(&self, id: ApiKeyId, note: &RateNote) -> Result<()> {
        self.keys.as_ref().map_or(Ok(()), |keys| self.judge(keys.check(id.0), Some(note), note))
    }

    pub(super) fn admit_user(&self, id: UserId, note: &RateNote) -> Result<()> {
        self.users.as_ref().map_or(Ok(()), |users| self.judge(users.check(id.0), Some(note), note))
    }

    /// An address is told only when too much comes from it: whoever calls from there has a limit of its own.
    pub(super) fn admit_address(&self, address: IpAddr, note: &RateNote) -> Result<()> {
        let Some(addresses) = &self.addresses else { return Ok(()) };
        self.judge(addresses.check_key(&self.hash.hash_one(address)), None, note)
    }

    fn judge(
        &self,
        outcome: Result<StateSnapshot, NotUntil<Reading>>,
        told: Option<&RateNote>,
        refused: &RateNote,
    ) -> Result<()> {
        match outcome {
            Ok(state) => {
                if let Some(note) = told {
                    note.set(state.quota(), state.remaining_burst_capacity());
                }
                Ok(())
            }
            Err(not_until) => {
                refused.set(not_until.quota(), 0);
                Err(Error::RateLimited { retry_after: not_until.wait_time_from(Reading(self.clock.now())) })
            }
        }
    }
}

impl Callers {
    fn check(&self, id: Uuid) -> Result<StateSnapshot, NotUntil<Reading>> {
        let n_before = self.n_requests.fetch_add(1, Ordering::Relaxed);
        if n_before % CALLERS_SWEPT_EVERY == CALLERS_SWEPT_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&id)
    }
}

fn limiter<S: StateStore + Default>(rate: Rate, clock: &Clock) -> Limiter<S>
where
    S::Key: std::hash::Hash + Eq,
{
    let interval = Duration::from_secs(60) / rate.per_minute.get();
    let quota = Quota::with_period(interval).expect("a minute has more nanoseconds than 32 bits can count");
    RateLimiter::new(quota.allow_burst(rate.burst), S::default(), Wall(clock.clone()))
}

impl RateNote {
    fn set(&self, quota: Quota, remaining: u32) {
        let limit = quota.burst_size().get();
        let reset = quota.replenish_interval() * limit.saturating_sub(remaining);
        // The first one to speak is the one that counts.
        self.0.get_or_init(|| RateState { limit, remaining, reset });
    }
}

/// Tells a client how many requests are taken from it, if they are counted.
pub(super) async fn show_rate(mut request: Request, next: Next) -> Response {
    let note = RateNote::default();
    request.extensions_mut().insert(note.clone());
    let mut response = next.run(request).await;
    if let Some(state) = note.0.get() {
        let seconds = state.reset.as_secs() + u64::from(0 < state.reset.subsec_nanos());
        let values = [HeaderValue::from(state.limit), HeaderValue::from(state.remaining), HeaderValue::from(seconds)];
        for (name, value) in RATE_HEADERS.into_iter().zip(values) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Moment};

    fn rates(manual: &ManualClock) -> Rates {
        let rate = |per_minute, burst| {
            Some(Rate { per_minute: NonZeroU32::new(per_minute).unwrap(), burst: NonZeroU32::new(burst).unwrap() })
        };
        let settings = RateSettings { key: rate(60, 3), user: rate(6, 1), address: rate(120, 2) };
        Rates::new(&settings, &Clock::Manual(manual.clone()))
    }

    fn state(note: &RateNote) -> (u32, u32, u64) {
        let state = note.0.get().unwrap();
        (state.limit, state.remaining, state.reset.as_secs())
    }

    #[test]
    fn a_key_is_told_what_it_has_left() {
        let manual = ManualClock::at(Moment::from_ms(1_700_000_000_000));
        let (rates, id) = (rates(&manual), ApiKeyId::generate());
        let ask = || {
            let note = RateNote::default();
            (rates.admit_key(id, &note), state(&note))
        };
        for told in [(3, 2, 1), (3, 1, 2), (3, 0, 3)] {
            let (admitted, state) = ask();
            admitted.unwrap();
            assert_eq!(state, told);
        }
        let (refused, told) = ask();
        let Err(Error::RateLimited { retry_after }) = refused else { panic!("{refused:?}") };
        assert_eq!((told, retry_after), ((3, 0, 3), Duration::from_secs(1)));
        manual.advance(retry_after);
        assert_eq!(ask().1, (3, 0, 3));
        rates.admit_key(ApiKeyId::generate(), &RateNote::default()).unwrap();
        manual.advance(Duration::from_secs(3_600));
        assert_eq!(ask().1, (3, 2, 1));
    }

    #[test]
    fn people_and_addresses_have_limits_of_their_own() {
        let rates = rates(&ManualClock::default());
        let (id, note) = (UserId::generate(), RateNote::default());
        rates.admit_user(id, &note).unwrap();
        rates.admit_user(id, &note).unwrap_err();
        let (here, there) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let note = RateNote::default();
        rates.admit_address(here, &note).unwrap();
        rates.admit_address(here, &note).unwrap();
        assert!(note.0.get().is_none());
        rates.admit_address(here, &note).unwrap_err();
        assert_eq!(state(&note), (2, 0, 1));
        rates.admit_address(there, &RateNote::default()).unwrap();
    }

    #[test]
    fn those_who_rest_are_forgotten() {
        let manual = ManualClock::at(Moment::from_ms(1_700_000_000_000));
        let rates = rates(&manual);
        for _ in 0..CALLERS_SWEPT_EVERY - 1 {
            rates.admit_key(ApiKeyId::generate(), &RateNote::default()).unwrap();
        }
        manual.advance(Duration::from_secs(60));
        let keys = rates.keys.as_ref().unwrap();
        assert_eq!(u64::try_from(keys.limiter.len()).unwrap(), CALLERS_SWEPT_EVERY - 1);
        rates.admit_key(ApiKeyId::generate(), &RateNote::default()).unwrap();
        assert_eq!(keys.limiter.len(), 1);
    }

    #[test]
    fn without_settings_nobody_is_counted() {
        let rates = Rates::new(&RateSettings::default(), &Clock::Manual(ManualClock::default()));
        let (id, note) = (ApiKeyId::generate(), RateNote::default());
        assert!((0..100_000).all(|_| rates.admit_key(id, &note).is_ok()));
        assert!(note.0.get().is_none());
    }
}
