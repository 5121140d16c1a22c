//! Reports: which days they are about, and what tenants had and used on them.
//!
//! Reads sums only; adding them up is asked for by the background.

use crate::domain::day::{DAY_MS, DayCounts, day_of};
use crate::domain::id::TenantId;
use crate::error::{Error, Result};
use crate::limits::{REPORT_DAYS_MAX, ROLL_UP_ROWS_MAX};
use crate::service::Tools;
use crate::store::analytics::TenantDays;
use crate::store::analytics::messages::MessageDays;
use crate::store::analytics::requests::RequestCounts;
use crate::store::analytics::usage::SessionLife;

/// Days of a report when none are asked for.
const DAYS_DEFAULT: i64 = 30;

/// What was used on one day of what plans limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageDay {
    /// The day, counted from 1970 in UTC.
    pub day: i64,
    /// Messages that were, or may have been, sent, of those that count for the plan.
    pub messages: i64,
    /// Sessions that there were.
    pub sessions: i64,
    /// Requests to the API that count for the plan.
    pub api_requests: i64,
    /// Campaigns that were made.
    pub campaigns: i64,
    /// Contacts that there were when it was last looked.
    pub contacts: i64,
}

/// What happened in some days, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overview {
    /// How messages stand.
    pub messages: DayCounts,
    /// Requests to the API.
    pub requests: RequestCounts,
    /// Campaigns that were made.
    pub campaigns: i64,
    /// Sessions that there were on the last day.
    pub sessions: i64,
    /// Contacts that there were on the last day.
    pub contacts: i64,
}

/// Makes reports.
#[derive(Debug, Clone)]
pub struct AnalyticsService {
    tools: Tools,
}

impl AnalyticsService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Returns the days that a report is about: those asked for, both included; by default the last 30, today included.
    ///
    /// # Errors
    /// `Validation` by the fields `from` and `to`.
    pub fn days(&self, tenant_id: TenantId, from: Option<i64>, to: Option<i64>) -> Result<TenantDays> {
        let today = day_of(self.tools.clock.now().as_ms());
        let last = to.unwrap_or_else(|| from.map_or(today, |from| today.min(from + REPORT_DAYS_MAX - 1).max(from)));
        let first = from.unwrap_or(last - DAYS_DEFAULT + 1);
        if last < first {
            return Err(Error::invalid("to", "must not be before from"));
        }
        if REPORT_DAYS_MAX <= last - first {
            return Err(Error::invalid(
                "from",
                format!("must not be more than {REPORT_DAYS_MAX} days before the end of to"),
            ));
        }
        Ok(TenantDays { tenant_id, first, last })
    }

    /// Tells day by day what a tenant had and used.
    ///
    /// # Errors
    /// `Store`.
    pub async fn usage(&self, days: TenantDays) -> Result<Vec<UsageDay>> {
        let analytics = self.tools.store.analytics();
        let of = MessageDays { days, session_id: None, campaign_id: None };
        let messages = analytics.messages_by_day(&of).await?;
        let requests = analytics.requests_by_day(days, None).await?;
        let campaigns = analytics.campaigns_by_day(days).await?;
        let contacts = analytics.contacts_by_day(days).await?;
        let lives = analytics.session_lives(days).await?;
        let mut usage: Vec<UsageDay> =
            (days.first..=days.last).map(|day| UsageDay { day, ..UsageDay::default() }).collect();
        let mut at = |day: i64, set: &mut dyn FnMut(&mut UsageDay)| {
            let place = usize::try_from(day - days.first).ok();
            if let Some(of_day) = place.and_then(|place| usage.get_mut(place)) {
                set(of_day);
            }
        };
        messages.iter().for_each(|(day, counts)| at(*day, &mut |of_day| of_day.messages = counts.used));
        requests.iter().for_each(|(day, counts)| at(*day, &mut |of_day| of_day.api_requests = counts.n_counted));
        campaigns.iter().for_each(|(day, n)| at(*day, &mut |of_day| of_day.campaigns = *n));
        for of_day in &mut usage {
            of_day.sessions = sessions_on(of_day.day, &lives);
            // As it was when it last changed.
            let last = contacts.iter().rev().find(|(day, _)| *day <= of_day.day);
            of_day.contacts = last.map_or(0, |(_, n)| *n);
        }
        Ok(usage)
    }

    /// Tells what happened in some days, all together.
    ///
    /// # Errors
    /// `Store`.
    pub async fn overview(&self, days: TenantDays) -> Result<Overview> {
        let analytics = self.tools.store.analytics();
        let of = MessageDays { days, session_id: None, campaign_id: None };
        let mut overview = Overview::default();
        for (_, counts) in analytics.messages_by_day(&of).await? {
            overview.messages += counts;
        }
        for (_, counts) in analytics.requests_by_day(days, None).await? {
            overview.requests += counts;
        }
        overview.campaigns = analytics.campaigns_by_day(days).await?.iter().map(|(_, n)| n).sum();
        overview.sessions = sessions_on(days.last, &analytics.session_lives(days).await?);
        overview.contacts = analytics.contacts_by_day(days).await?.last().map_or(0, |(_, n)| *n);
        Ok(overview)
    }

    /// Adds up what has moved since it was last done.
    ///
    /// # Errors
    /// `Store` when a step failed; nothing is lost or added twice.
    pub async fn roll_up(&self) -> Result<()> {
        while u64::from(ROLL_UP_ROWS_MAX) <= self.tools.store.roll_up_days(ROLL_UP_ROWS_MAX).await? {}
        Ok(())
    }

    /// Notes how many contacts there are today.
    ///
    /// # Errors
    /// `Store`; safe to repeat.
    pub async fn note_contacts(&self) -> Result<()> {
        Ok(self.tools.store.note_contact_days(day_of(self.tools.clock.now().as_ms())).await?)
    }
}

/// Counts the sessions that there were at the end of a day, or until some time on it.
fn sessions_on(day: i64, lives: &[SessionLife]) -> i64 {
    let (begins_ms, ends_ms) = (day.saturating_mul(DAY_MS), day.saturating_add(1).saturating_mul(DAY_MS));
    let was_there = |(made_ms, removed_ms): &&SessionLife| {
        *made_ms < ends_ms && removed_ms.is_none_or(|removed_ms| begins_ms <= removed_ms)
    };
    i64::try_from(lives.iter().filter(was_there).count()).unwrap_or(i64::MAX)
}
