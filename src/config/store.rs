//! Section `store`: which database, and how many connections to it.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::problems::Problems;

/// Which database.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Its address.
    pub url: DatabaseUrl,
    /// Connections at most; with SQLite these only read, and one more writes.
    pub connections_max: u32,
}

/// The address of a database; its password prints as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct DatabaseUrl(String);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StoreFile {
    url: DatabaseUrl,
    connections_max: u64,
}

impl Default for StoreFile {
    fn default() -> Self {
        Self { url: DatabaseUrl("sqlite:data/dispatcher.db".into()), connections_max: 8 }
    }
}

impl StoreFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<StoreConfig> {
        let known = ["sqlite:", "postgres://", "postgresql://"];
        if !known.iter().any(|scheme| self.url.0.starts_with(scheme)) {
            problems.push("store.url", "must be sqlite:PATH or postgres://USER@HOST/DATABASE");
            return None;
        }
        let connections_max = problems.in_range("store.connections_max", self.connections_max, 1..=256)?;
        Some(StoreConfig { url: self.url, connections_max: u32::try_from(connections_max).ok()? })
    }
}

impl DatabaseUrl {
    /// Returns the address with its password. Never for logs, answers or errors.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the path of an SQLite file; none for other databases and for one in memory.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&std::path::Path> {
        let path = self.0.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path).split('?').next()?;
        (!path.is_empty() && path != ":memory:").then(|| std::path::Path::new(path))
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = self.0.split_once("://").and_then(|(scheme, rest)| {
            let (login, place) = rest.rsplit_once('@')?;
            let (user, _password) = login.split_once(':')?;
            Some(format!("{scheme}://{user}:***@{place}"))
        });
        let url = hidden.unwrap_or_else(|| self.0.clone());
        match url.split_once("password=") {
            Some((before, _)) => write!(f, "{before}password=***"),
            None => f.write_str(&url),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden() {
        let shown = |url: &str| DatabaseUrl(url.to_owned()).to_string();
        assert_eq!(shown("postgres://ana:s:c@ret@db:5432/x"), "postgres://ana:***@db:5432/x");
        assert_eq!(shown("postgres://ana@db/x"), "postgres://ana@db/x");
        assert_eq!(shown("postgres://db/x?password=hunter2"), "postgres://db/x?password=***");
        assert_eq!(shown("sqlite:data/a.db"), "sqlite:data/a.db");
    }

    #[test]
    fn sqlite_files_have_a_path() {
        let path = |url: &str| DatabaseUrl(url.to_owned()).sqlite_path().map(|path| path.display().to_string());
        assert_eq!(path("sqlite:data/a.db").as_deref(), Some("data/a.db"));
        assert_eq!(path("sqlite:///var/a.db?mode=rw").as_deref(), Some("/var/a.db"));
        assert_eq!(path("sqlite::memory:"), None);
        assert_eq!(path("postgres://db/x"), None);
    }
}
