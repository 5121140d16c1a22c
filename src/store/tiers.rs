//! The provider's tier: how many different recipients an account may write to first in 24 hours.
//!
//! Whoever counts for an account holds its row, so that several nodes never give away the same place twice. Places
//! come free by quarters of an hour: at most that much later than they might.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::domain::id::{DeliveryId, SessionId};
use crate::limits::TIER_ROWS_REMOVED_MAX;
use crate::store::bind::{column, hex_list, to_json};
use crate::store::journal::Begin;
use crate::store::tx::Tx;
use crate::store::{Sql, StoreError};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const SLOT_MS: i64 = 15 * 60 * 1_000;

/// SQLite only; PostgreSQL asks together with the usage, see [`crate::store::usage`].
const SESSIONS: &str = "SELECT session_id, account_id, tier FROM sessions \
     WHERE session_id IN (SELECT unhex(value) FROM json_each($1)) AND tier IS NOT NULL";

const RECIPIENTS: Sql = Sql::per_dialect(
    "SELECT delivery_id, recipient FROM deliveries WHERE delivery_id = ANY($1)",
    "SELECT delivery_id, recipient FROM deliveries WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1))",
);

/// By account in ascending order; the row is made where there is none.
const HOLD: Sql = Sql::per_dialect(
    "INSERT INTO tier_accounts (account_id, counted_at_ms) SELECT u.account_id, $2 \
     FROM UNNEST($1::text[]) AS u (account_id) ORDER BY u.account_id \
     ON CONFLICT (account_id) DO UPDATE SET counted_at_ms = EXCLUDED.counted_at_ms",
    "INSERT INTO tier_accounts (account_id, counted_at_ms) SELECT value, $2 FROM json_each($1) WHERE true \
     ON CONFLICT (account_id) DO UPDATE SET counted_at_ms = EXCLUDED.counted_at_ms",
);

const COUNTED: Sql = Sql::per_dialect(
    "SELECT t.account_id, t.recipient FROM UNNEST($1::text[], $2::text[]) AS u (account_id, recipient) \
     JOIN tier_recipients t ON t.account_id = u.account_id AND t.recipient = u.recipient WHERE $3 < t.counted_at_ms",
    "SELECT t.account_id, t.recipient FROM json_each($1) AS u \
     JOIN tier_recipients t ON t.account_id = u.value ->> 0 AND t.recipient = u.value ->> 1 \
     WHERE $2 < t.counted_at_ms",
);

const USES: Sql = Sql::per_dialect(
    "SELECT account_id, SUM(n_recipients)::int8, MIN(slot_no) FROM tier_uses \
     WHERE account_id = ANY($1) AND $2 <= slot_no GROUP BY account_id",
    "SELECT account_id, SUM(n_recipients), MIN(slot_no) FROM tier_uses \
     WHERE account_id IN (SELECT value FROM json_each($1)) AND $2 <= slot_no GROUP BY account_id",
);

/// Those that are counted anew: their last time was longer ago.
const REMOVE_SAME: Sql = Sql::per_dialect(
    "DELETE FROM tier_recipients AS t USING UNNEST($1::text[], $2::text[]) AS u (account_id, recipient) \
     WHERE t.account_id = u.account_id AND t.recipient = u.recipient",
    "DELETE FROM tier_recipients WHERE (account_id, recipient) IN (SELECT value ->> 0, value ->> 1 FROM json_each($1))",
);

/// Some of the others that no longer count.
const REMOVE_OLD: Sql = Sql::per_dialect(
    "DELETE FROM tier_recipients WHERE (account_id, recipient) IN (SELECT account_id, recipient FROM tier_recipients \
         WHERE account_id = ANY($1) AND counted_at_ms <= $2 ORDER BY account_id, counted_at_ms LIMIT $3)",
    "DELETE FROM tier_recipients WHERE (account_id, recipient) IN (SELECT account_id, recipient FROM tier_recipients \
         WHERE account_id IN (SELECT value FROM json_each($1)) AND counted_at_ms <= $2 LIMIT $3)",
);

