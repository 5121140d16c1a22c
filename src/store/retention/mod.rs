//! What is over and old is removed: step by step, by keys, in transactions of bounded size.
//!
//! What still counts somewhere, or may still move, stays. When a step is taken and how long things are kept is decided
//! elsewhere.

use uuid::Uuid;

use crate::domain::id::TenantId;
use crate::limits::REMOVED_ROWS_MAX;
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

pub mod deliveries;

/// A place in the table of conversations: session and recipient.
pub type ConversationPlace = (Uuid, String);

const TENANTS: Sql = Sql::portable("SELECT tenant_id FROM tenants ORDER BY tenant_id");

/// Ids are in the order of their times, so the beginning of the key is the oldest.
const FORGET_REQUESTS: Sql = Sql::portable(
    "DELETE FROM request_log WHERE request_log_id IN (SELECT request_log_id FROM request_log \
         WHERE request_log_id < $1 ORDER BY request_log_id LIMIT $2)",
);
const FORGET_SESSION_EVENTS: Sql = Sql::portable(
    "DELETE FROM session_events WHERE event_id IN (SELECT event_id FROM session_events WHERE event_id < $1 \
         AND at_ms < $3 ORDER BY event_id LIMIT $2)",
);

/// They are in no order of time, so all are looked at, a stretch at a time.
const NEXT_CONVERSATIONS: Sql = Sql::portable(
    "SELECT session_id, recipient FROM (SELECT session_id, recipient FROM conversations \
         WHERE (session_id, recipient) > ($1, $2) ORDER BY session_id, recipient LIMIT $3) AS stretch \
     ORDER BY session_id DESC, recipient DESC LIMIT 1",
);
const FORGET_CONVERSATIONS: Sql = Sql::portable(
    "DELETE FROM conversations WHERE (session_id, recipient) > ($1, $2) AND (session_id, recipient) <= ($3, $4) \
     AND COALESCE(last_inbound_at_ms, 0) < $5 AND COALESCE(marketing_capped_until_ms, 0) < $5",
);

const FINISHED: Sql = Sql::portable(
    "SELECT c.campaign_id FROM campaigns c WHERE c.state IN ('completed', 'cancelled', 'failed') \
     AND c.finished_at_ms < $1 AND EXISTS (SELECT 1 FROM campaign_recipients r WHERE r.campaign_id = c.campaign_id) \
     ORDER BY c.campaign_id LIMIT 1",
);
const FORGET_RECIPIENTS: Sql = Sql::portable(
    "DELETE FROM campaign_recipients WHERE campaign_id = $1 AND seq IN (SELECT seq FROM campaign_recipients \
         WHERE campaign_id = $1 ORDER BY seq LIMIT $2)",
);

const DOING: &str = "remove what is old";

impl Store {
    /// Returns all tenants.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn tenant_ids(&self) -> Result<Vec<TenantId>, StoreError> {
        let sql = TENANTS.of(self.pool());
        let ids: Vec<Uuid> = with_reader!(self.pool(), |db| sqlx::query_scalar(sql).fetch_all(db).await)
            .map_err(StoreError::database(DOING))?;
        Ok(ids.into_iter().map(TenantId).collect())
    }

    /// Removes the oldest requests of the log from before a time, one step of them; returns whether there are more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was removed; safe to repeat.
    pub async fn forget_requests(&self, before_ms: i64) -> Result<bool, StoreError> {
        let sql = FORGET_REQUESTS.of(self.pool());
        let done = with_writer!(self.pool(), |db| {
            let query = sqlx::query(sql).bind(first_id(before_ms)).bind(i64::from(REMOVED_ROWS_MAX));
            query.execute(db).await.map(|done| done.rows_affected())
        });
        Ok(u64::from(REMOVED_ROWS_MAX) <= done.map_err(StoreError::database(DOING))?)
    }

    /// Removes the oldest events of sessions from before a time, one step of them; returns whether there are more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was removed; safe to repeat.
    pub async fn forget_session_events(&self, before_ms: i64) -> Result<bool, StoreError> {
        let sql = FORGET_SESSION_EVENTS.of(self.pool());
        let done = with_writer!(self.pool(), |db| {
            let query = sqlx::query(sql).bind(first_id(before_ms)).bind(i64::from(REMOVED_ROWS_MAX)).bind(before_ms);
            query.execute(db).await.map(|done| done.rows_affected())
        });
        Ok(u64::from(REMOVED_ROWS_MAX) <= done.map_err(StoreError::database(DOING))?)
    }

    /// Removes conversations behind a place in which nobody wrote since a time, of one stretch; returns the place to go on
    /// from, none at the end.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was removed; safe to repeat.
    pub async fn forget_conversations(
        &self,
        after: &ConversationPlace,
        before_ms: i64,
    ) -> Result<Option<ConversationPlace>, StoreError> {
        let (next, forget) = (NEXT_CONVERSATIONS.of(self.pool()), FORGET_CONVERSATIONS.of(self.pool()));
        let place: Option<ConversationPlace> = with_reader!(self.pool(), |db| {
            let query = sqlx::query_as(next).bind(after.0).bind(&after.1).bind(i64::from(REMOVED_ROWS_MAX));
            query.fetch_optional(db).await
        })
        .map_err(StoreError::database(DOING))?;
        let Some(place) = place else { return Ok(None) };
        with_writer!(self.pool(), |db| {
            let query = sqlx::query(forget).bind(after.0).bind(&after.1).bind(place.0).bind(&place.1);
            query.bind(before_ms).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING))?;
        Ok(Some(place))
    }

    /// Removes recipients of campaigns that were over before a time, one step of them; returns whether there are more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was removed; safe to repeat.
    pub async fn forget_old_recipients(&self, before_ms: i64) -> Result<bool, StoreError> {
        let (find, forget) = (FINISHED.of(self.pool()), FORGET_RECIPIENTS.of(self.pool()));
        let found: Option<Uuid> =
            with_reader!(self.pool(), |db| sqlx::query_scalar(find).bind(before_ms).fetch_optional(db).await)
                .map_err(StoreError::database(DOING))?;
        let Some(campaign_id) = found else { return Ok(false) };
        with_writer!(self.pool(), |db| {
            let query = sqlx::query(forget).bind(campaign_id).bind(i64::from(REMOVED_ROWS_MAX));
            query.execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING))?;
        Ok(true)
    }
}

/// Returns the first id that something at a time may have, where ids are in the order of their times.
fn first_id(at_ms: i64) -> Uuid {
    Uuid::from_u128(u128::from(at_ms.max(0).unsigned_abs()) << 80)
}
