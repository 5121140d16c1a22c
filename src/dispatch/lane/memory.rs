//! What a lane keeps in the database besides its arrival time: where its limits stand, what holds it, and the own pace
//! of its campaigns.
//!
//! A form only. What an older build does not know it leaves out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::dispatch::breaker::Opening;
use crate::dispatch::lane::share::SavedShare;
use crate::dispatch::lane::step::Hold;
use crate::dispatch::limits::LaneMemory;
use crate::domain::failure::Reason;
use crate::domain::id::{CampaignId, SessionId};
use crate::store::journal::LaneSave;

/// What is kept of a lane.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LaneState {
    /// Where its limits stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LaneMemory>,
    /// What holds all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<SavedHold>,
    /// Holds in a row without a success between them.
    pub n_strikes: u32,
    /// Until when the provider asked all of it to wait, where it named a time itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<SavedHold>,
    /// What holds back messages to recipients who never wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold: Option<SavedHold>,
    /// What holds back all that is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business: Option<SavedHold>,
    /// What holds campaigns, such as a paused template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub campaigns: Vec<(CampaignId, SavedHold)>,
    /// The own pace of campaigns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<SavedShare>,
}

/// Where a lane stands, to be saved. It becomes a text only with the batch that carries it, however many of the lane go
/// into that.
#[derive(Debug, Clone)]
pub struct LaneStanding {
    /// The session.
    pub session_id: SessionId,
    /// When, UTC microseconds; of two the later one counts.
    pub saved_at_us: i64,
    /// The pacer's theoretical arrival time, UTC microseconds.
    pub tat_us: i64,
    /// The rest.
    pub state: LaneState,
}

/// A hold as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedHold {
    /// The word of its reason.
    pub reason: String,
    /// Since when, UTC milliseconds.
    pub since_ms: i64,
    /// Until when, UTC milliseconds, rounded up.
    pub until_ms: i64,
    /// Refusals in a row, where they make it longer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_strikes: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form asks like this")]
pub(super) fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl LaneState {
    /// Returns what holds all of the lane, if it lasts.
    #[must_use]
    pub fn held(&self, now: Moment) -> Option<Hold> {
        let lasting = |hold: &Option<SavedHold>| hold.as_ref().and_then(|hold| hold.hold(now));
        lasting(&self.number).or_else(|| lasting(&self.throttle))
    }

    /// Reads what was kept; what can not be read is as if it had not been.
    #[must_use]
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Writes it, unless there is nothing to keep.
    #[must_use]
    pub fn write(&self) -> Option<String> {
        (*self != Self::default()).then(|| serde_json::to_string(self).expect("numbers and words have a JSON form"))
    }
}

impl LaneStanding {
    /// Tells whether the arrival time is all there is.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.state == LaneState::default()
    }

    /// Returns the row.
    #[must_use]
    pub fn row(&self) -> LaneSave {
        let Self { session_id, saved_at_us, tat_us, ref state } = *self;
        LaneSave { session_id, saved_at_us, tat_us, memory: state.write() }
    }
}

impl SavedHold {
    /// Returns it as an open breaker, also when a probe is due; none when its reason is not known.
    #[must_use]
    pub fn opening(&self) -> Option<Opening> {
        let (since, until) = (Moment::from_ms(self.since_ms), Moment::from_ms(self.until_ms));
        Reason::parse(&self.reason).map(|reason| Opening { reason, since, until })
    }

    /// Returns the hold; none when its reason is not known or it is over.
    #[must_use]
    pub fn hold(&self, now: Moment) -> Option<Hold> {
        let (since, until) = (Moment::from_ms(self.since_ms), Moment::from_ms(self.until_ms));
        let reason = Reason::parse(&self.reason)?;
        (now < until).then_some(Hold { reason, since, until })
    }
}

impl From<Hold> for SavedHold {
    fn from(hold: Hold) -> Self {
        let until_ms = (hold.until + Duration::from_nanos(999_999)).as_ms();
        Self { reason: hold.reason.as_str().to_owned(), since_ms: hold.since.as_ms(), until_ms, n_strikes: 0 }
    }
}
