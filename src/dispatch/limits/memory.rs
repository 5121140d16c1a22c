//! What a lane remembers besides its arrival time, as kept in the database.
//!
//! A form only; how it is filled and read stands beside what it is of. Fields that are not known are let through, so
//! that an older build can go on after a newer one.

use serde::{Deserialize, Serialize};

use super::count::SavedCount;
use super::slow_start::SlowStart;
use super::spacing::{ColdRow, Rest};
use super::throughput::Found;
use crate::clock::Moment;

/// The form's version.
pub(super) const VERSION: u8 = 1;

/// What a lane remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LaneMemory {
    /// Version of this form.
    pub v: u8,
    /// Sends so far; which draws come next.
    pub n: u64,
    /// Breaks of the whole lane.
    pub rest: Rest,
    /// Cold sends.
    pub cold: ColdRow,
    /// Attempts begun whose messages had not left when this was saved, and how many of them are cold.
    pub prepared: u32,
    /// The cold ones among them.
    pub prepared_cold: u32,
    /// The last send.
    #[serde(with = "ns_or_none", skip_serializing_if = "Option::is_none")]
    pub last_send: Option<Moment>,
    /// Since when the lane warms up anew after a rest.
    #[serde(with = "ns_or_none", skip_serializing_if = "Option::is_none")]
    pub warm_since: Option<Moment>,
    /// The slow start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<SlowStart>,
    /// The provider's throughput.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Found>,
    /// Sends of the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<SavedCount>,
    /// Sends of the last day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<SavedCount>,
    /// Cold sends of the last day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold_day: Option<SavedCount>,
}

/// Moments as nanoseconds.
pub(super) mod ns {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::clock::Moment;

    pub(in crate::dispatch::limits) fn serialize<S: Serializer>(at: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.0)
    }

    pub(in crate::dispatch::limits) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Moment, D::Error> {
        u64::deserialize(deserializer).map(Moment)
    }
}

/// Moments that may be missing, as nanoseconds.
pub(super) mod ns_or_none {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::clock::Moment;

    pub(in crate::dispatch::limits) fn serialize<S: Serializer>(
        at: &Option<Moment>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        at.map(|at| at.0).serialize(serializer)
    }

    pub(in crate::dispatch::limits) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Moment>, D::Error> {
        Option::<u64>::deserialize(deserializer).map(|at| at.map(Moment))
    }
}
