//! One statement for both databases where the dialects agree, two side by side where they do not.

use crate::store::Pool;

/// A statement in both dialects.
///
/// Parameters are written `$1`, `$2`, …, which sqlx accepts on both.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    postgres: &'static str,
    sqlite: &'static str,
}

impl Sql {
    /// Makes a statement that both databases read alike.
    #[must_use]
    pub const fn portable(text: &'static str) -> Self {
        Self { postgres: text, sqlite: text }
    }

    /// Makes a statement from its two forms.
    #[must_use]
    pub const fn per_dialect(postgres: &'static str, sqlite: &'static str) -> Self {
        Self { postgres, sqlite }
    }

    /// Returns the text for the given database.
    #[must_use]
    pub fn of(&self, pool: &Pool) -> &'static str {
        match pool {
            Pool::Postgres(_) => self.postgres,
            Pool::Sqlite { .. } => self.sqlite,
        }
    }

    /// Returns the PostgreSQL text.
    #[must_use]
    pub const fn postgres(&self) -> &'static str {
        self.postgres
    }

    /// Returns the SQLite text.
    #[must_use]
    pub const fn sqlite(&self) -> &'static str {
        self.sqlite
    }
}

/// The database's clock, UTC milliseconds, in the words of each dialect.
macro_rules! now_ms {
    (postgres) => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::int8"
    };
    (sqlite) => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}
pub(crate) use now_ms;
