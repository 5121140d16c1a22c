//! Sending hours: windows of the week during which messages may go, by the clocks of given zones.
//!
//! Knows no recipient and waits for nothing. A window is open while the clock on the wall shows a time within it, so
//! an hour that a clock skips is skipped, and one that it repeats is open twice.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::domain::moment::Moment;

/// Windows of one setting, at most: three on each day of the week, and some.
const WINDOWS_MAX: usize = 32;
/// How far ahead an opening is searched: two weeks and a day, as a change of clocks may take the window of a week.
const SEARCH: Duration = Duration::from_secs(15 * 86_400);
const DAY_S: i64 = 86_400;
const WEEK_S: i64 = 7 * DAY_S;
/// 1970-01-01 was a Thursday: seconds from the Monday before.
const EPOCH_IN_WEEK_S: i64 = 3 * DAY_S;

/// When messages may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Window>", into = "Vec<Window>")]
pub struct SendingHours {
    windows: Vec<Window>,
    /// Open spans in seconds of the local week from Monday 00:00, in order, none touching another.
    spans: Vec<(i64, i64)>,
}

/// One window on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// The days.
    pub days: Vec<Day>,
    /// From when, "08:00".
    pub from: String,
    /// Until when, "20:00"; "24:00" is the end of the day.
    pub to: String,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// Why windows are none; counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursProblem {
    /// No window, or too many.
    #[error("must have between 1 and {WINDOWS_MAX} windows")]
    Count,
    /// A window on no day.
    #[error("window {0} has no days: give at least one of mon, tue, wed, thu, fri, sat, sun")]
    NoDays(usize),
    /// Not a time of day.
    #[error("window {0} has a time that is none: write 08:00, between 00:00 and 24:00")]
    Time(usize),
    /// Ends before it begins.
    #[error(
        "window {0} does not end after it begins: for hours across midnight give two windows, one to 24:00 and one from 00:00 of the next day"
    )]
    Order(usize),
}

impl Day {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    fn index(self) -> i64 {
        self as i64
    }
}

impl TryFrom<Vec<Window>> for SendingHours {
    type Error = HoursProblem;

    fn try_from(windows: Vec<Window>) -> Result<Self, HoursProblem> {
        if windows.is_empty() || WINDOWS_MAX < windows.len() {
            return Err(HoursProblem::Count);
        }
        let mut spans = Vec::new();
        for (index, window) in windows.iter().enumerate() {
            let number = index + 1;
            if window.days.is_empty() {
                return Err(HoursProblem::NoDays(number));
            }
            let from = time_of_day(&window.from).ok_or(HoursProblem::Time(number))?;
            let to = time_of_day(&window.to).ok_or(HoursProblem::Time(number))?;
            if to <= from {
                return Err(HoursProblem::Order(number));
            }
            spans.extend(window.days.iter().map(|day| (day.index() * DAY_S + from, day.index() * DAY_S + to)));
        }
        Ok(Self { windows, spans: merged(spans) })
    }
}

impl From<SendingHours> for Vec<Window> {
    fn from(hours: SendingHours) -> Self {
        hours.windows
    }
}

impl SendingHours {
    /// Makes one window a day, from one full hour to another.
    ///
    /// # Panics
    /// If the hours are no window: it is for figures in the code.
    #[must_use]
    pub fn daily(from_hour: u8, to_hour: u8) -> Self {
        let window =
            Window { days: Day::ALL.to_vec(), from: format!("{from_hour:02}:00"), to: format!("{to_hour:02}:00") };
        Self::try_from(vec![window]).expect("figures in the code are windows")
    }

    /// Returns the windows as they were given.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Tells whether it is open in all `zones` now.
    #[must_use]
    pub fn is_open(&self, zones: &[TimeZone], now: Moment) -> bool {
        zones.iter().all(|zone| self.opens_in(zone, now, now) == Some(now))
    }

    /// Returns when it is open in all `zones` next, `now` if it is; none if not within two weeks.
    #[must_use]
    pub fn next_open(&self, zones: &[TimeZone], now: Moment) -> Option<Moment> {
        let until = now + SEARCH;
        let mut at = now;
        loop {
            let before = at;
            for zone in zones {
                at = self.opens_in(zone, at, until)?;
            }
            if at == before {
                return Some(at);
            }
        }
    }

