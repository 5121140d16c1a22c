//! What tenants used of their plans, moved in the transaction that moves their deliveries.
//!
//! The row of a tenant with a limit is locked until the transaction ends, so that several nodes never give away the
//! same message twice; that of one without a limit is only added to. Decides nothing: see [`crate::domain::quota`].

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::delivery::DeliveryState;
use crate::domain::id::{SessionId, TenantId};
use crate::domain::plan::{OnLimit, Period};
use crate::domain::quota::{Allowance, Refused, Usage, claim};
use crate::store::bind::{Hex, column, hex_list, to_json};
use crate::store::journal::BeginRefusal;
use crate::store::tiers::{SessionTiers, session_tiers, tier_of};
use crate::store::tx::Tx;
use crate::store::{Sql, StoreError};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT tenant_id, period_start_ms, period_end_ms, anchor_ms, active_until_ms, max_messages, ",
            "messages_used, messages_sending, messages_reserved, messages_waiting, campaigns FROM usage ",
            $rest
        )
    };
}

const READ: Sql = Sql::per_dialect(
    select!("WHERE tenant_id = ANY($1)"),
    select!("WHERE tenant_id IN (SELECT unhex(value) FROM json_each($1))"),
);

/// PostgreSQL only: SQLite has one writer. Locks the rows of tenants with a limit and reads the others, as they are; and
/// looks which sessions have a tier: in one statement, because most journal transactions find neither.
///
/// A row that has lost its limit since the statement began is not held; it is read as it was.
const HOLD: &str = concat!(
    "WITH held AS (",
    select!("WHERE tenant_id = ANY($1) AND max_messages IS NOT NULL ORDER BY tenant_id FOR NO KEY UPDATE"),
    ") SELECT held.*, TRUE AS is_locked, NULL::uuid AS session_id, NULL::text AS account_id, NULL::int8 AS tier FROM held \
     UNION ALL SELECT r.*, FALSE, NULL, NULL, NULL FROM (",
    select!("WHERE tenant_id = ANY($1)"),
    ") AS r WHERE r.tenant_id NOT IN (SELECT h.tenant_id FROM held h) \
     UNION ALL SELECT tenant_id, 0, 0, 0, NULL, NULL, 0, 0, 0, 0, 0, FALSE, session_id, account_id, tier \
     FROM sessions WHERE session_id = ANY($2) AND tier IS NOT NULL"
);

/// PostgreSQL only: SQLite has one writer. Reads the rows as they are when they are locked.
const LOCK: &str = select!("WHERE tenant_id = ANY($1) ORDER BY tenant_id FOR NO KEY UPDATE");

