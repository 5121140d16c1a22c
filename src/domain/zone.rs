//! Where a recipient is, and which kind of recipient it is: what tells streams apart.
//!
//! Knows no time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Whether a recipient has ever written to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Temperature {
    /// Never.
    Cold,
    /// At least once.
    Warm,
}

/// Zone and temperature of the recipients of one stream, as one number that never changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Band(pub i32);

impl Band {
    /// Returns the band of a zone and a temperature.
    #[must_use]
    pub fn of(_zone: Option<&Zone>, temperature: Temperature) -> Self {
        Self(i32::from(temperature == Temperature::Warm))
    }

    /// Returns whether its recipients ever wrote to the session.
    #[must_use]
    pub fn temperature(self) -> Temperature {
        if self.0 & 1 == 1 { Temperature::Warm } else { Temperature::Cold }
    }
}

/// A recipient's zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zone(Arc<str>);

impl Zone {
    /// Reads a zone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(text.into()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
