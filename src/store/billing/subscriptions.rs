//! Subscriptions and what happens to them: one transaction moves the subscription, what is counted of it, and its limits.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::FromRow;
use uuid::Uuid;

use super::Billing;
use crate::domain::billing::life_cycle::{Event, NextPeriod, Refused, Step, Subscription};
use crate::domain::id::TenantId;
use crate::domain::plan::{Period, SubscriptionState};
use crate::domain::quota::{Allowance, Usage};
use crate::domain::webhook::{WebhookEvent, written_time};
use crate::store::audit::{Actor, Deed};
use crate::store::column::RowPlace;
use crate::store::tx::{Tries, Tx, with_tx};
use crate::store::webhook_feed::Told;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

macro_rules! find {
    ($lock:literal) => {
        concat!(
            "SELECT s.state, s.plan, s.ends_at_ms, s.cancels, s.next_plan, s.next_until_ms FROM subscriptions s \
             WHERE s.tenant_id = $1",
            $lock
        )
    };
}

const FIND: Sql = Sql::portable(find!(""));
const LOCK: Sql = Sql::per_dialect(find!(" FOR UPDATE"), find!(""));
const PERIOD: Sql = Sql::portable("SELECT period_start_ms, period_end_ms, anchor_ms FROM usage WHERE tenant_id = $1");
/// A tenant that has none has none that runs: two who give it one at the same time come one after the other.
const ADD: Sql = Sql::portable(
    "INSERT INTO subscriptions (tenant_id, plan, state, changed_at_ms) VALUES ($1, $2, 'expired', $3) \
     ON CONFLICT (tenant_id) DO NOTHING",
);
/// Held as they are until the transaction ends: whoever changes a plan comes before, and this reads it, or finds the
/// subscription afterwards.
const HOLD_PLANS: Sql = Sql::per_dialect(
    "SELECT slug, max_messages FROM plans WHERE slug IN ($1, $2, $3) ORDER BY slug FOR SHARE",
    "SELECT slug, max_messages FROM plans WHERE slug IN ($1, $2, $3)",
);
const END_ADDONS: Sql = Sql::portable(
    "UPDATE tenant_addons SET ended_at_ms = $2 WHERE tenant_id = $1 AND ended_at_ms IS NULL AND until_ms <= $2",
);
const MORE_MESSAGES: Sql = Sql::portable(
    "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM tenant_addons \
     WHERE tenant_id = $1 AND meter = 'messages' AND ended_at_ms IS NULL",
);
const SAVE: Sql = Sql::portable(
    "UPDATE subscriptions SET plan = $2, state = $3, ends_at_ms = $4, cancels = $5, next_plan = $6, next_until_ms = $7, \
         due_at_ms = $8, changed_at_ms = $9 WHERE tenant_id = $1",
);
const SET_USAGE: Sql = Sql::portable(
    "INSERT INTO usage (tenant_id, period_start_ms, period_end_ms, anchor_ms, active_until_ms, max_messages) \
     VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (tenant_id) DO UPDATE SET period_start_ms = EXCLUDED.period_start_ms, \
         period_end_ms = EXCLUDED.period_end_ms, anchor_ms = EXCLUDED.anchor_ms, \
         active_until_ms = EXCLUDED.active_until_ms, max_messages = EXCLUDED.max_messages, \
         messages_used = $7, campaigns = $8",
);
const ADD_REQUESTS: Sql = Sql::portable(
    "INSERT INTO request_usage (tenant_id, period_start_ms) VALUES ($1, $2) ON CONFLICT (tenant_id) DO NOTHING",
);
const DUE: Sql =
    Sql::portable("SELECT tenant_id FROM subscriptions WHERE due_at_ms <= $1 ORDER BY due_at_ms, tenant_id LIMIT $2");

const DOING_READ: &str = "read a subscription";
const DOING_MOVE: &str = "change a subscription";

#[derive(Debug, FromRow)]
struct StoredSubscription {
    state: String,
    plan: String,
    ends_at_ms: Option<i64>,
    cancels: bool,
    next_plan: Option<String>,
    next_until_ms: Option<i64>,
}

impl StoredSubscription {
    fn read(self, tenant_id: TenantId, period: Period) -> Result<Subscription, StoreError> {
        let place = RowPlace { table: "subscriptions", key: tenant_id };
        Ok(Subscription {
            state: place.known("state", SubscriptionState::parse(&self.state))?,
            plan: self.plan,
            period,
            ends_at_ms: self.ends_at_ms,
            cancels: self.cancels,
            next: self.next_plan.map(|plan| NextPeriod { plan, until_ms: self.next_until_ms }),
        })
    }
}

