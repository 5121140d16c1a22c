//! What tenants used of their plans, told to them, counted anew, and compared with what they may make.
//!
//! What deliveries use is moved by [`crate::store::usage`]. A session gives its place back by going; campaigns and
//! requests are counted by the period.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::delivery::DeliveryState;
use crate::domain::id::TenantId;
use crate::domain::plan::{Meter, PlanLimits, SubscriptionState};
use crate::domain::quota::{Allowance, Usage, claim};
use crate::store::plans::{FIND, PlanRecord, PlanRow};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_writer;

const SUBSCRIPTION: Sql = Sql::portable("SELECT plan, state FROM subscriptions WHERE tenant_id = $1");

const N_SESSIONS: Sql = Sql::portable("SELECT COUNT(*) FROM sessions WHERE tenant_id = $1 AND deleted_at_ms IS NULL");

const N_CONTACTS: Sql = Sql::portable("SELECT n_contacts FROM contact_books WHERE tenant_id = $1");

const ADDED: Sql = Sql::portable(
    "SELECT meter, CAST(SUM(amount) AS BIGINT) FROM tenant_addons WHERE tenant_id = $1 AND ended_at_ms IS NULL \
     GROUP BY meter",
);

const N_REQUESTS: Sql =
    Sql::portable("SELECT n_requests FROM request_usage WHERE tenant_id = $1 AND $2 <= period_start_ms");

macro_rules! stored {
    ($where:literal) => {
        Sql::portable(concat!(
            "SELECT tenant_id, period_start_ms, messages_used, messages_sending, messages_reserved, messages_waiting, \
                 campaigns FROM usage",
            $where
        ))
    };
}

macro_rules! counted {
    ($from:literal) => {
        Sql::portable(concat!(
            "SELECT d.tenant_id, d.state, d.quota_period_ms, COUNT(*) FROM ",
            $from,
            " d.quota_period_ms IS NOT NULL GROUP BY d.tenant_id, d.state, d.quota_period_ms"
        ))
    };
}

const STORED: Sql = stored!("");
const COUNTED: Sql = counted!("deliveries d WHERE");
const STORED_OF: Sql = stored!(" WHERE tenant_id = $1");
/// Deliveries are found by their sessions, which are of the same tenant.
const COUNTED_OF: Sql =
    counted!("sessions s JOIN deliveries d ON d.session_id = s.session_id WHERE s.tenant_id = $1 AND");

/// A node whose clock is ahead may have begun the next period; then the request is counted in that one.
const COUNT_REQUEST: Sql = Sql::portable(
    "UPDATE request_usage SET n_requests = CASE WHEN period_start_ms < $2 THEN 1 ELSE n_requests + 1 END, \
         period_start_ms = CASE WHEN period_start_ms < $2 THEN $2 ELSE period_start_ms END \
     WHERE tenant_id = $1 AND CASE WHEN period_start_ms < $2 THEN 0 ELSE n_requests END < $3",
);

const REQUEST_LIMIT: Sql = Sql::portable(
    "SELECT p.max_api_requests + (SELECT CAST(COALESCE(SUM(a.amount), 0) AS BIGINT) FROM tenant_addons a \
         WHERE a.tenant_id = $1 AND a.meter = 'api_requests' AND a.ended_at_ms IS NULL) \
     FROM subscriptions s JOIN plans p ON p.slug = s.plan WHERE s.tenant_id = $1",
);

const DOING_READ: &str = "read the usage of a tenant";
const DOING_RECOUNT: &str = "count the usage of tenants";
const DOING_REQUEST: &str = "count a request";

/// What a tenant has, and what it used of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantUsage {
    /// Its plan.
    pub plan: PlanRecord,
    /// What the plan and the add-ons allow together.
    pub limits: PlanLimits,
    /// Where its subscription stands.
    pub state: SubscriptionState,
    /// Its messages and its period.
    pub allowance: Allowance,
    /// Its sessions.
    pub n_sessions: i64,
    /// Its contacts.
    pub n_contacts: i64,
    /// Its requests to the API in this period.
    pub n_requests: i64,
}

/// Why a tenant may not make something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanRefusal {
    /// Its subscription is not active.
    Inactive,
    /// It has as much as its plan allows.
    Full(Meter),
}

