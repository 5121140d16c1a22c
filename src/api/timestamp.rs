//! Times on the wire: ISO 8601 in UTC with milliseconds and `Z` outwards, any offset inwards.
//!
//! Reads no clock.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::clock::Moment;

const FORM: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
/// The last year that the wire form can write.
const YEAR_MAX: i32 = 9_999;

/// A time, UTC milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns the moment; times before the epoch become the epoch.
    #[must_use]
    pub fn moment(self) -> Moment {
        Moment::from_ms(self.0)
    }

    /// Writes the time as it is on the wire.
    #[must_use]
    pub fn to_text(self) -> String {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .filter(|time| (0..=YEAR_MAX).contains(&time.year()))
            .and_then(|time| time.format(FORM).ok())
            .unwrap_or_else(|| "9999-12-31T23:59:59.999Z".to_owned())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = OffsetDateTime::parse(&text, &Rfc3339)
            .map_err(|_| D::Error::custom("must be a time such as 2026-01-31T08:00:00Z"))?;
        let ms = time.unix_timestamp_nanos() / 1_000_000;
        i64::try_from(ms).map(Self).map_err(|_| D::Error::custom("is out of range"))
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("A time in UTC with milliseconds."))
            .examples(["2026-01-31T08:00:00.000Z"])
            .into()
    }
}

impl ToSchema for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_with_milliseconds_in_utc() {
        assert_eq!(Timestamp(0).to_text(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_769_846_400_007).to_text(), "2026-01-31T08:00:00.007Z");
        assert_eq!(Timestamp(i64::MAX).to_text(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn read_with_any_offset() {
        let read = |text: &str| serde_json::from_value::<Timestamp>(text.into()).ok();
        assert_eq!(read("2026-01-31T08:00:00.0071Z"), Some(Timestamp(1_769_846_400_007)));
        assert_eq!(read("2026-01-31T13:30:00.007+05:30"), Some(Timestamp(1_769_846_400_007)));
        for refused in ["", "2026-01-31", "2026-02-30T00:00:00Z", "1769846400007"] {
            assert_eq!(read(refused), None, "{refused}");
        }
    }
}