impl Billing<'_> {
    /// Returns the subscription of a tenant; `None` when it never had one.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it can not be.
    pub async fn subscription(&self, tenant_id: TenantId) -> Result<Option<Subscription>, StoreError> {
        let (find, period) = (FIND.of(self.store.pool()), PERIOD.of(self.store.pool()));
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, StoredSubscription>(find).bind(tenant_id.0).fetch_optional(db).await
        });
        let Some(row) = row.map_err(StoreError::database(DOING_READ))? else { return Ok(None) };
        let period = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, (i64, i64, i64)>(period).bind(tenant_id.0).fetch_one(db).await
        });
        let (start_ms, end_ms, anchor_ms) = period.map_err(StoreError::database(DOING_READ))?;
        row.read(tenant_id, Period { start_ms, end_ms, anchor_ms }).map(Some)
    }

    /// Lets something happen to the subscription of a tenant, and writes it down.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written, also because there is no such plan; safe to repeat.
    pub async fn step(
        &self,
        tenant_id: TenantId,
        event: &Event,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<Result<Step, Refused>, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.step_once(tenant_id, event, actor, now_ms).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn step_once(
        &self,
        tenant_id: TenantId,
        event: &Event,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<Result<Step, Refused>, StoreError> {
        let mut tx = self.store.begin_write(DOING_MOVE).await?;
        let step = tx.step_subscription(tenant_id, event, (actor, now_ms), DOING_MOVE).await?;
        if step.is_ok() {
            self.store.commit_moves(tx, DOING_MOVE).await?;
        }
        Ok(step)
    }
}

impl Store {
    /// Returns whose subscriptions time moves by `now_ms`, the earliest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn due_subscriptions(&self, now_ms: i64, limit: u32) -> Result<Vec<TenantId>, StoreError> {
        let sql = DUE.of(self.pool());
        let ids: Result<Vec<Uuid>, _> = with_reader!(self.pool(), |db| {
            sqlx::query_scalar(sql).bind(now_ms).bind(i64::from(limit)).fetch_all(db).await
        });
        Ok(ids.map_err(StoreError::database(DOING_READ))?.into_iter().map(TenantId).collect())
    }
}

/// A subscription that is held, with what is counted of it.
pub(super) struct Held {
    pub(super) subscription: Subscription,
    allowance: Option<Allowance>,
    /// Messages of the plans that it may come to have.
    plans: Vec<(String, Option<i64>)>,
}

impl Tx {
    /// Lets something happen to the subscription of a tenant; on a refusal nothing was written that may not be committed.
    pub(in crate::store) async fn step_subscription(
        &mut self,
        tenant_id: TenantId,
        event: &Event,
        (actor, now_ms): (&Actor, i64),
        doing: &'static str,
    ) -> Result<Result<Step, Refused>, StoreError> {
        let wanted = match event {
            Event::Set { plan, .. } | Event::Paid { plan } | Event::Upgraded { plan } | Event::Downgraded { plan } => {
                Some(plan.as_str())
            }
            Event::TimeCame | Event::Cancelled | Event::Resumed => None,
        };
        if let Some(plan) = wanted.filter(|_| matches!(event, Event::Set { .. } | Event::Paid { .. })) {
            let sql = ADD.postgres();
            with_tx!(&mut *self, |db| {
                sqlx::query(sql).bind(tenant_id.0).bind(plan).bind(now_ms).execute(db).await.map(drop)
            })
            .map_err(StoreError::database(doing))?;
        }
        let Some(held) = self.hold_subscription(tenant_id, wanted, now_ms, doing).await? else {
            return Ok(Err(Refused::Over));
        };
        let step = match held.subscription.step(event, now_ms) {
            Ok(step) => step,
            Err(refused) => return Ok(Err(refused)),
        };
        self.save_subscription(tenant_id, (&held, &step), now_ms, doing).await?;
        if step.is_told {
            self.tell_subscription(tenant_id, (&held.subscription, &step.after), now_ms, doing).await?;
        }
        // An operator's word is written down also where it changes nothing.
        if step.is_told || matches!(event, Event::Set { .. }) {
            let deed = Deed {
                action: "subscription.changed".to_owned(),
                subject: tenant_id.to_string(),
                tenant_id: Some(tenant_id),
                details: json!({
                    "plan": step.after.plan, "status": step.after.state.as_str(), "periodEndMs": step.after.period.end_ms,
                }),
            };
            self.write_deed(actor, &deed, now_ms, doing).await?;
        }
        Ok(Ok(step))
    }

