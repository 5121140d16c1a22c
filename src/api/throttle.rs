//! Holds back those who try credentials: governor's arithmetic over tables of fixed size.
//!
//! Keys fall into places by a hash that nobody outside can foresee. Keys that share a place share its allowance, so
//! memory stays the same under any number of addresses, and nobody gets more than their own. Each node counts for itself:
//! whoever reaches N nodes has N times as many tries. What is counted does not depend on whether an account is there.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::Shared;
use super::address::client_address;
use super::error::ApiError;
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::limits::{
    ACCOUNT_BURST_MAX, ACCOUNT_INTERVAL, LOGIN_BURST_MAX, LOGIN_INTERVAL, MAIL_BURST_MAX, MAIL_INTERVAL,
    THROTTLE_PLACES, VISITOR_BURST_MAX, VISITOR_INTERVAL,
};

/// Where a call comes from, as far as that says anything about the caller.
///
/// None without a socket, and none for loopback: behind it is a proxy that stands for many, or somebody who has the
/// machine anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor(Option<IpAddr>);

/// Holds back those who try credentials.
pub struct Throttle {
    /// Tries at one account from one address.
    logins: Limiter,
    /// Tries at one account from everywhere.
    accounts: Limiter,
    /// Mails to one address.
    mails: Limiter,
    visitors: Limiter,
    hash: RandomState,
    clock: Clock,
}

/// A limit and the places that it counts in.
struct Limiter {
    limit: RateLimiter<u64, Places, Wall, NoOpMiddleware<Reading>>,
    places: Places,
}

impl Visitor {
    /// Makes the visitor of an address.
    pub(super) fn new(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        match ip {
            ip if ip.is_loopback() => Self(None),
            IpAddr::V4(_) => Self(Some(ip)),
            // A household gets 2^64 addresses; they count as one.
            IpAddr::V6(ip) => Self(Some(Ipv6Addr::from(u128::from(ip) >> 64 << 64).into())),
        }
    }

    /// Returns the address, if it says anything.
    pub(super) fn address(self) -> Option<IpAddr> {
        self.0
    }
}

impl FromRequestParts<Shared> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, front: &Shared) -> Result<Self, ApiError> {
        let address = client_address(parts, &front.settings.trusted_proxies);
        Ok(address.map_or(Self(None), Self::new))
    }
}

impl Throttle {
    /// Makes a throttle that has seen nobody yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let logins = limiter(LOGIN_INTERVAL, LOGIN_BURST_MAX, &clock);
        let accounts = limiter(ACCOUNT_INTERVAL, ACCOUNT_BURST_MAX, &clock);
        let mails = limiter(MAIL_INTERVAL, MAIL_BURST_MAX, &clock);
        let visitors = limiter(VISITOR_INTERVAL, VISITOR_BURST_MAX, &clock);
        Self { logins, accounts, mails, visitors, hash: RandomState::new(), clock }
    }

    /// Counts a try at the password of an account, which an address or an id names.
    ///
    /// # Errors
    /// `RateLimited` when it is one too many for this visitor, for this account, or for both together.
    pub fn admit_login(&self, account: &str, visitor: Visitor) -> Result<(), Error> {
        self.admit(visitor)?;
        let (here, everywhere) = self.keys_of(account, visitor);
        self.check(&self.logins, here)?;
        self.check(&self.accounts, everywhere)
    }

    /// Takes back what was counted of an account, because somebody knew its password.
    pub fn logged_in(&self, account: &str, visitor: Visitor) {
        let (here, everywhere) = self.keys_of(account, visitor);
        self.logins.places.clear(here);
        self.accounts.places.clear(everywhere);
    }

    /// Counts a mail asked for to an address.
    ///
    /// # Errors
    /// `RateLimited` when it is one too many for this visitor or this address.
    pub fn admit_mail(&self, email: &str, visitor: Visitor) -> Result<(), Error> {
        self.admit(visitor)?;
        self.check(&self.mails, self.hash.hash_one(email.trim().to_lowercase()))
    }

    fn keys_of(&self, account: &str, visitor: Visitor) -> (u64, u64) {
        let account = account.trim().to_lowercase();
        (self.hash.hash_one((&account, visitor.0)), self.hash.hash_one(&account))
    }

    /// Counts a call that asks for credentials.
    ///
    /// # Errors
    /// `RateLimited` when it is one too many for this visitor.
    pub fn admit(&self, visitor: Visitor) -> Result<(), Error> {
        match visitor.0 {
            Some(ip) => self.check(&self.visitors, self.hash.hash_one(ip)),
            None => Ok(()),
        }
    }

    fn check(&self, limiter: &Limiter, key: u64) -> Result<(), Error> {
        limiter.limit.check_key(&key).map_err(|not_until| {
            let retry_after = not_until.wait_time_from(Reading(self.clock.now()));
            Error::RateLimited { retry_after }
        })
    }
}

