//! The snapshot that a campaign sends to.
//!
//! Numbers run without gaps from 0 in the order of insertion; the next one is the campaign's
//! `n_recipients`. Changes only drafts.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::domain::campaign::CampaignState;
use crate::domain::id::{CampaignId, DeliveryId, TenantId};
use crate::domain::message::Variables;
use crate::domain::recipient::Recipient;
use crate::domain::zone::Zone;
use crate::limits::RECIPIENTS_PER_INSERT_MAX;
use crate::store::bind::Hex;
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::with_tx;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

macro_rules! hold_draft {
    () => {
        "SELECT n_recipients FROM campaigns \
         WHERE campaign_id = $1 AND tenant_id = $2 AND state = $3 AND deleted_at_ms IS NULL"
    };
}

/// Holds the campaign's row, so that two appends cannot give out the same numbers.
const HOLD_DRAFT: Sql = Sql::per_dialect(concat!(hold_draft!(), " FOR UPDATE"), hold_draft!());
const SET_COUNT: Sql =
    Sql::portable("UPDATE campaigns SET n_recipients = $3 WHERE campaign_id = $1 AND tenant_id = $2");
/// Numbers only what is new, so that the numbers have no gaps.
const INSERT: Sql = Sql::per_dialect(
    "INSERT INTO campaign_recipients (campaign_id, seq, recipient_id, recipient, variables, time_zone) \
     SELECT $1, $2 + row_number() OVER (ORDER BY given.place) - 1, given.recipient_id, given.recipient, given.variables, \
         given.time_zone \
     FROM UNNEST($3::UUID[], $4::TEXT[], $5::TEXT[], $6::TEXT[]) WITH ORDINALITY \
         AS given (recipient_id, recipient, variables, time_zone, place) \
     WHERE NOT EXISTS (SELECT 1 FROM campaign_recipients known \
         WHERE known.campaign_id = $1 AND known.recipient = given.recipient) \
     ON CONFLICT (campaign_id, recipient) DO NOTHING RETURNING recipient_id",
    "INSERT INTO campaign_recipients (campaign_id, seq, recipient_id, recipient, variables, time_zone) \
     SELECT $1, $2 + row_number() OVER (ORDER BY given.key) - 1, unhex(given.value ->> 0), given.value ->> 1, \
         given.value ->> 2, given.value ->> 3 \
     FROM json_each($3) AS given \
     WHERE NOT EXISTS (SELECT 1 FROM campaign_recipients known \
         WHERE known.campaign_id = $1 AND known.recipient = given.value ->> 1) \
     ON CONFLICT (campaign_id, recipient) DO NOTHING RETURNING recipient_id",
);
const COUNT: Sql = Sql::portable(
    "SELECT n_recipients FROM campaigns WHERE campaign_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL",
);
/// Pages by the number: no row is read only to be skipped.
const LIST: Sql = Sql::portable(
    "SELECT r.recipient_id, r.seq, r.recipient, r.variables FROM campaign_recipients r \
     JOIN campaigns c ON c.campaign_id = r.campaign_id \
     WHERE r.campaign_id = $1 AND c.tenant_id = $2 AND r.seq >= $3 AND r.seq < $4 ORDER BY r.seq",
);

const STEP: Sql = Sql::portable(
    "SELECT r.recipient, r.variables, r.time_zone FROM campaign_recipients r \
     JOIN campaigns c ON c.campaign_id = r.campaign_id \
     WHERE r.campaign_id = $1 AND c.tenant_id = $2 AND r.seq >= $3 AND r.seq < $4 ORDER BY r.seq",
);

/// A recipient to add.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRecipient {
    /// Who gets the message.
    pub recipient: Recipient,
    /// Values for the message's variables.
    pub variables: Variables,
    /// Where they live, if that is known better than by the phone's country.
    pub time_zone: Option<Zone>,
}

/// A recipient of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipientRecord {
    /// Becomes the id of the delivery.
    pub id: DeliveryId,
    /// Place in the campaign, from 0.
    pub seq: i64,
    /// Who gets the message.
    pub recipient: Recipient,
    /// Values for the message's variables.
    pub variables: Variables,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// How many were added.
    pub accepted: usize,
    /// Which were not, because the campaign or the batch had them before; places in the batch.
    pub duplicates: Vec<usize>,
}

