//! Where a recipient lives, as far as clocks go, and the kinds of recipients that follow from it.
//!
//! Opens no window and asks no clock: [`SendingHours`](crate::domain::hours::SendingHours) does that with these zones.
//! The rules of the zones are those carried in the program, so every machine agrees on them.

mod countries;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::domain::recipient::Recipient;
use countries::COUNTRIES;

/// The zones of the world as carried in the program; the machine's own are never read.
static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone of a recipient: one of the IANA names, or a country's code for all zones of its mainland.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(Cow<'static, str>);

/// A text that names no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a time zone like Europe/Berlin, or a country like DE")]
pub struct ZoneProblem;

/// Whether a recipient has ever written to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Temperature {
    /// Never wrote: a stranger, to whom providers and people are strict.
    Cold,
    /// Has written to the session at least once.
    Warm,
}

/// A kind of recipient: zone and temperature in one number. Deliveries of one band may go, or not, together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Band(pub i32);

impl Zone {
    /// Returns the zone of a country, by its ISO 3166 code in capitals; none for codes that no phone number has.
    #[must_use]
    pub fn of_country(country: &str) -> Option<Self> {
        entry(country).map(|(code, _)| Self(Cow::Borrowed(code)))
    }

    /// Returns the zone of a recipient's country; none where the address does not tell it.
    #[must_use]
    pub fn of_recipient(recipient: &Recipient) -> Option<Self> {
        recipient.country().and_then(Self::of_country)
    }

    /// Reads an IANA name in any case, or a country's code in capitals; none if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(country) = Self::of_country(text) {
            return Some(country);
        }
        let zone = BUNDLED.get(text).ok().filter(|zone| !zone.is_unknown())?;
        zone.iana_name().map(|name| Self(Cow::Owned(name.to_owned())))
    }

    /// Returns the name, as kept in the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the zones whose clocks count, all of them: the one of that name, or the outermost of the country.
    #[must_use]
    pub fn zones(&self) -> Vec<TimeZone> {
        let names: &[&str] = match entry(&self.0) {
            Some((_, names)) => names,
            None => &[&self.0],
        };
        names.iter().filter_map(|name| BUNDLED.get(name).ok()).collect()
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneProblem;

    fn try_from(text: String) -> Result<Self, ZoneProblem> {
        Self::parse(&text).ok_or(ZoneProblem)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0.into_owned()
    }
}

impl Band {
    /// Returns the band of a zone and a temperature; the same for the same for ever.
    #[must_use]
    pub fn of(zone: Option<&Zone>, temperature: Temperature) -> Self {
        let place = zone.map_or(0, |zone| hash(zone.as_str()));
        Self(place * 2 + i32::from(temperature == Temperature::Warm))
    }

    /// Returns the temperature.
    #[must_use]
    pub fn temperature(self) -> Temperature {
        if self.0 & 1 == 0 { Temperature::Cold } else { Temperature::Warm }
    }
}

fn entry(country: &str) -> Option<(&'static str, &'static [&'static str])> {
    let index = COUNTRIES.binary_search_by_key(&country, |(code, _)| code).ok()?;
    COUNTRIES.get(index).copied()
}

/// Hashes a name to 1 up to 2^30 - 1, by FNV-1a; 0 is for no name.
fn hash(name: &str) -> i32 {
    let start: u32 = 0x811c_9dc5;
    let hashed = name.bytes().fold(start, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let folded = (hashed >> 30) ^ (hashed & 0x3fff_ffff);
    i32::try_from(folded.max(1)).unwrap_or(1)
}
