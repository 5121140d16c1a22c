//! Brings the schema up to date; the same numbers in both dialects.

use sqlx::migrate::Migrator;

use crate::store::{Pool, Store, StoreError};

/// The PostgreSQL schema, step by step.
pub static POSTGRES: Migrator = sqlx::migrate!("src/store/migrations/postgres");
/// The SQLite schema, step by step.
pub static SQLITE: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

impl Store {
    /// Applies every step that is missing; safe to repeat and to run on several nodes at once.
    ///
    /// # Errors
    /// [`StoreError::Migrate`] when a step fails or the database is newer than this program.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self.pool() {
            Pool::Postgres(pool) => POSTGRES.run(pool).await,
            Pool::Sqlite { writer, .. } => SQLITE.run(writer).await,
        }
        .map_err(StoreError::Migrate)
    }
}
