//! Contacts: listed, looked for, found, walked through.
//!
//! Lists go along an index, whatever is looked for. Changes are [`mod@write`]; groups are
//! [`crate::store::contact_groups`].

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::contact::Search;
use crate::domain::id::{ContactId, TenantId};
use crate::domain::message::Variables;
use crate::domain::opt_out::OptOut;
use crate::domain::recipient::Recipient;
use crate::domain::zone::Zone;
use crate::limits::{CONTACT_STEP_MAX, PAGE_LIMIT_MAX, PAGE_ROWS_SKIPPED_MAX};
use crate::store::bind::hex_list;
use crate::store::column::RowPlace;
use crate::store::opt_outs::OptRow;
use crate::store::page::{Page, PageRequest};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

pub use write::{Changed, ContactChange, Inserted, NewContact};

mod write;

macro_rules! select_contacts {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT c.contact_id, c.tenant_id, c.phone, c.name, c.email, c.time_zone, c.attributes, c.created_at_ms, ",
            "c.changed_at_ms, o.is_out, o.changed_at_ms AS opt_changed_at_ms, o.changed_by FROM ",
            $from,
            " LEFT JOIN opt_outs o ON o.tenant_id = c.tenant_id AND o.recipient = c.phone ",
            $rest
        )
    };
}
pub(super) use select_contacts;

const FIND: Sql = Sql::portable(select_contacts!("contacts c", "WHERE c.contact_id = $1 AND c.tenant_id = $2"));

// What is skipped is read from an index alone.
const NEWEST: Sql = Sql::portable(select_contacts!(
    "(SELECT contact_id FROM contacts WHERE tenant_id = $1 ORDER BY contact_id DESC LIMIT $2 OFFSET $3) AS p \
     JOIN contacts c ON c.contact_id = p.contact_id",
    "ORDER BY c.contact_id DESC"
));
const BY_PHONE: Sql = Sql::portable(select_contacts!(
    "(SELECT phone FROM contacts WHERE tenant_id = $1 AND $4 <= phone AND phone < $5 ORDER BY phone \
      LIMIT $2 OFFSET $3) AS p JOIN contacts c ON c.tenant_id = $1 AND c.phone = p.phone",
    "ORDER BY c.phone"
));
const BY_NAME: Sql = Sql::portable(select_contacts!(
    "(SELECT tail, contact_id FROM contact_names WHERE tenant_id = $1 AND $4 <= tail AND tail < $5 AND n_shared < $6 \
      ORDER BY tail, contact_id LIMIT $2 OFFSET $3) AS p \
     JOIN contacts c ON c.contact_id = p.contact_id AND c.tenant_id = $1",
    "ORDER BY p.tail, c.contact_id"
));

const COUNT: Sql = Sql::portable("SELECT n_contacts FROM contact_books WHERE tenant_id = $1");
const COUNT_BY_PHONE: Sql = Sql::portable(
    "SELECT COUNT(*) FROM (SELECT 1 FROM contacts WHERE tenant_id = $1 AND $2 <= phone AND phone < $3 \
     ORDER BY phone LIMIT $4) AS f",
);
const COUNT_BY_NAME: Sql = Sql::portable(
    "SELECT COUNT(*) FROM (SELECT 1 FROM contact_names WHERE tenant_id = $1 AND $2 <= tail AND tail < $3 \
     AND n_shared < $5 ORDER BY tail LIMIT $4) AS f",
);

const STEP: Sql = Sql::portable(select_contacts!(
    "contacts c",
    "WHERE c.tenant_id = $1 AND $2 < c.contact_id ORDER BY c.contact_id LIMIT $3"
));
const OF_IDS: Sql = Sql::per_dialect(
    select_contacts!(
        "contacts c",
        "WHERE c.tenant_id = $1 \
         AND c.contact_id IN (SELECT CAST(json_array_elements_text(CAST($2 AS JSON)) AS UUID)) ORDER BY c.contact_id"
    ),
    select_contacts!(
        "contacts c",
        "WHERE c.tenant_id = $1 AND c.contact_id IN (SELECT unhex(value) FROM json_each($2)) ORDER BY c.contact_id"
    ),
);
const KNOWN_IDS: Sql = Sql::per_dialect(
    "SELECT contact_id FROM contacts WHERE tenant_id = $1 \
     AND contact_id IN (SELECT CAST(json_array_elements_text(CAST($2 AS JSON)) AS UUID))",
    "SELECT contact_id FROM contacts WHERE tenant_id = $1 \
     AND contact_id IN (SELECT unhex(value) FROM json_each($2))",
);
const OF_PHONES: Sql = Sql::per_dialect(
    "SELECT contact_id, phone FROM contacts WHERE tenant_id = $1 \
     AND phone IN (SELECT json_array_elements_text(CAST($2 AS JSON)))",
    "SELECT contact_id, phone FROM contacts WHERE tenant_id = $1 AND phone IN (SELECT value FROM json_each($2))",
);