/// The recipients in the database.
#[derive(Debug, Clone, Copy)]
pub struct CampaignRecipients<'a> {
    pub(super) store: &'a Store,
}

impl Store {
    /// Returns the recipients of campaigns.
    #[must_use]
    pub fn campaign_recipients(&self) -> CampaignRecipients<'_> {
        CampaignRecipients { store: self }
    }
}

impl CampaignRecipients<'_> {
    /// Adds recipients to a draft; `None` if it is not there, not the tenant's or not a draft.
    ///
    /// # Errors
    /// [`StoreError::Database`] when none was added.
    pub async fn append(
        &self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
        batch: &[NewRecipient],
    ) -> Result<Option<Appended>, StoreError> {
        let doing = "add recipients to a campaign";
        let mut tx = self.store.begin_write(doing).await?;
        let held: Result<Option<i64>, _> = with_tx!(&mut tx, |db| {
            sqlx::query_scalar(HOLD_DRAFT.of(self.store.pool()))
                .bind(campaign_id.0)
                .bind(tenant_id.0)
                .bind(CampaignState::Draft.as_str())
                .fetch_optional(db)
                .await
        });
        let Some(first_seq) = held.map_err(StoreError::database(doing))? else {
            return Ok(None);
        };
        let appended = with_tx!(&mut tx, |db| insert_all(db, campaign_id, first_seq, batch).await)?;
        let n_recipients = first_seq + as_count(appended.accepted);
        let set = with_tx!(&mut tx, |db| {
            sqlx::query(SET_COUNT.of(self.store.pool()))
                .bind(campaign_id.0)
                .bind(tenant_id.0)
                .bind(n_recipients)
                .execute(db)
                .await
                .map(|_| ())
        });
        set.map_err(StoreError::database(doing))?;
        tx.commit(doing).await?;
        Ok(Some(appended))
    }

    /// Lists a page of a campaign's recipients in their order; `None` if it is not the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn list(
        &self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
        page: PageRequest,
    ) -> Result<Option<Page<RecipientRecord>>, StoreError> {
        let doing = "list the recipients of a campaign";
        let total: Option<i64> = with_reader!(self.store.pool(), |db| {
            sqlx::query_scalar(COUNT.of(self.store.pool()))
                .bind(campaign_id.0)
                .bind(tenant_id.0)
                .fetch_optional(db)
                .await
        })
        .map_err(StoreError::database(doing))?;
        let Some(total) = total else { return Ok(None) };
        let rows = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, RecipientRow>(LIST.of(self.store.pool()))
                .bind(campaign_id.0)
                .bind(tenant_id.0)
                .bind(page.offset())
                .bind(page.offset() + i64::from(page.limit()))
                .fetch_all(db)
                .await
        })
        .map_err(StoreError::database(doing))?;
        let items = rows.into_iter().map(RecipientRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Some(Page { items, total: total.unsigned_abs() }))
    }

    /// Returns some recipients of a campaign from a place on, as they are added to another one.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn step(
        &self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
        next_seq: i64,
        limit: u32,
    ) -> Result<Vec<NewRecipient>, StoreError> {
        let pool = self.store.pool();
        let rows: Result<Vec<(String, String, Option<String>)>, _> = with_reader!(pool, |db| {
            let query = sqlx::query_as(STEP.of(pool)).bind(campaign_id.0).bind(tenant_id.0).bind(next_seq);
            query.bind(next_seq + i64::from(limit)).fetch_all(db).await
        });
        let place = RowPlace { table: "campaign_recipients", key: campaign_id };
        let rows = rows.map_err(StoreError::database("read the recipients of a campaign"))?;
        let new = |(recipient, variables, zone): (String, String, Option<String>)| {
            Ok(NewRecipient {
                recipient: place.recipient(&recipient)?,
                variables: place.json("variables", &variables)?,
                time_zone: zone.as_deref().and_then(Zone::parse),
            })
        };
        rows.into_iter().map(new).collect()
    }
}

/// Rows of one statement, each text and id in the place of its recipient.
pub(super) struct Chunk {
    recipient_ids: Vec<Uuid>,
    recipients: Vec<String>,
    variables: Vec<String>,
    time_zones: Vec<Option<String>>,
}

