//! The folder of data: one owner, two databases, both encrypted when there is a key.
//!
//! `keys.db` is whatsapp-rust's: the keys of all sessions, each under a number of ours. `worker.db` is ours: which session has
//! which number, and what happened until the daemon has asked. They are two files so that a burst of receipts does not wait
//! for the ratchets. Knows no connections.

mod events;
mod key;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::Notify;
use uuid::Uuid;
use whatsapp_rust::store::{SqliteStore, SqliteStoreConfig};

pub use self::key::Key;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS sessions (
        session TEXT PRIMARY KEY,
        device_id INTEGER NOT NULL UNIQUE,
        -- Whether it is to be connected again after a restart.
        wanted INTEGER NOT NULL,
        -- How it ended, if it did, as it is told.
        ended TEXT
    );
    -- Numbers of devices are never used twice: keys of an old pairing can not meet a new one.
    CREATE TABLE IF NOT EXISTS devices (device_id INTEGER PRIMARY KEY AUTOINCREMENT);
    CREATE TABLE IF NOT EXISTS events (
        at INTEGER PRIMARY KEY AUTOINCREMENT,
        kept_at_ms INTEGER NOT NULL,
        -- What makes it the same event when it comes again; none may come again.
        same TEXT UNIQUE,
        body TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS events_kept ON events (kept_at_ms);
";

/// Why the folder can not be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder, or a file in it.
    #[error("the folder of data: {0}")]
    Folder(#[from] std::io::Error),
    /// Another worker has it.
    #[error("the folder of data is another worker's: two clients with the same keys throw each other out")]
    InUse,
    /// The key is none.
    #[error("the key file: it holds neither 32 bytes nor 64 digits, sixteen to a place")]
    BadKey,
    /// The key is another one, or there is one and the data is not encrypted, or the other way round.
    #[error("the database does not open with this key")]
    OtherKey,
    /// The database.
    #[error("the database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The database of keys.
    #[error("the database of keys: {0}")]
    Keys(#[from] whatsapp_rust::store::error::StoreError),
}

/// A session that is known.
#[derive(Debug, Clone)]
pub struct Known {
    /// The session.
    pub session: Uuid,
    /// Under which number its keys are.
    pub device_id: i32,
    /// Whether it is to be connected again.
    pub is_wanted: bool,
    /// How it ended, if it did.
    pub ended: Option<String>,
}

/// The folder. Cheap to clone.
#[derive(Clone)]
pub struct Data {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    key: Option<Key>,
    worker: Mutex<Connection>,
    happened: Notify,
    /// Held as long as the folder is ours.
    _lock: File,
    /// Held while the keys are opened for a session.
    opening: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data").field("is_encrypted", &self.inner.key.is_some()).finish_non_exhaustive()
    }
}

impl Data {
    /// Opens the folder, which is made if it is not there, and keeps others out.
    ///
    /// # Errors
    ///
    /// Fails if it can not be read, is another worker's, or is under another key.
    pub fn open(folder: &Path, key: Option<Key>) -> Result<Self, DataError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let worker = opened(&folder.join("worker.db"), key.as_ref())?;
        worker.execute_batch(SCHEMA)?;
        let inner = Inner {
            folder: folder.to_owned(),
            key,
            worker: Mutex::new(worker),
            happened: Notify::new(),
            _lock: lock,
            opening: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens the keys of one device.
    ///
    /// # Errors
    ///
    /// Fails if the database does.
    pub async fn keys(&self, device_id: i32) -> Result<SqliteStore, DataError> {
        // Whoever opens it brings its tables up to date, which two at once can not do.
        let _one = self.inner.opening.lock().await;
        let path = self.keys_path();
        let mut config = SqliteStoreConfig::default();
        if let Some(key) = self.inner.key.clone() {
            config = config.with_connection_init(move |connection| key.unlock(connection));
        }
        Ok(SqliteStore::with_config_for_device(&path.to_string_lossy(), device_id, config).await?)
    }

    /// Lists the sessions that are known.
    ///
    /// # Errors
    ///
    /// Fails if the database does.
    pub async fn sessions(&self) -> Result<Vec<Known>, DataError> {
        self.run(|worker| {
            let mut asked = worker.prepare("SELECT session, device_id, wanted, ended FROM sessions")?;
            let rows = asked.query_map([], |row| {
                let session: String = row.get(0)?;
                Ok((session, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
            let mut known = Vec::new();
            for row in rows {
                let (session, device_id, is_wanted, ended) = row?;
                if let Ok(session) = session.parse() {
                    known.push(Known { session, device_id, is_wanted, ended });
                }
            }
            Ok(known)
        })
        .await
    }

    /// Returns the number of a session's device; a session that is new gets a new one.
    ///
    /// # Errors
    ///
    /// Fails if the database does.
    pub async fn device_of(&self, session: Uuid) -> Result<i32, DataError> {
        self.run(move |worker| {
            let change = worker.transaction()?;
            let name = session.to_string();
            let known =
                change.query_row("SELECT device_id FROM sessions WHERE session = ?1", [&name], |row| row.get(0));
            if let Some(device_id) = known.optional()? {
                return Ok(device_id);
            }
            change.execute("INSERT INTO devices DEFAULT VALUES", [])?;
            let device_id = i32::try_from(change.last_insert_rowid()).unwrap_or(i32::MAX);
            let insert = "INSERT INTO sessions (session, device_id, wanted) VALUES (?1, ?2, 0)";
            change.execute(insert, params![name, device_id])?;
            change.commit()?;
            Ok(device_id)
        })
        .await
    }

    /// Remembers whether a session is to be connected again, and how it ended.
    ///
    /// # Errors
    ///
    /// Fails if the database does.
    pub async fn remember(&self, session: Uuid, is_wanted: bool, ended: Option<String>) -> Result<(), DataError> {
        self.run(move |worker| {
            let update = "UPDATE sessions SET wanted = ?2, ended = ?3 WHERE session = ?1";
            worker.execute(update, params![session.to_string(), is_wanted, ended])?;
            Ok(())
        })
        .await
    }

    /// Forgets a session and deletes its keys.
    ///
    /// # Errors
    ///
    /// Fails if a database does.
    pub async fn forget(&self, session: Uuid) -> Result<(), DataError> {
        let (path, key) = (self.keys_path(), self.inner.key.clone());
        self.run(move |worker| {
            let name = session.to_string();
            let known =
                worker.query_row("SELECT device_id FROM sessions WHERE session = ?1", [&name], |row| row.get(0));
            let Some(device_id) = known.optional()? else { return Ok(()) };
            let device_id: i32 = device_id;
            if path.exists() {
                delete_keys(&opened(&path, key.as_ref())?, device_id)?;
            }
            worker.execute("DELETE FROM sessions WHERE session = ?1", [&name])?;
            Ok(())
        })
        .await
    }

    fn keys_path(&self) -> PathBuf {
        self.inner.folder.join("keys.db")
    }

    /// Runs `work` on our database, off the threads that serve requests.
    async fn run<T, F>(&self, work: F) -> Result<T, DataError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, DataError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let done =
            tokio::task::spawn_blocking(move || work(&mut inner.worker.lock().unwrap_or_else(PoisonError::into_inner)));
        done.await.map_err(|error| DataError::Folder(std::io::Error::other(error)))?
    }
}

/// Opens a database and looks whether the key fits.
fn opened(path: &Path, key: Option<&Key>) -> Result<Connection, DataError> {
    let connection = Connection::open(path)?;
    if let Some(key) = key {
        connection.execute_batch(&key.statement())?;
    }
    let looked = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0));
    looked.map_err(|_| DataError::OtherKey)?;
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 30000;";
    connection.execute_batch(pragmas)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(connection)
}

/// Deletes whatever stands under a number, whichever tables the version of whatsapp-rust has.
fn delete_keys(keys: &Connection, device_id: i32) -> Result<(), DataError> {
    let change = keys.unchecked_transaction()?;
    {
        let list = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'device_id' \
                    WHERE m.type = 'table'";
        let mut asked = change.prepare(list)?;
        let tables = asked.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        for table in tables {
            change.execute(&format!("DELETE FROM \"{table}\" WHERE device_id = ?1"), [device_id])?;
        }
    }
    change.execute("DELETE FROM device WHERE id = ?1", [device_id])?;
    change.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
