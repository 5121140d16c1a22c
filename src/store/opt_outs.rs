//! Who has opted out of a tenant's campaigns, whether a contact or not.
//!
//! What recipients say may come twice and in any order: the latest word holds. Whom a campaign passes over for it is
//! decided by the journal, which looks here while it locks the deliveries.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::TenantId;
use crate::domain::inbound::InboundMessage;
use crate::domain::opt_out::{OptOut, OptSource, OptWord};
use crate::domain::recipient::Recipient;
use crate::store::bind::{Hex, to_json};
use crate::store::column::RowPlace;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// The provider's times are whole seconds: of two words in one second the one that comes later holds. What people of the
/// tenant say holds at once.
const SET: Sql = Sql::per_dialect(
    "INSERT INTO opt_outs AS o (tenant_id, recipient, is_out, changed_at_ms, changed_by) \
     SELECT tenant_id, recipient, is_out, changed_at_ms, changed_by FROM json_to_recordset(CAST($1 AS JSON)) \
         AS u (tenant_id uuid, recipient text, is_out boolean, changed_at_ms int8, changed_by text) \
     ORDER BY tenant_id, recipient \
     ON CONFLICT (tenant_id, recipient) DO UPDATE SET is_out = EXCLUDED.is_out, changed_by = EXCLUDED.changed_by, \
         changed_at_ms = GREATEST(o.changed_at_ms, EXCLUDED.changed_at_ms) \
     WHERE EXCLUDED.changed_by <> 'recipient' OR o.changed_at_ms <= EXCLUDED.changed_at_ms + 999",
    "INSERT INTO opt_outs AS o (tenant_id, recipient, is_out, changed_at_ms, changed_by) \
     SELECT unhex(value ->> 'tenant_id'), value ->> 'recipient', value ->> 'is_out', value ->> 'changed_at_ms', \
         value ->> 'changed_by' FROM json_each($1) WHERE true \
     ON CONFLICT (tenant_id, recipient) DO UPDATE SET is_out = EXCLUDED.is_out, changed_by = EXCLUDED.changed_by, \
         changed_at_ms = MAX(o.changed_at_ms, EXCLUDED.changed_at_ms) \
     WHERE EXCLUDED.changed_by <> 'recipient' OR o.changed_at_ms <= EXCLUDED.changed_at_ms + 999",
);

const TENANTS: Sql = Sql::per_dialect(
    "SELECT DISTINCT phone_number_id, tenant_id FROM sessions \
     WHERE phone_number_id IN (SELECT json_array_elements_text(CAST($1 AS JSON)))",
    "SELECT DISTINCT phone_number_id, tenant_id FROM sessions \
     WHERE phone_number_id IN (SELECT value FROM json_each($1))",
);

const FIND: Sql =
    Sql::portable("SELECT is_out, changed_at_ms, changed_by FROM opt_outs WHERE tenant_id = $1 AND recipient = $2");

const DOING_NOTE: &str = "note who opts out";
const DOING_SET: &str = "write who has opted out";

/// Something that is said about a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptChange {
    /// To whose campaigns it belongs.
    pub tenant_id: TenantId,
    /// The recipient.
    pub recipient: Recipient,
    /// What is said.
    pub opt_out: OptOut,
}

/// The columns, where a row has them beside others.
#[derive(Debug, FromRow)]
pub(super) struct OptRow {
    is_out: Option<bool>,
    #[sqlx(rename = "opt_changed_at_ms")]
    changed_at_ms: Option<i64>,
    changed_by: Option<String>,
}

impl OptRow {
    /// Reads what was said; none when nothing was.
    pub(super) fn read<K: std::fmt::Display>(self, key: K) -> Result<Option<OptOut>, StoreError> {
        let (Some(is_out), Some(changed_at_ms), Some(by)) = (self.is_out, self.changed_at_ms, self.changed_by) else {
            return Ok(None);
        };
        let place = RowPlace { table: "opt_outs", key };
        Ok(Some(OptOut { is_out, changed_at_ms, by: place.known("changed_by", OptSource::parse(&by))? }))
    }
}

