//! The addresses at which tenants are told what happens.
//!
//! Secrets are handed out only to who signs with them. What is queued for an address is [`super::webhook_queue`].

use secrecy::{ExposeSecret, SecretString};
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{TenantId, WebhookId};
use crate::domain::webhook::{DisabledReason, WebhookEvent};
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::with_tx;
use crate::store::webhook_feed::events_of;
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRecord {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where to post.
    pub url: String,
    /// What is told.
    pub events: Vec<WebhookEvent>,
    /// Whether anything is told at all.
    pub is_active: bool,
    /// Why it is not active, if nobody asked for that.
    pub disabled_reason: Option<DisabledReason>,
    /// Since when nothing has arrived, UTC milliseconds; none while something does.
    pub failing_since_ms: Option<i64>,
    /// Until when the secret before signs too, UTC milliseconds.
    pub previous_until_ms: Option<i64>,
    /// When it was made, UTC milliseconds.
    pub created_at_ms: i64,
}

/// An address to make.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where to post.
    pub url: String,
    /// What is told.
    pub events: Vec<WebhookEvent>,
    /// What signs.
    pub secret: SecretString,
    /// When, UTC milliseconds.
    pub created_at_ms: i64,
}

/// What is to be different; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    /// Where to post.
    pub url: Option<String>,
    /// What is told.
    pub events: Option<Vec<WebhookEvent>>,
    /// Whether anything is told; being switched on forgets what failed.
    pub is_active: Option<bool>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT webhook_id, tenant_id, url, events, is_active, disabled_reason, failing_since_ms, \
                 previous_until_ms, created_at_ms FROM webhooks WHERE tenant_id = $1 AND deleted_at_ms IS NULL ",
            $rest
        )
    };
}

const FIND: Sql = Sql::portable(select!("AND webhook_id = $2"));
const LIST: Sql = Sql::portable(select!("ORDER BY webhook_id DESC LIMIT $2 OFFSET $3"));
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM webhooks WHERE tenant_id = $1 AND deleted_at_ms IS NULL");
const INSERT: Sql = Sql::portable(
    "INSERT INTO webhooks (webhook_id, tenant_id, url, events, secret, is_active, created_at_ms) \
     SELECT $1, $2, $3, $4, $5, TRUE, $6 \
     WHERE (SELECT COUNT(*) FROM webhooks WHERE tenant_id = $2 AND deleted_at_ms IS NULL) < $7",
);
macro_rules! update {
    ($is_active:literal) => {
        concat!(
            "UPDATE webhooks SET url = COALESCE($3, url), events = COALESCE($4, events), is_active = COALESCE(",
            $is_active,
            ", is_active), disabled_reason = CASE WHEN ",
            $is_active,
            " IS NULL THEN disabled_reason END, failing_since_ms = CASE WHEN COALESCE(",
            $is_active,
            ", FALSE) THEN NULL ELSE failing_since_ms END \
             WHERE webhook_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL"
        )
    };
}
const UPDATE: Sql = Sql::per_dialect(update!("$5::boolean"), update!("$5"));
const ROTATE: Sql = Sql::portable(
    "UPDATE webhooks SET previous_secret = secret, previous_until_ms = $4, secret = $3 \
     WHERE webhook_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL",
);
/// What is queued goes later, step by step; nothing of it is sent any more.
const DELETE: Sql = Sql::portable(
    "UPDATE webhooks SET deleted_at_ms = $3, is_active = FALSE, secret = '', previous_secret = NULL \
     WHERE webhook_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL",
);

const DOING_READ: &str = "read webhooks";
const DOING_WRITE: &str = "write a webhook";

#[derive(FromRow)]
struct StoredWebhook {
    webhook_id: Uuid,
    tenant_id: Uuid,
    url: String,
    events: String,
    is_active: bool,
    disabled_reason: Option<String>,
    failing_since_ms: Option<i64>,
    previous_until_ms: Option<i64>,
    created_at_ms: i64,
}

impl TryFrom<StoredWebhook> for WebhookRecord {
    type Error = StoreError;

