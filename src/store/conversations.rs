//! What is known of a session and somebody it writes to: who has written back, and who gets no more marketing for now.
//!
//! Both only grow, so that every write may be repeated and come in any order.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::attempt::Outcome;
use crate::domain::failure::{Failure, Reason};
use crate::domain::id::{DeliveryId, SessionId};
use crate::domain::inbound::InboundMessage;
use crate::domain::recipient::Recipient;
use crate::store::bind::{Hex, column, to_json};
use crate::store::column::RowPlace;
use crate::store::journal::{Ended, JournalBatch};
use crate::store::tx::Tx;
use crate::store::{Pool, Sql, Store, StoreError};

/// How long nobody gets more marketing after the provider has said that it was enough (Meta: support/error-codes, 131049).
const MARKETING_CAP_MS: i64 = 24 * 3_600_000;

/// A number may be linked by several sessions; all of them are told.
const NOTE_INBOUND: Sql = Sql::per_dialect(
    "INSERT INTO conversations AS c (session_id, recipient, last_inbound_at_ms) \
     SELECT s.session_id, u.recipient, MAX(u.at_ms) \
     FROM UNNEST($1::text[], $2::text[], $3::int8[]) AS u (phone_number_id, recipient, at_ms) \
     JOIN sessions s ON s.phone_number_id = u.phone_number_id \
     GROUP BY s.session_id, u.recipient ORDER BY s.session_id, u.recipient \
     ON CONFLICT (session_id, recipient) DO UPDATE SET last_inbound_at_ms = EXCLUDED.last_inbound_at_ms \
     WHERE c.last_inbound_at_ms IS NULL OR c.last_inbound_at_ms < EXCLUDED.last_inbound_at_ms",
    "INSERT INTO conversations AS c (session_id, recipient, last_inbound_at_ms) \
     SELECT s.session_id, u.value ->> 1, MAX(u.value ->> 2) \
     FROM json_each($1) AS u JOIN sessions s ON s.phone_number_id = u.value ->> 0 \
     WHERE true GROUP BY 1, 2 \
     ON CONFLICT (session_id, recipient) DO UPDATE SET last_inbound_at_ms = EXCLUDED.last_inbound_at_ms \
     WHERE c.last_inbound_at_ms IS NULL OR c.last_inbound_at_ms < EXCLUDED.last_inbound_at_ms",
);

const CAP_MARKETING: Sql = Sql::per_dialect(
    "INSERT INTO conversations AS c (session_id, recipient, marketing_capped_until_ms) \
     SELECT d.session_id, d.recipient, MAX(u.until_ms) \
     FROM UNNEST($1::uuid[], $2::int8[]) AS u (delivery_id, until_ms) \
     JOIN deliveries d ON d.delivery_id = u.delivery_id \
     GROUP BY d.session_id, d.recipient ORDER BY d.session_id, d.recipient \
     ON CONFLICT (session_id, recipient) DO UPDATE SET marketing_capped_until_ms = EXCLUDED.marketing_capped_until_ms \
     WHERE c.marketing_capped_until_ms IS NULL OR c.marketing_capped_until_ms < EXCLUDED.marketing_capped_until_ms",
    "INSERT INTO conversations AS c (session_id, recipient, marketing_capped_until_ms) \
     SELECT d.session_id, d.recipient, MAX(u.value ->> 1) \
     FROM json_each($1) AS u JOIN deliveries d ON d.delivery_id = unhex(u.value ->> 0) \
     WHERE true GROUP BY 1, 2 \
     ON CONFLICT (session_id, recipient) DO UPDATE SET marketing_capped_until_ms = EXCLUDED.marketing_capped_until_ms \
     WHERE c.marketing_capped_until_ms IS NULL OR c.marketing_capped_until_ms < EXCLUDED.marketing_capped_until_ms",
);

const OF_PAIRS: Sql = Sql::per_dialect(
    "SELECT c.session_id, c.recipient, c.last_inbound_at_ms, c.marketing_capped_until_ms \
     FROM UNNEST($1::uuid[], $2::text[]) AS u (session_id, recipient) \
     JOIN conversations c ON c.session_id = u.session_id AND c.recipient = u.recipient",
    "SELECT c.session_id, c.recipient, c.last_inbound_at_ms, c.marketing_capped_until_ms \
     FROM json_each($1) AS u \
     JOIN conversations c ON c.session_id = unhex(u.value ->> 0) AND c.recipient = u.value ->> 1",
);

const DOING_NOTE: &str = "note what recipients wrote";
const DOING_READ: &str = "read conversations";