/// A period may have been begun by others since it was read; what belongs to an earlier one is not counted then. A row
/// that was not locked because it had no limit must still have none.
const SAVE: Sql = Sql::per_dialect(
    "UPDATE usage AS u SET \
         messages_used = CASE WHEN u.period_start_ms < d.start_ms THEN d.used \
             WHEN u.period_start_ms = d.start_ms THEN u.messages_used + d.used ELSE u.messages_used END, \
         campaigns = CASE WHEN u.period_start_ms < d.start_ms THEN d.campaigns \
             WHEN u.period_start_ms = d.start_ms THEN u.campaigns + d.campaigns ELSE u.campaigns END, \
         period_end_ms = CASE WHEN u.period_start_ms < d.start_ms THEN d.end_ms ELSE u.period_end_ms END, \
         period_start_ms = GREATEST(u.period_start_ms, d.start_ms), \
         messages_sending = u.messages_sending + d.sending, \
         messages_reserved = u.messages_reserved + d.reserved, \
         messages_waiting = u.messages_waiting + d.waiting \
     FROM UNNEST($1::uuid[], $2::int8[], $3::int8[], $4::bool[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], \
                 $9::int8[]) \
          AS d (tenant_id, start_ms, end_ms, is_locked, used, sending, reserved, waiting, campaigns) \
     WHERE u.tenant_id = d.tenant_id AND (d.is_locked OR u.max_messages IS NULL)",
    "UPDATE usage AS u SET \
         messages_used = CASE WHEN u.period_start_ms < d.start_ms THEN d.used \
             WHEN u.period_start_ms = d.start_ms THEN u.messages_used + d.used ELSE u.messages_used END, \
         campaigns = CASE WHEN u.period_start_ms < d.start_ms THEN d.campaigns \
             WHEN u.period_start_ms = d.start_ms THEN u.campaigns + d.campaigns ELSE u.campaigns END, \
         period_end_ms = CASE WHEN u.period_start_ms < d.start_ms THEN d.end_ms ELSE u.period_end_ms END, \
         period_start_ms = MAX(u.period_start_ms, d.start_ms), \
         messages_sending = u.messages_sending + d.sending, \
         messages_reserved = u.messages_reserved + d.reserved, \
         messages_waiting = u.messages_waiting + d.waiting \
     FROM (SELECT unhex(value ->> 0) AS tenant_id, value ->> 1 AS start_ms, value ->> 2 AS end_ms, \
                  value ->> 3 AS is_locked, value ->> 4 AS used, value ->> 5 AS sending, value ->> 6 AS reserved, \
                  value ->> 7 AS waiting, value ->> 8 AS campaigns FROM json_each($1)) AS d \
     WHERE u.tenant_id = d.tenant_id AND (d.is_locked OR u.max_messages IS NULL)",
);

#[derive(Debug, sqlx::FromRow)]
pub(super) struct StoredUsage {
    pub(super) tenant_id: Uuid,
    period_start_ms: i64,
    period_end_ms: i64,
    anchor_ms: i64,
    active_until_ms: Option<i64>,
    max_messages: Option<i64>,
    messages_used: i64,
    messages_sending: i64,
    messages_reserved: i64,
    messages_waiting: i64,
    campaigns: i64,
}

/// The usage of a tenant, or, where it names a session, that session's tier.
#[derive(sqlx::FromRow)]
struct StoredHold {
    #[sqlx(flatten)]
    usage: StoredUsage,
    is_locked: bool,
    session_id: Option<Uuid>,
    account_id: Option<String>,
    tier: Option<i64>,
}

impl From<&StoredUsage> for Allowance {
    fn from(row: &StoredUsage) -> Self {
        Self {
            period: Period { start_ms: row.period_start_ms, end_ms: row.period_end_ms, anchor_ms: row.anchor_ms },
            active_until_ms: row.active_until_ms,
            limit: row.max_messages,
            usage: Usage {
                used: row.messages_used,
                sending: row.messages_sending,
                reserved: row.messages_reserved,
                waiting: row.messages_waiting,
                campaigns: row.campaigns,
            },
        }
    }
}

/// The allowance of one tenant in one transaction.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// The period as it was read.
    read_start_ms: i64,
    /// After the period was begun that holds the time of the transaction.
    was: Usage,
    now: Allowance,
    is_locked: bool,
}

impl Budget {
    fn of(row: &StoredUsage, now_ms: i64, is_locked: bool) -> Self {
        let now = Allowance::from(row).at(now_ms);
        Self { read_start_ms: row.period_start_ms, was: now.usage, now, is_locked }
    }

    fn is_changed(&self) -> bool {
        self.was != self.now.usage || self.read_start_ms != self.now.period.start_ms
    }
}

/// The allowances of tenants in one transaction; those that have no subscription are not there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budgets {
    by_tenant: BTreeMap<TenantId, Budget>,
    now_ms: i64,
}

impl Budgets {
    /// Returns the tenants that have a subscription.
    pub(crate) fn tenants(&self) -> BTreeSet<TenantId> {
        self.by_tenant.keys().copied().collect()
    }

    /// Returns a tenant's allowance, to be changed.
    pub(crate) fn get_mut(&mut self, tenant_id: TenantId) -> Option<&mut Allowance> {
        self.by_tenant.get_mut(&tenant_id).map(|budget| &mut budget.now)
    }

