//! Plans, and who has which: changed by operators, and written down.
//!
//! What was used of them is [`crate::store::plan_usage`]; what deliveries use is moved by [`crate::store::usage`].

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::billing::life_cycle::Event;
use crate::domain::id::TenantId;
use crate::domain::plan::{LimitChange, PlanLimits, SubscriptionState};
use crate::store::audit::{Actor, Deed};
use crate::store::tx::{Tries, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

macro_rules! select_plans {
    ($rest:literal) => {
        concat!(
            "SELECT slug, name, price_cents, currency, max_messages, max_sessions, max_api_requests, max_campaigns, ",
            "max_contacts FROM plans ",
            $rest
        )
    };
}

const LIST: Sql = Sql::portable(select_plans!("ORDER BY price_cents, slug"));
pub(super) const FIND: Sql = Sql::portable(select_plans!("WHERE slug = $1"));
/// What is read to be changed; SQLite has one writer.
const FIND_LOCKED: Sql =
    Sql::per_dialect(select_plans!("WHERE slug = $1 FOR UPDATE"), select_plans!("WHERE slug = $1"));

const UPDATE: Sql = Sql::portable(
    "UPDATE plans SET name = $2, price_cents = $3, max_messages = $4, max_sessions = $5, max_api_requests = $6, \
         max_campaigns = $7, max_contacts = $8 WHERE slug = $1",
);

const SUBSCRIBERS: Sql = Sql::portable("SELECT tenant_id FROM subscriptions WHERE plan = $1");

const SET_LIMIT: Sql = Sql::portable(
    "UPDATE usage SET max_messages = $2 + (SELECT CAST(COALESCE(SUM(a.amount), 0) AS BIGINT) FROM tenant_addons a \
         WHERE a.tenant_id = $1 AND a.meter = 'messages' AND a.ended_at_ms IS NULL) \
     WHERE tenant_id = $1 AND EXISTS (SELECT 1 FROM subscriptions s WHERE s.tenant_id = $1 AND s.plan = $3)",
);

const DOING_PLANS: &str = "read plans";
const DOING_CHANGE: &str = "change a plan";

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// Its name in addresses and bodies.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// What a period costs, in the smallest unit of the currency.
    pub price_cents: i64,
    /// The currency, by ISO 4217.
    pub currency: String,
    /// What it allows.
    pub limits: PlanLimits,
}

/// A change of a plan; what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanChange {
    /// What people call it.
    pub name: Option<String>,
    /// What a period costs, in the smallest unit of the currency.
    pub price_cents: Option<i64>,
    /// New limits.
    pub limits: LimitChange,
}

/// A subscription to make or to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSubscription {
    /// The slug of a plan that is there.
    pub plan: String,
    /// Where it stands.
    pub state: SubscriptionState,
    /// When the present period ends, UTC milliseconds; as it was, or a month from now, where none is given.
    pub period_end_ms: Option<i64>,
    /// Who gives it.
    pub actor: Actor,
}

/// The plans and subscriptions in the database.
#[derive(Debug, Clone, Copy)]
pub struct Plans<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the plans and subscriptions.
    #[must_use]
    pub fn plans(&self) -> Plans<'_> {
        Plans { store: self }
    }
}

