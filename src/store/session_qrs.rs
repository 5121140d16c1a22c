//! The codes that sessions wait to be paired by: one of each, where every node reads it.
//!
//! A code goes when its session leaves the state in which it may be scanned. Never logged.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sqlx::FromRow;

use crate::domain::id::{SessionId, TenantId};
use crate::domain::session::SessionState;
use crate::domain::webhook::{WebhookEvent, written_time};
use crate::store::sessions::Sessions;
use crate::store::tx::{Tx, with_tx};
use crate::store::webhook_feed::Told;
use crate::store::{Sql, StoreError};
use crate::with_reader;

/// A code to be scanned.
#[derive(Debug, Clone)]
pub struct SessionQr {
    /// What the picture says.
    pub code: SecretString,
    /// When we got it, UTC milliseconds.
    pub issued_at_ms: i64,
    /// When another one takes its place, or pairing ends, UTC milliseconds.
    pub expires_at_ms: i64,
}

const WAIT: Sql = Sql::portable(
    "UPDATE sessions SET state = 'qr_pending', state_reason = NULL \
     WHERE session_id = $1 AND tenant_id = $2 AND state = $3 AND deleted_at_ms IS NULL",
);
/// News of devices come late and more than once: an older code changes nothing.
const PUT: Sql = Sql::portable(
    "INSERT INTO session_qrs AS q (session_id, code, issued_at_ms, expires_at_ms) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (session_id) DO UPDATE SET code = EXCLUDED.code, issued_at_ms = EXCLUDED.issued_at_ms, \
         expires_at_ms = EXCLUDED.expires_at_ms \
     WHERE q.expires_at_ms < EXCLUDED.expires_at_ms",
);
const FIND: Sql = Sql::portable(
    "SELECT q.code, q.issued_at_ms, q.expires_at_ms FROM session_qrs q JOIN sessions s ON s.session_id = q.session_id \
     WHERE q.session_id = $1 AND s.tenant_id = $2",
);
const REMOVE: Sql = Sql::portable("DELETE FROM session_qrs WHERE session_id = $1");

const DOING: &str = "put down the code of a session";

#[derive(FromRow)]
struct StoredQr {
    code: String,
    issued_at_ms: i64,
    expires_at_ms: i64,
}

impl Sessions<'_> {
    /// Puts down the code that a session waits to be paired by, and tells it; `false` if the session was not in `from`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn issue_qr(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        from: SessionState,
        qr: &SessionQr,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING).await?;
        let wait = WAIT.of(self.store.pool());
        let n = with_tx!(&mut tx, |db| {
            let done = sqlx::query(wait).bind(id.0).bind(tenant_id.0).bind(from.as_str()).execute(db).await;
            done.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(DOING))?;
        if n == 0 {
            return Ok(false);
        }
        let put = PUT.of(self.store.pool());
        let n = with_tx!(&mut tx, |db| {
            let query = sqlx::query(put).bind(id.0).bind(qr.code.expose_secret()).bind(qr.issued_at_ms);
            query.bind(qr.expires_at_ms).execute(db).await.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(DOING))?;
        if n != 0 {
            tx.tell(&BTreeSet::from([tenant_id]), || vec![told(tenant_id, id, from, qr)], DOING).await?;
        }
        self.store.commit_moves(tx, DOING).await?;
        Ok(true)
    }

    /// Returns the last code of a session of the tenant, expired or not; none when it does not wait for one.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn qr(&self, tenant_id: TenantId, id: SessionId) -> Result<Option<SessionQr>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredQr>(sql).bind(id.0).bind(tenant_id.0).fetch_optional(db).await
        });
        let StoredQr { code, issued_at_ms, expires_at_ms } =
            match row.map_err(StoreError::database("read the code of a session"))? {
                Some(row) => row,
                None => return Ok(None),
            };
        Ok(Some(SessionQr { code: code.into(), issued_at_ms, expires_at_ms }))
    }
}

impl Tx {
    /// Takes the code of a session away; its row must be locked.
    pub(super) async fn remove_qr(&mut self, id: SessionId) -> Result<(), sqlx::Error> {
        with_tx!(self, |db| sqlx::query(REMOVE.postgres()).bind(id.0).execute(db).await.map(drop))
    }
}

fn told(tenant_id: TenantId, id: SessionId, from: SessionState, qr: &SessionQr) -> Told {
    Told {
        tenant_id,
        event: WebhookEvent::SessionQr,
        subject_id: id.0,
        at_ms: qr.issued_at_ms,
        data: json!({
            "sessionId": id, "status": SessionState::QrPending.as_str(), "previousStatus": from.as_str(), "reason": null,
            "qr": qr.code.expose_secret(), "expiresAt": written_time(qr.expires_at_ms),
        }),
        name: None,
    }
}
