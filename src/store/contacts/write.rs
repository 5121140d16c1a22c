//! Contacts made, changed and removed; each transaction holds the tenant's book first.

use std::collections::HashSet;

use serde_json::json;
use uuid::Uuid;

use super::{ContactRecord, ContactRow, Contacts, FIND, OF_PHONES};
use crate::domain::contact::name_tails;
use crate::domain::id::{ContactId, TenantId};
use crate::domain::message::Variables;
use crate::domain::opt_out::{OptOut, OptSource};
use crate::domain::plan::Meter;
use crate::domain::recipient::Recipient;
use crate::domain::zone::Zone;
use crate::store::bind::{Hex, hex_list, to_json, written};
use crate::store::opt_outs::OptChange;
use crate::store::plan_usage::PlanRefusal;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, StoreError};

/// Makes the row where there is none, and holds it either way.
const HOLD_BOOK: Sql = Sql::portable(
    "INSERT INTO contact_books AS b (tenant_id, n_contacts) VALUES ($1, 0) \
     ON CONFLICT (tenant_id) DO UPDATE SET n_contacts = b.n_contacts RETURNING n_contacts",
);
const COUNT: Sql = Sql::portable("UPDATE contact_books SET n_contacts = n_contacts + $2 WHERE tenant_id = $1");

const INSERT: Sql = Sql::per_dialect(
    "INSERT INTO contacts (contact_id, tenant_id, phone, name, email, time_zone, attributes, created_at_ms, changed_at_ms) \
     SELECT u.contact_id, $1, u.phone, u.name, u.email, u.time_zone, u.attributes, $2, $2 \
     FROM json_to_recordset(CAST($3 AS JSON)) \
         AS u (contact_id uuid, phone text, name text, email text, time_zone text, attributes text)",
    "INSERT INTO contacts (contact_id, tenant_id, phone, name, email, time_zone, attributes, created_at_ms, changed_at_ms) \
     SELECT unhex(value ->> 'contact_id'), $1, value ->> 'phone', value ->> 'name', value ->> 'email', \
         value ->> 'time_zone', value ->> 'attributes', $2, $2 FROM json_each($3)",
);
const INSERT_NAMES: Sql = Sql::per_dialect(
    "INSERT INTO contact_names (tenant_id, tail, contact_id, n_shared) \
     SELECT $1, u.tail, u.contact_id, u.n_shared FROM json_to_recordset(CAST($2 AS JSON)) \
         AS u (tail text, contact_id uuid, n_shared int4)",
    "INSERT INTO contact_names (tenant_id, tail, contact_id, n_shared) \
     SELECT $1, value ->> 'tail', unhex(value ->> 'contact_id'), value ->> 'n_shared' FROM json_each($2)",
);
const DELETE_NAMES: Sql = Sql::per_dialect(
    "DELETE FROM contact_names AS n USING json_to_recordset(CAST($2 AS JSON)) AS u (tail text, contact_id uuid) \
     WHERE n.tenant_id = $1 AND n.tail = u.tail AND n.contact_id = u.contact_id",
    "DELETE FROM contact_names WHERE tenant_id = $1 AND (tail, contact_id) IN \
         (SELECT value ->> 'tail', unhex(value ->> 'contact_id') FROM json_each($2))",
);
const UPDATE: Sql = Sql::portable(
    "UPDATE contacts SET phone = $3, name = $4, email = $5, time_zone = $6, attributes = $7, changed_at_ms = $8 \
     WHERE contact_id = $1 AND tenant_id = $2",
);
/// Groups lose the contacts that are about to go, in the order in which everybody changes them: the book is held.
const LEAVE_GROUPS: Sql = Sql::per_dialect(
    "UPDATE contact_groups AS g SET n_contacts = g.n_contacts - m.n FROM \
         (SELECT group_id, COUNT(*) AS n FROM contact_group_members WHERE contact_id IN \
             (SELECT CAST(json_array_elements_text(CAST($2 AS JSON)) AS UUID)) GROUP BY group_id) AS m \
     WHERE g.group_id = m.group_id AND g.tenant_id = $1",
    "UPDATE contact_groups AS g SET n_contacts = g.n_contacts - m.n FROM \
         (SELECT group_id, COUNT(*) AS n FROM contact_group_members WHERE contact_id IN \
             (SELECT unhex(value) FROM json_each($2)) GROUP BY group_id) AS m \
     WHERE g.group_id = m.group_id AND g.tenant_id = $1",
);
const DELETE: Sql = Sql::per_dialect(
    "DELETE FROM contacts WHERE tenant_id = $1 AND contact_id IN \
         (SELECT CAST(json_array_elements_text(CAST($2 AS JSON)) AS UUID)) RETURNING contact_id, name",
    "DELETE FROM contacts WHERE tenant_id = $1 AND contact_id IN (SELECT unhex(value) FROM json_each($2)) \
     RETURNING contact_id, name",
);

