//! What the database says when it says no.

/// Why a statement did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused, or could not be reached; safe to repeat unless it is a unique violation.
    #[error("could not {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The driver's own words.
        #[source]
        source: sqlx::Error,
    },
    /// Another transaction changed what this one relied on; nothing was written, and repeating helps.
    #[error("could not {doing}, others were faster")]
    Overtaken {
        /// What was being done.
        doing: &'static str,
    },
    /// A row does not hold what the code wrote; names the place.
    #[error("{table}.{column} of {row} does not hold a known value")]
    Corrupt {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Key of the row.
        row: String,
    },
    /// The schema could not be brought up to date.
    #[error("could not migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The address of the database can not be used.
    #[error("store.url must be a postgres:// or sqlite: address")]
    Address(#[source] Option<sqlx::Error>),
}

impl StoreError {
    /// Makes the error of a failed statement; `doing` completes "could not …".
    pub fn database(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { doing, source }
    }

    /// Tells whether another transaction was in the way: nothing was written, and repeating helps.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Overtaken { .. } => true,
            // PostgreSQL: serialisation failure, deadlock. SQLite: busy, and busy with a stale snapshot.
            Self::Database { source: sqlx::Error::Database(error), .. } => {
                matches!(error.code().as_deref(), Some("40001" | "40P01" | "5" | "517"))
            }
            _ => false,
        }
    }

    /// Tells whether the database will never take these values, however often they are offered.
    #[must_use]
    pub fn is_bad_data(&self) -> bool {
        match self {
            // PostgreSQL's class 22: a value that no column can hold, such as the character U+0000.
            Self::Database { source: sqlx::Error::Database(error), .. } => {
                error.code().is_some_and(|code| code.len() == 5 && code.starts_with("22"))
            }
            _ => false,
        }
    }

    /// Makes the error of a row that can not be read.
    pub(crate) fn corrupt(table: &'static str, column: &'static str, row: impl std::fmt::Display) -> Self {
        Self::Corrupt { table, column, row: row.to_string() }
    }

    /// Tells whether a unique constraint refused the write.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        match self {
            Self::Database { source: sqlx::Error::Database(error), .. } => error.is_unique_violation(),
            _ => false,
        }
    }

    /// Tells whether the database could not be reached or is out of room, so that the same
    /// statement may work later.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        let Self::Database { source, .. } = self else {
            return false;
        };
        match source {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| is_outage_code(&code)),
            _ => false,
        }
    }
}

/// PostgreSQL's classes 08 (connection), 53 (resources) and 57P (shutting down); SQLite's 5 (busy),
/// 10 (disk), 13 (full) with their extended codes.
fn is_outage_code(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "53", "57P"].iter().any(|class| code.starts_with(class));
    }
    code.parse::<u32>().is_ok_and(|number| matches!(number & 0xff, 5 | 10 | 13))
}
