//! Groups of contacts, and who is in them.
//!
//! Each transaction that changes one holds the tenant's book of contacts first, so that the counts are those of the rows.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{ContactId, GroupId, TenantId};
use crate::limits::CONTACT_STEP_MAX;
use crate::store::bind::hex_list;
use crate::store::contacts::{ContactRecord, ContactRow, read_all, select_contacts};
use crate::store::page::{Page, PageRequest};
use crate::store::tx::with_tx;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

const LIST: Sql = Sql::portable(
    "SELECT group_id, tenant_id, name, n_contacts, created_at_ms FROM contact_groups WHERE tenant_id = $1 \
     ORDER BY group_id DESC LIMIT $2 OFFSET $3",
);
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM contact_groups WHERE tenant_id = $1");
const FIND: Sql = Sql::portable(
    "SELECT group_id, tenant_id, name, n_contacts, created_at_ms FROM contact_groups \
     WHERE group_id = $1 AND tenant_id = $2",
);
const KNOWN: Sql = Sql::per_dialect(
    "SELECT group_id, tenant_id, name, n_contacts, created_at_ms FROM contact_groups WHERE tenant_id = $1 \
     AND group_id IN (SELECT CAST(json_array_elements_text(CAST($2 AS JSON)) AS UUID))",
    "SELECT group_id, tenant_id, name, n_contacts, created_at_ms FROM contact_groups WHERE tenant_id = $1 \
     AND group_id IN (SELECT unhex(value) FROM json_each($2))",
);
const INSERT: Sql = Sql::portable(
    "INSERT INTO contact_groups (group_id, tenant_id, name, created_at_ms) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (tenant_id, name) DO NOTHING",
);
const RENAME: Sql = Sql::portable(
    "UPDATE contact_groups SET name = $3 WHERE group_id = $1 AND tenant_id = $2 AND NOT EXISTS \
         (SELECT 1 FROM contact_groups other WHERE other.tenant_id = $2 AND other.name = $3 AND other.group_id <> $1)",
);
const DELETE: Sql = Sql::portable("DELETE FROM contact_groups WHERE group_id = $1 AND tenant_id = $2");

const MEMBERS: Sql = Sql::portable(select_contacts!(
    "(SELECT contact_id FROM contact_group_members WHERE group_id = $1 ORDER BY contact_id DESC \
      LIMIT $3 OFFSET $4) AS p JOIN contacts c ON c.contact_id = p.contact_id AND c.tenant_id = $2",
    "ORDER BY c.contact_id DESC"
));
const STEP: Sql = Sql::portable(select_contacts!(
    "contact_group_members m JOIN contacts c ON c.contact_id = m.contact_id AND c.tenant_id = $2",
    "WHERE m.group_id = $1 AND $3 < m.contact_id ORDER BY m.contact_id LIMIT $4"
));
const ADD: Sql = Sql::per_dialect(
    "INSERT INTO contact_group_members (group_id, contact_id) \
     SELECT g.group_id, c.contact_id FROM contact_groups g JOIN contacts c ON c.tenant_id = g.tenant_id \
     WHERE g.group_id = $1 AND g.tenant_id = $2 \
         AND c.contact_id IN (SELECT CAST(json_array_elements_text(CAST($3 AS JSON)) AS UUID)) \
     ON CONFLICT DO NOTHING",
    "INSERT INTO contact_group_members (group_id, contact_id) \
     SELECT g.group_id, c.contact_id FROM contact_groups g JOIN contacts c ON c.tenant_id = g.tenant_id \
     WHERE g.group_id = $1 AND g.tenant_id = $2 AND c.contact_id IN (SELECT unhex(value) FROM json_each($3)) \
     ON CONFLICT DO NOTHING",
);
const REMOVE: Sql = Sql::portable(
    "DELETE FROM contact_group_members WHERE group_id = $1 AND contact_id = $3 \
     AND EXISTS (SELECT 1 FROM contact_groups g WHERE g.group_id = $1 AND g.tenant_id = $2)",
);
const COUNT_MEMBERS: Sql =
    Sql::portable("UPDATE contact_groups SET n_contacts = n_contacts + $3 WHERE group_id = $1 AND tenant_id = $2");

const DOING_READ: &str = "read groups of contacts";
const DOING_CHANGE: &str = "change a group of contacts";