const DOING_ADD: &str = "add contacts";
const DOING_CHANGE: &str = "change a contact";
const DOING_REMOVE: &str = "remove contacts";

/// A contact to add.
#[derive(Debug, Clone, PartialEq)]
pub struct NewContact {
    /// How to reach them.
    pub phone: Recipient,
    /// What people call them; may be empty.
    pub name: String,
    /// Their e-mail address.
    pub email: Option<String>,
    /// Where they live.
    pub time_zone: Option<Zone>,
    /// What else is known of them.
    pub attributes: Variables,
    /// Whether they have opted out, as far as whoever adds them knows; what was said before is never taken back.
    pub is_out: bool,
}

/// What became of contacts that were to be added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inserted {
    /// New ones: places in the batch, and their ids.
    pub added: Vec<(usize, ContactId)>,
    /// Places in the batch of those whose phone the tenant or the batch had before; they are left as they were.
    pub duplicates: Vec<usize>,
    /// How many had no room in the plan.
    pub n_refused: usize,
}

/// What is to change of a contact; what is none stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContactChange {
    /// How to reach them.
    pub phone: Option<Recipient>,
    /// What people call them.
    pub name: Option<String>,
    /// Their e-mail address; an inner none takes it away.
    pub email: Option<Option<String>>,
    /// Where they live; an inner none takes it away.
    pub time_zone: Option<Option<Zone>>,
    /// All of what else is known of them.
    pub attributes: Option<Variables>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Changed {
    /// It was made; the contact as it is now.
    To(Box<ContactRecord>),
    /// Another contact of the tenant has the phone.
    PhoneTaken,
    /// There is no such contact.
    Missing,
}

