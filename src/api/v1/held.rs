//! What something waits for, as clients see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::timestamp::Timestamp;
use crate::clock::Moment;
use crate::dispatch::picture::Waiting;

/// The one constraint that binds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeldView {
    /// Its word; the same that metrics use.
    #[schema(example = "daily_cap")]
    by: &'static str,
    /// What that means.
    #[schema(example = "The session has sent as much in 24 hours as it may.")]
    meaning: &'static str,
    /// Since when, where that is known.
    since: Option<Timestamp>,
    /// Until when; null when time alone does not lift it.
    until: Option<Timestamp>,
}

impl HeldView {
    /// Returns when it lifts by itself.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.until
    }
}

impl From<Waiting> for HeldView {
    fn from(waiting: Waiting) -> Self {
        // Rounded up: nobody is told a moment that is too early.
        let ms_after = |at: Moment| Timestamp(at.as_ms() + i64::from(!at.0.is_multiple_of(1_000_000)));
        Self {
            by: waiting.by.as_str(),
            meaning: waiting.by.meaning(),
            since: waiting.since.map(|at| Timestamp(at.as_ms())),
            until: waiting.until.map(ms_after),
        }
    }
}
