//! When sending hours last at the place of a stream's recipients: those of the session and of the campaign together.
//!
//! Looked up once and then known until they begin or end.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::Moment;
use crate::domain::hours::SendingHours;
use crate::domain::zone::Zone;

/// Steps towards a time at which two kinds of hours both last: three windows a day for a week.
const HOURS_STEPS_MAX: usize = 21;

/// When hours that never last are looked at again.
const HOURS_RECHECK: Duration = Duration::from_secs(24 * 3_600);

/// Since when, or from when on, sending hours last, and until when that is known.
#[derive(Debug, Clone, Copy)]
pub struct Hours {
    /// Since when, or from when on; none if never.
    pub from: Option<Moment>,
    /// Until when this holds.
    pub known_until: Moment,
}

/// Whose sending hours hold, besides those of the campaigns.
#[derive(Debug, Clone, Copy)]
pub struct HoursOf<'a> {
    /// The session's.
    pub session: Option<&'a SendingHours>,
    /// The zones of the tenant, for recipients whose own is not known.
    pub tenant_zones: &'a [TimeZone],
}

/// Looks up when all of these hours last next at the place of a zone.
#[must_use]
pub fn hours_of(hours: &[Option<&SendingHours>], zone: Option<&Zone>, tenant_zones: &[TimeZone], now: Moment) -> Hours {
    let hours: Vec<&SendingHours> = hours.iter().copied().flatten().collect();
    if hours.is_empty() {
        return Hours { from: Some(Moment::default()), known_until: Moment(u64::MAX) };
    }
    let own = zone.map(Zone::zones).filter(|zones| !zones.is_empty());
    let zones = own.as_deref().unwrap_or(tenant_zones);
    // Each step goes on to where the later one opens, until both are open.
    let mut from = Some(now);
    for _ in 0..HOURS_STEPS_MAX {
        let next = from.and_then(|from| hours.iter().try_fold(from, |at, hours| hours.next_open(zones, at)));
        if next == from {
            break;
        }
        from = next;
    }
    let closes = hours.iter().filter_map(|hours| hours.closes_at(zones, now)).min();
    let known_until = match from {
        Some(at) if at <= now => closes.unwrap_or(Moment(u64::MAX)),
        Some(at) => at,
        None => now + HOURS_RECHECK,
    };
    Hours { from, known_until }
}
