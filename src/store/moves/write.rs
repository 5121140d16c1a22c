//! Writes what became of the deliveries of one transaction.
//!
//! One statement per table, whatever the number of rows: arrays on PostgreSQL, one JSON text on
//! SQLite. Decides nothing.

use uuid::Uuid;

use super::{DeliveryRow, Moves, Moving};
use crate::domain::attempt::Outcome;
use crate::domain::delivery::DeliveryState;
use crate::domain::failure::FailureClass;
use crate::domain::id::DeliveryId;
use crate::store::bind::{Hex, column, hex_list, to_i32, to_json};
use crate::store::events::written_at;
use crate::store::journal::{End, Ended};
use crate::store::tx::Tx;
use crate::store::{Recording, Sql, StoreError};

/// Names the state that each row had, although it is locked: two places check what must hold.
const UPDATE: Sql = Sql::per_dialect(
    "UPDATE deliveries AS d SET state = u.state, n_attempts = u.n_attempts, due_at_ms = u.due_at_ms, \
         failure_class = u.failure_class, reason = u.reason, provider_code = u.provider_code, \
         provider_message_id = u.provider_message_id, sent_at_ms = u.sent_at_ms, \
         delivered_at_ms = u.delivered_at_ms, read_at_ms = u.read_at_ms, settled_at_ms = u.settled_at_ms, \
         quota_period_ms = u.quota_period_ms \
     FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::int4[], $5::int8[], $6::text[], $7::text[], $8::text[], \
                 $9::text[], $10::int8[], $11::int8[], $12::int8[], $13::int8[], $14::int8[]) \
          AS u (delivery_id, was, state, n_attempts, due_at_ms, failure_class, reason, provider_code, \
                provider_message_id, sent_at_ms, delivered_at_ms, read_at_ms, settled_at_ms, quota_period_ms) \
     WHERE d.delivery_id = u.delivery_id AND d.state = u.was",
    "UPDATE deliveries AS d SET state = u.state, n_attempts = u.n_attempts, due_at_ms = u.due_at_ms, \
         failure_class = u.failure_class, reason = u.reason, provider_code = u.provider_code, \
         provider_message_id = u.provider_message_id, sent_at_ms = u.sent_at_ms, \
         delivered_at_ms = u.delivered_at_ms, read_at_ms = u.read_at_ms, settled_at_ms = u.settled_at_ms, \
         quota_period_ms = u.quota_period_ms \
     FROM (SELECT unhex(value ->> 0) AS delivery_id, value ->> 1 AS was, value ->> 2 AS state, \
                  value ->> 3 AS n_attempts, value ->> 4 AS due_at_ms, value ->> 5 AS failure_class, \
                  value ->> 6 AS reason, value ->> 7 AS provider_code, value ->> 8 AS provider_message_id, \
                  value ->> 9 AS sent_at_ms, value ->> 10 AS delivered_at_ms, value ->> 11 AS read_at_ms, \
                  value ->> 12 AS settled_at_ms, value ->> 13 AS quota_period_ms FROM json_each($1)) AS u \
     WHERE d.delivery_id = u.delivery_id AND d.state = u.was",
);

/// Apart from the others, because it is rare.
const SPARE: Sql = Sql::per_dialect(
    "UPDATE deliveries SET n_attempts_before = n_attempts_before + 1 WHERE delivery_id = ANY($1)",
    "UPDATE deliveries SET n_attempts_before = n_attempts_before + 1 \
     WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1))",
);

const INSERT_ATTEMPTS: Sql = Sql::per_dialect(
    "INSERT INTO attempts (delivery_id, attempt_no, session_id, started_at_ms, settings_version) \
     SELECT * FROM UNNEST($1::uuid[], $2::int4[], $3::uuid[], $4::int8[], $5::int8[]) ON CONFLICT DO NOTHING",
    "INSERT INTO attempts (delivery_id, attempt_no, session_id, started_at_ms, settings_version) \
     SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4 FROM json_each($1) WHERE true \
     ON CONFLICT DO NOTHING",
);

const INSERT_OUTCOMES: Sql = Sql::per_dialect(
    "INSERT INTO attempt_outcomes (delivery_id, attempt_no, outcome, failure_class, reason, provider_code, \
         provider_message_id, ended_at_ms) \
     SELECT * FROM UNNEST($1::uuid[], $2::int4[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
                          $8::int8[]) ON CONFLICT DO NOTHING",
    "INSERT INTO attempt_outcomes (delivery_id, attempt_no, outcome, failure_class, reason, provider_code, \
         provider_message_id, ended_at_ms) \
     SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
            value ->> 7 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING",
);

