//! Moves of a session's state, with what is told of them: the event, and its way to the topic.
//!
//! Which moves are allowed is the domain's; here a move names the state it expects.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{SessionId, TenantId};
use crate::domain::session::SessionState;
use crate::domain::session_change::{SESSION_CHANGE_VERSION, SessionChange, SessionNews};
use crate::store::column::RowPlace;
use crate::store::events::{EventKind, event_time};
use crate::store::page::{Page, PageRequest};
use crate::store::sessions::Sessions;
use crate::store::tx::with_tx;
use crate::store::{Sql, StoreError};
use crate::with_reader;

/// A move of a session's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionMove {
    /// The state it must be in.
    pub from: SessionState,
    /// The state it gets.
    pub to: SessionState,
    /// What is told of it, if anything is.
    pub news: Option<SessionNews>,
    /// Why, when nobody asked for it: a word of the API.
    pub reason: Option<&'static str>,
    /// When, UTC milliseconds.
    pub at_ms: i64,
}

/// Something that happened to the connection of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEventRecord {
    /// Its id, ordered by time.
    pub id: Uuid,
    /// What happened.
    pub news: SessionNews,
    /// The state after it.
    pub state: SessionState,
    /// The state before it.
    pub from: SessionState,
    /// Why, if nobody asked for it.
    pub reason: Option<String>,
    /// When, UTC milliseconds.
    pub at_ms: i64,
}

const MOVE: Sql = Sql::portable(
    "UPDATE sessions SET state = $4, state_reason = $5, \
         connected_at_ms = CASE WHEN $4 = 'connected' THEN $6 ELSE connected_at_ms END \
     WHERE session_id = $1 AND tenant_id = $2 AND state = $3 AND deleted_at_ms IS NULL",
);
/// A number that becomes known by its digits later than by the provider's name is as old as it was by that.
const NOTE_NUMBERS: Sql = Sql::portable(
    "INSERT INTO numbers (number, first_linked_at_ms) \
     SELECT w.number, COALESCE((SELECT MIN(n.first_linked_at_ms) FROM numbers n \
         JOIN sessions s ON n.number IN (s.phone_number, s.phone_number_id) WHERE s.session_id = $1), $2) \
     FROM (SELECT phone_number AS number FROM sessions WHERE session_id = $1 \
         UNION SELECT phone_number_id FROM sessions WHERE session_id = $1) w \
     WHERE w.number IS NOT NULL ON CONFLICT (number) DO NOTHING",
);
const INSERT: Sql = Sql::portable(
    "INSERT INTO session_events (event_id, tenant_id, session_id, event, state, from_state, reason, at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
);
const LIST: Sql = Sql::portable(
    "SELECT event_id, event, state, from_state, reason, at_ms FROM session_events \
     WHERE session_id = $1 AND tenant_id = $2 ORDER BY event_id DESC LIMIT $3 OFFSET $4",
);
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM session_events WHERE session_id = $1 AND tenant_id = $2");
const PLACE: Sql =
    Sql::portable("SELECT tenant_id, state FROM sessions WHERE session_id = $1 AND deleted_at_ms IS NULL");

const DOING_MOVE: &str = "move a session";
const DOING_LIST: &str = "read the events of a session";

#[derive(FromRow)]
struct StoredEvent {
    event_id: Uuid,
    event: String,
    state: String,
    from_state: String,
    reason: Option<String>,
    at_ms: i64,
}

impl TryFrom<StoredEvent> for SessionEventRecord {
    type Error = StoreError;

    fn try_from(row: StoredEvent) -> Result<Self, StoreError> {
        let place = RowPlace { table: "session_events", key: row.event_id };
        Ok(Self {
            id: row.event_id,
            news: place.known("event", SessionNews::parse(&row.event))?,
            state: place.known("state", SessionState::parse(&row.state))?,
            from: place.known("from_state", SessionState::parse(&row.from_state))?,
            reason: row.reason,
            at_ms: row.at_ms,
        })
    }
}

