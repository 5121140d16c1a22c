//! Who has opted out of a tenant's campaigns, whether a contact or not.
//!
//! What recipients say may come twice and in any order: the latest word holds. Whom a campaign passes over for it is
//! decided by the journal, which looks here while it locks the deliveries. What else comes of it, such as who is told, is
//! [`crate::store::opt_out_news`].

use std::collections::{BTreeMap, HashMap};

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
     WHERE EXCLUDED.changed_by <> 'recipient' OR o.changed_at_ms <= EXCLUDED.changed_at_ms + 999 \
     RETURNING tenant_id, recipient, o.xmax = 0",
    "INSERT INTO opt_outs AS o (tenant_id, recipient, is_out, changed_at_ms, changed_by) \
     SELECT unhex(value ->> 'tenant_id'), value ->> 'recipient', value ->> 'is_out', value ->> 'changed_at_ms', \
         value ->> 'changed_by' FROM json_each($1) WHERE true \
     ON CONFLICT (tenant_id, recipient) DO UPDATE SET is_out = EXCLUDED.is_out, changed_by = EXCLUDED.changed_by, \
         changed_at_ms = MAX(o.changed_at_ms, EXCLUDED.changed_at_ms) \
     WHERE EXCLUDED.changed_by <> 'recipient' OR o.changed_at_ms <= EXCLUDED.changed_at_ms + 999 \
     RETURNING tenant_id, recipient, TRUE",
);

/// What was said before, held until the end: a row that is not there can not be held.
const HOLD: Sql = Sql::per_dialect(
    "SELECT o.tenant_id, o.recipient, o.is_out FROM json_to_recordset(CAST($1 AS JSON)) \
         AS u (tenant_id uuid, recipient text) \
     JOIN opt_outs o ON o.tenant_id = u.tenant_id AND o.recipient = u.recipient \
     ORDER BY o.tenant_id, o.recipient FOR UPDATE OF o",
    "SELECT o.tenant_id, o.recipient, o.is_out FROM json_each($1) AS u \
     JOIN opt_outs o ON o.tenant_id = unhex(u.value ->> 'tenant_id') AND o.recipient = u.value ->> 'recipient'",
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
        let mut latest: BTreeMap<(Uuid, &str), (OptChange, &str)> = BTreeMap::new();
        for (message, word) in asking {
            for (_, tenant_id) in tenants.iter().filter(|(number, _)| *number == message.phone_number_id) {
                let is_out = word == OptWord::Stop;
                let opt_out = OptOut { is_out, changed_at_ms: message.at_ms, by: OptSource::Recipient };
                let (tenant_id, recipient) = (*tenant_id, message.from.clone());
                let change = OptChange { tenant_id: TenantId(tenant_id), recipient, opt_out };
                let key = (tenant_id, message.from.as_str());
                if latest.get(&key).is_none_or(|(known, _)| known.opt_out.changed_at_ms <= message.at_ms) {
                    latest.insert(key, (change, message.phone_number_id.as_str()));
                }
            }
        }
        let (changes, numbers): (Vec<OptChange>, Vec<&str>) = latest.into_values().unzip();
        let newly_out = tx.set_opt_outs(&changes, DOING_NOTE).await?;
        let stops: Vec<_> = newly_out.into_iter().map(|at| (&changes[at], numbers[at])).collect();
        tx.count_stops(&stops, DOING_NOTE).await?;
        self.commit_moves(tx, DOING_NOTE).await
    }

    /// Writes what is said about recipients, each named once.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not certain to be durable; safe to repeat.
    pub async fn set_opt_outs(&self, changes: &[OptChange]) -> Result<(), StoreError> {
        let mut tx = self.begin_write(DOING_SET).await?;
        tx.set_opt_outs(changes, DOING_SET).await?;
        self.commit_moves(tx, DOING_SET).await
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
    /// Writes what is said about recipients, each named once, and tells who wants to know; returns the places of those who
    /// were not out before and are now.
    pub(super) async fn set_opt_outs(
        &mut self,
        changes: &[OptChange],
        doing: &'static str,
    ) -> Result<Vec<usize>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let rows = to_json(changes, |change| {
            json!({
                "tenant_id": Hex(change.tenant_id.0), "recipient": change.recipient.as_str(),
                "is_out": change.opt_out.is_out, "changed_at_ms": change.opt_out.changed_at_ms,
                "changed_by": change.opt_out.by.as_str(),
            })
        });
        let (hold, set) = match self {
            Self::Postgres(_) => (HOLD.postgres(), SET.postgres()),
            Self::Sqlite(_) => (HOLD.sqlite(), SET.sqlite()),
        };
        let known: Vec<(Uuid, String, bool)> =
            with_tx!(self, |db| sqlx::query_as(hold).bind(&rows).fetch_all(db).await)
                .map_err(StoreError::database(doing))?;
        let was_out: HashMap<_, _> = known.iter().map(|(tenant, who, out)| ((*tenant, who.as_str()), *out)).collect();
        let written: Vec<(Uuid, String, bool)> =
            with_tx!(self, |db| sqlx::query_as(set).bind(&rows).fetch_all(db).await)
                .map_err(StoreError::database(doing))?;
        let is_new: HashMap<_, _> = written.iter().map(|(tenant, who, new)| ((*tenant, who.as_str()), *new)).collect();
        let newly_out = |change: &OptChange| {
            let key = (change.tenant_id.0, change.recipient.as_str());
            // One that was not there and was not made either has just been made by somebody else, who tells it.
            let was_in = was_out.get(&key).map_or(is_new.get(&key) == Some(&true), |was_out| !was_out);
            change.opt_out.is_out && is_new.contains_key(&key) && was_in
        };
        let newly_out: Vec<usize> = (0..changes.len()).filter(|at| newly_out(&changes[*at])).collect();
        self.tell_opt_outs(newly_out.iter().map(|at| &changes[*at]).collect(), doing).await?;
        Ok(newly_out)
    }
}
