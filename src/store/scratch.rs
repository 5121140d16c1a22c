//! A PostgreSQL database of its own for one bench, made and dropped on a given server.
//!
//! Holds no tables: the daemon brings the schema.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use uuid::Uuid;

use super::StoreError;

/// A database that is there until it is dropped on purpose.
#[derive(Debug)]
pub struct ScratchDatabase {
    server: PgConnectOptions,
    /// Kept open for as long as we are: whoever measures the server leaves it out by its process id.
    _connection: PgConnection,
    name: String,
    url: String,
    backend_pid: Option<u32>,
}

impl ScratchDatabase {
    /// Makes an empty database on the server of `url`, whose user must be allowed to.
    ///
    /// # Errors
    /// [`StoreError::Address`] when the address can not be read, [`StoreError::Database`] when the server refuses.
    pub async fn create(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(|source| StoreError::Address(Some(source)))?;
        let mut server = options.connect().await.map_err(StoreError::database("connect to PostgreSQL"))?;
        let name = format!("bench_{}", Uuid::new_v4().simple());
        // The name is ours: letters and digits only.
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut server).await.map_err(StoreError::database("create a database"))?;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut server)
            .await
            .map_err(StoreError::database("ask for the server's process"))?;
        let url = options.clone().database(&name).to_url_lossy().to_string();
        Ok(Self { server: options, _connection: server, name, url, backend_pid: u32::try_from(pid).ok() })
    }

    /// Returns its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the id of the server's process that serves us, by the server's own count.
    #[must_use]
    pub fn backend_pid(&self) -> Option<u32> {
        self.backend_pid
    }

    /// Drops it, whoever is still connected. The server may have been restarted since.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the server refuses; the database is then left behind.
    pub async fn drop(self) -> Result<(), StoreError> {
        let mut server = self.server.connect().await.map_err(StoreError::database("connect to PostgreSQL"))?;
        let drop = AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name));
        sqlx::query(drop).execute(&mut server).await.map_err(StoreError::database("drop a database"))?;
        server.close().await.map_err(StoreError::database("close a connection"))
    }
}