impl Plans<'_> {
    /// Lists all plans, the cheapest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn list(&self) -> Result<Vec<PlanRecord>, StoreError> {
        let sql = LIST.of(self.store.pool());
        let rows = with_reader!(self.store.pool(), |db| sqlx::query_as::<_, PlanRow>(sql).fetch_all(db).await);
        Ok(rows.map_err(StoreError::database(DOING_PLANS))?.into_iter().map(PlanRecord::from).collect())
    }

    /// Finds a plan.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, slug: &str) -> Result<Option<PlanRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, PlanRow>(sql).bind(slug).fetch_optional(db).await
        });
        Ok(row.map_err(StoreError::database(DOING_PLANS))?.map(PlanRecord::from))
    }

    /// Changes a plan as it is by then; returns it and the tenants that have it, for whom it holds from now on, if
    /// anything changed. `None` when there is no such plan.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn change(
        &self,
        slug: &str,
        change: &PlanChange,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<Option<(PlanRecord, Vec<TenantId>)>, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.change_once(slug, change, actor, now_ms).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn change_once(
        &self,
        slug: &str,
        change: &PlanChange,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<Option<(PlanRecord, Vec<TenantId>)>, StoreError> {
        let pool = self.store.pool();
        let mut tx = self.store.begin_write(DOING_CHANGE).await?;
        let sql = FIND_LOCKED.of(pool);
        let row = with_tx!(&mut tx, |db| sqlx::query_as::<_, PlanRow>(sql).bind(slug).fetch_optional(db).await);
        let Some(before) = row.map_err(StoreError::database(DOING_CHANGE))?.map(PlanRecord::from) else {
            return Ok(None);
        };
        let plan = change.over(&before);
        if plan == before {
            return Ok(Some((plan, Vec::new())));
        }
        let limits = plan.limits;
        let sql = (UPDATE.of(pool), SUBSCRIBERS.of(pool), SET_LIMIT.of(pool));
        let ids: Result<Vec<Uuid>, sqlx::Error> = with_tx!(&mut tx, |db| async {
            sqlx::query(sql.0)
                .bind(&plan.slug)
                .bind(&plan.name)
                .bind(plan.price_cents)
                .bind(limits.messages)
                .bind(limits.sessions)
                .bind(limits.api_requests)
                .bind(limits.campaigns)
                .bind(limits.contacts)
                .execute(&mut *db)
                .await?;
            sqlx::query_scalar(sql.1).bind(&plan.slug).fetch_all(&mut *db).await
        }
        .await);
        let ids: BTreeSet<Uuid> = ids.map_err(StoreError::database(DOING_CHANGE))?.into_iter().collect();
        // Behind the locks, what was bought beside the plan is seen; by id, in which order everybody else waits for them.
        tx.lock_usage(&ids.iter().copied().map(TenantId).collect(), now_ms, DOING_CHANGE).await?;
        for id in &ids {
            with_tx!(&mut tx, |db| {
                let query = sqlx::query(sql.2).bind(id).bind(limits.messages).bind(&plan.slug);
                query.execute(db).await.map(drop)
            })
            .map_err(StoreError::database(DOING_CHANGE))?;
        }
        let deed = Deed {
            action: "plan.changed".to_owned(),
            subject: plan.slug.clone(),
            tenant_id: None,
            details: difference(&before, &plan),
        };
        tx.write_deed(actor, &deed, now_ms, DOING_CHANGE).await?;
        tx.commit(DOING_CHANGE).await?;
        Ok(Some((plan, ids.into_iter().map(TenantId).collect())))
    }

    /// Gives a tenant a subscription, or changes it.
    ///
    /// What was used of the present period stays used. A period that was over begins anew.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written, also because there is no such plan; safe to repeat.
    ///
    /// # Panics
    /// Never: nothing keeps an operator from saying what a subscription is.
    pub async fn subscribe(&self, tenant_id: TenantId, new: &NewSubscription, now_ms: i64) -> Result<(), StoreError> {
        let set = Event::Set { plan: new.plan.clone(), state: new.state, period_end_ms: new.period_end_ms };
        let step = self.store.billing().step(tenant_id, &set, &new.actor, now_ms).await?;
        step.map(drop).map_err(|_| unreachable!("what an operator says is not refused"))
    }
}

impl PlanChange {
    fn over(&self, plan: &PlanRecord) -> PlanRecord {
        PlanRecord {
            name: self.name.clone().unwrap_or_else(|| plan.name.clone()),
            price_cents: self.price_cents.unwrap_or(plan.price_cents),
            limits: self.limits.over(plan.limits),
            ..plan.clone()
        }
    }
}

/// What a change of a plan did, by the names of the API: each field that is another one now, before and after.
fn difference(before: &PlanRecord, after: &PlanRecord) -> Value {
    let (old, new) = (before.limits, after.limits);
    let fields = [
        ("name", json!(before.name), json!(after.name)),
        ("priceCents", json!(before.price_cents), json!(after.price_cents)),
        ("maxMessages", json!(old.messages), json!(new.messages)),
        ("maxSessions", json!(old.sessions), json!(new.sessions)),
        ("maxApiRequests", json!(old.api_requests), json!(new.api_requests)),
        ("maxCampaigns", json!(old.campaigns), json!(new.campaigns)),
        ("maxContacts", json!(old.contacts), json!(new.contacts)),
    ];
    let changed = fields.into_iter().filter(|(_, from, to)| from != to);
    changed.map(|(field, from, to)| (field.to_owned(), json!({ "from": from, "to": to }))).collect::<Map<_, _>>().into()
}

#[derive(Debug, FromRow)]
pub(super) struct PlanRow {
    slug: String,
    name: String,
    price_cents: i64,
    currency: String,
    max_messages: Option<i64>,
    max_sessions: Option<i64>,
    max_api_requests: Option<i64>,
    max_campaigns: Option<i64>,
    max_contacts: Option<i64>,
}

impl From<PlanRow> for PlanRecord {
    fn from(row: PlanRow) -> Self {
        Self {
            slug: row.slug,
            name: row.name,
            price_cents: row.price_cents,
            currency: row.currency,
            limits: PlanLimits {
                messages: row.max_messages,
                sessions: row.max_sessions,
                api_requests: row.max_api_requests,
                campaigns: row.max_campaigns,
                contacts: row.max_contacts,
            },
        }
    }
}
