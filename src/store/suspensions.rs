//! What operators hold back, and which of it holds a lane.
//!
//! Who may pull a lever is not decided here. Whether a suspension is in force is, by the database's clock, which
//! all nodes share.

use std::collections::HashMap;

use serde_json::json;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::held_by::Held;
use crate::domain::id::{SessionId, TenantId, UserId};
use crate::domain::lever::Lever;
use crate::domain::moment::Moment;
use crate::store::audit::{Actor, Deed};
use crate::store::lanes::LaneRow;
use crate::store::page::{Page, PageRequest};
use crate::store::sql::now_ms;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// Something that is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// What.
    pub lever: Lever,
    /// Why, in the operator's words.
    pub reason: String,
    /// By whom.
    pub suspended_by: UserId,
    /// Since when, UTC milliseconds.
    pub since_ms: i64,
    /// Until when, UTC milliseconds; none until somebody resumes it.
    pub until_ms: Option<i64>,
}

/// Stays as long as it has been in force; another reason or end replaces the one before.
const SUSPEND: Sql = Sql::portable(
    "INSERT INTO suspensions AS s (scope, subject, reason, suspended_by, since_ms, until_ms) \
     VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (scope, subject) DO UPDATE SET reason = EXCLUDED.reason, suspended_by = EXCLUDED.suspended_by, \
         since_ms = CASE WHEN s.until_ms <= EXCLUDED.since_ms THEN EXCLUDED.since_ms ELSE s.since_ms END, \
         until_ms = EXCLUDED.until_ms \
     RETURNING scope, subject, reason, suspended_by, since_ms, until_ms",
);
const RESUME: Sql = Sql::portable("DELETE FROM suspensions WHERE scope = $1 AND subject = $2");

const TENANT_OF_TENANT: Sql = Sql::portable("SELECT tenant_id FROM tenants WHERE tenant_id = $1");
const TENANT_OF_SESSION: Sql = Sql::portable("SELECT tenant_id FROM sessions WHERE session_id = $1");

macro_rules! in_force {
    ($now_ms:expr, $rest:literal) => {
        concat!(
            "SELECT scope, subject, reason, suspended_by, since_ms, until_ms FROM suspensions \
             WHERE (until_ms IS NULL OR ",
            $now_ms,
            " < until_ms) ",
            $rest
        )
    };
}

const IN_FORCE: Sql = Sql::per_dialect(in_force!(now_ms!(postgres), ""), in_force!(now_ms!(sqlite), ""));
const OF_LANE: Sql = Sql::per_dialect(
    in_force!(
        now_ms!(postgres),
        "AND (scope = 'everything' OR (scope = 'tenant' AND subject = $1) \
              OR (scope IN ('session', 'lane') AND subject = $2))"
    ),
    in_force!(
        now_ms!(sqlite),
        "AND (scope = 'everything' OR (scope = 'tenant' AND subject = $1) \
              OR (scope IN ('session', 'lane') AND subject = $2))"
    ),
);
const LIST: Sql = Sql::per_dialect(
    in_force!(now_ms!(postgres), "ORDER BY since_ms DESC, scope, subject LIMIT $1 OFFSET $2"),
    in_force!(now_ms!(sqlite), "ORDER BY since_ms DESC, scope, subject LIMIT $1 OFFSET $2"),
);
macro_rules! count {
    ($now_ms:expr) => {
        concat!("SELECT COUNT(*) FROM suspensions WHERE until_ms IS NULL OR ", $now_ms, " < until_ms")
    };
}
const COUNT: Sql = Sql::per_dialect(count!(now_ms!(postgres)), count!(now_ms!(sqlite)));
macro_rules! end {
    ($now_ms:expr) => {
        concat!(
            "DELETE FROM suspensions WHERE until_ms <= ",
            $now_ms,
            " RETURNING scope, subject, reason, suspended_by, since_ms, until_ms"
        )
    };
}
const END: Sql = Sql::per_dialect(end!(now_ms!(postgres)), end!(now_ms!(sqlite)));

const DOING_SUSPEND: &str = "suspend";
const DOING_RESUME: &str = "resume";
const DOING_READ: &str = "read suspensions";
const DOING_END: &str = "end suspensions";

#[derive(FromRow)]
struct StoredSuspension {
    scope: String,
    subject: Uuid,
    reason: String,
    suspended_by: Uuid,
    since_ms: i64,
    until_ms: Option<i64>,
}