impl Store {
    /// Notes who opts out and in by what they wrote, for every tenant that has the number they wrote to; messages that
    /// ask for nothing are passed over.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not certain to be durable; safe to repeat.
    pub async fn note_opt_outs(&self, messages: &[InboundMessage]) -> Result<(), StoreError> {
        let asking: Vec<_> = messages.iter().filter_map(|message| Some((message, message.asks?))).collect();
        if asking.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_write(DOING_NOTE).await?;
        let numbers = to_json(&asking, |(message, _)| message.phone_number_id.as_str());
        let sql = TENANTS.of(self.pool());
        let tenants: Result<Vec<(String, Uuid)>, sqlx::Error> =
            with_tx!(&mut tx, |db| sqlx::query_as(sql).bind(numbers).fetch_all(db).await);
        let tenants = tenants.map_err(StoreError::database(DOING_NOTE))?;
        // The latest word of each recipient to each tenant; of those of one second, the last.
        let mut latest: BTreeMap<(Uuid, &str), OptChange> = BTreeMap::new();
        for (message, word) in asking {
            for (_, tenant_id) in tenants.iter().filter(|(number, _)| *number == message.phone_number_id) {
                let is_out = word == OptWord::Stop;
                let opt_out = OptOut { is_out, changed_at_ms: message.at_ms, by: OptSource::Recipient };
                let (tenant_id, recipient) = (*tenant_id, message.from.clone());
                let change = OptChange { tenant_id: TenantId(tenant_id), recipient, opt_out };
                let key = (tenant_id, message.from.as_str());
                if latest.get(&key).is_none_or(|known| known.opt_out.changed_at_ms <= message.at_ms) {
                    latest.insert(key, change);
                }
            }
        }
        let changes: Vec<OptChange> = latest.into_values().collect();
        tx.set_opt_outs(&changes, DOING_NOTE).await?;
        tx.commit(DOING_NOTE).await
    }

    /// Writes what is said about recipients, each named once.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not certain to be durable; safe to repeat.
    pub async fn set_opt_outs(&self, changes: &[OptChange]) -> Result<(), StoreError> {
        let mut tx = self.begin_write(DOING_SET).await?;
        tx.set_opt_outs(changes, DOING_SET).await?;
        tx.commit(DOING_SET).await
    }

    /// Returns what was last said about a recipient; none when nothing was.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn opt_out_of(&self, tenant_id: TenantId, recipient: &Recipient) -> Result<Option<OptOut>, StoreError> {
        let sql = FIND.of(self.pool());
        let row: Result<Option<(bool, i64, String)>, sqlx::Error> = with_reader!(self.pool(), |db| {
            sqlx::query_as(sql).bind(tenant_id.0).bind(recipient.as_str()).fetch_optional(db).await
        });
        let row = row.map_err(StoreError::database("read who has opted out"))?;
        let place = RowPlace { table: "opt_outs", key: tenant_id };
        row.map(|(is_out, changed_at_ms, by)| {
            Ok(OptOut { is_out, changed_at_ms, by: place.known("changed_by", OptSource::parse(&by))? })
        })
        .transpose()
    }
}

impl Tx {
    /// Writes what is said about recipients, each named once.
    pub(super) async fn set_opt_outs(&mut self, changes: &[OptChange], doing: &'static str) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let rows = to_json(changes, |change| {
            json!({
                "tenant_id": Hex(change.tenant_id.0), "recipient": change.recipient.as_str(),
                "is_out": change.opt_out.is_out, "changed_at_ms": change.opt_out.changed_at_ms,
                "changed_by": change.opt_out.by.as_str(),
            })
        });
        let sql = match self {
            Self::Postgres(_) => SET.postgres(),
            Self::Sqlite(_) => SET.sqlite(),
        };
        with_tx!(self, |db| sqlx::query(sql).bind(rows).execute(db).await.map(drop))
            .map_err(StoreError::database(doing))
    }
}