impl TenantUsage {
    /// Tells whether one more may be made of what is not counted by deliveries.
    ///
    /// # Errors
    /// [`PlanRefusal`] says why not.
    pub fn check(&self, meter: Meter, now_ms: i64) -> Result<(), PlanRefusal> {
        if !self.allowance.is_active(now_ms) {
            return Err(PlanRefusal::Inactive);
        }
        let limits = &self.limits;
        let has_room = |used: i64, limit: Option<i64>| limit.is_none_or(|limit| used < limit);
        let has_room = match meter {
            Meter::Messages => self.allowance.has_room_for_all(),
            Meter::Sessions => has_room(self.n_sessions, limits.sessions),
            Meter::ApiRequests => has_room(self.n_requests, limits.api_requests),
            Meter::Campaigns => has_room(self.allowance.usage.campaigns, limits.campaigns),
            Meter::Contacts => has_room(self.n_contacts, limits.contacts),
        };
        if has_room { Ok(()) } else { Err(PlanRefusal::Full(meter)) }
    }
}

impl Store {
    /// Returns what a tenant has and used as of `now_ms`; `None` without a subscription.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn usage_of_tenant(&self, tenant_id: TenantId, now_ms: i64) -> Result<Option<TenantUsage>, StoreError> {
        let mut tx = self.begin_read(DOING_READ).await?;
        let usage = tx.tenant_usage(tenant_id, now_ms, DOING_READ).await?;
        tx.commit(DOING_READ).await?;
        Ok(usage)
    }

    /// Counts a request of a tenant; `false` when its plan has none left. Without a subscription none is counted.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not counted.
    pub async fn count_request(&self, tenant_id: TenantId, now_ms: i64) -> Result<bool, StoreError> {
        let mut tx = self.begin_read(DOING_REQUEST).await?;
        let mut budgets = tx.read_usage(&BTreeSet::from([tenant_id]), now_ms, DOING_REQUEST).await?;
        let Some(allowance) = budgets.get_mut(tenant_id).copied() else {
            tx.commit(DOING_REQUEST).await?;
            return Ok(true);
        };
        let sql = REQUEST_LIMIT.of(self.pool());
        let limit =
            with_tx!(&mut tx, |db| sqlx::query_scalar::<_, Option<i64>>(sql).bind(tenant_id.0).fetch_one(db).await);
        let limit = limit.map_err(StoreError::database(DOING_REQUEST))?.unwrap_or(i64::MAX);
        tx.commit(DOING_REQUEST).await?;
        let sql = COUNT_REQUEST.of(self.pool());
        let counted = with_writer!(self.pool(), |db| {
            let query = sqlx::query(sql).bind(tenant_id.0).bind(allowance.period.start_ms).bind(limit);
            query.execute(db).await.map(|done| done.rows_affected())
        });
        Ok(0 < counted.map_err(StoreError::database(DOING_REQUEST))?)
    }

    /// Returns the usage of every tenant that has a subscription as stored and as counted, as of one moment.
    ///
    /// Reads every delivery.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn recount_usage(&self) -> Result<Vec<(TenantId, Usage, Usage)>, StoreError> {
        self.recount_usages(None).await
    }

    /// Returns the usage of one tenant as stored and as counted, as of one moment; `None` without a subscription.
    ///
    /// Reads every delivery of the tenant.
    ///
    /// # Errors
    /// As [`Store::recount_usage`].
    pub async fn recount_usage_of(&self, tenant_id: TenantId) -> Result<Option<(Usage, Usage)>, StoreError> {
        let counted = self.recount_usages(Some(tenant_id)).await?;
        Ok(counted.into_iter().map(|(_, stored, counted)| (stored, counted)).next())
    }

    async fn recount_usages(&self, of: Option<TenantId>) -> Result<Vec<(TenantId, Usage, Usage)>, StoreError> {
        type Stored = (Uuid, i64, i64, i64, i64, i64, i64);
        type Counted = (Uuid, String, i64, i64);
        let mut tx = match of {
            None => self.begin_snapshot(DOING_RECOUNT).await?,
            Some(_) => self.begin_snapshot_by_key(DOING_RECOUNT).await?,
        };
        let read: Result<_, sqlx::Error> = with_tx!(&mut tx, |db| async {
            let (stored, counted) = match of {
                None => (sqlx::query_as(STORED.postgres()), sqlx::query_as(COUNTED.postgres())),
                Some(of) => {
                    (sqlx::query_as(STORED_OF.postgres()).bind(of.0), sqlx::query_as(COUNTED_OF.postgres()).bind(of.0))
                }
            };
            let stored: Vec<Stored> = stored.fetch_all(&mut *db).await?;
            let counted: Vec<Counted> = counted.fetch_all(&mut *db).await?;
            Ok((stored, counted))
        }
        .await);
        let (stored, counted) = read.map_err(StoreError::database(DOING_RECOUNT))?;
        tx.commit(DOING_RECOUNT).await?;
        let mut both: BTreeMap<Uuid, (i64, Usage, Usage)> = BTreeMap::new();
        for (tenant_id, period_ms, used, sending, reserved, waiting, campaigns) in stored {
            let usage = Usage { used, sending, reserved, waiting, campaigns };
            // Campaigns are no deliveries; they are taken as they are.
            both.insert(tenant_id, (period_ms, usage, Usage { campaigns, ..Usage::default() }));
        }
        for (tenant_id, state, quota_period_ms, n) in counted {
            let corrupt = || StoreError::corrupt("deliveries", "state", format_args!("tenant {tenant_id}"));
            let state = DeliveryState::parse(&state).ok_or_else(corrupt)?;
            let (period_ms, _, counted) = both.entry(tenant_id).or_default();
            counted.count(claim(state, Some(quota_period_ms)), *period_ms, n);
        }
        Ok(both.into_iter().map(|(id, (_, stored, counted))| (TenantId(id), stored, counted)).collect())
    }
}

