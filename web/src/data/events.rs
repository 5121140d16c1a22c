//! What happened, numbered, until the daemon has asked for it or a day has passed.

use std::time::Duration;

use rusqlite::params;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Data, DataError};
use crate::clock::now_ms;
use crate::limits::{EVENTS_KEPT, EVENTS_KEPT_MAX, EVENTS_PER_ANSWER_MAX, EVENTS_PER_PRUNING};
use crate::wire::Happening;

impl Data {
    /// Keeps what happened, in one transaction; what has the name of something kept is left out.
    ///
    /// # Errors
    ///
    /// Fails if the database does: whoever gave it must not forget it then.
    pub async fn keep(&self, happenings: Vec<(Option<String>, Happening)>) -> Result<(), DataError> {
        if happenings.is_empty() {
            return Ok(());
        }
        self.run(move |worker| {
            let (change, now) = (worker.transaction()?, now_ms());
            let before = last(&change)?;
            for (same, happening) in happenings {
                let body = serde_json::to_string(&happening).unwrap_or_default();
                let insert = "INSERT OR IGNORE INTO events (kept_at_ms, same, body) VALUES (?1, ?2, ?3)";
                change.execute(insert, params![now, same, body])?;
            }
            let last = last(&change)?;
            if before / EVENTS_PER_PRUNING != last / EVENTS_PER_PRUNING {
                prune(&change, last, now)?;
            }
            change.commit()?;
            Ok(())
        })
        .await?;
        self.inner.happened.notify_waiters();
        Ok(())
    }

    /// Returns what happened after a number, and waits a while for something; a number that is not reached yet is another
    /// folder's, so that everything that is kept is told.
    ///
    /// # Errors
    ///
    /// Fails if the database does.
    pub async fn happened_after(&self, after: i64, wait: Duration) -> Result<Value, DataError> {
        let until = Instant::now() + wait;
        loop {
            // Listens before it looks.
            let happened = self.inner.happened.notified();
            tokio::pin!(happened);
            happened.as_mut().enable();
            let (next, events) = self.run(move |worker| read(worker, after)).await?;
            if !events.is_empty() || until <= Instant::now() {
                return Ok(json!({ "next": next, "events": events }));
            }
            tokio::select! {
                () = happened => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Throws away what is old.
    ///
    /// # Errors
    ///
    /// Fails if the database does.
    pub async fn prune(&self) -> Result<(), DataError> {
        self.run(|worker| {
            let last = last(worker)?;
            prune(worker, last, now_ms())
        })
        .await
    }
}

/// Returns the last number that was given, whether or not its event is still kept.
fn last(worker: &rusqlite::Connection) -> Result<i64, DataError> {
    let asked = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'";
    Ok(worker.query_row(asked, [], |row| row.get(0))?)
}

fn prune(worker: &rusqlite::Connection, last: i64, now: i64) -> Result<(), DataError> {
    let kept_ms = i64::try_from(EVENTS_KEPT.as_millis()).unwrap_or(i64::MAX);
    let delete = "DELETE FROM events WHERE at <= ?1 OR kept_at_ms < ?2";
    worker.execute(delete, params![last.saturating_sub(EVENTS_KEPT_MAX), now.saturating_sub(kept_ms)])?;
    Ok(())
}

fn read(worker: &rusqlite::Connection, after: i64) -> Result<(i64, Vec<Value>), DataError> {
    let after = if last(worker)? < after { 0 } else { after };
    let mut asked = worker.prepare_cached("SELECT at, body FROM events WHERE ?1 < at ORDER BY at LIMIT ?2")?;
    let rows = asked.query_map(params![after, EVENTS_PER_ANSWER_MAX], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    let (mut next, mut events) = (after, Vec::new());
    for row in rows {
        let (at, body) = row?;
        next = at;
        let Ok(Value::Object(mut event)) = serde_json::from_str(&body) else { continue };
        event.insert("at".to_owned(), at.into());
        events.push(Value::Object(event));
    }
    Ok((next, events))
}