/// A connection that inserts recipients in its own dialect and tells which were new.
pub(super) trait InsertRecipients {
    async fn insert(&mut self, campaign_id: Uuid, first_seq: i64, chunk: &Chunk) -> Result<Vec<Uuid>, sqlx::Error>;
}

impl InsertRecipients for PgConnection {
    async fn insert(&mut self, campaign_id: Uuid, first_seq: i64, chunk: &Chunk) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar(INSERT.postgres())
            .bind(campaign_id)
            .bind(first_seq)
            .bind(&chunk.recipient_ids)
            .bind(&chunk.recipients)
            .bind(&chunk.variables)
            .bind(&chunk.time_zones)
            .fetch_all(self)
            .await
    }
}

impl InsertRecipients for SqliteConnection {
    async fn insert(&mut self, campaign_id: Uuid, first_seq: i64, chunk: &Chunk) -> Result<Vec<Uuid>, sqlx::Error> {
        let texts = chunk.recipients.iter().zip(&chunk.variables).zip(&chunk.time_zones);
        let rows: Vec<(Hex, &str, &str, Option<&str>)> = chunk
            .recipient_ids
            .iter()
            .zip(texts)
            .map(|(id, ((recipient, variables), zone))| {
                (Hex(*id), recipient.as_str(), variables.as_str(), zone.as_deref())
            })
            .collect();
        let rows = serde_json::to_string(&rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query_scalar(INSERT.sqlite()).bind(campaign_id).bind(first_seq).bind(rows).fetch_all(self).await
    }
}

/// Inserts recipients behind the first `first_seq` of a campaign whose row is held.
pub(super) async fn insert_all(
    connection: &mut impl InsertRecipients,
    campaign_id: CampaignId,
    first_seq: i64,
    batch: &[NewRecipient],
) -> Result<Appended, StoreError> {
    let doing = "insert recipients";
    let mut appended = Appended::default();
    for (at, part) in batch.chunks(RECIPIENTS_PER_INSERT_MAX).enumerate() {
        let first_place = at * RECIPIENTS_PER_INSERT_MAX;
        // One statement must not name a recipient twice: its numbers would have a gap.
        let mut seen = HashMap::with_capacity(part.len());
        let mut chunk = Chunk { recipient_ids: vec![], recipients: vec![], variables: vec![], time_zones: vec![] };
        let mut place_of = HashMap::with_capacity(part.len());
        for (new, place) in part.iter().zip(first_place..) {
            if seen.insert(&new.recipient, place).is_some() {
                appended.duplicates.push(place);
                continue;
            }
            let id = DeliveryId::generate().0;
            place_of.insert(id, place);
            chunk.recipient_ids.push(id);
            chunk.recipients.push(new.recipient.as_str().to_owned());
            let variables = serde_json::to_string(&new.variables).map_err(|error| sqlx::Error::Encode(error.into()));
            chunk.variables.push(variables.map_err(StoreError::database(doing))?);
            chunk.time_zones.push(new.time_zone.as_ref().map(|zone| zone.as_str().to_owned()));
        }
        let first_seq = first_seq + as_count(appended.accepted);
        let inserted = connection.insert(campaign_id.0, first_seq, &chunk).await;
        for id in inserted.map_err(StoreError::database(doing))? {
            place_of.remove(&id);
            appended.accepted += 1;
        }
        appended.duplicates.extend(place_of.into_values());
    }
    appended.duplicates.sort_unstable();
    Ok(appended)
}

pub(super) fn as_count(n: usize) -> i64 {
    i64::try_from(n).expect("a batch in memory has fewer than 2^63 rows")
}

#[derive(FromRow)]
struct RecipientRow {
    recipient_id: Uuid,
    seq: i64,
    recipient: String,
    variables: String,
}

impl TryFrom<RecipientRow> for RecipientRecord {
    type Error = StoreError;

    fn try_from(row: RecipientRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "campaign_recipients", key: row.recipient_id };
        Ok(Self {
            id: DeliveryId(row.recipient_id),
            seq: row.seq,
            recipient: place.recipient(&row.recipient)?,
            variables: place.json("variables", &row.variables)?,
        })
    }
}