impl Contacts<'_> {
    /// Adds contacts, as many as the tenant's plan has room for, in their order. Who is said to have opted out has, also
    /// where the contact was there before.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn insert(
        &self,
        tenant_id: TenantId,
        batch: &[NewContact],
        (by, at_ms): (OptSource, i64),
    ) -> Result<Result<Inserted, PlanRefusal>, StoreError> {
        let mut tx = self.store.begin_write(DOING_ADD).await?;
        let n_contacts = tx.hold_contacts(tenant_id, DOING_ADD).await?;
        // Read behind the lock: what others have made is counted.
        let usage = tx.tenant_usage(tenant_id, at_ms, DOING_ADD).await?;
        if let Some(refusal @ PlanRefusal::Inactive) =
            usage.as_ref().and_then(|usage| usage.check(Meter::Contacts, at_ms).err())
        {
            return Ok(Err(refusal));
        }
        let room = usage.and_then(|usage| usage.limits.contacts).map(|limit| (limit - n_contacts).max(0));
        let known = tx.known_phones(tenant_id, batch).await.map_err(StoreError::database(DOING_ADD))?;
        let inserted = sort(batch, known, room);
        tx.insert_contacts(tenant_id, (batch, &inserted), at_ms).await.map_err(StoreError::database(DOING_ADD))?;
        let opt_out = OptOut { is_out: true, changed_at_ms: at_ms, by };
        let mut named = HashSet::new();
        let out = batch.iter().filter(|new| new.is_out && named.insert(&new.phone));
        let out: Vec<_> = out.map(|new| OptChange { tenant_id, recipient: new.phone.clone(), opt_out }).collect();
        tx.set_opt_outs(&out, DOING_ADD).await?;
        let phones: Vec<_> = batch.iter().map(|new| (tenant_id, new.phone.as_str())).collect();
        tx.remember_opt_outs(&phones, DOING_ADD).await?;
        self.store.commit_moves(tx, DOING_ADD).await?;
        Ok(Ok(inserted))
    }

    /// Changes a contact of the tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written, [`StoreError::Corrupt`] when the row can not be read.
    pub async fn change(
        &self,
        tenant_id: TenantId,
        id: ContactId,
        change: ContactChange,
        at_ms: i64,
    ) -> Result<Changed, StoreError> {
        let mut tx = self.store.begin_write(DOING_CHANGE).await?;
        tx.hold_contacts(tenant_id, DOING_CHANGE).await?;
        let sql = FIND.of(self.store.pool());
        let row: Result<Option<ContactRow>, sqlx::Error> =
            with_tx!(&mut tx, |db| sqlx::query_as(sql).bind(id.0).bind(tenant_id.0).fetch_optional(db).await);
        let Some(row) = row.map_err(StoreError::database(DOING_CHANGE))? else { return Ok(Changed::Missing) };
        let was = ContactRecord::try_from(row)?;
        if let Some(phone) = change.phone.as_ref().filter(|phone| **phone != was.phone) {
            let known = tx.phones_among(tenant_id, std::slice::from_ref(phone)).await;
            if !known.map_err(StoreError::database(DOING_CHANGE))?.is_empty() {
                return Ok(Changed::PhoneTaken);
            }
        }
        let now = ContactRecord {
            phone: change.phone.unwrap_or_else(|| was.phone.clone()),
            name: change.name.unwrap_or_else(|| was.name.clone()),
            email: change.email.unwrap_or_else(|| was.email.clone()),
            time_zone: change.time_zone.unwrap_or_else(|| was.time_zone.clone()),
            attributes: change.attributes.unwrap_or_else(|| was.attributes.clone()),
            changed_at_ms: at_ms,
            ..was.clone()
        };
        tx.write_contact(&was, &now).await.map_err(StoreError::database(DOING_CHANGE))?;
        tx.remember_opt_outs(&[(tenant_id, now.phone.as_str())], DOING_CHANGE).await?;
        tx.commit(DOING_CHANGE).await?;
        // Who has opted out goes by the phone, which may be another one now.
        let found = self.find(tenant_id, id).await?;
        Ok(found.map_or(Changed::Missing, |contact| Changed::To(Box::new(contact))))
    }

    /// Removes contacts of the tenant and returns how many; who has opted out stays so.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn remove(&self, tenant_id: TenantId, ids: &[ContactId]) -> Result<u64, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let ids = hex_list(&ids);
        let mut tx = self.store.begin_write(DOING_REMOVE).await?;
        tx.hold_contacts(tenant_id, DOING_REMOVE).await?;
        let (leave, delete) = (LEAVE_GROUPS.of(self.store.pool()), DELETE.of(self.store.pool()));
        let removed: Result<Vec<(Uuid, String)>, sqlx::Error> = with_tx!(&mut tx, |db| async {
            sqlx::query(leave).bind(tenant_id.0).bind(&ids).execute(&mut *db).await?;
            sqlx::query_as(delete).bind(tenant_id.0).bind(&ids).fetch_all(db).await
        }
        .await);
        let removed = removed.map_err(StoreError::database(DOING_REMOVE))?;
        let names: Vec<_> = removed.iter().map(|(id, name)| (*id, name.as_str())).collect();
        let n = i64::try_from(removed.len()).unwrap_or(i64::MAX);
        tx.delete_names(tenant_id, &names).await.map_err(StoreError::database(DOING_REMOVE))?;
        tx.count_contacts(tenant_id, -n).await.map_err(StoreError::database(DOING_REMOVE))?;
        tx.commit(DOING_REMOVE).await?;
        Ok(n.unsigned_abs())
    }
}

/// Tells what becomes of each contact of a batch.
fn sort(batch: &[NewContact], mut known: HashSet<Recipient>, room: Option<i64>) -> Inserted {
    let mut room = room.map_or(usize::MAX, |room| usize::try_from(room).unwrap_or(usize::MAX));
    let mut inserted = Inserted::default();
    for (place, new) in batch.iter().enumerate() {
        if known.contains(&new.phone) {
            inserted.duplicates.push(place);
        } else if room == 0 {
            inserted.n_refused += 1;
        } else {
            room -= 1;
            known.insert(new.phone.clone());
            inserted.added.push((place, ContactId::generate()));
        }
    }
    inserted
}

impl Tx {
    /// Holds the contacts and groups of a tenant until the transaction ends, and returns how many contacts there are.
    ///
    /// To be called before anything else is locked.
    pub(in crate::store) async fn hold_contacts(
        &mut self,
        tenant_id: TenantId,
        doing: &'static str,
    ) -> Result<i64, StoreError> {
        let sql = HOLD_BOOK.postgres();
        with_tx!(self, |db| sqlx::query_scalar(sql).bind(tenant_id.0).fetch_one(db).await)
            .map_err(StoreError::database(doing))
    }

    async fn known_phones(
        &mut self,
        tenant_id: TenantId,
        batch: &[NewContact],
    ) -> Result<HashSet<Recipient>, sqlx::Error> {
        let phones: Vec<Recipient> = batch.iter().map(|new| new.phone.clone()).collect();
        self.phones_among(tenant_id, &phones).await
    }