const INSERT_RESENDS: Sql = Sql::per_dialect(
    "INSERT INTO resends (delivery_id, unknown_at_ms) SELECT d.delivery_id, d.settled_at_ms \
     FROM deliveries d JOIN jobs j ON j.job_id = d.job_id \
     WHERE d.delivery_id = ANY($1) AND j.on_unknown = 'resend' ORDER BY d.delivery_id ON CONFLICT DO NOTHING",
    "INSERT INTO resends (delivery_id, unknown_at_ms) SELECT d.delivery_id, d.settled_at_ms \
     FROM deliveries d JOIN jobs j ON j.job_id = d.job_id \
     WHERE d.delivery_id IN (SELECT unhex(value) FROM json_each($1)) AND j.on_unknown = 'resend' \
     ON CONFLICT DO NOTHING",
);

const DELETE_RESENDS: Sql = Sql::per_dialect(
    "DELETE FROM resends WHERE delivery_id = ANY($1)",
    "DELETE FROM resends WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1))",
);

/// The words of an outcome, in the order of the columns: outcome, class, reason, provider's code,
/// provider's message id.
type OutcomeWords<'a> = (&'static str, Option<&'static str>, Option<&'static str>, Option<&'a str>, Option<&'a str>);

fn outcome_words(end: &End) -> OutcomeWords<'_> {
    match &end.ended {
        Ended::Withdrawn => ("withdrawn", None, None, None, None),
        Ended::Outcome(outcome @ Outcome::Accepted { provider_message_id }) => {
            (outcome.as_str(), None, None, None, Some(provider_message_id))
        }
        Ended::Outcome(outcome @ (Outcome::Deferred(why) | Outcome::Rejected(why) | Outcome::Unknown(why))) => {
            (outcome.as_str(), Some(why.class.as_str()), Some(why.reason.as_str()), why.provider_code.as_deref(), None)
        }
    }
}

impl Tx {
    /// Writes what became of the deliveries, tells those who want to know, and records events where they are recorded;
    /// without the counters.
    ///
    /// # Panics
    /// When a row that this transaction has locked is not as it was read: only a bug could do that.
    pub(crate) async fn write_moves(
        &mut self,
        moves: &Moves<'_>,
        recording: Option<&Recording>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let changed = moves.changed();
        if !changed.is_empty() {
            let n_written = self.update_deliveries(&changed).await.map_err(StoreError::database(doing))?;
            assert_eq!(n_written, changed.len() as u64, "a locked delivery was not as it was read");
        }
        if !moves.spared.is_empty() {
            self.spare(&moves.spared).await.map_err(StoreError::database(doing))?;
        }
        if !moves.attempts.is_empty() {
            self.insert_attempts(moves).await.map_err(StoreError::database(doing))?;
        }
        if !moves.outcomes.is_empty() {
            self.insert_outcomes(moves).await.map_err(StoreError::database(doing))?;
        }
        let unknown = |row: &DeliveryRow| row.state == DeliveryState::Unknown;
        let entered = changed.iter().filter(|moving| !unknown(&moving.was) && unknown(&moving.now));
        self.change_resends(INSERT_RESENDS, ids_of(entered)).await.map_err(StoreError::database(doing))?;
        let left = changed.iter().filter(|moving| unknown(&moving.was) && !unknown(&moving.now));
        self.change_resends(DELETE_RESENDS, ids_of(left)).await.map_err(StoreError::database(doing))?;
        self.add_to_sessions(&moves.session_deltas(), doing).await?;
        let written_at = written_at(Uuid::now_v7());
        self.tell_changes(&moves.told_tenants(), || moves.changes(written_at), doing).await?;
        match recording {
            Some(recording) => self.record(recording, |written_at| moves.changes(written_at), doing).await,
            None => Ok(()),
        }
    }

    async fn spare(&mut self, deliveries: &[DeliveryId]) -> Result<(), sqlx::Error> {
        let ids = column(deliveries, |delivery_id| delivery_id.0);
        match self {
            Self::Postgres(tx) => sqlx::query(SPARE.postgres()).bind(ids).execute(&mut **tx).await.map(drop),
            Self::Sqlite(tx) => sqlx::query(SPARE.sqlite()).bind(hex_list(&ids)).execute(&mut **tx).await.map(drop),
        }
    }