/// What sorts behind everything that begins with a text.
const BEHIND: char = '\u{10ffff}';

const DOING_LIST: &str = "list contacts";
const DOING_FIND: &str = "find contacts";

/// A contact.
#[derive(Debug, Clone, PartialEq)]
pub struct ContactRecord {
    /// The contact.
    pub id: ContactId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// How to reach them; each of a tenant once.
    pub phone: Recipient,
    /// What people call them; may be empty.
    pub name: String,
    /// Their e-mail address.
    pub email: Option<String>,
    /// Where they live, for sending hours.
    pub time_zone: Option<Zone>,
    /// What else is known of them.
    pub attributes: Variables,
    /// What was last said about campaigns to them; none when nothing was.
    pub opt_out: Option<OptOut>,
    /// When it was made, UTC milliseconds.
    pub created_at_ms: i64,
    /// When it was last changed, UTC milliseconds; opting out and in is not counted.
    pub changed_at_ms: i64,
}

impl ContactRecord {
    /// Tells whether campaigns may write to them.
    #[must_use]
    pub fn is_opted_in(&self) -> bool {
        self.opt_out.is_none_or(|opt_out| !opt_out.is_out)
    }
}

/// The contacts in the database.
#[derive(Debug, Clone, Copy)]
pub struct Contacts<'a> {
    pub(super) store: &'a Store,
}

impl Store {
    /// Returns the contacts.
    #[must_use]
    pub fn contacts(&self) -> Contacts<'_> {
        Contacts { store: self }
    }
}