impl Sessions<'_> {
    /// Moves a session of the tenant from one state to another, and tells it, both or none; `false` if it was not in
    /// `from`. With the first connect of a number its age begins.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written; safe to repeat.
    pub async fn transition(&self, tenant_id: TenantId, id: SessionId, step: &SessionMove) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_MOVE).await?;
        let (update, insert) = (MOVE.of(self.store.pool()), INSERT.of(self.store.pool()));
        let n_moved = with_tx!(&mut tx, |db| {
            let query = sqlx::query(update)
                .bind(id.0)
                .bind(tenant_id.0)
                .bind(step.from.as_str())
                .bind(step.to.as_str())
                .bind(step.reason)
                .bind(step.at_ms);
            query.execute(db).await.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(DOING_MOVE))?;
        if n_moved == 0 {
            return Ok(false);
        }
        if step.from == SessionState::QrPending {
            tx.remove_qr(id).await.map_err(StoreError::database(DOING_MOVE))?;
        }
        if step.to == SessionState::Connected {
            let note = NOTE_NUMBERS.of(self.store.pool());
            with_tx!(&mut tx, |db| sqlx::query(note).bind(id.0).bind(step.at_ms).execute(db).await.map(drop))
                .map_err(StoreError::database(DOING_MOVE))?;
        }
        if let Some(news) = step.news {
            let change = change_of(tenant_id, id, step, news);
            with_tx!(&mut tx, |db| {
                let query = sqlx::query(insert)
                    .bind(change.event_id)
                    .bind(tenant_id.0)
                    .bind(id.0)
                    .bind(news.as_str())
                    .bind(step.to.as_str())
                    .bind(step.from.as_str())
                    .bind(step.reason)
                    .bind(step.at_ms);
                query.execute(db).await.map(drop)
            })
            .map_err(StoreError::database(DOING_MOVE))?;
            if let Some(recording) = self.store.recording() {
                tx.record_as(recording, EventKind::Session, |_| vec![change], DOING_MOVE).await?;
            }
        }
        tx.tell_session(tenant_id, id, step, DOING_MOVE).await?;
        self.store.commit_moves(tx, DOING_MOVE).await?;
        Ok(true)
    }

    /// Returns whose a session is and where it stands, for the daemon.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn place_of(&self, id: SessionId) -> Result<Option<(TenantId, SessionState)>, StoreError> {
        let sql = PLACE.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, (Uuid, String)>(sql).bind(id.0).fetch_optional(db).await
        });
        let Some((tenant_id, state)) = row.map_err(StoreError::database("find a session"))? else { return Ok(None) };
        let place = RowPlace { table: "sessions", key: id };
        Ok(Some((TenantId(tenant_id), place.known("state", SessionState::parse(&state))?)))
    }

    /// Lists what happened to the connection of a session, newest first; nothing if it is not the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn events(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        page: PageRequest,
    ) -> Result<Page<SessionEventRecord>, StoreError> {
        let (count, list) = (COUNT.of(self.store.pool()), LIST.of(self.store.pool()));
        let total: i64 = with_reader!(self.store.pool(), |db| {
            sqlx::query_scalar(count).bind(id.0).bind(tenant_id.0).fetch_one(db).await
        })
        .map_err(StoreError::database(DOING_LIST))?;
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, StoredEvent>(list).bind(id.0).bind(tenant_id.0);
            query.bind(i64::from(page.limit())).bind(page.offset()).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_LIST))?;
        let items = rows.into_iter().map(SessionEventRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }
}

fn change_of(tenant_id: TenantId, session_id: SessionId, step: &SessionMove, news: SessionNews) -> SessionChange {
    SessionChange {
        v: SESSION_CHANGE_VERSION,
        event_id: Uuid::now_v7(),
        event: news,
        tenant_id,
        session_id,
        state: step.to,
        from: step.from,
        reason: step.reason.map(str::to_owned),
        at: event_time(step.at_ms),
    }
}
