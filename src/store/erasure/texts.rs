//! Somebody taken out of texts that are kept for a while: what webhooks are told, answers for repeated requests, names of
//! requests, and what people who look on are told.
//!
//! Found by the address itself, in the form in which it stands there.

use uuid::Uuid;

use crate::limits::REMOVED_ROWS_MAX;
use crate::store::erasure::Erased;
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// A place in what webhooks of a tenant are told: webhook, and the place in its queue.
pub type ToldPlace = (Uuid, i64);

/// What stands where a text was. What it was about goes too, because that may follow from the address.
const NOTHING: &str = r#"{"erased":true}"#;

const NEXT_TOLD: Sql = Sql::portable(
    "SELECT webhook_id, seq FROM (SELECT d.webhook_id, d.seq FROM webhooks w \
         JOIN webhook_deliveries d ON d.webhook_id = w.webhook_id \
         WHERE w.tenant_id = $1 AND (w.webhook_id, d.seq) > ($2, $3) ORDER BY d.webhook_id, d.seq LIMIT $4) AS stretch \
     ORDER BY webhook_id DESC, seq DESC LIMIT 1",
);
const ERASE_TOLD: Sql = Sql::per_dialect(
    "UPDATE webhook_deliveries SET data = $6, subject_id = delivery_id WHERE tenant_id = $1 AND (webhook_id, seq) > ($2, $3) \
     AND (webhook_id, seq) <= ($4, $5) AND POSITION($7 IN data) > 0",
    "UPDATE webhook_deliveries SET data = $6, subject_id = delivery_id WHERE tenant_id = $1 AND (webhook_id, seq) > ($2, $3) \
     AND (webhook_id, seq) <= ($4, $5) AND INSTR(data, $7) > 0",
);
/// The request stays done: it is answered without what it was answered.
const ERASE_ANSWERS: Sql = Sql::per_dialect(
    "UPDATE idempotency_keys SET answer = $2 WHERE tenant_id = $1 AND POSITION($3 IN answer) > 0",
    "UPDATE idempotency_keys SET answer = $2 WHERE tenant_id = $1 AND INSTR(answer, $3) > 0",
);
const ERASE_KEYS: Sql = Sql::per_dialect(
    "UPDATE idempotency_keys SET idempotency_key = 'erased-' || claim_id::text \
     WHERE tenant_id = $1 AND POSITION($2 IN idempotency_key) > 0",
    "UPDATE idempotency_keys SET idempotency_key = 'erased-' || HEX(claim_id) \
     WHERE tenant_id = $1 AND INSTR(idempotency_key, $2) > 0",
);
const ERASE_REQUESTS: Sql = Sql::per_dialect(
    "UPDATE request_log SET request_id = 'erased' WHERE tenant_id = $1 AND POSITION($2 IN request_id) > 0",
    "UPDATE request_log SET request_id = 'erased' WHERE tenant_id = $1 AND INSTR(request_id, $2) > 0",
);
const ERASE_NEWS: Sql = Sql::per_dialect(
    "DELETE FROM realtime_feed WHERE tenant_id = $1 AND POSITION($2 IN news) > 0",
    "DELETE FROM realtime_feed WHERE tenant_id = $1 AND INSTR(news, $2) > 0",
);

const DOING: &str = "erase who somebody is from texts";

impl Store {
    /// Takes somebody out of what webhooks behind a place are and were told, one stretch of it; returns the place to go on
    /// from, none at the end.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn erase_told(&self, erased: &Erased, after: ToldPlace) -> Result<Option<ToldPlace>, StoreError> {
        let (next, erase) = (NEXT_TOLD.of(self.pool()), ERASE_TOLD.of(self.pool()));
        let tenant_id = erased.tenant_id.0;
        let place: Option<ToldPlace> = with_reader!(self.pool(), |db| {
            let query = sqlx::query_as(next).bind(tenant_id).bind(after.0).bind(after.1);
            query.bind(i64::from(REMOVED_ROWS_MAX)).fetch_optional(db).await
        })
        .map_err(StoreError::database(DOING))?;
        let Some(place) = place else { return Ok(None) };
        with_writer!(self.pool(), |db| {
            let query = sqlx::query(erase).bind(tenant_id).bind(after.0).bind(after.1).bind(place.0).bind(place.1);
            query.bind(NOTHING).bind(in_json(erased)).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING))?;
        Ok(Some(place))
    }

    /// Takes somebody out of answers for repeated requests, names of requests, and what people who look on are told.
    ///
    /// # Errors
    /// [`StoreError::Database`] when not all was written; safe to repeat.
    pub async fn erase_texts(&self, erased: &Erased) -> Result<(), StoreError> {
        let sql = [ERASE_KEYS, ERASE_REQUESTS, ERASE_NEWS].map(|sql| sql.of(self.pool()));
        let answers = ERASE_ANSWERS.of(self.pool());
        let done: Result<(), sqlx::Error> = with_writer!(self.pool(), |db| async {
            for sql in sql {
                sqlx::query(sql).bind(erased.tenant_id.0).bind(erased.recipient.as_str()).execute(db).await?;
            }
            let query = sqlx::query(answers).bind(erased.tenant_id.0).bind(NOTHING).bind(in_json(erased));
            query.execute(db).await.map(drop)
        }
        .await);
        done.map_err(StoreError::database(DOING))
    }
}

/// Writes the address as it stands in JSON; its digits alone may be part of another number.
fn in_json(erased: &Erased) -> String {
    format!("\"{}\"", erased.recipient.as_str())
}