fn limiter(interval: Duration, burst: NonZeroU32, clock: &Clock) -> Limiter {
    let quota = Quota::with_period(interval).expect("the interval is not zero").allow_burst(burst);
    let places = Places::default();
    Limiter { limit: RateLimiter::new(quota, places.clone(), Wall(clock.clone())), places }
}

/// [`Moment`] in governor's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reading(pub(super) Moment);

impl std::ops::Add<Nanos> for Reading {
    type Output = Self;

    fn add(self, later: Nanos) -> Self {
        Self(self.0 + later.into())
    }
}

impl Reference for Reading {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.since(earlier.0).into()
    }

    fn saturating_sub(&self, earlier: Nanos) -> Self {
        Self(self.0 - earlier.into())
    }
}

/// [`Clock`] in governor's terms.
#[derive(Debug, Clone)]
pub(super) struct Wall(pub(super) Clock);

impl GovernorClock for Wall {
    type Instant = Reading;

    fn now(&self) -> Reading {
        Reading(self.0.now())
    }
}

/// Theoretical arrival times by place; 0 stands for none. Clones share them.
#[derive(Clone)]
pub(super) struct Places(Arc<[AtomicU64]>);

impl Places {
    fn of(&self, key: u64) -> &AtomicU64 {
        let n_places = u64::try_from(self.0.len()).expect("a table's length fits 64 bits");
        let at = usize::try_from(key % n_places).expect("a place lies in the table");
        &self.0[at]
    }

    /// Forgets what was counted at a place.
    fn clear(&self, key: u64) {
        self.of(key).store(0, Ordering::Relaxed);
    }
}

impl Default for Places {
    fn default() -> Self {
        Self(std::iter::repeat_with(AtomicU64::default).take(THROTTLE_PLACES).collect())
    }
}

