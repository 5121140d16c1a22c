//! What is known of files that are sent along: whose they are, what they are, and who needs them.
//!
//! Their bytes are elsewhere. Whatever is in use is not removed; that is looked at under the lock of the file's row.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{MediaId, TenantId};
use crate::domain::job::Job;
use crate::domain::media::{MediaKey, MediaType};
use crate::store::bind::{Hex, column, hex_list, to_json};
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRecord {
    /// The file.
    pub id: MediaId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it is.
    pub media_type: &'static MediaType,
    /// What people call it.
    pub filename: String,
    /// Its bytes in all.
    pub n_bytes: i64,
    /// Their hash.
    pub sha256: [u8; 32],
    /// When it was taken, UTC milliseconds.
    pub created_at_ms: i64,
    /// When it goes by itself, UTC milliseconds; none for what is kept.
    pub expires_at_ms: Option<i64>,
}

/// What became of a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaInsert {
    /// It is known from now on.
    New,
    /// The tenant has the same bytes already, under this record.
    Same(MediaRecord),
    /// The tenant has no room for it; so many bytes are used.
    Full(i64),
}

/// What became of a file that was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaRemoval {
    /// It is known no more; its bytes may go.
    Removed(MediaRecord),
    /// A message that waits needs it.
    WaitedFor,
    /// A campaign that is not over needs it.
    InCampaign,
    /// It is not there.
    Missing,
}

impl MediaRecord {
    /// Returns where its bytes are.
    #[must_use]
    pub fn key(&self) -> MediaKey {
        MediaKey { tenant_id: self.tenant_id, media_id: self.id }
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT media_id, tenant_id, extension, filename, n_bytes, sha256, created_at_ms, expires_at_ms \
             FROM media WHERE tenant_id = $1 ",
            $rest
        )
    };
}

const FIND: Sql = Sql::portable(select!("AND media_id = $2"));
const LIST: Sql = Sql::portable(select!("ORDER BY media_id DESC LIMIT $2 OFFSET $3"));
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM media WHERE tenant_id = $1");
/// Held, so that it does not go before it is kept for longer.
const SAME: Sql = Sql::per_dialect(
    select!("AND sha256 = $2 AND extension = $3 FOR UPDATE"),
    select!("AND sha256 = $2 AND extension = $3"),
);
/// Holds the tenant's row, so that of two files the second one sees the first.
const HOLD_TENANT: Sql = Sql::per_dialect(
    "SELECT 1 FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE",
    "SELECT 1 FROM tenants WHERE tenant_id = $1",
);
const SUM: Sql = Sql::per_dialect(
    "SELECT COALESCE(SUM(n_bytes), 0)::int8 FROM media WHERE tenant_id = $1",
    "SELECT COALESCE(SUM(n_bytes), 0) FROM media WHERE tenant_id = $1",
);
const INSERT: Sql = Sql::portable(
    "INSERT INTO media (media_id, tenant_id, extension, filename, n_bytes, sha256, created_at_ms, expires_at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
);
/// What is kept stays kept; otherwise the later end counts.
const KEEP: Sql = Sql::per_dialect(
    "UPDATE media SET expires_at_ms = CASE WHEN $3::int8 IS NULL OR expires_at_ms IS NULL THEN NULL \
     WHEN expires_at_ms < $3 THEN $3 ELSE expires_at_ms END WHERE media_id = $1 AND tenant_id = $2",
    "UPDATE media SET expires_at_ms = CASE WHEN $3 IS NULL OR expires_at_ms IS NULL THEN NULL \
     WHEN expires_at_ms < $3 THEN $3 ELSE expires_at_ms END WHERE media_id = $1 AND tenant_id = $2",
);
/// Waits for whoever takes it for a message just now.
const HOLD: Sql = Sql::per_dialect(select!("AND media_id = $2 FOR UPDATE"), select!("AND media_id = $2"));
/// A message without a delivery is on its way from the outbox.
const WAITED_FOR: Sql = Sql::portable(
    "SELECT 1 FROM media_uses u LEFT JOIN deliveries d ON d.delivery_id = u.delivery_id \
     WHERE u.media_id = $1 AND (d.delivery_id IS NULL OR d.state IN ('pending', 'sending')) LIMIT 1",
);
const IN_CAMPAIGN: Sql = Sql::portable(
    "SELECT 1 FROM campaigns WHERE tenant_id = $1 AND state IN ('draft', 'scheduled', 'running', 'paused') \
     AND message LIKE $2 LIMIT 1",
);
const DELETE: Sql = Sql::portable("DELETE FROM media WHERE media_id = $1 AND tenant_id = $2");
const INSERT_USES: Sql = Sql::per_dialect(
    "INSERT INTO media_uses (delivery_id, media_id, created_at_ms) SELECT u.delivery_id, m.media_id, $4 \
     FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[]) AS u (delivery_id, media_id, tenant_id) \
     JOIN media m ON m.media_id = u.media_id AND m.tenant_id = u.tenant_id ORDER BY m.media_id",
    "INSERT INTO media_uses (delivery_id, media_id, created_at_ms) SELECT unhex(value ->> 0), m.media_id, $2 \
     FROM json_each($1) JOIN media m ON m.media_id = unhex(value ->> 1) AND m.tenant_id = unhex(value ->> 2)",
);
const FORGET_USES: Sql = Sql::portable("DELETE FROM media_uses WHERE created_at_ms < $1");
const EXPIRED: Sql = Sql::portable(
    "SELECT tenant_id, media_id FROM media WHERE expires_at_ms IS NOT NULL AND expires_at_ms <= $1 \
     ORDER BY expires_at_ms LIMIT $2",
);
const KNOWN: Sql = Sql::per_dialect(
    "SELECT media_id FROM media WHERE media_id IN (SELECT CAST(json_array_elements_text(CAST($1 AS JSON)) AS UUID))",
    "SELECT media_id FROM media WHERE media_id IN (SELECT unhex(value) FROM json_each($1))",
);

