//! Which node delivers to which webhook.
//!
//! A node that delivers to an address has its lease, so that nobody else does at the same time. Times are arguments:
//! nodes share the database's clock by their own.

use secrecy::SecretString;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{TenantId, WebhookId};
use crate::store::tx::with_tx;
use crate::store::{Sql, Store, StoreError};
use crate::with_writer;

/// An address with work, leased to a node.
#[derive(Debug, Clone)]
pub struct WebhookClaim {
    /// The address.
    pub id: WebhookId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where to post.
    pub url: String,
    /// What signs now, the newest first.
    pub secrets: Vec<SecretString>,
    /// Whether the last attempt there failed.
    pub is_failing: bool,
    /// The node that has it.
    pub owner_id: Uuid,
    /// Until when, UTC milliseconds.
    pub leased_until_ms: i64,
}

/// Those that were served longest ago come first.
macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "UPDATE webhooks SET owner_id = $1, leased_until_ms = $3 WHERE webhook_id IN ( \
                 SELECT w.webhook_id FROM webhooks w WHERE w.is_active AND w.leased_until_ms <= $2 AND EXISTS ( \
                     SELECT 1 FROM webhook_deliveries d \
                     WHERE d.webhook_id = w.webhook_id AND d.state = 'pending' AND d.due_at_ms <= $2) \
                 ORDER BY w.leased_until_ms, w.webhook_id LIMIT $4",
            $lock,
            ") RETURNING webhook_id, tenant_id, url, secret, previous_secret, previous_until_ms, failing_since_ms"
        )
    };
}
const CLAIM: Sql = Sql::per_dialect(claim!(" FOR NO KEY UPDATE SKIP LOCKED"), claim!(""));
const ANY_FREE: Sql = Sql::portable(
    "SELECT EXISTS (SELECT 1 FROM webhooks w WHERE w.is_active AND w.leased_until_ms <= $1 AND EXISTS ( \
         SELECT 1 FROM webhook_deliveries d \
         WHERE d.webhook_id = w.webhook_id AND d.state = 'pending' AND d.due_at_ms <= $1))",
);
const RELEASE: Sql = Sql::portable(
    "UPDATE webhooks SET owner_id = NULL, leased_until_ms = $4 \
     WHERE webhook_id = $1 AND owner_id = $2 AND leased_until_ms = $3",
);

const DOING_CLAIM: &str = "claim webhooks";

#[derive(FromRow)]
struct StoredClaim {
    webhook_id: Uuid,
    tenant_id: Uuid,
    url: String,
    secret: String,
    previous_secret: Option<String>,
    previous_until_ms: Option<i64>,
    failing_since_ms: Option<i64>,
}

impl StoredClaim {
    fn claim(self, owner_id: Uuid, now_ms: i64, leased_until_ms: i64) -> WebhookClaim {
        let holds = self.previous_until_ms.is_some_and(|until_ms| now_ms < until_ms);
        let previous = self.previous_secret.filter(|_| holds);
        WebhookClaim {
            id: WebhookId(self.webhook_id),
            tenant_id: TenantId(self.tenant_id),
            url: self.url,
            secrets: std::iter::once(self.secret).chain(previous).map(SecretString::from).collect(),
            is_failing: self.failing_since_ms.is_some(),
            owner_id,
            leased_until_ms,
        }
    }
}

impl Store {
    /// Leases addresses that have something due and belong to no node now, those served longest ago first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not known which were leased; their leases then run out.
    pub async fn claim_webhooks(
        &self,
        owner_id: Uuid,
        now_ms: i64,
        leased_until_ms: i64,
        limit: u32,
    ) -> Result<Vec<WebhookClaim>, StoreError> {
        // Mostly there is nothing, and then nobody waits for the only connection that writes to SQLite.
        let mut tx = self.begin_read(DOING_CLAIM).await?;
        let sql = ANY_FREE.of(self.pool());
        let any = with_tx!(&mut tx, |db| sqlx::query_scalar::<_, bool>(sql).bind(now_ms).fetch_one(db).await)
            .map_err(StoreError::database(DOING_CLAIM))?;
        tx.commit(DOING_CLAIM).await?;
        if !any {
            return Ok(Vec::new());
        }
        let mut tx = self.begin_write(DOING_CLAIM).await?;
        let sql = CLAIM.of(self.pool());
        let rows = with_tx!(&mut tx, |db| {
            let query = sqlx::query_as::<_, StoredClaim>(sql).bind(owner_id).bind(now_ms).bind(leased_until_ms);
            query.bind(i64::from(limit)).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_CLAIM))?;
        tx.commit(DOING_CLAIM).await?;
        Ok(rows.into_iter().map(|row| row.claim(owner_id, now_ms, leased_until_ms)).collect())
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not given back; it runs out then.
    pub async fn release_webhook(&self, claim: &WebhookClaim, now_ms: i64) -> Result<(), StoreError> {
        let sql = RELEASE.of(self.pool());
        with_writer!(self.pool(), |db| {
            let query = sqlx::query(sql).bind(claim.id.0).bind(claim.owner_id).bind(claim.leased_until_ms);
            query.bind(now_ms).execute(db).await.map(drop)
        })
        .map_err(StoreError::database("give a webhook back"))
    }
}
