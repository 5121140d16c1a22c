//! The life of a subscription: from its trial over what is paid to its end.
//!
//! One enum of states, one total function of what can happen. Time comes as an event like all others, when
//! [`Subscription::due_at_ms`] has come; nothing here waits for it.

use crate::domain::plan::{Period, SubscriptionState as State};

/// How long a payment may be late before the subscription is cancelled: a week, in which a person can be asked.
pub const GRACE_MS: i64 = 7 * 86_400_000;

/// How long a cancelled subscription can be told from one that was over long ago: 30 days.
pub const CANCELLED_MS: i64 = 30 * 86_400_000;

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Where it stands.
    pub state: State,
    /// The slug of its plan.
    pub plan: String,
    /// What is counted now.
    pub period: Period,
    /// When this part of its life ends, UTC milliseconds; none while it renews itself, and when it is over for good.
    pub ends_at_ms: Option<i64>,
    /// It was given up: it is over when its period is.
    pub cancels: bool,
    /// What follows the present period.
    pub next: Option<NextPeriod>,
}

/// What follows a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextPeriod {
    /// The slug of the plan.
    pub plan: String,
    /// Until when it is paid, UTC milliseconds; none while it is not.
    pub until_ms: Option<i64>,
}

/// What can happen to a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its time has come: the trial, the period, the grace or the rest is over.
    TimeCame,
    /// A period of a plan was paid.
    Paid {
        /// The slug of the plan.
        plan: String,
    },
    /// The difference to a dearer plan was paid for the rest of the period.
    Upgraded {
        /// The slug of the plan.
        plan: String,
    },
    /// From the next period on it is to be another plan.
    Downgraded {
        /// The slug of the plan.
        plan: String,
    },
    /// It is given up.
    Cancelled,
    /// It is not given up after all.
    Resumed,
    /// An operator, or the registration, says what it is.
    Set {
        /// The slug of the plan.
        plan: String,
        /// Where it stands.
        state: State,
        /// When the present period ends; as it was, or as new ones do, where none is given.
        period_end_ms: Option<i64>,
    },
}

/// Why something can not happen to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The period after this one is paid already.
    #[error("The next period is paid already.")]
    PaidAhead,
    /// It renews itself: an operator looks after it.
    #[error("The subscription is looked after by an operator; nothing is paid here.")]
    RenewsItself,
    /// There is nothing to change any more.
    #[error("The subscription is over; choose a plan and pay for it.")]
    Over,
}

/// What lanes have to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneEffect {
    /// Nothing.
    Nothing,
    /// They hold what they have.
    Hold,
    /// They go on.
    Lift,
    /// They look whether the limit is another one.
    Look,
}

/// A subscription after something happened, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is now.
    pub after: Subscription,
    /// From when on nothing may be sent or made, UTC milliseconds; none while it renews itself.
    pub active_until_ms: Option<i64>,
    /// What the lanes do.
    pub lanes: LaneEffect,
    /// Whether anything is different, which is told.
    pub is_told: bool,
}

impl Subscription {
    /// Returns what a tenant has that never had any.
    #[must_use]
    pub fn none(plan: &str) -> Self {
        Self {
            state: State::Expired,
            plan: plan.to_owned(),
            period: Period { start_ms: 0, end_ms: 0, anchor_ms: 0 },
            ends_at_ms: None,
            cancels: false,
            next: None,
        }
    }

    /// Returns when time moves it, UTC milliseconds; none when it never does.
    #[must_use]
    pub fn due_at_ms(&self) -> Option<i64> {
        self.ends_at_ms.or((self.cancels && self.state == State::Active).then_some(self.period.end_ms))
    }

    /// Tells whether it sends.
    #[must_use]
    pub fn sends(&self, now_ms: i64) -> bool {
        self.active_until_ms(now_ms).is_none_or(|until_ms| now_ms < until_ms)
    }

    /// Returns from when on nothing may be sent or made, as of `now_ms`.
    fn active_until_ms(&self, now_ms: i64) -> Option<i64> {
        let paid_ahead = self.next.as_ref().and_then(|next| next.until_ms);
        match self.state {
            State::Trialing => self.ends_at_ms,
            State::Active => paid_ahead.or(self.due_at_ms()),
            State::PastDue | State::Cancelled | State::Expired => Some(now_ms),
        }
    }

    /// Returns what it is after an event.
    ///
    /// # Errors
    /// [`Refused`] says why the event can not happen to it.
    pub fn step(&self, event: &Event, now_ms: i64) -> Result<Step, Refused> {
        let after = match event {
            Event::TimeCame => self.time_came(now_ms),
            Event::Paid { plan } => self.paid(plan, now_ms)?,
            Event::Upgraded { plan } => self.upgraded(plan, now_ms)?,
            Event::Downgraded { plan } => self.downgraded(plan, now_ms)?,
            Event::Cancelled => self.cancelled(now_ms)?,
            Event::Resumed => self.resumed()?,
            Event::Set { plan, state, period_end_ms } => self.set(plan, (*state, *period_end_ms), now_ms),
        };
        // When time is looked at, it has stopped already: the lanes are told all the same.
        let sent = self.sends(now_ms);
        let sends = after.sends(now_ms);
        let looks = sends && (after.plan != self.plan || after.period != self.period);
        let lanes = match (sent || matches!(event, Event::TimeCame), sends) {
            (true, false) if after.state != self.state && self.state != State::Cancelled => LaneEffect::Hold,
            (false, true) => LaneEffect::Lift,
            _ if looks => LaneEffect::Look,
            _ => LaneEffect::Nothing,
        };
        Ok(Step { active_until_ms: after.active_until_ms(now_ms), lanes, is_told: after != *self, after })
    }