const DOING_READ: &str = "read media";
const DOING_WRITE: &str = "write media";

#[derive(FromRow)]
struct StoredMedia {
    media_id: Uuid,
    tenant_id: Uuid,
    extension: String,
    filename: String,
    n_bytes: i64,
    sha256: Vec<u8>,
    created_at_ms: i64,
    expires_at_ms: Option<i64>,
}

impl TryFrom<StoredMedia> for MediaRecord {
    type Error = StoreError;

    fn try_from(row: StoredMedia) -> Result<Self, StoreError> {
        let place = RowPlace { table: "media", key: row.media_id };
        Ok(Self {
            id: MediaId(row.media_id),
            tenant_id: TenantId(row.tenant_id),
            media_type: place.known("extension", MediaType::by_extension(&row.extension))?,
            filename: row.filename,
            n_bytes: row.n_bytes,
            sha256: place.known("sha256", row.sha256.try_into().ok())?,
            created_at_ms: row.created_at_ms,
            expires_at_ms: row.expires_at_ms,
        })
    }
}

/// The files in the database.
#[derive(Debug, Clone, Copy)]
pub struct Media<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns what is known of files.
    #[must_use]
    pub fn media(&self) -> Media<'_> {
        Media { store: self }
    }
}

impl Media<'_> {
    /// Takes note of a file whose bytes are there; all files of a tenant have at most `bytes_max`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn insert(&self, new: &MediaRecord, bytes_max: i64) -> Result<MediaInsert, StoreError> {
        let mut tx = self.store.begin_write(DOING_WRITE).await?;
        let sql = HOLD_TENANT.of(self.store.pool());
        with_tx!(&mut tx, |db| sqlx::query(sql).bind(new.tenant_id.0).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING_WRITE))?;
        if let Some(same) = self.same(&mut tx, new).await? {
            let sql = KEEP.of(self.store.pool());
            with_tx!(&mut tx, |db| {
                let query = sqlx::query(sql).bind(same.id.0).bind(new.tenant_id.0).bind(new.expires_at_ms);
                query.execute(db).await.map(drop)
            })
            .map_err(StoreError::database(DOING_WRITE))?;
            tx.commit(DOING_WRITE).await?;
            return Ok(MediaInsert::Same(same));
        }
        let sql = SUM.of(self.store.pool());
        let used: i64 = with_tx!(&mut tx, |db| sqlx::query_scalar(sql).bind(new.tenant_id.0).fetch_one(db).await)
            .map_err(StoreError::database(DOING_WRITE))?;
        if bytes_max < used.saturating_add(new.n_bytes) {
            tx.rollback(DOING_WRITE).await?;
            return Ok(MediaInsert::Full(used));
        }
        let sql = INSERT.of(self.store.pool());
        with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql).bind(new.id.0).bind(new.tenant_id.0).bind(new.media_type.extension);
            let query = query.bind(&new.filename).bind(new.n_bytes).bind(new.sha256.as_slice());
            query.bind(new.created_at_ms).bind(new.expires_at_ms).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_WRITE))?;
        tx.commit(DOING_WRITE).await?;
        Ok(MediaInsert::New)
    }

    async fn same(&self, tx: &mut Tx, new: &MediaRecord) -> Result<Option<MediaRecord>, StoreError> {
        let sql = SAME.of(self.store.pool());
        let row = with_tx!(tx, |db| {
            let query = sqlx::query_as::<_, StoredMedia>(sql).bind(new.tenant_id.0).bind(new.sha256.as_slice());
            query.bind(new.media_type.extension).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_WRITE))?.map(MediaRecord::try_from).transpose()
    }

    /// Returns one of the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it can not be.
    pub async fn find(&self, tenant_id: TenantId, id: MediaId) -> Result<Option<MediaRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredMedia>(sql).bind(tenant_id.0).bind(id.0).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(MediaRecord::try_from).transpose()
    }

    /// Lists the tenant's, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when one can not be.
    pub async fn list(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<MediaRecord>, StoreError> {
        let (list, count) = (LIST.of(self.store.pool()), COUNT.of(self.store.pool()));
        let total: i64 =
            with_reader!(self.store.pool(), |db| sqlx::query_scalar(count).bind(tenant_id.0).fetch_one(db).await)
                .map_err(StoreError::database(DOING_READ))?;
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, StoredMedia>(list).bind(tenant_id.0).bind(i64::from(page.limit()));
            query.bind(page.offset()).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        let items = rows.into_iter().map(MediaRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Forgets one of the tenant's, unless a message that waits or a campaign that is not over needs it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn remove(&self, tenant_id: TenantId, id: MediaId) -> Result<MediaRemoval, StoreError> {
        let mut tx = self.store.begin_write(DOING_WRITE).await?;
        let sql = HOLD.of(self.store.pool());
        let row = with_tx!(&mut tx, |db| {
            sqlx::query_as::<_, StoredMedia>(sql).bind(tenant_id.0).bind(id.0).fetch_optional(db).await
        });
        let Some(row) = row.map_err(StoreError::database(DOING_WRITE))? else {
            tx.rollback(DOING_WRITE).await?;
            return Ok(MediaRemoval::Missing);
        };
        if let Some(refusal) = self.needed(&mut tx, tenant_id, id).await? {
            tx.rollback(DOING_WRITE).await?;
            return Ok(refusal);
        }
        let sql = DELETE.of(self.store.pool());
        with_tx!(&mut tx, |db| sqlx::query(sql).bind(id.0).bind(tenant_id.0).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING_WRITE))?;
        tx.commit(DOING_WRITE).await?;
        Ok(MediaRemoval::Removed(row.try_into()?))
    }

    async fn needed(&self, tx: &mut Tx, tenant_id: TenantId, id: MediaId) -> Result<Option<MediaRemoval>, StoreError> {
        let (waited_for, in_campaign) = (WAITED_FOR.of(self.store.pool()), IN_CAMPAIGN.of(self.store.pool()));
        let any =
            with_tx!(tx, |db| sqlx::query(waited_for).bind(id.0).fetch_optional(db).await.map(|row| row.is_some()));
        if any.map_err(StoreError::database(DOING_WRITE))? {
            return Ok(Some(MediaRemoval::WaitedFor));
        }
        // As messages are written: ids have no character that means anything here.
        let pattern = format!("%\"mediaId\":\"{id}\"%");
        let any = with_tx!(tx, |db| {
            let query = sqlx::query(in_campaign).bind(tenant_id.0).bind(pattern);
            query.fetch_optional(db).await.map(|row| row.is_some())
        });
        Ok(any.map_err(StoreError::database(DOING_WRITE))?.then_some(MediaRemoval::InCampaign))
    }

    /// Takes note of the files that messages need, before these are accepted; `false`, and nothing, when one is not there or
    /// not the tenant's. They are thought to be on their way for a while from `at_ms` on.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn note_uses(&self, jobs: &[Job], at_ms: i64) -> Result<bool, StoreError> {
        let uses: Vec<(Uuid, Uuid, Uuid)> = jobs
            .iter()
            .filter_map(|job| Some((job, job.message.media_id()?)))
            .flat_map(|(job, media_id)| job.deliveries.iter().map(move |it| (it.id.0, media_id.0, job.tenant_id.0)))
            .collect();
        if uses.is_empty() {
            return Ok(true);
        }
        let mut tx = self.store.begin_write(DOING_WRITE).await?;
        let n_noted = match &mut tx {
            Tx::Postgres(tx) => {
                let query = sqlx::query(INSERT_USES.postgres()).bind(column(&uses, |row| row.0));
                let query = query.bind(column(&uses, |row| row.1)).bind(column(&uses, |row| row.2)).bind(at_ms);
                query.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            Tx::Sqlite(tx) => {
                let json = to_json(&uses, |row| (Hex(row.0), Hex(row.1), Hex(row.2)));
                let query = sqlx::query(INSERT_USES.sqlite()).bind(json).bind(at_ms);
                query.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
        };
        if n_noted.map_err(StoreError::database(DOING_WRITE))? < uses.len() as u64 {
            tx.rollback(DOING_WRITE).await?;
            return Ok(false);
        }
        tx.commit(DOING_WRITE).await?;
        Ok(true)
    }

    /// Forgets which messages took files before then: whatever they were, they wait no more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn forget_uses(&self, before_ms: i64) -> Result<(), StoreError> {
        let sql = FORGET_USES.of(self.store.pool());
        with_writer!(self.store.pool(), |db| sqlx::query(sql).bind(before_ms).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING_WRITE))
    }

    /// Returns files of all tenants whose time is over, the oldest first, `n` at most.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn expired(&self, now_ms: i64, n: u32) -> Result<Vec<MediaKey>, StoreError> {
        let sql = EXPIRED.of(self.store.pool());
        let rows: Result<Vec<(Uuid, Uuid)>, sqlx::Error> = with_reader!(self.store.pool(), |db| {
            sqlx::query_as(sql).bind(now_ms).bind(i64::from(n)).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        let key = |(tenant_id, media_id)| MediaKey { tenant_id: TenantId(tenant_id), media_id: MediaId(media_id) };
        Ok(rows.into_iter().map(key).collect())
    }

    /// Returns those of the given files that are known, whosever they are, in no order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn known(&self, ids: &[MediaId]) -> Result<Vec<MediaId>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let sql = KNOWN.of(self.store.pool());
        let known: Result<Vec<Uuid>, sqlx::Error> =
            with_writer!(self.store.pool(), |db| { sqlx::query_scalar(sql).bind(hex_list(&ids)).fetch_all(db).await });
        Ok(known.map_err(StoreError::database(DOING_READ))?.into_iter().map(MediaId).collect())
    }
}
