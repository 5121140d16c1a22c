//! A setting that must not be seen: prints as `***`, is wiped from memory when dropped.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret text; an empty one means "not set" and prints as nothing.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// Returns the text itself. Never for logs, answers or errors.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Tells whether it was not set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// Returns what may be shown.
    fn shown(&self) -> &'static str {
        if self.is_empty() { "" } else { "***" }
    }

    /// Returns itself, or the given text when it was not set.
    pub(super) fn or(self, text: &str) -> Self {
        if self.is_empty() { Self::from(text.to_owned()) } else { self }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}