impl Contacts<'_> {
    /// Lists a page of the tenant's contacts: all, the newest first; or those that a search finds, in its order. Of what
    /// a search finds, no more are counted than pages can reach.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when a row can not be.
    pub async fn list(
        &self,
        tenant_id: TenantId,
        search: Option<&Search>,
        page: PageRequest,
    ) -> Result<Page<ContactRecord>, StoreError> {
        let pool = self.store.pool();
        let (sql, count) = match search {
            None => (NEWEST.of(pool), COUNT.of(pool)),
            Some(Search::Phone(_)) => (BY_PHONE.of(pool), COUNT_BY_PHONE.of(pool)),
            Some(Search::Name(_)) => (BY_NAME.of(pool), COUNT_BY_NAME.of(pool)),
        };
        let range = search.map(|(Search::Phone(text) | Search::Name(text))| (text, format!("{text}{BEHIND}")));
        let n_chars = match search {
            Some(Search::Name(text)) => Some(i64::try_from(text.chars().count()).unwrap_or(i64::MAX)),
            _ => None,
        };
        let counted_max = PAGE_ROWS_SKIPPED_MAX + i64::from(PAGE_LIMIT_MAX);
        let total: Result<Option<i64>, sqlx::Error> = with_reader!(pool, |db| {
            let query = sqlx::query_scalar(count).bind(tenant_id.0);
            let query = match &range {
                Some((from, below)) => query.bind(*from).bind(below).bind(counted_max),
                None => query,
            };
            let query = if let Some(n_chars) = n_chars { query.bind(n_chars) } else { query };
            query.fetch_optional(db).await
        });
        let total = total.map_err(StoreError::database(DOING_LIST))?.unwrap_or(0);
        let rows: Result<Vec<ContactRow>, sqlx::Error> = with_reader!(pool, |db| {
            let query = sqlx::query_as(sql).bind(tenant_id.0).bind(i64::from(page.limit())).bind(page.offset());
            let query = match &range {
                Some((from, below)) => query.bind(*from).bind(below),
                None => query,
            };
            let query = if let Some(n_chars) = n_chars { query.bind(n_chars) } else { query };
            query.fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_LIST))?;
        Ok(Page { items: read_all(rows)?, total: total.unsigned_abs() })
    }

    /// Finds a contact of the tenant.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn find(&self, tenant_id: TenantId, id: ContactId) -> Result<Option<ContactRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, ContactRow>(sql).bind(id.0).bind(tenant_id.0).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_FIND))?.map(ContactRecord::try_from).transpose()
    }

    /// Finds those of the given contacts that are the tenant's, in the order of their ids.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn find_all(&self, tenant_id: TenantId, ids: &[ContactId]) -> Result<Vec<ContactRecord>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let sql = OF_IDS.of(self.store.pool());
        let rows = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, ContactRow>(sql).bind(tenant_id.0).bind(hex_list(&ids)).fetch_all(db).await
        });
        read_all(rows.map_err(StoreError::database(DOING_FIND))?)
    }

    /// Returns which of the given contacts are the tenant's, in no order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn known_ids(&self, tenant_id: TenantId, ids: &[ContactId]) -> Result<Vec<ContactId>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let sql = KNOWN_IDS.of(self.store.pool());
        let known: Result<Vec<Uuid>, sqlx::Error> = with_reader!(self.store.pool(), |db| {
            sqlx::query_scalar(sql).bind(tenant_id.0).bind(hex_list(&ids)).fetch_all(db).await
        });
        Ok(known.map_err(StoreError::database(DOING_FIND))?.into_iter().map(ContactId).collect())
    }

    /// Returns which of some phones are contacts of the tenant, in no order.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn known(
        &self,
        tenant_id: TenantId,
        phones: &[Recipient],
    ) -> Result<Vec<(ContactId, Recipient)>, StoreError> {
        let sql = OF_PHONES.of(self.store.pool());
        let phones = serde_json::to_string(phones).expect("a list of texts can be written as JSON");
        let rows: Result<Vec<(Uuid, String)>, sqlx::Error> = with_reader!(self.store.pool(), |db| {
            sqlx::query_as(sql).bind(tenant_id.0).bind(phones).fetch_all(db).await
        });
        let read = |(id, phone): (Uuid, String)| {
            let place = RowPlace { table: "contacts", key: id };
            Ok((ContactId(id), place.known("phone", Recipient::from_stored(&phone))?))
        };
        rows.map_err(StoreError::database(DOING_FIND))?.into_iter().map(read).collect()
    }

    /// Returns the next of all contacts of the tenant behind one, in the order of their ids; at most
    /// [`CONTACT_STEP_MAX`].
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn step(&self, tenant_id: TenantId, after: Option<ContactId>) -> Result<Vec<ContactRecord>, StoreError> {
        let sql = STEP.of(self.store.pool());
        let after = after.map_or(Uuid::nil(), |id| id.0);
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, ContactRow>(sql).bind(tenant_id.0).bind(after);
            query.bind(i64::from(CONTACT_STEP_MAX)).fetch_all(db).await
        });
        read_all(rows.map_err(StoreError::database("walk through contacts"))?)
    }
}

#[derive(Debug, FromRow)]
pub(super) struct ContactRow {
    contact_id: Uuid,
    tenant_id: Uuid,
    phone: String,
    name: String,
    email: Option<String>,
    time_zone: Option<String>,
    attributes: String,
    created_at_ms: i64,
    changed_at_ms: i64,
    #[sqlx(flatten)]
    opt_out: OptRow,
}

impl TryFrom<ContactRow> for ContactRecord {
    type Error = StoreError;

    fn try_from(row: ContactRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "contacts", key: row.contact_id };
        Ok(Self {
            id: ContactId(row.contact_id),
            tenant_id: TenantId(row.tenant_id),
            phone: place.known("phone", Recipient::from_stored(&row.phone))?,
            name: row.name,
            email: row.email,
            time_zone: place.word("time_zone", row.time_zone.as_deref(), Zone::parse)?,
            attributes: place.json("attributes", &row.attributes)?,
            opt_out: row.opt_out.read(row.contact_id)?,
            created_at_ms: row.created_at_ms,
            changed_at_ms: row.changed_at_ms,
        })
    }
}

pub(super) fn read_all(rows: Vec<ContactRow>) -> Result<Vec<ContactRecord>, StoreError> {
    rows.into_iter().map(ContactRecord::try_from).collect()
}