impl TryFrom<StoredSuspension> for Suspension {
    type Error = StoreError;

    fn try_from(row: StoredSuspension) -> Result<Self, StoreError> {
        let lever = Lever::parse(&row.scope, row.subject);
        Ok(Self {
            lever: lever.ok_or_else(|| StoreError::corrupt("suspensions", "scope", row.subject))?,
            reason: row.reason,
            suspended_by: UserId(row.suspended_by),
            since_ms: row.since_ms,
            until_ms: row.until_ms,
        })
    }
}

impl Store {
    /// Holds something back from `wanted.since_ms` on, or changes why and until when; `None` when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn suspend(&self, wanted: &Suspension, actor: &Actor) -> Result<Option<Suspension>, StoreError> {
        let mut tx = self.begin_write(DOING_SUSPEND).await?;
        let Some(tenant_id) = tx.tenant_of(wanted.lever, DOING_SUSPEND).await? else {
            return Ok(None);
        };
        let sql = SUSPEND.of(self.pool());
        let row = with_tx!(&mut tx, |db| {
            let query = sqlx::query_as::<_, StoredSuspension>(sql)
                .bind(wanted.lever.word())
                .bind(wanted.lever.subject())
                .bind(&wanted.reason)
                .bind(wanted.suspended_by.0)
                .bind(wanted.since_ms)
                .bind(wanted.until_ms);
            query.fetch_one(db).await
        })
        .map_err(StoreError::database(DOING_SUSPEND))?;
        let details = json!({ "reason": wanted.reason, "untilMs": wanted.until_ms });
        let deed = deed(wanted.lever, "suspended", tenant_id, details);
        tx.write_deed(actor, &deed, wanted.since_ms, DOING_SUSPEND).await?;
        tx.commit(DOING_SUSPEND).await?;
        row.try_into().map(Some)
    }

    /// Lets something go on; `None` when it is not there, else whether it was held back.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn resume(&self, lever: Lever, actor: &Actor, now_ms: i64) -> Result<Option<bool>, StoreError> {
        let mut tx = self.begin_write(DOING_RESUME).await?;
        let Some(tenant_id) = tx.tenant_of(lever, DOING_RESUME).await? else {
            return Ok(None);
        };
        let sql = RESUME.of(self.pool());
        let n_removed = with_tx!(&mut tx, |db| {
            let done = sqlx::query(sql).bind(lever.word()).bind(lever.subject()).execute(db).await;
            done.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(DOING_RESUME))?;
        if n_removed == 0 {
            return Ok(Some(false));
        }
        tx.write_deed(actor, &deed(lever, "resumed", tenant_id, json!({})), now_ms, DOING_RESUME).await?;
        tx.commit(DOING_RESUME).await?;
        Ok(Some(true))
    }

    /// Removes suspensions whose time is over and returns what they held back.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn end_suspensions(&self, now_ms: i64) -> Result<Vec<Lever>, StoreError> {
        let mut tx = self.begin_write(DOING_END).await?;
        let sql = END.of(self.pool());
        let rows = with_tx!(&mut tx, |db| sqlx::query_as::<_, StoredSuspension>(sql).fetch_all(db).await)
            .map_err(StoreError::database(DOING_END))?;
        let mut ended = Vec::with_capacity(rows.len());
        for row in rows {
            let Suspension { lever, until_ms, .. } = row.try_into()?;
            let tenant_id = tx.tenant_of(lever, DOING_END).await?.flatten();
            let deed = deed(lever, "resumed", tenant_id, json!({ "endedAtMs": until_ms }));
            tx.write_deed(&Actor::SYSTEM, &deed, now_ms, DOING_END).await?;
            ended.push(lever);
        }
        if !ended.is_empty() {
            tx.commit(DOING_END).await?;
        }
        Ok(ended)
    }

    /// Returns a page of what is held back now, the latest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn suspensions(&self, page: PageRequest) -> Result<Page<Suspension>, StoreError> {
        let (count, list) = (COUNT.of(self.pool()), LIST.of(self.pool()));
        let total: i64 = with_reader!(self.pool(), |db| sqlx::query_scalar(count).fetch_one(db).await)
            .map_err(StoreError::database(DOING_READ))?;
        let rows = with_reader!(self.pool(), |db| {
            let query = sqlx::query_as::<_, StoredSuspension>(list).bind(i64::from(page.limit())).bind(page.offset());
            query.fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_READ))?;
        let items = rows.into_iter().map(Suspension::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Returns what holds back a session or its lane now, the widest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn suspensions_of(
        &self,
        tenant_id: TenantId,
        session_id: SessionId,
    ) -> Result<Vec<Suspension>, StoreError> {
        let sql = OF_LANE.of(self.pool());
        let rows = with_reader!(self.pool(), |db| {
            sqlx::query_as::<_, StoredSuspension>(sql).bind(tenant_id.0).bind(session_id.0).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_READ))?;
        let mut found = rows.into_iter().map(Suspension::try_from).collect::<Result<Vec<_>, _>>()?;
        found.sort_unstable_by_key(|suspension| suspension.lever);
        Ok(found)
    }

    /// Notes in each lane what operators hold it by now. Few things are held back at a time, so all are read.
    pub(crate) async fn note_suspensions(&self, lanes: &mut [LaneRow]) -> Result<(), StoreError> {
        let sql = IN_FORCE.of(self.pool());
        let rows = with_reader!(self.pool(), |db| sqlx::query_as::<_, StoredSuspension>(sql).fetch_all(db).await)
            .map_err(StoreError::database(DOING_READ))?;
        if rows.is_empty() {
            return Ok(());
        }
        let by_lever = rows.into_iter().map(|row| Suspension::try_from(row).map(|found| (found.lever, found)));
        let by_lever = by_lever.collect::<Result<HashMap<_, _>, _>>()?;
        for lane in lanes {
            let levers = [
                Lever::Everything,
                Lever::Tenant(lane.tenant_id),
                Lever::Session(lane.session_id),
                Lever::Lane(lane.session_id),
            ];
            lane.suspension = held(levers.iter().filter_map(|lever| by_lever.get(lever)));
        }
        Ok(())
    }
}

