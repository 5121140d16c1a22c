//! Distances that are drawn: breaks after so many sends, and the pace of cold sends.
//!
//! Small values that can be copied, so that the next places are found by going there on a copy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::draw::{Draws, Purpose};
use crate::clock::Moment;
use crate::domain::held_by::HeldBy;
use crate::domain::pacing::{Breaks, ColdRules};

/// Where a row of sends stands between two breaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rest {
    /// Sends until the next break; none while it is not drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_left: Option<u32>,
    /// When the last break ends.
    #[serde(with = "super::memory::ns")]
    pub until: Moment,
}

/// Which draws a row of breaks takes.
pub(super) const OF_ALL: (Purpose, Purpose) = (Purpose::BreakEvery, Purpose::BreakLength);
const OF_COLD: (Purpose, Purpose) = (Purpose::ColdBreakEvery, Purpose::ColdBreakLength);

impl Rest {
    /// Counts the `n`th send.
    pub(super) fn sent(&mut self, at: Moment, n: u64, breaks: &Breaks, (draws, of): (Draws, (Purpose, Purpose))) {
        let n_left = self.n_left.unwrap_or_else(|| draws.whole(of.0, n, breaks.every)).min(breaks.every.1);
        if n_left <= 1 {
            self.n_left = None;
            self.until = at + draws.time(of.1, n, breaks.length);
        } else {
            self.n_left = Some(n_left - 1);
        }
    }

    /// Cuts a break to the longest there is now; without breaks there is none.
    pub(super) fn cut(&mut self, now: Moment, breaks: Option<&Breaks>) {
        match breaks {
            Some(breaks) => self.until = self.until.min(now + breaks.length.1),
            None => *self = Self::default(),
        }
    }
}

/// The row of cold sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ColdRow {
    /// Cold sends so far; which draws come next.
    pub n: u64,
    /// When the next one may go, breaks apart.
    #[serde(with = "super::memory::ns")]
    pub next: Moment,
    /// Its breaks.
    pub rest: Rest,
}

impl ColdRow {
    /// When the next cold send may go, and what it waits for.
    pub(super) fn due(&self) -> (Moment, HeldBy) {
        if self.next < self.rest.until { (self.rest.until, HeldBy::Break) } else { (self.next, HeldBy::ColdPace) }
    }

    /// Counts a cold send.
    pub(super) fn sent(&mut self, at: Moment, rules: &ColdRules, draws: Draws) {
        if let Some(pacing) = rules.pacing {
            let interval = pacing.interval();
            self.next = at + interval + interval.mul_f64(rules.jitter * draws.share(Purpose::ColdGap, self.n));
        }
        if let Some(breaks) = &rules.breaks {
            self.rest.sent(at, self.n, breaks, (draws, OF_COLD));
        }
        self.n += 1;
    }

    /// Cuts waits to the longest that the rules can make.
    pub(super) fn cut(&mut self, now: Moment, rules: &ColdRules) {
        let longest = rules.pacing.map_or(Duration::ZERO, |pacing| pacing.interval().mul_f64(1.0 + rules.jitter));
        self.next = self.next.min(now + longest);
        self.rest.cut(now, rules.breaks.as_ref());
    }
}
