//! Plans and subscriptions: what a tenant may use in a period, and how periods follow each other.
//!
//! Counts nothing; what deliveries take of a plan is [`crate::domain::quota`].

use time::{Duration, OffsetDateTime};

use crate::domain::failure::Reason;
use crate::domain::words::words;

words! {
    /// Where a subscription stands.
    SubscriptionState {
        /// Free of charge until the period ends, and over then.
        Trialing = "trialing",
        /// Paid, or kept by an operator: then it renews itself.
        Active = "active",
        /// A payment did not come; nothing is sent until it does.
        PastDue = "past_due",
        /// Given up by the tenant, or not paid for in time.
        Cancelled = "cancelled",
        /// The trial is over, or it was cancelled a while ago.
        Expired = "expired",
    }
}

words! {
    /// What becomes of deliveries for which the plan has no message left.
    #[derive(Default)]
    OnLimit {
        /// They wait for the next period or a larger plan.
        #[default]
        Hold = "hold",
        /// They fail.
        Fail = "fail",
    }
}

words! {
    /// What a plan limits.
    Meter {
        /// Messages sent in a period.
        Messages = "messages",
        /// Sessions at a time.
        Sessions = "sessions",
        /// Requests to the API in a period.
        ApiRequests = "api_requests",
        /// Campaigns made in a period.
        Campaigns = "campaigns",
        /// Contacts at a time.
        Contacts = "contacts",
    }
}

impl Meter {
    /// Returns the reason of a refusal.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Messages => Reason::PlanMessages,
            Self::Sessions => Reason::PlanSessions,
            Self::ApiRequests => Reason::PlanApiRequests,
            Self::Campaigns => Reason::PlanCampaigns,
            Self::Contacts => Reason::PlanContacts,
        }
    }
}

/// What a plan allows; none stands for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanLimits {
    /// Messages in a period.
    pub messages: Option<i64>,
    /// Sessions at a time.
    pub sessions: Option<i64>,
    /// Requests to the API in a period.
    pub api_requests: Option<i64>,
    /// Campaigns made in a period.
    pub campaigns: Option<i64>,
    /// Contacts at a time.
    pub contacts: Option<i64>,
}

impl PlanLimits {
    /// Returns the limits with so much more of one thing; what has no limit has none.
    #[must_use]
    pub fn with(mut self, meter: Meter, amount: i64) -> Self {
        let limit = match meter {
            Meter::Messages => &mut self.messages,
            Meter::Sessions => &mut self.sessions,
            Meter::ApiRequests => &mut self.api_requests,
            Meter::Campaigns => &mut self.campaigns,
            Meter::Contacts => &mut self.contacts,
        };
        *limit = limit.map(|limit| limit.saturating_add(amount));
        self
    }
}

/// A change of limits: an outer none leaves one as it is, an inner one takes it away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitChange {
    /// Messages in a period.
    pub messages: Option<Option<i64>>,
    /// Sessions at a time.
    pub sessions: Option<Option<i64>>,
    /// Requests to the API in a period.
    pub api_requests: Option<Option<i64>>,
    /// Campaigns made in a period.
    pub campaigns: Option<Option<i64>>,
    /// Contacts at a time.
    pub contacts: Option<Option<i64>>,
}

impl LimitChange {
    /// Returns what the limits are after the change.
    #[must_use]
    pub fn over(self, limits: PlanLimits) -> PlanLimits {
        PlanLimits {
            messages: self.messages.unwrap_or(limits.messages),
            sessions: self.sessions.unwrap_or(limits.sessions),
            api_requests: self.api_requests.unwrap_or(limits.api_requests),
            campaigns: self.campaigns.unwrap_or(limits.campaigns),
            contacts: self.contacts.unwrap_or(limits.contacts),
        }
    }
}

/// The slug of the plan of trials.
pub const TRIAL_PLAN: &str = "trial";

/// The days of a trial.
const TRIAL_DAYS: i64 = 7;

/// A stretch of time over which messages, requests and campaigns are counted, UTC milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// It begins here; names the period as well.
    pub start_ms: i64,
    /// The next one begins here.
    pub end_ms: i64,
    /// All later ones end whole calendar months away from here, on its day or the last of a shorter month.
    pub anchor_ms: i64,
}