    /// Takes in a new delivery; returns the column of its period, or `None` when it is to fail.
    pub(crate) fn admit(&mut self, tenant_id: TenantId, on_limit: OnLimit) -> Option<Option<i64>> {
        match self.get_mut(tenant_id) {
            Some(allowance) => allowance.admit(on_limit).map(Some),
            None => Some(None),
        }
    }

    /// Tells whether a pending delivery may be begun, or why not.
    pub(crate) fn may_begin(&self, tenant_id: TenantId, quota_period_ms: Option<i64>) -> Result<(), BeginRefusal> {
        let Some(Budget { now: allowance, .. }) = self.by_tenant.get(&tenant_id) else {
            return Ok(());
        };
        let claim = claim(DeliveryState::Pending, quota_period_ms);
        allowance.begin(claim, self.now_ms).map_err(|why| match why {
            Refused::UsedUp => BeginRefusal::Plan { until_ms: allowance.period.end_ms },
            Refused::Inactive => BeginRefusal::Inactive,
        })
    }

    /// Counts the move of a delivery and returns the new column of its period.
    pub(crate) fn moved(
        &mut self,
        tenant_id: TenantId,
        quota_period_ms: Option<i64>,
        (from, to): (DeliveryState, DeliveryState),
    ) -> Option<i64> {
        match self.get_mut(tenant_id) {
            Some(allowance) if from != to => allowance.moved(quota_period_ms, from, to),
            _ => quota_period_ms,
        }
    }
}

impl Tx {
    /// Returns the allowances of tenants as they are just now; others may change them.
    pub(crate) async fn read_usage(
        &mut self,
        tenants: &BTreeSet<TenantId>,
        now_ms: i64,
        doing: &'static str,
    ) -> Result<Budgets, StoreError> {
        let ids: Vec<Uuid> = tenants.iter().map(|id| id.0).collect();
        if ids.is_empty() {
            return Ok(Budgets::default());
        }
        let rows: Vec<StoredUsage> = match self {
            Self::Postgres(tx) => sqlx::query_as(READ.postgres()).bind(ids).fetch_all(&mut **tx).await,
            Self::Sqlite(tx) => sqlx::query_as(READ.sqlite()).bind(hex_list(&ids)).fetch_all(&mut **tx).await,
        }
        .map_err(StoreError::database(doing))?;
        let is_locked = matches!(self, Self::Sqlite(_));
        let budgets = rows.iter().map(|row| (TenantId(row.tenant_id), Budget::of(row, now_ms, is_locked)));
        Ok(Budgets { by_tenant: budgets.collect(), now_ms })
    }

    /// Returns the allowances of tenants, and holds those that have a limit until the transaction ends.
    ///
    /// To be called behind the deliveries and before the counters; see [`crate::store::tx`].
    pub(crate) async fn hold_usage(
        &mut self,
        tenants: &BTreeSet<TenantId>,
        now_ms: i64,
        doing: &'static str,
    ) -> Result<Budgets, StoreError> {
        Ok(self.hold_usage_with_tiers((tenants, &BTreeSet::new()), now_ms, doing).await?.0)
    }

    /// As [`Self::hold_usage`]; also returns the tiers of those of the sessions that have one, which are not held yet.
    pub(crate) async fn hold_usage_with_tiers(
        &mut self,
        (tenants, sessions): (&BTreeSet<TenantId>, &BTreeSet<SessionId>),
        now_ms: i64,
        doing: &'static str,
    ) -> Result<(Budgets, SessionTiers), StoreError> {
        if tenants.is_empty() && sessions.is_empty() {
            return Ok(Default::default());
        }
        let ids: Vec<Uuid> = sessions.iter().map(|id| id.0).collect();
        let tx = match self {
            Self::Postgres(tx) => tx,
            Self::Sqlite(tx) => {
                let tiers = session_tiers(tx, &ids).await.map_err(StoreError::database(doing))?;
                return Ok((self.read_usage(tenants, now_ms, doing).await?, tiers));
            }
        };
        let tenants: Vec<Uuid> = tenants.iter().map(|id| id.0).collect();
        let rows = sqlx::query_as::<_, StoredHold>(HOLD).bind(tenants).bind(ids).fetch_all(&mut **tx).await;
        let (mut budgets, mut tiers) = (Budgets { now_ms, ..Budgets::default() }, SessionTiers::new());
        for row in rows.map_err(StoreError::database(doing))? {
            if let Some((session_id, tier)) = row.session_id.zip(row.tier) {
                tiers.insert(SessionId(session_id), tier_of(session_id, row.account_id, tier));
            } else {
                let budget = Budget::of(&row.usage, now_ms, row.is_locked);
                budgets.by_tenant.insert(TenantId(row.usage.tenant_id), budget);
            }
        }
        Ok((budgets, tiers))
    }

