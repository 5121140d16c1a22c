//! What an operator wants to know about the database before anything is sent: schema and durability.
//!
//! Judges nothing and changes nothing.

use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

use crate::store::migrate::{POSTGRES, SQLITE};
use crate::store::{Pool, Sql, Store, StoreError};
use crate::with_reader;

/// How the schema compares with the one this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaState {
    /// Steps that are to be applied.
    pub n_missing: usize,
    /// Steps that this program does not know: the database is newer.
    pub n_unknown: usize,
    /// Steps that failed half-way.
    pub n_failed: usize,
}

/// A setting of the database on which durability rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurabilitySetting {
    /// Its name.
    pub name: &'static str,
    /// Its value as our connections see it.
    pub value: String,
    /// Whether what was committed survives a crash with it.
    pub is_durable: bool,
}

const HAS_STEPS: Sql = Sql::per_dialect(
    "SELECT to_regclass('_sqlx_migrations') IS NOT NULL",
    "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')",
);

const STEPS: Sql = Sql::portable("SELECT version, success FROM _sqlx_migrations ORDER BY version");

const POSTGRES_SETTINGS: &str =
    "SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes')";

const SQLITE_SETTING: &str = "PRAGMA synchronous";

const DOING_SCHEMA: &str = "read which steps of the schema were applied";
const DOING_SETTINGS: &str = "read the settings of durability";

impl Store {
    /// Connects to PostgreSQL once, without the retries of a pool, to learn why it does not answer. For an SQLite
    /// file does nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`] with the cause.
    pub async fn knock(url: &str) -> Result<(), StoreError> {
        if url.starts_with("sqlite:") {
            return Ok(());
        }
        let connection = PgConnection::connect(url).await.map_err(StoreError::database("connect to PostgreSQL"))?;
        connection.close().await.map_err(StoreError::database("leave PostgreSQL"))
    }

    /// Compares the schema with the one this program knows.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let known: &Migrator = match self.pool() {
            Pool::Postgres(_) => &POSTGRES,
            Pool::Sqlite { .. } => &SQLITE,
        };
        let sql = (HAS_STEPS.of(self.pool()), STEPS.of(self.pool()));
        let steps: Result<Vec<(i64, bool)>, sqlx::Error> = with_reader!(self.pool(), |db| async {
            if !sqlx::query_scalar::<_, bool>(sql.0).fetch_one(db).await? {
                return Ok(Vec::new());
            }
            sqlx::query_as(sql.1).fetch_all(db).await
        }
        .await);
        let steps = steps.map_err(StoreError::database(DOING_SCHEMA))?;
        let is_applied = |version: i64| steps.iter().any(|(applied, _)| *applied == version);
        Ok(SchemaState {
            n_missing: known.iter().filter(|step| !is_applied(step.version)).count(),
            n_unknown: steps.iter().filter(|(version, _)| !known.version_exists(*version)).count(),
            n_failed: steps.iter().filter(|(_, success)| !success).count(),
        })
    }

    /// Returns the settings on which durability rests.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn durability(&self) -> Result<Vec<DurabilitySetting>, StoreError> {
        match self.pool() {
            Pool::Postgres(pool) => {
                let values: (String, String, String) = sqlx::query_as(POSTGRES_SETTINGS)
                    .fetch_one(pool)
                    .await
                    .map_err(StoreError::database(DOING_SETTINGS))?;
                let of = |name, value: String| DurabilitySetting { name, is_durable: value != "off", value };
                let settings = [("synchronous_commit", values.0), ("fsync", values.1), ("full_page_writes", values.2)];
                Ok(settings.map(|(name, value)| of(name, value)).into())
            }
            Pool::Sqlite { writer, .. } => {
                let level: i64 = sqlx::query_scalar(SQLITE_SETTING)
                    .fetch_one(writer)
                    .await
                    .map_err(StoreError::database(DOING_SETTINGS))?;
                // 2 is FULL: every commit reaches the disk.
                Ok(vec![DurabilitySetting { name: "synchronous", value: level.to_string(), is_durable: 2 <= level }])
            }
        }
    }
}
