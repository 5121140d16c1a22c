//! Columns read back into domain values.
//!
//! What cannot be read back names its table, column and row.

use std::fmt::Display;

use serde::de::DeserializeOwned;

use crate::domain::recipient::Recipient;
use crate::store::StoreError;

/// A table whose rows are read, and the key of the present one.
pub(super) struct RowPlace<K> {
    pub(super) table: &'static str,
    pub(super) key: K,
}

impl<K: Display> RowPlace<K> {
    /// Returns the value, or tells that the column does not hold one.
    pub(super) fn known<T>(&self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        let (table, row) = (self.table, &self.key);
        value.ok_or_else(|| StoreError::Corrupt { table, column, row: row.to_string() })
    }

    /// Reads a word that may be missing.
    pub(super) fn word<T>(
        &self,
        column: &'static str,
        word: Option<&str>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        word.map(|word| self.known(column, parse(word))).transpose()
    }

    /// Reads a JSON text.
    pub(super) fn json<T: DeserializeOwned>(&self, column: &'static str, text: &str) -> Result<T, StoreError> {
        self.known(column, serde_json::from_str(text).ok())
    }

    /// Reads an address.
    pub(super) fn recipient(&self, text: &str) -> Result<Recipient, StoreError> {
        self.known("recipient", Recipient::from_stored(text))
    }
}

/// Reads settings that a newer version may have written; returns whether they can be read, and what they say.
pub(super) fn settings<T: DeserializeOwned>(text: Option<&str>) -> (bool, Option<T>) {
    text.map(serde_json::from_str).transpose().map_or((false, None), |settings| (true, settings))
}