const REMOVE_OLD_USES: Sql = Sql::per_dialect(
    "DELETE FROM tier_uses WHERE account_id = ANY($1) AND slot_no < $2",
    "DELETE FROM tier_uses WHERE account_id IN (SELECT value FROM json_each($1)) AND slot_no < $2",
);

const INSERT: Sql = Sql::per_dialect(
    "INSERT INTO tier_recipients (account_id, recipient, counted_at_ms) \
     SELECT * FROM UNNEST($1::text[], $2::text[], $3::int8[])",
    "INSERT INTO tier_recipients (account_id, recipient, counted_at_ms) \
     SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1)",
);

const ADD: Sql = Sql::per_dialect(
    "INSERT INTO tier_uses AS t (account_id, slot_no, n_recipients) \
     SELECT * FROM UNNEST($1::text[], $2::int8[], $3::int8[]) \
     ON CONFLICT (account_id, slot_no) DO UPDATE SET n_recipients = t.n_recipients + EXCLUDED.n_recipients",
    "INSERT INTO tier_uses AS t (account_id, slot_no, n_recipients) \
     SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1) WHERE true \
     ON CONFLICT (account_id, slot_no) DO UPDATE SET n_recipients = t.n_recipients + EXCLUDED.n_recipients",
);

/// The account of each session that has a tier, and the tier.
pub(crate) type SessionTiers = HashMap<SessionId, (String, i64)>;

/// Names the account of a session and its tier; a session whose account is not known is one by itself.
pub(crate) fn tier_of(session_id: Uuid, account_id: Option<String>, tier: i64) -> (String, i64) {
    (account_id.unwrap_or_else(|| session_id.to_string()), tier)
}

/// Returns the tiers of those sessions that have one.
pub(super) async fn session_tiers(db: &mut SqliteConnection, ids: &[Uuid]) -> Result<SessionTiers, sqlx::Error> {
    type Row = (Uuid, Option<String>, i64);
    let rows = sqlx::query_as::<_, Row>(SESSIONS).bind(hex_list(ids)).fetch_all(db).await?;
    let of = |(id, account_id, tier): Row| (SessionId(id), tier_of(id, account_id, tier));
    Ok(rows.into_iter().map(of).collect())
}

/// An account, the recipients it wrote to in its slots that count, and the oldest of these.
type Uses = (String, i64, i64);

/// What of an account is known in one transaction.
#[derive(Debug, Default)]
struct Account {
    n_recipients: i64,
    /// The oldest slot that still counts.
    oldest_slot_no: Option<i64>,
    counted: HashSet<String>,
    /// Those counted in this transaction, with the time.
    new: Vec<(String, i64)>,
}

/// The tiers of the sessions of one transaction; sessions without one are not there.
#[derive(Debug, Default)]
pub(crate) struct Tiers {
    sessions: SessionTiers,
    recipients: HashMap<DeliveryId, String>,
    accounts: BTreeMap<String, Account>,
}

impl Tiers {
    /// Tells whether an attempt may be begun; otherwise when a place comes free, UTC milliseconds.
    pub(crate) fn may_begin(&self, begin: &Begin) -> Result<(), i64> {
        let Some((account, tier, recipient)) = self.of(begin) else {
            return Ok(());
        };
        let Some(account) = self.accounts.get(account) else {
            return Ok(());
        };
        if account.counted.contains(recipient) || account.n_recipients < tier {
            return Ok(());
        }
        let oldest_slot_no = account.oldest_slot_no.unwrap_or(begin.started_at_ms.div_euclid(SLOT_MS));
        Err((oldest_slot_no + 1) * SLOT_MS + DAY_MS)
    }

    /// Counts the recipient of an attempt that was begun, once a day.
    pub(crate) fn begun(&mut self, begin: &Begin) {
        let Some((account, _, recipient)) = self.of(begin) else { return };
        let (account, recipient) = (account.to_owned(), recipient.to_owned());
        let Some(account) = self.accounts.get_mut(&account) else { return };
        if account.counted.insert(recipient.clone()) {
            account.n_recipients += 1;
            account.oldest_slot_no.get_or_insert(begin.started_at_ms.div_euclid(SLOT_MS));
            account.new.push((recipient, begin.started_at_ms));
        }
    }