/// A group of contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRecord {
    /// The group.
    pub id: GroupId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What people call it; each of a tenant once.
    pub name: String,
    /// Contacts in it.
    pub n_contacts: i64,
    /// When it was made, UTC milliseconds.
    pub created_at_ms: i64,
}

/// The groups in the database.
#[derive(Debug, Clone, Copy)]
pub struct ContactGroups<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the groups of contacts.
    #[must_use]
    pub fn contact_groups(&self) -> ContactGroups<'_> {
        ContactGroups { store: self }
    }
}

impl ContactGroups<'_> {
    /// Lists a page of the tenant's groups, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn list(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<GroupRecord>, StoreError> {
        let (list, count) = (LIST.of(self.store.pool()), COUNT.of(self.store.pool()));
        let total: i64 =
            with_reader!(self.store.pool(), |db| sqlx::query_scalar(count).bind(tenant_id.0).fetch_one(db).await)
                .map_err(StoreError::database(DOING_READ))?;
        let rows: Result<Vec<GroupRow>, sqlx::Error> = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as(list).bind(tenant_id.0).bind(i64::from(page.limit())).bind(page.offset());
            query.fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        Ok(Page { items: rows.into_iter().map(GroupRecord::from).collect(), total: total.unsigned_abs() })
    }

    /// Finds a group of the tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, tenant_id: TenantId, id: GroupId) -> Result<Option<GroupRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row: Result<Option<GroupRow>, sqlx::Error> = with_reader!(self.store.pool(), |db| {
            sqlx::query_as(sql).bind(id.0).bind(tenant_id.0).fetch_optional(db).await
        });
        Ok(row.map_err(StoreError::database(DOING_READ))?.map(GroupRecord::from))
    }

    /// Finds those of the given groups that are the tenant's, in no order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn known(&self, tenant_id: TenantId, ids: &[GroupId]) -> Result<Vec<GroupRecord>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let sql = KNOWN.of(self.store.pool());
        let rows: Result<Vec<GroupRow>, sqlx::Error> = with_reader!(self.store.pool(), |db| {
            sqlx::query_as(sql).bind(tenant_id.0).bind(hex_list(&ids)).fetch_all(db).await
        });
        Ok(rows.map_err(StoreError::database(DOING_READ))?.into_iter().map(GroupRecord::from).collect())
    }

    /// Adds a group; `false` if the tenant has one of that name.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn insert(&self, group: &GroupRecord) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_CHANGE).await?;
        tx.hold_contacts(group.tenant_id, DOING_CHANGE).await?;
        let sql = INSERT.of(self.store.pool());
        let inserted = with_tx!(&mut tx, |db| {
            sqlx::query(sql)
                .bind(group.id.0)
                .bind(group.tenant_id.0)
                .bind(&group.name)
                .bind(group.created_at_ms)
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        let n_inserted = inserted.map_err(StoreError::database(DOING_CHANGE))?;
        tx.commit(DOING_CHANGE).await?;
        Ok(0 < n_inserted)
    }

    /// Renames a group of the tenant; `false` if it is not there, or another one has the name.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn rename(&self, tenant_id: TenantId, id: GroupId, name: &str) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_CHANGE).await?;
        tx.hold_contacts(tenant_id, DOING_CHANGE).await?;
        let sql = RENAME.of(self.store.pool());
        let renamed = with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql).bind(id.0).bind(tenant_id.0).bind(name);
            query.execute(db).await.map(|done| done.rows_affected())
        });
        let n_renamed = renamed.map_err(StoreError::database(DOING_CHANGE))?;
        tx.commit(DOING_CHANGE).await?;
        Ok(0 < n_renamed)
    }

    /// Removes a group of the tenant, but none of its contacts; `false` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn remove(&self, tenant_id: TenantId, id: GroupId) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_CHANGE).await?;
        tx.hold_contacts(tenant_id, DOING_CHANGE).await?;
        let sql = DELETE.of(self.store.pool());
        let removed = with_tx!(&mut tx, |db| {
            sqlx::query(sql).bind(id.0).bind(tenant_id.0).execute(db).await.map(|done| done.rows_affected())
        });
        let n_removed = removed.map_err(StoreError::database(DOING_CHANGE))?;
        tx.commit(DOING_CHANGE).await?;
        Ok(0 < n_removed)
    }

    /// Lists a page of the contacts of a group, newest first; nothing if it is not the tenant's. The total is the group's
    /// own count.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when a row can not be.
    pub async fn contacts(&self, group: &GroupRecord, page: PageRequest) -> Result<Page<ContactRecord>, StoreError> {
        let sql = MEMBERS.of(self.store.pool());
        let rows: Result<Vec<ContactRow>, sqlx::Error> = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as(sql).bind(group.id.0).bind(group.tenant_id.0);
            query.bind(i64::from(page.limit())).bind(page.offset()).fetch_all(db).await
        });
        let items = read_all(rows.map_err(StoreError::database(DOING_READ))?)?;
        Ok(Page { items, total: group.n_contacts.unsigned_abs() })
    }

    /// Returns the next contacts of a group of the tenant behind one, in the order of their ids; at most
    /// [`CONTACT_STEP_MAX`].
    ///
    /// # Errors
    /// As [`Self::contacts`].
    pub async fn step(
        &self,
        tenant_id: TenantId,
        id: GroupId,
        after: Option<ContactId>,
    ) -> Result<Vec<ContactRecord>, StoreError> {
        let sql = STEP.of(self.store.pool());
        let after = after.map_or(Uuid::nil(), |id| id.0);
        let rows: Result<Vec<ContactRow>, sqlx::Error> = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as(sql).bind(id.0).bind(tenant_id.0).bind(after);
            query.bind(i64::from(CONTACT_STEP_MAX)).fetch_all(db).await
        });
        read_all(rows.map_err(StoreError::database(DOING_READ))?)
    }

    /// Puts contacts of the tenant into a group of it and returns how many were not there; those of others are passed
    /// over.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn add(&self, tenant_id: TenantId, id: GroupId, contacts: &[ContactId]) -> Result<u64, StoreError> {
        let ids: Vec<Uuid> = contacts.iter().map(|id| id.0).collect();
        let ids = hex_list(&ids);
        let mut tx = self.store.begin_write(DOING_CHANGE).await?;
        tx.hold_contacts(tenant_id, DOING_CHANGE).await?;
        let (add, count) = (ADD.of(self.store.pool()), COUNT_MEMBERS.of(self.store.pool()));
        let added: Result<u64, sqlx::Error> = with_tx!(&mut tx, |db| async {
            let query = sqlx::query(add).bind(id.0).bind(tenant_id.0).bind(ids);
            let n = query.execute(&mut *db).await?.rows_affected();
            let query = sqlx::query(count).bind(id.0).bind(tenant_id.0).bind(i64::try_from(n).unwrap_or(i64::MAX));
            query.execute(db).await.map(|_| n)
        }
        .await);
        let n_added = added.map_err(StoreError::database(DOING_CHANGE))?;
        tx.commit(DOING_CHANGE).await?;
        Ok(n_added)
    }

    /// Takes a contact out of a group of the tenant; `false` if it was not in it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn take_out(&self, tenant_id: TenantId, id: GroupId, contact: ContactId) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_CHANGE).await?;
        tx.hold_contacts(tenant_id, DOING_CHANGE).await?;
        let (remove, count) = (REMOVE.of(self.store.pool()), COUNT_MEMBERS.of(self.store.pool()));
        let removed: Result<u64, sqlx::Error> = with_tx!(&mut tx, |db| async {
            let query = sqlx::query(remove).bind(id.0).bind(tenant_id.0).bind(contact.0);
            let n = query.execute(&mut *db).await?.rows_affected();
            let query = sqlx::query(count).bind(id.0).bind(tenant_id.0).bind(-i64::try_from(n).unwrap_or(0));
            query.execute(db).await.map(|_| n)
        }
        .await);
        let n_removed = removed.map_err(StoreError::database(DOING_CHANGE))?;
        tx.commit(DOING_CHANGE).await?;
        Ok(0 < n_removed)
    }
}

#[derive(Debug, FromRow)]
struct GroupRow {
    group_id: Uuid,
    tenant_id: Uuid,
    name: String,
    n_contacts: i64,
    created_at_ms: i64,
}

impl From<GroupRow> for GroupRecord {
    fn from(row: GroupRow) -> Self {
        Self {
            id: GroupId(row.group_id),
            tenant_id: TenantId(row.tenant_id),
            name: row.name,
            n_contacts: row.n_contacts,
            created_at_ms: row.created_at_ms,
        }
    }
}