    async fn update_deliveries(&mut self, rows: &[&Moving]) -> Result<u64, sqlx::Error> {
        match self {
            Self::Postgres(tx) => sqlx::query(UPDATE.postgres())
                .bind(column(rows, |row| row.was.delivery_id.0))
                .bind(column(rows, |row| row.was.state.as_str()))
                .bind(column(rows, |row| row.now.state.as_str()))
                .bind(column(rows, |row| to_i32(row.now.n_attempts)))
                .bind(column(rows, |row| row.now.due_at_ms))
                .bind(column(rows, |row| row.now.class.map(FailureClass::as_str)))
                .bind(column(rows, |row| row.now.reason.as_deref()))
                .bind(column(rows, |row| row.now.provider_code.as_deref()))
                .bind(column(rows, |row| row.now.provider_message_id.as_deref()))
                .bind(column(rows, |row| row.now.sent_at_ms))
                .bind(column(rows, |row| row.now.delivered_at_ms))
                .bind(column(rows, |row| row.now.read_at_ms))
                .bind(column(rows, |row| row.now.settled_at_ms))
                .bind(column(rows, |row| row.now.quota_period_ms))
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected()),
            Self::Sqlite(tx) => {
                let json = to_json(rows, |Moving { was, now }| {
                    (
                        Hex(was.delivery_id.0),
                        was.state.as_str(),
                        now.state.as_str(),
                        now.n_attempts,
                        now.due_at_ms,
                        now.class.map(FailureClass::as_str),
                        &now.reason,
                        &now.provider_code,
                        &now.provider_message_id,
                        now.sent_at_ms,
                        now.delivered_at_ms,
                        now.read_at_ms,
                        now.settled_at_ms,
                        now.quota_period_ms,
                    )
                });
                sqlx::query(UPDATE.sqlite()).bind(json).execute(&mut **tx).await.map(|done| done.rows_affected())
            }
        }
    }

    async fn insert_attempts(&mut self, moves: &Moves<'_>) -> Result<(), sqlx::Error> {
        let mut rows = moves.attempts.clone();
        rows.sort_unstable_by_key(|begin| (begin.delivery_id, begin.attempt_no));
        match self {
            Self::Postgres(tx) => sqlx::query(INSERT_ATTEMPTS.postgres())
                .bind(column(&rows, |begin| begin.delivery_id.0))
                .bind(column(&rows, |begin| to_i32(begin.attempt_no)))
                .bind(column(&rows, |begin| begin.session_id.0))
                .bind(column(&rows, |begin| begin.started_at_ms))
                .bind(column(&rows, |begin| begin.settings_version))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |begin| {
                    let key = (Hex(begin.delivery_id.0), begin.attempt_no);
                    (key.0, key.1, Hex(begin.session_id.0), begin.started_at_ms, begin.settings_version)
                });
                sqlx::query(INSERT_ATTEMPTS.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }

    async fn insert_outcomes(&mut self, moves: &Moves<'_>) -> Result<(), sqlx::Error> {
        let mut rows: Vec<_> = moves.outcomes.iter().map(|end| (*end, outcome_words(end))).collect();
        rows.sort_unstable_by_key(|(end, _)| (end.delivery_id, end.attempt_no));
        match self {
            Self::Postgres(tx) => sqlx::query(INSERT_OUTCOMES.postgres())
                .bind(column(&rows, |(end, _)| end.delivery_id.0))
                .bind(column(&rows, |(end, _)| to_i32(end.attempt_no)))
                .bind(column(&rows, |(_, words)| words.0))
                .bind(column(&rows, |(_, words)| words.1))
                .bind(column(&rows, |(_, words)| words.2))
                .bind(column(&rows, |(_, words)| words.3))
                .bind(column(&rows, |(_, words)| words.4))
                .bind(column(&rows, |(end, _)| end.ended_at_ms))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |(end, words)| {
                    let key = (Hex(end.delivery_id.0), end.attempt_no);
                    (key.0, key.1, words.0, words.1, words.2, words.3, words.4, end.ended_at_ms)
                });
                sqlx::query(INSERT_OUTCOMES.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }

    /// Takes deliveries off the list of those to be sent again.
    pub(crate) async fn forget_resends(&mut self, ids: Vec<Uuid>) -> Result<(), sqlx::Error> {
        self.change_resends(DELETE_RESENDS, ids).await
    }

    async fn change_resends(&mut self, sql: Sql, ids: Vec<Uuid>) -> Result<(), sqlx::Error> {
        if ids.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(sql.postgres()).bind(ids).execute(&mut **tx).await.map(drop),
            Self::Sqlite(tx) => sqlx::query(sql.sqlite()).bind(hex_list(&ids)).execute(&mut **tx).await.map(drop),
        }
    }
}

fn ids_of<'a>(rows: impl Iterator<Item = &'a &'a Moving>) -> Vec<Uuid> {
    rows.map(|moving| moving.was.delivery_id.0).collect()
}