    /// Returns when it closes in the first of `zones`, `now` if it is closed; none if not within two weeks.
    #[must_use]
    pub fn closes_at(&self, zones: &[TimeZone], now: Moment) -> Option<Moment> {
        zones.iter().filter_map(|zone| self.closes_in(zone, now)).min()
    }

    /// The first moment from `at` on, not after `until`, at which the clock of `zone` shows an open time.
    fn opens_in(&self, zone: &TimeZone, at: Moment, until: Moment) -> Option<Moment> {
        let mut at_ns = i128::from(at.0);
        for stretch in Stretches::from(zone, at) {
            let week_ns = stretch.week_ns(at_ns);
            let to_open_ns = self
                .spans_around()
                .filter(|(_, to)| week_ns < *to)
                .map(|(from, _)| (from - week_ns).max(0))
                .min()
                .unwrap_or(i128::MAX / 2);
            let opens_ns = at_ns + to_open_ns;
            if stretch.end_ns.is_none_or(|end| opens_ns < end) {
                return moment(opens_ns).filter(|opens| *opens <= until);
            }
            at_ns = stretch.end_ns?;
            if i128::from(until.0) < at_ns {
                return None;
            }
        }
        None
    }

    /// The first moment from `now` on at which the clock of `zone` shows a closed time.
    fn closes_in(&self, zone: &TimeZone, now: Moment) -> Option<Moment> {
        let until_ns = i128::from((now + SEARCH).0);
        let mut at_ns = i128::from(now.0);
        for stretch in Stretches::from(zone, now) {
            loop {
                let week_ns = stretch.week_ns(at_ns);
                let span = self.spans_around().find(|(from, to)| *from <= week_ns && week_ns < *to);
                let Some((_, to)) = span else { return moment(at_ns) };
                let closes_ns = at_ns + (to - week_ns);
                if stretch.end_ns.is_some_and(|end| end <= closes_ns) {
                    break;
                }
                at_ns = closes_ns;
                if until_ns < at_ns {
                    return None;
                }
            }
            at_ns = stretch.end_ns?;
        }
        None
    }

    /// Open spans of this week and the next, in nanoseconds of the local week.
    fn spans_around(&self) -> impl Iterator<Item = (i128, i128)> {
        [0, WEEK_S].into_iter().flat_map(|week| {
            self.spans
                .iter()
                .map(move |(from, to)| (i128::from(from + week) * 1_000_000_000, i128::from(to + week) * 1_000_000_000))
        })
    }
}

/// A stretch of time in which a zone's clock goes evenly.
struct Stretch {
    offset_s: i64,
    /// When the clock changes; none for never.
    end_ns: Option<i128>,
}

impl Stretch {
    /// Where in the local week a moment lies, in nanoseconds.
    fn week_ns(&self, at_ns: i128) -> i128 {
        let local_ns = at_ns + i128::from(self.offset_s + EPOCH_IN_WEEK_S) * 1_000_000_000;
        local_ns.rem_euclid(i128::from(WEEK_S) * 1_000_000_000)
    }
}

/// The stretches of a zone's clock from a moment on.
struct Stretches<'z> {
    offset_s: Option<i64>,
    transitions: jiff::tz::TimeZoneFollowingTransitions<'z>,
}

impl<'z> Stretches<'z> {
    fn from(zone: &'z TimeZone, at: Moment) -> Self {
        let at = timestamp(at);
        Self { offset_s: Some(zone.to_offset(at).seconds().into()), transitions: zone.following(at) }
    }
}

impl Iterator for Stretches<'_> {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        let offset_s = self.offset_s?;
        let change = self.transitions.next();
        self.offset_s = change.as_ref().map(|change| change.offset().seconds().into());
        Some(Stretch { offset_s, end_ns: change.map(|change| change.timestamp().as_nanosecond()) })
    }
}

fn timestamp(at: Moment) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or(Timestamp::MAX)
}

fn moment(at_ns: i128) -> Option<Moment> {
    u64::try_from(at_ns).ok().map(Moment)
}

/// Reads "08:00" as seconds from midnight.
fn time_of_day(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let number = |part: &str| -> Option<i64> {
        let is_short = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        if is_short { part.parse().ok() } else { None }
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let fits = (hour < 24 && minute < 60) || (hour == 24 && minute == 0);
    fits.then_some(hour * 3_600 + minute * 60)
}

/// Puts spans in order and joins those that touch.
fn merged(mut spans: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    spans.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}
