//! Messages that tenants keep to send them again.
//!
//! Campaigns copy them, so nothing that was sent changes when one of these does.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{TemplateId, TenantId};
use crate::domain::message::MessageSpec;
use crate::store::bind::written;
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// A message that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateRecord {
    /// Its id.
    pub id: TemplateId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What people call it; each of a tenant once.
    pub name: String,
    /// What is sent.
    pub message: MessageSpec,
    /// When it was made, UTC milliseconds.
    pub created_at_ms: i64,
    /// When it was changed last, UTC milliseconds.
    pub changed_at_ms: i64,
}

/// What is to be different; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct TemplateChange {
    /// What people call it.
    pub name: Option<String>,
    /// What is sent.
    pub message: Option<MessageSpec>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT template_id, tenant_id, name, message, created_at_ms, changed_at_ms FROM message_templates \
             WHERE tenant_id = $1 ",
            $rest
        )
    };
}

const FIND: Sql = Sql::portable(select!("AND template_id = $2"));
const LIST: Sql = Sql::portable(select!("ORDER BY template_id DESC LIMIT $2 OFFSET $3"));
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM message_templates WHERE tenant_id = $1");
const INSERT: Sql = Sql::portable(
    "INSERT INTO message_templates (template_id, tenant_id, name, message, created_at_ms, changed_at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6)",
);
const UPDATE: Sql = Sql::portable(
    "UPDATE message_templates SET name = COALESCE($3, name), message = COALESCE($4, message), changed_at_ms = $5 \
     WHERE template_id = $1 AND tenant_id = $2",
);
const DELETE: Sql = Sql::portable("DELETE FROM message_templates WHERE template_id = $1 AND tenant_id = $2");

const DOING_READ: &str = "read templates";
const DOING_WRITE: &str = "write a template";

#[derive(FromRow)]
struct StoredTemplate {
    template_id: Uuid,
    tenant_id: Uuid,
    name: String,
    message: String,
    created_at_ms: i64,
    changed_at_ms: i64,
}

impl TryFrom<StoredTemplate> for TemplateRecord {
    type Error = StoreError;

    fn try_from(row: StoredTemplate) -> Result<Self, StoreError> {
        let place = RowPlace { table: "message_templates", key: row.template_id };
        Ok(Self {
            id: TemplateId(row.template_id),
            tenant_id: TenantId(row.tenant_id),
            message: place.json("message", &row.message)?,
            name: row.name,
            created_at_ms: row.created_at_ms,
            changed_at_ms: row.changed_at_ms,
        })
    }
}

/// The kept messages in the database.
#[derive(Debug, Clone, Copy)]
pub struct Templates<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the kept messages.
    #[must_use]
    pub fn templates(&self) -> Templates<'_> {
        Templates { store: self }
    }
}

impl Templates<'_> {
    /// Keeps a message.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; a unique violation when the tenant has one of that name.
    pub async fn insert(&self, new: &TemplateRecord) -> Result<(), StoreError> {
        let sql = INSERT.of(self.store.pool());
        with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql).bind(new.id.0).bind(new.tenant_id.0).bind(&new.name);
            let query = query.bind(written(&new.message)).bind(new.created_at_ms).bind(new.changed_at_ms);
            query.execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_WRITE))
    }

    /// Returns one of the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it can not be.
    pub async fn find(&self, tenant_id: TenantId, id: TemplateId) -> Result<Option<TemplateRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredTemplate>(sql).bind(tenant_id.0).bind(id.0).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(TemplateRecord::try_from).transpose()
    }

    /// Lists the tenant's, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when one can not be.
    pub async fn list(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<TemplateRecord>, StoreError> {
        let total = self.count(tenant_id).await?;
        let sql = LIST.of(self.store.pool());
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, StoredTemplate>(sql).bind(tenant_id.0).bind(i64::from(page.limit()));
            query.bind(page.offset()).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        Ok(Page { items: rows.into_iter().map(TemplateRecord::try_from).collect::<Result<_, _>>()?, total })
    }

    /// Counts the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be counted.
    pub async fn count(&self, tenant_id: TenantId) -> Result<u64, StoreError> {
        let sql = COUNT.of(self.store.pool());
        let n: i64 =
            with_reader!(self.store.pool(), |db| sqlx::query_scalar(sql).bind(tenant_id.0).fetch_one(db).await)
                .map_err(StoreError::database(DOING_READ))?;
        Ok(n.unsigned_abs())
    }

    /// Changes one of the tenant's; `false` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; a unique violation when another one has that name.
    pub async fn update(
        &self,
        tenant_id: TenantId,
        id: TemplateId,
        change: &TemplateChange,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = UPDATE.of(self.store.pool());
        let n_changed = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql).bind(id.0).bind(tenant_id.0).bind(&change.name);
            let query = query.bind(change.message.as_ref().map(written)).bind(now_ms);
            query.execute(db).await.map(|done| done.rows_affected())
        });
        Ok(0 < n_changed.map_err(StoreError::database(DOING_WRITE))?)
    }

    /// Removes one of the tenant's; `false` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn remove(&self, tenant_id: TenantId, id: TemplateId) -> Result<bool, StoreError> {
        let sql = DELETE.of(self.store.pool());
        let n_removed = with_writer!(self.store.pool(), |db| {
            sqlx::query(sql).bind(id.0).bind(tenant_id.0).execute(db).await.map(|done| done.rows_affected())
        });
        Ok(0 < n_removed.map_err(StoreError::database(DOING_WRITE))?)
    }
}