/// What is known of a session and a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The session.
    pub session_id: SessionId,
    /// The recipient.
    pub recipient: Recipient,
    /// When they last wrote to the session, UTC milliseconds; none if they never did.
    pub last_inbound_at_ms: Option<i64>,
    /// Until when they get no more marketing, UTC milliseconds; none if nobody ever said so.
    pub marketing_capped_until_ms: Option<i64>,
}

#[derive(Debug, FromRow)]
struct ConversationRow {
    session_id: Uuid,
    recipient: String,
    last_inbound_at_ms: Option<i64>,
    marketing_capped_until_ms: Option<i64>,
}

impl TryFrom<ConversationRow> for Conversation {
    type Error = StoreError;

    fn try_from(row: ConversationRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "conversations", key: row.session_id };
        Ok(Self {
            session_id: SessionId(row.session_id),
            recipient: place.recipient(&row.recipient)?,
            last_inbound_at_ms: row.last_inbound_at_ms,
            marketing_capped_until_ms: row.marketing_capped_until_ms,
        })
    }
}

impl Store {
    /// Notes when recipients wrote, for every session that has the number they wrote to; a number of nobody is passed over.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not certain to be durable.
    pub async fn note_inbound(&self, messages: &[InboundMessage]) -> Result<(), StoreError> {
        if messages.is_empty() {
            return Ok(());
        }
        let written = match self.pool() {
            Pool::Postgres(pool) => sqlx::query(NOTE_INBOUND.postgres())
                .bind(column(messages, |message| message.phone_number_id.as_str()))
                .bind(column(messages, |message| message.from.as_str()))
                .bind(column(messages, |message| message.at_ms))
                .execute(pool)
                .await
                .map(drop),
            Pool::Sqlite { writer, .. } => {
                let json = to_json(messages, |m| (m.phone_number_id.as_str(), m.from.as_str(), m.at_ms));
                sqlx::query(NOTE_INBOUND.sqlite()).bind(json).execute(writer).await.map(drop)
            }
        };
        written.map_err(StoreError::database(DOING_NOTE))
    }

    /// Returns what is known of pairs of session and recipient, in no order; nothing for those of which nothing is known.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read, [`StoreError::Corrupt`] when a row can not be.
    pub async fn conversations_of(&self, pairs: &[(SessionId, Recipient)]) -> Result<Vec<Conversation>, StoreError> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin_read(DOING_READ).await?;
        let rows: Result<Vec<ConversationRow>, sqlx::Error> = match &mut tx {
            Tx::Postgres(tx) => {
                sqlx::query_as(OF_PAIRS.postgres())
                    .bind(column(pairs, |(session_id, _)| session_id.0))
                    .bind(column(pairs, |(_, recipient)| recipient.as_str()))
                    .fetch_all(&mut **tx)
                    .await
            }
            Tx::Sqlite(tx) => {
                let json = to_json(pairs, |(session_id, recipient)| (Hex(session_id.0), recipient.as_str()));
                sqlx::query_as(OF_PAIRS.sqlite()).bind(json).fetch_all(&mut **tx).await
            }
        };
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        tx.commit(DOING_READ).await?;
        rows.into_iter().map(Conversation::try_from).collect()
    }
}

impl Tx {
    /// Notes whose recipients the provider wants no more marketing sent to, by what it refused and what failed later.
    ///
    /// Comes after the deliveries and the lanes, and before the counters; rows are written in the order of their keys.
    pub(super) async fn cap_marketing(&mut self, batch: &JournalBatch) -> Result<(), sqlx::Error> {
        let capped = capped(batch);
        if capped.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(CAP_MARKETING.postgres())
                .bind(column(&capped, |(delivery_id, _)| delivery_id.0))
                .bind(column(&capped, |(_, until_ms)| *until_ms))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&capped, |(delivery_id, until_ms)| (Hex(delivery_id.0), *until_ms));
                sqlx::query(CAP_MARKETING.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }
}

/// Returns the deliveries that met the cap, and until when it holds.
fn capped(batch: &JournalBatch) -> Vec<(DeliveryId, i64)> {
    let is_cap = |failure: &Failure| failure.reason == Reason::UserMarketingCap;
    let receipts = batch.receipts.iter().filter(|receipt| receipt.failure.as_ref().is_some_and(is_cap));
    let receipts = receipts.map(|receipt| (receipt.delivery_id, receipt.at_ms));
    let ends = batch.ends.iter().filter(|end| match &end.ended {
        Ended::Outcome(Outcome::Rejected(failure) | Outcome::Deferred(failure)) => is_cap(failure),
        Ended::Outcome(_) | Ended::Withdrawn => false,
    });
    let ends = ends.map(|end| (end.delivery_id, end.ended_at_ms));
    receipts.chain(ends).map(|(id, at_ms)| (id, at_ms.saturating_add(MARKETING_CAP_MS))).collect()
}