    async fn phones_among(
        &mut self,
        tenant_id: TenantId,
        phones: &[Recipient],
    ) -> Result<HashSet<Recipient>, sqlx::Error> {
        let sql = match self {
            Self::Postgres(_) => OF_PHONES.postgres(),
            Self::Sqlite(_) => OF_PHONES.sqlite(),
        };
        let phones = to_json(phones, Recipient::as_str);
        let rows: Vec<(Uuid, String)> =
            with_tx!(self, |db| sqlx::query_as(sql).bind(tenant_id.0).bind(phones).fetch_all(db).await)?;
        Ok(rows.iter().filter_map(|(_, phone)| Recipient::from_stored(phone)).collect())
    }

    async fn insert_contacts(
        &mut self,
        tenant_id: TenantId,
        (batch, inserted): (&[NewContact], &Inserted),
        at_ms: i64,
    ) -> Result<(), sqlx::Error> {
        if inserted.added.is_empty() {
            return Ok(());
        }
        let rows = to_json(&inserted.added, |(place, id)| {
            let new = &batch[*place];
            json!({
                "contact_id": Hex(id.0), "phone": new.phone.as_str(), "name": new.name, "email": new.email,
                "time_zone": new.time_zone.as_ref().map(Zone::as_str), "attributes": written(&new.attributes),
            })
        });
        let sql = match self {
            Self::Postgres(_) => INSERT.postgres(),
            Self::Sqlite(_) => INSERT.sqlite(),
        };
        with_tx!(self, |db| sqlx::query(sql).bind(tenant_id.0).bind(at_ms).bind(rows).execute(db).await.map(drop))?;
        let names: Vec<_> = inserted.added.iter().map(|(place, id)| (id.0, batch[*place].name.as_str())).collect();
        self.insert_names(tenant_id, &names).await?;
        self.count_contacts(tenant_id, i64::try_from(names.len()).unwrap_or(i64::MAX)).await
    }

    async fn count_contacts(&mut self, tenant_id: TenantId, n: i64) -> Result<(), sqlx::Error> {
        let sql = COUNT.postgres();
        with_tx!(self, |db| sqlx::query(sql).bind(tenant_id.0).bind(n).execute(db).await.map(drop))
    }

    async fn insert_names(&mut self, tenant_id: TenantId, names: &[(Uuid, &str)]) -> Result<(), sqlx::Error> {
        let sql = match self {
            Self::Postgres(_) => INSERT_NAMES.postgres(),
            Self::Sqlite(_) => INSERT_NAMES.sqlite(),
        };
        self.write_names(tenant_id, sql, names).await
    }

    async fn delete_names(&mut self, tenant_id: TenantId, names: &[(Uuid, &str)]) -> Result<(), sqlx::Error> {
        let sql = match self {
            Self::Postgres(_) => DELETE_NAMES.postgres(),
            Self::Sqlite(_) => DELETE_NAMES.sqlite(),
        };
        self.write_names(tenant_id, sql, names).await
    }

    async fn write_names(
        &mut self,
        tenant_id: TenantId,
        sql: &'static str,
        names: &[(Uuid, &str)],
    ) -> Result<(), sqlx::Error> {
        let tails = |(id, name): &(Uuid, &str)| {
            let id = *id;
            let row = move |tail: crate::domain::contact::NameTail| json!({ "tail": tail.text, "contact_id": Hex(id), "n_shared": tail.n_shared });
            name_tails(name).into_iter().map(row).collect::<Vec<_>>()
        };
        let rows: Vec<serde_json::Value> = names.iter().flat_map(tails).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let rows = to_json(&rows, Clone::clone);
        with_tx!(self, |db| sqlx::query(sql).bind(tenant_id.0).bind(rows).execute(db).await.map(drop))
    }

    async fn write_contact(&mut self, was: &ContactRecord, now: &ContactRecord) -> Result<(), sqlx::Error> {
        if was.name != now.name {
            self.delete_names(was.tenant_id, &[(was.id.0, was.name.as_str())]).await?;
            self.insert_names(now.tenant_id, &[(now.id.0, now.name.as_str())]).await?;
        }
        let sql = UPDATE.postgres();
        with_tx!(self, |db| {
            sqlx::query(sql)
                .bind(now.id.0)
                .bind(now.tenant_id.0)
                .bind(now.phone.as_str())
                .bind(&now.name)
                .bind(&now.email)
                .bind(now.time_zone.as_ref().map(Zone::as_str))
                .bind(written(&now.attributes))
                .bind(now.changed_at_ms)
                .execute(db)
                .await
                .map(drop)
        })
    }
}