    fn of(&self, begin: &Begin) -> Option<(&str, i64, &str)> {
        let (account, tier) = self.sessions.get(&begin.session_id)?;
        Some((account, *tier, self.recipients.get(&begin.delivery_id)?))
    }
}

impl Tx {
    /// Returns what the accounts of some attempts may still do, and holds these accounts until the transaction ends.
    ///
    /// To be called behind the usage and before the counters; see [`crate::store::tx`].
    pub(crate) async fn hold_tiers(
        &mut self,
        begins: &[Begin],
        sessions: SessionTiers,
        doing: &'static str,
    ) -> Result<Tiers, StoreError> {
        if sessions.is_empty() {
            return Ok(Tiers::default());
        }
        let begins: Vec<&Begin> = begins.iter().filter(|begin| sessions.contains_key(&begin.session_id)).collect();
        let now_ms = begins.iter().map(|begin| begin.started_at_ms).max().unwrap_or(0);
        let accounts: BTreeSet<&str> = sessions.values().map(|(account, _)| account.as_str()).collect();
        let accounts: Vec<String> = accounts.into_iter().map(str::to_owned).collect();
        self.hold_accounts(&accounts, now_ms).await.map_err(StoreError::database(doing))?;
        let mut tiers = Tiers { sessions, ..Tiers::default() };
        self.fill_tiers(&mut tiers, &accounts, (&begins, now_ms)).await.map_err(StoreError::database(doing))?;
        Ok(tiers)
    }