    fn time_came(&self, now_ms: i64) -> Self {
        let Some(due_at_ms) = self.due_at_ms().filter(|due_at_ms| *due_at_ms <= now_ms) else { return self.clone() };
        let ended = |state, ends_at_ms| Self { state, ends_at_ms, cancels: false, next: None, ..self.clone() };
        match (self.state, &self.next) {
            (State::Active, Some(NextPeriod { plan, until_ms: Some(until_ms) })) => {
                let period = Period { start_ms: due_at_ms, end_ms: *until_ms, ..self.period };
                Self { plan: plan.clone(), period, ends_at_ms: Some(*until_ms), next: None, ..self.clone() }
            }
            (State::Active, _) if self.cancels => ended(State::Cancelled, Some(due_at_ms.saturating_add(CANCELLED_MS))),
            (State::Active, next) => {
                let plan = next.as_ref().map_or_else(|| self.plan.clone(), |next| next.plan.clone());
                Self { plan, ..ended(State::PastDue, Some(due_at_ms.saturating_add(GRACE_MS))) }
            }
            (State::PastDue, _) => ended(State::Cancelled, Some(due_at_ms.saturating_add(CANCELLED_MS))),
            (State::Trialing | State::Cancelled | State::Expired, _) => ended(State::Expired, None),
        }
    }

    fn paid(&self, plan: &str, now_ms: i64) -> Result<Self, Refused> {
        let running = self.state == State::Active && self.sends(now_ms);
        if running && self.ends_at_ms.is_none() {
            return Err(Refused::RenewsItself);
        }
        if let Some(ends_at_ms) = self.ends_at_ms.filter(|ends_at_ms| running && now_ms < *ends_at_ms) {
            if self.next.as_ref().is_some_and(|next| next.until_ms.is_some()) {
                return Err(Refused::PaidAhead);
            }
            let until_ms = Period { end_ms: ends_at_ms, ..self.period }.next(ends_at_ms).map(|period| period.end_ms);
            let next = Some(NextPeriod { plan: plan.to_owned(), until_ms });
            return Ok(Self { cancels: false, next, ..self.clone() });
        }
        if running {
            // Paid ahead, and time has not been looked at since: the period that runs is that one.
            return Err(Refused::PaidAhead);
        }
        let period = Period::first(State::Active, now_ms, None);
        let ends_at_ms = Some(period.end_ms);
        let plan = plan.to_owned();
        Ok(Self { state: State::Active, plan, period, ends_at_ms, cancels: false, next: None })
    }

    /// Returns itself if it is paid for and runs.
    fn running(&self, now_ms: i64) -> Result<Self, Refused> {
        match (self.state, self.ends_at_ms) {
            (State::Active, None) => Err(Refused::RenewsItself),
            (State::Active, Some(ends_at_ms)) if now_ms < ends_at_ms => Ok(self.clone()),
            _ => Err(Refused::Over),
        }
    }

    fn upgraded(&self, plan: &str, now_ms: i64) -> Result<Self, Refused> {
        let running = self.running(now_ms)?;
        // What is paid already stays; what was only wished for is wished no more.
        let next = running.next.filter(|next| next.until_ms.is_some());
        Ok(Self { plan: plan.to_owned(), next, cancels: false, ..running })
    }

    fn downgraded(&self, plan: &str, now_ms: i64) -> Result<Self, Refused> {
        let running = self.running(now_ms)?;
        if running.next.as_ref().is_some_and(|next| next.until_ms.is_some()) {
            return Err(Refused::PaidAhead);
        }
        let next = (plan != running.plan).then(|| NextPeriod { plan: plan.to_owned(), until_ms: None });
        Ok(Self { next, ..running })
    }

    fn cancelled(&self, now_ms: i64) -> Result<Self, Refused> {
        match self.state {
            // One that renews itself has done so since, if nobody has looked.
            State::Active if self.ends_at_ms.is_none() && !self.cancels => {
                let period = self.period.next(now_ms).unwrap_or(self.period);
                Ok(Self { period, cancels: true, ..self.clone() })
            }
            State::Trialing | State::Active => Ok(Self { cancels: true, ..self.clone() }),
            State::PastDue => {
                let ends_at_ms = Some(now_ms.saturating_add(CANCELLED_MS));
                Ok(Self { state: State::Cancelled, ends_at_ms, next: None, ..self.clone() })
            }
            State::Cancelled => Ok(self.clone()),
            State::Expired => Err(Refused::Over),
        }
    }

    fn resumed(&self) -> Result<Self, Refused> {
        match self.state {
            State::Trialing | State::Active => Ok(Self { cancels: false, ..self.clone() }),
            State::PastDue | State::Cancelled | State::Expired => Err(Refused::Over),
        }
    }

    fn set(&self, plan: &str, (state, end_ms): (State, Option<i64>), now_ms: i64) -> Self {
        let running = (now_ms < self.period.end_ms).then_some(self.period);
        let period = match (running, end_ms) {
            (Some(period), Some(end_ms)) => Period { end_ms, anchor_ms: end_ms, ..period },
            (Some(period), None) => period,
            (None, given) => Period::first(state, now_ms, given),
        };
        let ends_at_ms = match state {
            State::Trialing => Some(period.end_ms),
            State::Active | State::Expired => None,
            State::PastDue => Some(now_ms.saturating_add(GRACE_MS)),
            State::Cancelled => Some(now_ms.saturating_add(CANCELLED_MS)),
        };
        Self { state, plan: plan.to_owned(), period, ends_at_ms, cancels: false, next: None }
    }
}

#[cfg(test)]
mod tests;