    /// Locks the subscription of a tenant, then the plans that concern it, then what is counted.
    pub(super) async fn hold_subscription(
        &mut self,
        tenant_id: TenantId,
        wanted: Option<&str>,
        now_ms: i64,
        doing: &'static str,
    ) -> Result<Option<Held>, StoreError> {
        let (lock, hold) = match self {
            Self::Postgres(_) => (LOCK.postgres(), HOLD_PLANS.postgres()),
            Self::Sqlite(_) => (LOCK.sqlite(), HOLD_PLANS.sqlite()),
        };
        let row = with_tx!(&mut *self, |db| {
            sqlx::query_as::<_, StoredSubscription>(lock).bind(tenant_id.0).fetch_optional(db).await
        });
        let Some(row) = row.map_err(StoreError::database(doing))? else { return Ok(None) };
        let (plan, next) = (row.plan.clone(), row.next_plan.clone());
        let plans: Result<Vec<(String, Option<i64>)>, _> = with_tx!(&mut *self, |db| {
            sqlx::query_as(hold).bind(&plan).bind(next.as_ref()).bind(wanted).fetch_all(db).await
        });
        let plans = plans.map_err(StoreError::database(doing))?;
        let mut budgets = self.lock_usage(&BTreeSet::from([tenant_id]), now_ms, doing).await?;
        let allowance = budgets.get_mut(tenant_id).copied();
        let period = allowance.map_or_else(|| Subscription::none("").period, |allowance| allowance.period);
        Ok(Some(Held { subscription: row.read(tenant_id, period)?, allowance, plans }))
    }

    async fn save_subscription(
        &mut self,
        tenant_id: TenantId,
        (held, step): (&Held, &Step),
        now_ms: i64,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let after = &step.after;
        let sql = (SAVE.postgres(), SET_USAGE.postgres(), ADD_REQUESTS.postgres());
        let addons = (END_ADDONS.postgres(), MORE_MESSAGES.postgres());
        let of_plan = held.plans.iter().find(|(slug, _)| *slug == after.plan);
        let (_, of_plan) = of_plan.ok_or_else(|| StoreError::database(doing)(sqlx::Error::RowNotFound))?;
        let period = after.period;
        let same = held.allowance.filter(|before| before.period.start_ms == period.start_ms);
        let Usage { used, campaigns, .. } = same.map(|before| before.usage).unwrap_or_default();
        let next = after.next.as_ref();
        let written: Result<(), sqlx::Error> = with_tx!(self, |db| async {
            let query = sqlx::query(sql.0).bind(tenant_id.0).bind(&after.plan).bind(after.state.as_str());
            let query = query.bind(after.ends_at_ms).bind(after.cancels).bind(next.map(|next| &next.plan));
            let query = query.bind(next.and_then(|next| next.until_ms)).bind(after.due_at_ms()).bind(now_ms);
            query.execute(&mut *db).await?;
            sqlx::query(addons.0).bind(tenant_id.0).bind(now_ms).execute(&mut *db).await?;
            let more: i64 = sqlx::query_scalar(addons.1).bind(tenant_id.0).fetch_one(&mut *db).await?;
            sqlx::query(sql.1)
                .bind(tenant_id.0)
                .bind(period.start_ms)
                .bind(period.end_ms)
                .bind(period.anchor_ms)
                .bind(step.active_until_ms)
                .bind(of_plan.map(|limit| limit.saturating_add(more)))
                .bind(used)
                .bind(campaigns)
                .execute(&mut *db)
                .await?;
            sqlx::query(sql.2).bind(tenant_id.0).bind(period.start_ms).execute(&mut *db).await.map(drop)
        }
        .await);
        written.map_err(StoreError::database(doing))
    }

    async fn tell_subscription(
        &mut self,
        tenant_id: TenantId,
        (before, after): (&Subscription, &Subscription),
        at_ms: i64,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let data = json!({
            "plan": after.plan,
            "status": after.state.as_str(),
            "previousStatus": before.state.as_str(),
            "currentPeriodEnd": written_time(after.period.end_ms),
            "cancelAtPeriodEnd": after.cancels,
            "nextPlan": after.next.as_ref().map(|next| &next.plan),
        });
        let event = WebhookEvent::SubscriptionUpdated;
        let told = || vec![Told { tenant_id, event, subject_id: tenant_id.0, at_ms, data, name: None }];
        self.tell(&BTreeSet::from([tenant_id]), told, doing).await
    }
}