    async fn hold_accounts(&mut self, accounts: &[String], now_ms: i64) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(tx) => {
                sqlx::query(HOLD.postgres()).bind(accounts).bind(now_ms).execute(&mut **tx).await.map(drop)
            }
            Self::Sqlite(tx) => {
                let accounts = to_json(accounts, |account| account.as_str());
                sqlx::query(HOLD.sqlite()).bind(accounts).bind(now_ms).execute(&mut **tx).await.map(drop)
            }
        }
    }

    async fn fill_tiers(
        &mut self,
        tiers: &mut Tiers,
        accounts: &[String],
        (begins, now_ms): (&[&Begin], i64),
    ) -> Result<(), sqlx::Error> {
        let ids = column(begins, |begin| begin.delivery_id.0);
        let rows: Vec<(Uuid, String)> = match self {
            Self::Postgres(tx) => sqlx::query_as(RECIPIENTS.postgres()).bind(ids).fetch_all(&mut **tx).await?,
            Self::Sqlite(tx) => sqlx::query_as(RECIPIENTS.sqlite()).bind(hex_list(&ids)).fetch_all(&mut **tx).await?,
        };
        tiers.recipients = rows.into_iter().map(|(id, recipient)| (DeliveryId(id), recipient)).collect();
        let pairs: BTreeSet<(&str, &str)> =
            begins.iter().filter_map(|begin| tiers.of(begin)).map(|(account, _, to)| (account, to)).collect();
        let pairs: Vec<(&str, &str)> = pairs.into_iter().collect();
        let (since_ms, first_slot_no) = (now_ms - DAY_MS, first_slot_no(now_ms));
        let (counted, uses): (Vec<(String, String)>, Vec<Uses>) = match self {
            Self::Postgres(tx) => {
                let query = sqlx::query_as(COUNTED.postgres()).bind(column(&pairs, |pair| pair.0));
                let query = query.bind(column(&pairs, |pair| pair.1)).bind(since_ms);
                let counted = query.fetch_all(&mut **tx).await?;
                let query = sqlx::query_as(USES.postgres()).bind(accounts).bind(first_slot_no);
                (counted, query.fetch_all(&mut **tx).await?)
            }
            Self::Sqlite(tx) => {
                let names = to_json(accounts, |account| account.as_str());
                let query = sqlx::query_as(COUNTED.sqlite()).bind(to_json(&pairs, |pair| *pair)).bind(since_ms);
                let counted = query.fetch_all(&mut **tx).await?;
                let query = sqlx::query_as(USES.sqlite()).bind(names).bind(first_slot_no);
                (counted, query.fetch_all(&mut **tx).await?)
            }
        };
        tiers.accounts = accounts.iter().map(|account| (account.clone(), Account::default())).collect();
        for (account, recipient) in counted {
            tiers.accounts.entry(account).or_default().counted.insert(recipient);
        }
        for (account, n_recipients, slot_no) in uses {
            let account = tiers.accounts.entry(account).or_default();
            (account.n_recipients, account.oldest_slot_no) = (n_recipients, Some(slot_no));
        }
        Ok(())
    }

    /// Writes whom the accounts wrote to, and removes some of what no longer counts.
    pub(crate) async fn save_tiers(&mut self, tiers: &Tiers, doing: &'static str) -> Result<(), StoreError> {
        let new = tiers.accounts.iter().flat_map(|(account, of)| of.new.iter().map(move |(to, at)| (account, to, *at)));
        let new: Vec<(&String, &String, i64)> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut uses: BTreeMap<(&String, i64), i64> = BTreeMap::new();
        for (account, _, at_ms) in &new {
            *uses.entry((account, at_ms.div_euclid(SLOT_MS))).or_default() += 1;
        }
        let uses: Vec<((&String, i64), i64)> = uses.into_iter().collect();
        let accounts: BTreeSet<&String> = new.iter().map(|row| row.0).collect();
        let accounts: Vec<&String> = accounts.into_iter().collect();
        self.write_tiers(&accounts, &new, &uses).await.map_err(StoreError::database(doing))
    }

    async fn write_tiers(
        &mut self,
        accounts: &[&String],
        new: &[(&String, &String, i64)],
        uses: &[((&String, i64), i64)],
    ) -> Result<(), sqlx::Error> {
        let now_ms = new.iter().map(|row| row.2).max().unwrap_or(0);
        let (since_ms, first_slot_no) = (now_ms - DAY_MS, first_slot_no(now_ms));
        match self {
            Self::Postgres(tx) => {
                let query = sqlx::query(REMOVE_SAME.postgres()).bind(column(new, |row| row.0.as_str()));
                query.bind(column(new, |row| row.1.as_str())).execute(&mut **tx).await?;
                let query = sqlx::query(REMOVE_OLD.postgres()).bind(accounts).bind(since_ms);
                query.bind(TIER_ROWS_REMOVED_MAX).execute(&mut **tx).await?;
                sqlx::query(REMOVE_OLD_USES.postgres()).bind(accounts).bind(first_slot_no).execute(&mut **tx).await?;
                sqlx::query(INSERT.postgres())
                    .bind(column(new, |row| row.0.as_str()))
                    .bind(column(new, |row| row.1.as_str()))
                    .bind(column(new, |row| row.2))
                    .execute(&mut **tx)
                    .await?;
                sqlx::query(ADD.postgres())
                    .bind(column(uses, |((account, _), _)| account.as_str()))
                    .bind(column(uses, |((_, slot_no), _)| *slot_no))
                    .bind(column(uses, |(_, n)| *n))
                    .execute(&mut **tx)
                    .await
                    .map(drop)
            }
            Self::Sqlite(tx) => {
                let names = to_json(accounts, |account| account.as_str());
                let rows = to_json(new, |row| (row.0.as_str(), row.1.as_str(), row.2));
                sqlx::query(REMOVE_SAME.sqlite()).bind(&rows).execute(&mut **tx).await?;
                let query = sqlx::query(REMOVE_OLD.sqlite()).bind(&names).bind(since_ms);
                query.bind(TIER_ROWS_REMOVED_MAX).execute(&mut **tx).await?;
                sqlx::query(REMOVE_OLD_USES.sqlite()).bind(names).bind(first_slot_no).execute(&mut **tx).await?;
                sqlx::query(INSERT.sqlite()).bind(rows).execute(&mut **tx).await?;
                let rows = to_json(uses, |((account, slot_no), n)| (account.as_str(), *slot_no, *n));
                sqlx::query(ADD.sqlite()).bind(rows).execute(&mut **tx).await.map(drop)
            }
        }
    }
}

/// The first slot that still counts: one leaves when a day has gone by since its end.
fn first_slot_no(now_ms: i64) -> i64 {
    (now_ms - DAY_MS).div_euclid(SLOT_MS)
}