impl StateStore for Places {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let place = self.of(*key);
        let mut before = place.load(Ordering::Relaxed);
        loop {
            let (answer, after) = decide((before != 0).then(|| Nanos::from(before)))?;
            match place.compare_exchange_weak(before, after.into(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(answer),
                Err(other) => before = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn visitor(ip: &str) -> Visitor {
        Visitor::new(ip.parse().unwrap())
    }

    #[test]
    fn tries_at_one_account_are_spaced() {
        let manual = ManualClock::at(Moment::from_ms(1_700_000_000_000));
        let throttle = Throttle::new(Clock::Manual(manual.clone()));
        let (us, them) = (visitor("192.0.2.1"), visitor("192.0.2.2"));
        for _ in 0..LOGIN_BURST_MAX.get() {
            throttle.admit_login("ana@example.com", us).unwrap();
        }
        let refused = throttle.admit_login(" ANA@example.com", us).unwrap_err();
        let Error::RateLimited { retry_after } = refused else { panic!("{refused}") };
        assert!(Duration::ZERO < retry_after && retry_after <= LOGIN_INTERVAL, "{retry_after:?}");
        throttle.admit_login("bob@example.com", us).unwrap();
        throttle.admit_login("ana@example.com", them).unwrap();
        manual.advance(retry_after);
        throttle.admit_login("ana@example.com", us).unwrap();
        throttle.admit_login("ana@example.com", us).unwrap_err();
    }

    #[test]
    fn visitors_are_spaced_whatever_they_try() {
        let throttle = Throttle::new(Clock::Manual(ManualClock::default()));
        let admit = |at: u32| throttle.admit_login(&format!("{at}@example.com"), visitor("192.0.2.1"));
        let n_admitted = (0..1_000).take_while(|at| admit(*at).is_ok()).count();
        assert_eq!(n_admitted, usize::try_from(VISITOR_BURST_MAX.get()).unwrap());
        throttle.admit(visitor("192.0.2.2")).unwrap();
    }

    #[test]
    fn an_account_is_held_back_from_however_many_addresses() {
        let manual = ManualClock::at(Moment::from_ms(1_700_000_000_000));
        let throttle = Throttle::new(Clock::Manual(manual.clone()));
        let from = |at: u32| visitor(&format!("192.0.{}.{}", at / 250, at % 250 + 1));
        let n_admitted = (0..1_000).take_while(|at| throttle.admit_login("ana@example.com", from(*at)).is_ok()).count();
        assert_eq!(n_admitted, usize::try_from(ACCOUNT_BURST_MAX.get()).unwrap());
        let refused = throttle.admit_login("ana@example.com", from(999)).unwrap_err();
        assert!(matches!(refused, Error::RateLimited { retry_after } if retry_after <= ACCOUNT_INTERVAL), "{refused}");
        throttle.admit_login("bob@example.com", from(999)).unwrap();
    }

    #[test]
    fn a_log_in_takes_back_what_was_counted_of_its_account() {
        let throttle = Throttle::new(Clock::Manual(ManualClock::at(Moment::from_ms(1_700_000_000_000))));
        let (us, them) = (visitor("192.0.2.1"), visitor("192.0.2.2"));
        for _ in 0..5 {
            for _ in 0..LOGIN_BURST_MAX.get() {
                throttle.admit_login("ana@example.com", us).unwrap();
            }
            throttle.admit_login("ana@example.com", us).unwrap_err();
            throttle.logged_in("Ana@example.com ", us);
        }
        for _ in 0..LOGIN_BURST_MAX.get() {
            throttle.admit_login("bob@example.com", them).unwrap();
        }
        throttle.logged_in("ana@example.com", them);
        throttle.admit_login("bob@example.com", them).unwrap_err();
    }

    #[test]
    fn mails_to_one_address_are_spaced() {
        let manual = ManualClock::at(Moment::from_ms(1_700_000_000_000));
        let throttle = Throttle::new(Clock::Manual(manual.clone()));
        let ask = |at: u32| throttle.admit_mail("ana@example.com", visitor(&format!("192.0.2.{at}")));
        assert_eq!((1..100).take_while(|at| ask(*at).is_ok()).count(), usize::try_from(MAIL_BURST_MAX.get()).unwrap());
        throttle.admit_mail("bob@example.com", visitor("192.0.2.100")).unwrap();
        manual.advance(MAIL_INTERVAL);
        ask(101).unwrap();
        ask(102).unwrap_err();
    }

    #[test]
    fn visitors_are_told_apart_by_household() {
        assert_eq!(visitor("2001:db8::1"), visitor("2001:db8::ffff:2"));
        assert_ne!(visitor("2001:db8::1"), visitor("2001:db8:0:1::1"));
        assert_eq!(visitor("::ffff:192.0.2.1"), visitor("192.0.2.1"));
        assert_eq!((visitor("127.0.0.1"), visitor("::1")), (Visitor(None), Visitor(None)));
    }
}