/// Makes one hold of several suspensions, the widest first: it has the widest one's name, and ends with the last.
pub(crate) fn held<'a>(mut suspensions: impl Iterator<Item = &'a Suspension>) -> Option<Held> {
    let first = suspensions.next()?;
    let until_ms = suspensions.fold(first.until_ms, |last, next| last.zip(next.until_ms).map(|(a, b)| a.max(b)));
    Some(Held {
        by: first.lever.held_by(),
        since: Moment::from_ms(first.since_ms),
        until: until_ms.map(Moment::from_ms),
    })
}

fn deed(lever: Lever, what: &str, tenant_id: Option<TenantId>, details: serde_json::Value) -> Deed {
    let subject = match lever {
        Lever::Everything => lever.word().to_owned(),
        _ => lever.subject().to_string(),
    };
    Deed { action: format!("{}.{what}", lever.word()), subject, tenant_id, details }
}

impl Tx {
    /// Returns whose a thing is; the outer `None` when it is not there, the inner one for everything.
    async fn tenant_of(&mut self, lever: Lever, doing: &'static str) -> Result<Option<Option<TenantId>>, StoreError> {
        let sql = match lever {
            Lever::Everything => return Ok(Some(None)),
            Lever::Tenant(_) => TENANT_OF_TENANT.postgres(),
            Lever::Session(_) | Lever::Lane(_) => TENANT_OF_SESSION.postgres(),
        };
        let found =
            with_tx!(self, |db| sqlx::query_scalar::<_, Uuid>(sql).bind(lever.subject()).fetch_optional(db).await);
        Ok(found.map_err(StoreError::database(doing))?.map(|id| Some(TenantId(id))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_has_the_widest_name_and_the_latest_end() {
        let of = |lever, until_ms| Suspension {
            lever,
            reason: "maintenance".into(),
            suspended_by: UserId(Uuid::nil()),
            since_ms: 7,
            until_ms,
        };
        let lane = Lever::Lane(SessionId(Uuid::nil()));
        let until = |all: &[Suspension]| held(all.iter()).map(|held| (held.by.as_str(), held.until.map(Moment::as_ms)));
        assert_eq!(until(&[]), None);
        assert_eq!(until(&[of(lane, Some(9))]), Some(("lane_suspended", Some(9))));
        assert_eq!(until(&[of(Lever::Everything, Some(5)), of(lane, Some(9))]), Some(("stopped", Some(9))));
        assert_eq!(until(&[of(Lever::Everything, Some(5)), of(lane, None)]), Some(("stopped", None)));
    }
}