impl Period {
    /// Makes the first period of a subscription: up to `end_ms`, or a month, or the days of a trial.
    #[must_use]
    pub fn first(state: SubscriptionState, now_ms: i64, end_ms: Option<i64>) -> Self {
        let trial_ms = Duration::days(TRIAL_DAYS).whole_milliseconds();
        let trial_end_ms = now_ms.saturating_add(i64::try_from(trial_ms).unwrap_or(i64::MAX));
        let given = end_ms.or((state == SubscriptionState::Trialing).then_some(trial_end_ms));
        match given {
            Some(end_ms) => Self { start_ms: now_ms, end_ms, anchor_ms: end_ms },
            None => Self { start_ms: now_ms, end_ms: months_after(now_ms, 1), anchor_ms: now_ms },
        }
    }

    /// Returns the period of calendar months that holds `now_ms`, if this one is over by then.
    #[must_use]
    pub fn next(self, now_ms: i64) -> Option<Self> {
        if now_ms < self.end_ms {
            return None;
        }
        let mut n_months = 0;
        while months_after(self.anchor_ms, n_months) <= now_ms {
            n_months += 1;
        }
        let (start_ms, end_ms) = (months_after(self.anchor_ms, n_months - 1), months_after(self.anchor_ms, n_months));
        Some(Self { start_ms: start_ms.max(self.end_ms), end_ms, ..self })
    }
}

/// Returns the same time of the same day, `n` months later; the last day where the month is shorter.
fn months_after(ms: i64, n: i32) -> i64 {
    let later = || {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
        let month = i32::from(u8::from(at.month())) - 1 + n;
        let year = at.year() + month.div_euclid(12);
        let month = time::Month::try_from(u8::try_from(month.rem_euclid(12) + 1).ok()?).ok()?;
        let day = at.day().min(month.length(year));
        let date = time::Date::from_calendar_date(year, month, day).ok()?;
        i64::try_from(at.replace_date(date).unix_timestamp_nanos() / 1_000_000).ok()
    };
    // No calendar has it: a period that never ends.
    later().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn ms(text: &str) -> i64 {
        i64::try_from(OffsetDateTime::parse(text, &Rfc3339).unwrap().unix_timestamp_nanos() / 1_000_000).unwrap()
    }

    fn text(ms: i64) -> String {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap().format(&Rfc3339).unwrap()
    }

    #[test]
    fn periods_keep_their_day_over_shorter_months() {
        let mut period = Period::first(SubscriptionState::Active, ms("2027-12-31T10:30:00Z"), None);
        let mut ends = vec![text(period.end_ms)];
        for _ in 0..3 {
            let next = period.next(period.end_ms).unwrap();
            assert_eq!((next.start_ms, period.next(period.end_ms - 1)), (period.end_ms, None));
            ends.push(text(next.end_ms));
            period = next;
        }
        let days = ["2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"];
        assert_eq!(ends, days.map(|day| format!("{day}T10:30:00Z")));
    }

    #[test]
    fn a_rest_of_months_is_one_step() {
        let period = Period::first(SubscriptionState::Active, ms("2027-01-15T00:00:00Z"), None);
        let next = period.next(ms("2027-06-15T00:00:00Z")).unwrap();
        let bounds = (text(next.start_ms), text(next.end_ms));
        assert_eq!(bounds, ("2027-06-15T00:00:00Z".to_owned(), "2027-07-15T00:00:00Z".to_owned()));
    }

    #[test]
    fn a_given_end_is_the_day_of_those_that_follow() {
        let end_ms = ms("2027-01-20T00:00:00Z");
        let period = Period::first(SubscriptionState::Active, ms("2027-01-15T00:00:00Z"), Some(end_ms));
        let next = period.next(end_ms).unwrap();
        assert_eq!((next.start_ms, text(next.end_ms)), (end_ms, "2027-02-20T00:00:00Z".to_owned()));
        let trial = Period::first(SubscriptionState::Trialing, ms("2027-01-15T00:00:00Z"), None);
        assert_eq!(text(trial.end_ms), "2027-01-22T00:00:00Z");
    }

    #[test]
    fn words_read_back() {
        for &state in SubscriptionState::ALL {
            assert_eq!(SubscriptionState::parse(state.as_str()), Some(state));
        }
        for &on_limit in OnLimit::ALL {
            assert_eq!(OnLimit::parse(on_limit.as_str()), Some(on_limit));
        }
    }
}