    /// Returns the allowances of tenants and holds all of them until the transaction ends.
    pub(crate) async fn lock_usage(
        &mut self,
        tenants: &BTreeSet<TenantId>,
        now_ms: i64,
        doing: &'static str,
    ) -> Result<Budgets, StoreError> {
        let ids: Vec<Uuid> = tenants.iter().map(|id| id.0).collect();
        let rows: Vec<StoredUsage> = match self {
            _ if ids.is_empty() => return Ok(Budgets::default()),
            Self::Postgres(tx) => sqlx::query_as(LOCK).bind(ids).fetch_all(&mut **tx).await,
            Self::Sqlite(_) => return self.read_usage(tenants, now_ms, doing).await,
        }
        .map_err(StoreError::database(doing))?;
        let budgets = rows.iter().map(|row| (TenantId(row.tenant_id), Budget::of(row, now_ms, true)));
        Ok(Budgets { by_tenant: budgets.collect(), now_ms })
    }

    /// Writes what the transaction took and gave back.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] when a tenant without a limit has got one meanwhile: to be tried again.
    pub(crate) async fn save_usage(&mut self, budgets: &Budgets, doing: &'static str) -> Result<(), StoreError> {
        let changed: Vec<(TenantId, Budget)> =
            budgets.by_tenant.iter().filter(|(_, budget)| budget.is_changed()).map(|(id, b)| (*id, *b)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let by = |of: fn(&Usage) -> i64| move |(_, b): &(TenantId, Budget)| of(&b.now.usage) - of(&b.was);
        let n_written = match self {
            Self::Postgres(tx) => sqlx::query(SAVE.postgres())
                .bind(column(&changed, |(id, _)| id.0))
                .bind(column(&changed, |(_, b)| b.now.period.start_ms))
                .bind(column(&changed, |(_, b)| b.now.period.end_ms))
                .bind(column(&changed, |(_, b)| b.is_locked))
                .bind(column(&changed, by(|usage| usage.used)))
                .bind(column(&changed, by(|usage| usage.sending)))
                .bind(column(&changed, by(|usage| usage.reserved)))
                .bind(column(&changed, by(|usage| usage.waiting)))
                .bind(column(&changed, by(|usage| usage.campaigns)))
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected()),
            Self::Sqlite(tx) => {
                let json = to_json(&changed, |row @ (id, b)| {
                    let Period { start_ms, end_ms, .. } = b.now.period;
                    let (used, sending) = (by(|usage| usage.used)(row), by(|usage| usage.sending)(row));
                    let (reserved, waiting) = (by(|usage| usage.reserved)(row), by(|usage| usage.waiting)(row));
                    let campaigns = by(|usage| usage.campaigns)(row);
                    (Hex(id.0), start_ms, end_ms, b.is_locked, used, sending, reserved, waiting, campaigns)
                });
                sqlx::query(SAVE.sqlite()).bind(json).execute(&mut **tx).await.map(|done| done.rows_affected())
            }
        }
        .map_err(StoreError::database(doing))?;
        if n_written == changed.len() as u64 { Ok(()) } else { Err(StoreError::Overtaken { doing }) }
    }
}
