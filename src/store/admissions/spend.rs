//! What new deliveries take of the plans of their tenants.
//!
//! The usage is locked only behind the deliveries, as everywhere, so what each will take is expected first and written
//! with the delivery; only where others were faster, or where it is to fail, its row is written once more.

use std::collections::{BTreeSet, HashSet};

use uuid::Uuid;

use super::{Batch, NewDelivery};
use crate::domain::day::Standing;
use crate::domain::delivery::DeliveryState;
use crate::domain::failure::{FailureClass, Reason};
use crate::domain::id::TenantId;
use crate::domain::quota::TAKES_NOTHING;
use crate::store::Sql;
use crate::store::bind::{Hex, column, to_json};
use crate::store::tx::Tx;
use crate::store::usage::Budgets;

const CORRECT: Sql = Sql::per_dialect(
    "UPDATE deliveries AS d SET state = u.state, quota_period_ms = u.quota_period_ms, \
         failure_class = u.failure_class, reason = u.reason, settled_at_ms = u.settled_at_ms \
     FROM UNNEST($1::uuid[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::int8[]) \
          AS u (delivery_id, state, quota_period_ms, failure_class, reason, settled_at_ms) \
     WHERE d.delivery_id = u.delivery_id",
    "UPDATE deliveries AS d SET state = u.state, quota_period_ms = u.quota_period_ms, \
         failure_class = u.failure_class, reason = u.reason, settled_at_ms = u.settled_at_ms \
     FROM (SELECT unhex(value ->> 0) AS delivery_id, value ->> 1 AS state, value ->> 2 AS quota_period_ms, \
                  value ->> 3 AS failure_class, value ->> 4 AS reason, value ->> 5 AS settled_at_ms \
           FROM json_each($1)) AS u \
     WHERE d.delivery_id = u.delivery_id",
);

impl NewDelivery<'_> {
    /// Returns the class of its failure: here nothing fails but for the plan.
    pub(super) fn failure_class(&self) -> Option<FailureClass> {
        (self.state == DeliveryState::Failed).then_some(FailureClass::LimitExceeded)
    }

    /// Returns what decides where it is counted.
    pub(super) fn standing(&self, created_at_ms: i64) -> Standing {
        Standing {
            state: self.state,
            class: self.failure_class(),
            created_at_ms,
            sent_at_ms: None,
            settled_at_ms: self.settled_at_ms,
            quota_period_ms: self.quota_period_ms,
        }
    }

    /// Returns why it failed.
    pub(super) fn reason(&self) -> Option<&'static str> {
        (self.state == DeliveryState::Failed).then_some(Reason::PlanMessages.as_str())
    }
}

impl Batch<'_> {
    /// Returns whose deliveries these are.
    pub(super) fn tenants(&self) -> BTreeSet<TenantId> {
        self.rows.iter().map(|row| row.job.tenant_id).collect()
    }

    /// Notes what each delivery will take if nobody is faster.
    pub(super) fn expect_room(&mut self, mut budgets: Budgets) {
        for at in self.in_order() {
            let row = &mut self.rows[at];
            let taken = budgets.admit(row.job.tenant_id, row.job.on_limit);
            row.quota_period_ms = taken.unwrap_or(Some(TAKES_NOTHING));
        }
    }

    /// Lets new deliveries take their messages, in the order of the jobs; returns those whose rows must be written again.
    pub(super) fn take_messages(&mut self, new: &HashSet<Uuid>, budgets: &mut Budgets, now_ms: i64) -> Vec<usize> {
        let mut changed = Vec::new();
        for at in self.in_order() {
            let row = &mut self.rows[at];
            // Of a tenant without a subscription nothing was expected.
            if row.quota_period_ms.is_none() || !new.contains(&row.delivery.id.0) {
                continue;
            }
            match budgets.admit(row.job.tenant_id, row.job.on_limit) {
                Some(taken) if taken == row.quota_period_ms => continue,
                Some(taken) => row.quota_period_ms = taken,
                None => {
                    row.quota_period_ms = Some(TAKES_NOTHING);
                    (row.state, row.settled_at_ms) = (DeliveryState::Failed, Some(now_ms));
                }
            }
            changed.push(at);
        }
        changed
    }

    /// Returns the places of the pending rows in the order in which they were asked for.
    fn in_order(&self) -> Vec<usize> {
        let pending = |at: &usize| self.rows[*at].state == DeliveryState::Pending;
        let mut places: Vec<usize> = (0..self.rows.len()).filter(pending).collect();
        places.sort_unstable_by_key(|at| (self.rows[*at].index, self.rows[*at].seq));
        places
    }
}

impl Tx {
    /// Writes the rows once more that did not get what was expected.
    pub(super) async fn correct_deliveries(&mut self, batch: &Batch<'_>, changed: &[usize]) -> Result<(), sqlx::Error> {
        let rows: Vec<&NewDelivery<'_>> = changed.iter().map(|at| &batch.rows[*at]).collect();
        if rows.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(CORRECT.postgres())
                .bind(column(&rows, |row| row.delivery.id.0))
                .bind(column(&rows, |row| row.state.as_str()))
                .bind(column(&rows, |row| row.quota_period_ms))
                .bind(column(&rows, |row| row.failure_class().map(FailureClass::as_str)))
                .bind(column(&rows, |row| row.reason()))
                .bind(column(&rows, |row| row.settled_at_ms))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |row| {
                    let class = row.failure_class().map(FailureClass::as_str);
                    let state = row.state.as_str();
                    (Hex(row.delivery.id.0), state, row.quota_period_ms, class, row.reason(), row.settled_at_ms)
                });
                sqlx::query(CORRECT.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }
}
