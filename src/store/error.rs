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

    /// Tells whether a unique constraint refused the write.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        match self {
            Self::Database { source: sqlx::Error::Database(error), .. } => error.is_unique_violation(),
            _ => false,
        }
    }
}
