//! The end of a session: nobody is shown it any more, its messages and its past stay.

use sqlx::FromRow;

use crate::domain::id::{SessionId, TenantId};
use crate::store::sessions::Sessions;
use crate::store::tx::with_tx;
use crate::store::{Sql, StoreError};

/// Messages that wait for a session: in its lane, on the way there, or for their time.
macro_rules! has_messages {
    () => {
        "(EXISTS (SELECT 1 FROM lane_streams t LEFT JOIN campaigns c ON c.campaign_id = t.campaign_id \
              WHERE t.session_id = $1 AND t.done_below_seq <= t.last_seq \
                  AND (c.state IS NULL OR c.state IN ('running', 'paused'))) \
          OR EXISTS (SELECT 1 FROM outbox o \
              WHERE o.tenant_id = $2 AND o.session_id = $1 AND o.cancelled_at_ms IS NULL) \
          OR EXISTS (SELECT 1 FROM scheduled_messages m WHERE m.tenant_id = $2 AND m.session_id = $1))"
    };
}
/// Campaigns that will write through it.
macro_rules! has_campaigns {
    () => {
        "EXISTS (SELECT 1 FROM campaigns c JOIN campaign_sessions cs ON cs.campaign_id = c.campaign_id \
             WHERE c.tenant_id = $2 AND c.state IN ('scheduled', 'running', 'paused') AND cs.session_id = $1)"
    };
}
const WAITING: Sql =
    Sql::portable(concat!("SELECT ", has_messages!(), " AS has_messages, ", has_campaigns!(), " AS has_campaigns"));
/// The number is free for another session from now on.
const REMOVE: Sql = Sql::portable(concat!(
    "UPDATE sessions SET deleted_at_ms = $3, state = 'logged_out', state_reason = NULL, phone_number = NULL, \
         phone_number_id = NULL \
     WHERE session_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL AND state IN ('logged_out', 'banned') \
         AND NOT ",
    has_messages!(),
    " AND NOT ",
    has_campaigns!(),
));

const DOING: &str = "remove a session";

/// What keeps a session from being removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct WaitingFor {
    /// Messages in its lane, on the way there, or scheduled.
    pub has_messages: bool,
    /// Campaigns that are not over and name it.
    pub has_campaigns: bool,
}

impl Sessions<'_> {
    /// Tells what waits for a session of the tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn waiting_for(&self, tenant_id: TenantId, id: SessionId) -> Result<WaitingFor, StoreError> {
        let mut tx = self.store.begin_read(DOING).await?;
        let sql = WAITING.of(self.store.pool());
        let waiting: Result<WaitingFor, sqlx::Error> =
            with_tx!(&mut tx, |db| sqlx::query_as(sql).bind(id.0).bind(tenant_id.0).fetch_one(db).await);
        let waiting = waiting.map_err(StoreError::database(DOING))?;
        tx.commit(DOING).await?;
        Ok(waiting)
    }

    /// Removes a session of the tenant that is unlinked and that nothing waits for; `false` if it is not so, or not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn remove(&self, tenant_id: TenantId, id: SessionId, now_ms: i64) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING).await?;
        let sql = REMOVE.of(self.store.pool());
        let n = with_tx!(&mut tx, |db| {
            let done = sqlx::query(sql).bind(id.0).bind(tenant_id.0).bind(now_ms).execute(db).await;
            done.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(DOING))?;
        if n == 0 {
            return Ok(false);
        }
        tx.remove_qr(id).await.map_err(StoreError::database(DOING))?;
        tx.commit(DOING).await?;
        Ok(true)
    }
}
