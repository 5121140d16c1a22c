//! The key of the databases: 32 bytes that SQLCipher takes as they are.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use diesel::prelude::*;

use super::DataError;

type Unlocked = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A key. Prints as nothing.
#[derive(Clone)]
pub struct Key {
    hex: Arc<str>,
}

impl Key {
    /// Reads one from a file: 32 bytes, or 64 digits with a line end or without.
    ///
    /// # Errors
    ///
    /// Fails if the file can not be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        Self::from_bytes(&std::fs::read(path)?)
    }

    /// Reads one from what a file holds.
    ///
    /// # Errors
    ///
    /// Fails if it holds something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DataError> {
        if bytes.len() == 32 {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok(Self { hex: hex.into() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DataError::BadKey)?.trim();
        let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex { Ok(Self { hex: text.to_ascii_lowercase().into() }) } else { Err(DataError::BadKey) }
    }

    /// The statement that must come first on a connection.
    pub(super) fn statement(&self) -> String {
        format!("PRAGMA key = \"x'{}'\";", self.hex)
    }

    /// Says it on a connection of whatsapp-rust, and looks whether it fits.
    pub(super) fn unlock(&self, connection: &mut SqliteConnection) -> Unlocked {
        diesel::sql_query(self.statement()).execute(connection)?;
        diesel::sql_query("SELECT count(*) FROM sqlite_master;").execute(connection)?;
        Ok(())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}