impl Tx {
    /// Returns what a tenant has and used; `None` without a subscription.
    pub(super) async fn tenant_usage(
        &mut self,
        tenant_id: TenantId,
        now_ms: i64,
        doing: &'static str,
    ) -> Result<Option<TenantUsage>, StoreError> {
        let mut budgets = self.read_usage(&BTreeSet::from([tenant_id]), now_ms, doing).await?;
        let Some(allowance) = budgets.get_mut(tenant_id).copied() else {
            return Ok(None);
        };
        let sql = (SUBSCRIPTION.postgres(), FIND.postgres(), N_SESSIONS.postgres(), N_REQUESTS.postgres());
        let (contacts, added) = (N_CONTACTS.postgres(), ADDED.postgres());
        let period_ms = allowance.period.start_ms;
        let read: Result<_, sqlx::Error> = with_tx!(self, |db| async {
            let query = sqlx::query_as::<_, (String, String)>(sql.0).bind(tenant_id.0);
            let (slug, state) = query.fetch_one(&mut *db).await?;
            let plan = sqlx::query_as::<_, PlanRow>(sql.1).bind(slug).fetch_one(&mut *db).await?;
            let n_sessions: i64 = sqlx::query_scalar(sql.2).bind(tenant_id.0).fetch_one(&mut *db).await?;
            let query = sqlx::query_scalar(sql.3).bind(tenant_id.0).bind(period_ms);
            let n_requests: Option<i64> = query.fetch_optional(&mut *db).await?;
            let n_contacts: Option<i64> =
                sqlx::query_scalar(contacts).bind(tenant_id.0).fetch_optional(&mut *db).await?;
            let added: Vec<(String, i64)> = sqlx::query_as(added).bind(tenant_id.0).fetch_all(db).await?;
            Ok(((plan, added), state, n_sessions, (n_requests, n_contacts)))
        }
        .await);
        let ((plan, added), state, n_sessions, (n_requests, n_contacts)) = read.map_err(StoreError::database(doing))?;
        let plan = PlanRecord::from(plan);
        let added = added.into_iter().filter_map(|(meter, amount)| Some((Meter::parse(&meter)?, amount)));
        let corrupt = || StoreError::corrupt("subscriptions", "state", tenant_id);
        Ok(Some(TenantUsage {
            limits: added.fold(plan.limits, |limits, (meter, amount)| limits.with(meter, amount)),
            plan,
            state: SubscriptionState::parse(&state).ok_or_else(corrupt)?,
            allowance,
            n_sessions,
            n_contacts: n_contacts.unwrap_or(0),
            n_requests: n_requests.unwrap_or(0),
        }))
    }

    /// Lets a tenant make one more of something, or says why not; nobody else can make one for it until the
    /// transaction ends.
    ///
    /// To be called before anything else is locked.
    pub(super) async fn pass_gate(
        &mut self,
        tenant_id: TenantId,
        meter: Meter,
        (now_ms, doing): (i64, &'static str),
    ) -> Result<Result<(), PlanRefusal>, StoreError> {
        let mut budgets = self.lock_usage(&BTreeSet::from([tenant_id]), now_ms, doing).await?;
        // Read behind the lock: what others have made is seen.
        let Some(usage) = self.tenant_usage(tenant_id, now_ms, doing).await? else {
            return Ok(Ok(()));
        };
        if let Err(refusal) = usage.check(meter, now_ms) {
            return Ok(Err(refusal));
        }
        if meter == Meter::Campaigns
            && let Some(allowance) = budgets.get_mut(tenant_id)
        {
            allowance.usage.campaigns += 1;
            self.save_usage(&budgets, doing).await?;
        }
        Ok(Ok(()))
    }
}