    fn try_from(row: StoredWebhook) -> Result<Self, StoreError> {
        let place = RowPlace { table: "webhooks", key: row.webhook_id };
        Ok(Self {
            id: WebhookId(row.webhook_id),
            tenant_id: TenantId(row.tenant_id),
            url: row.url,
            events: events_of(&row.events),
            is_active: row.is_active,
            disabled_reason: place.word("disabled_reason", row.disabled_reason.as_deref(), DisabledReason::parse)?,
            failing_since_ms: row.failing_since_ms,
            previous_until_ms: row.previous_until_ms,
            created_at_ms: row.created_at_ms,
        })
    }
}

/// Addresses, and nothing of what they are told.
#[derive(Debug, Clone, Copy)]
pub struct Webhooks<'a> {
    pub(super) store: &'a Store,
}

impl Store {
    /// Returns the addresses.
    #[must_use]
    pub fn webhooks(&self) -> Webhooks<'_> {
        Webhooks { store: self }
    }
}

impl Webhooks<'_> {
    /// Makes an address; `false` when the tenant has `n_max` already.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn insert(&self, new: &NewWebhook, n_max: i64) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_WRITE).await?;
        tx.hold_tenant(new.tenant_id, DOING_WRITE).await?;
        let sql = INSERT.of(self.store.pool());
        let n_added = with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql).bind(new.id.0).bind(new.tenant_id.0).bind(&new.url).bind(words(&new.events));
            let query = query.bind(new.secret.expose_secret()).bind(new.created_at_ms).bind(n_max);
            query.execute(db).await.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(DOING_WRITE))?;
        tx.commit(DOING_WRITE).await?;
        Ok(0 < n_added)
    }

    /// Returns one of the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it can not be.
    pub async fn find(&self, tenant_id: TenantId, id: WebhookId) -> Result<Option<WebhookRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredWebhook>(sql).bind(tenant_id.0).bind(id.0).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(WebhookRecord::try_from).transpose()
    }

    /// Lists the tenant's, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when one can not be.
    pub async fn list(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<WebhookRecord>, StoreError> {
        let (count, sql) = (COUNT.of(self.store.pool()), LIST.of(self.store.pool()));
        let total: i64 =
            with_reader!(self.store.pool(), |db| { sqlx::query_scalar(count).bind(tenant_id.0).fetch_one(db).await })
                .map_err(StoreError::database(DOING_READ))?;
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, StoredWebhook>(sql).bind(tenant_id.0).bind(i64::from(page.limit()));
            query.bind(page.offset()).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        let items = rows.into_iter().map(WebhookRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Changes one of the tenant's; `false` if it is not there. Switched on or off by a person it has no reason of
    /// its own any more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn update(&self, tenant_id: TenantId, id: WebhookId, change: &WebhookChange) -> Result<bool, StoreError> {
        let sql = UPDATE.of(self.store.pool());
        let n_changed = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql).bind(id.0).bind(tenant_id.0).bind(&change.url);
            let query = query.bind(change.events.as_deref().map(words)).bind(change.is_active);
            query.execute(db).await.map(|done| done.rows_affected())
        });
        Ok(0 < n_changed.map_err(StoreError::database(DOING_WRITE))?)
    }

    /// Gives one of the tenant's a new secret; the one before signs too until then. `false` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn rotate(
        &self,
        tenant_id: TenantId,
        id: WebhookId,
        secret: &SecretString,
        previous_until_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = ROTATE.of(self.store.pool());
        let n_changed = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql).bind(id.0).bind(tenant_id.0).bind(secret.expose_secret());
            query.bind(previous_until_ms).execute(db).await.map(|done| done.rows_affected())
        });
        Ok(0 < n_changed.map_err(StoreError::database(DOING_WRITE))?)
    }

    /// Removes one of the tenant's with its secrets; `false` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn delete(&self, tenant_id: TenantId, id: WebhookId, now_ms: i64) -> Result<bool, StoreError> {
        let sql = DELETE.of(self.store.pool());
        let n_changed = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql).bind(id.0).bind(tenant_id.0).bind(now_ms);
            query.execute(db).await.map(|done| done.rows_affected())
        });
        Ok(0 < n_changed.map_err(StoreError::database(DOING_WRITE))?)
    }
}

fn words(events: &[WebhookEvent]) -> String {
    serde_json::to_string(events).expect("a list of words is JSON")
}
