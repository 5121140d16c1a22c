//! Sessions: the WhatsApp identities of a tenant, their state and pacing.
//!
//! Limiter state and backlog belong to the lanes, not here.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{SessionId, TenantId};
use crate::domain::pacing::PacingSettings;
use crate::domain::plan::Meter;
use crate::domain::session::SessionState;
use crate::store::bind::hex_list;
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::plan_usage::PlanRefusal;
use crate::store::tx::with_tx;
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// No index keeps a number to one session: two inserts at the same moment could both pass.
const INSERT: Sql = Sql::portable(
    "INSERT INTO sessions (session_id, tenant_id, name, state, phone_number, phone_number_id, rate_per_minute, burst, \
         created_at_ms) \
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 \
     WHERE NOT EXISTS (SELECT 1 FROM sessions WHERE tenant_id = $2 AND phone_number_id = $6)",
);
const FIND: Sql = Sql::portable(
    "SELECT session_id, tenant_id, name, state, phone_number, phone_number_id, rate_per_minute, burst, created_at_ms, \
         state_reason, pacing, pacing_version FROM sessions \
     WHERE session_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL",
);
const LIST: Sql = Sql::portable(
    "SELECT session_id, tenant_id, name, state, phone_number, phone_number_id, rate_per_minute, burst, created_at_ms, \
         state_reason, pacing, pacing_version FROM sessions WHERE tenant_id = $1 AND deleted_at_ms IS NULL \
     ORDER BY session_id DESC LIMIT $2 OFFSET $3",
);
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM sessions WHERE tenant_id = $1 AND deleted_at_ms IS NULL");
const KNOWN: Sql = Sql::per_dialect(
    "SELECT session_id FROM sessions WHERE tenant_id = $1 AND deleted_at_ms IS NULL \
     AND session_id IN (SELECT CAST(value AS UUID) FROM json_array_elements_text(CAST($2 AS JSON)))",
    "SELECT session_id FROM sessions WHERE tenant_id = $1 AND deleted_at_ms IS NULL \
     AND session_id IN (SELECT unhex(value) FROM json_each($2))",
);
const ASSIGN_NUMBER: Sql = Sql::portable(
    "UPDATE sessions SET phone_number_id = $3 \
     WHERE session_id = $1 AND tenant_id = $2 AND phone_number_id IS NULL AND deleted_at_ms IS NULL",
);
const SET_PHONE_NUMBER: Sql = Sql::portable(
    "UPDATE sessions SET phone_number = $3 WHERE session_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL",
);
const UPDATE: Sql = Sql::portable(
    "UPDATE sessions SET name = COALESCE($3, name), rate_per_minute = COALESCE($4, rate_per_minute), \
     burst = COALESCE($5, burst), \
     pacing_version = pacing_version + CASE WHEN COALESCE($4, $5) IS NULL THEN 0 ELSE 1 END \
     WHERE session_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL",
);
const SET_PACING: Sql = Sql::portable(
    "UPDATE sessions SET rate_per_minute = $4, burst = $5, pacing = $6, pacing_version = pacing_version + 1 \
     WHERE session_id = $1 AND tenant_id = $2 AND pacing_version = $3 AND deleted_at_ms IS NULL",
);
/// One WhatsApp identity.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// The session.
    pub id: SessionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub state: SessionState,
    /// Why it stands there, when nobody asked for it: a word of the API.
    pub state_reason: Option<String>,
    /// Its phone number, digits with country code, once known.
    pub phone_number: Option<String>,
    /// The provider's own name of the number, once known.
    pub phone_number_id: Option<String>,
    /// Steady rate, sends per minute; none for the configured default.
    pub rate_per_minute: Option<f64>,
    /// Sends at once after a rest; none for the configured default.
    pub burst: Option<u32>,
    /// Its other pacing settings; rate and burst stand above.
    pub pacing: PacingSettings,
    /// Version of its pacing, one higher with each change.
    pub pacing_version: i64,
    /// When it was made, UTC milliseconds.
    pub created_at_ms: i64,
}

/// A change of a session; what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionChange {
    /// What people call it.
    pub name: Option<String>,
    /// Steady rate, sends per minute.
    pub rate_per_minute: Option<f64>,
    /// Sends at once after a rest.
    pub burst: Option<u32>,
}

impl SessionRecord {
    /// Returns all of its own pacing settings, rate and burst among them.
    #[must_use]
    pub fn settings(&self) -> PacingSettings {
        PacingSettings { rate_per_minute: self.rate_per_minute, burst: self.burst, ..self.pacing.clone() }
    }
}

/// The sessions in the database.
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'a> {
    pub(super) store: &'a Store,
}

impl Store {
    /// Returns the sessions.
    #[must_use]
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions { store: self }
    }
}

impl Sessions<'_> {
    /// Lists a page of the tenant's sessions, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn list(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<SessionRecord>, StoreError> {
        let doing = "list sessions";
        let total: i64 = with_reader!(self.store.pool(), |db| {
            sqlx::query_scalar(COUNT.of(self.store.pool())).bind(tenant_id.0).fetch_one(db).await
        })
        .map_err(StoreError::database(doing))?;
        let rows = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, SessionRow>(LIST.of(self.store.pool()))
                .bind(tenant_id.0)
                .bind(i64::from(page.limit()))
                .bind(page.offset())
                .fetch_all(db)
                .await
        })
        .map_err(StoreError::database(doing))?;
        let items = rows.into_iter().map(SessionRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Finds a session of the tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, tenant_id: TenantId, id: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, SessionRow>(FIND.of(self.store.pool()))
                .bind(id.0)
                .bind(tenant_id.0)
                .fetch_optional(db)
                .await
        });
        let row = row.map_err(StoreError::database("find a session"))?;
        row.map(SessionRecord::try_from).transpose()
    }

    /// Tells which of the given sessions are the tenant's, in no order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn known(&self, tenant_id: TenantId, ids: &[SessionId]) -> Result<Vec<SessionId>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let known: Result<Vec<Uuid>, _> = with_reader!(self.store.pool(), |db| {
            sqlx::query_scalar(KNOWN.of(self.store.pool())).bind(tenant_id.0).bind(hex_list(&ids)).fetch_all(db).await
        });
        let known = known.map_err(StoreError::database("find sessions"))?;
        Ok(known.into_iter().map(SessionId).collect())
    }

    /// Adds a session, unless the tenant's plan refuses it; `false` if another session of the tenant has its number.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn insert(&self, session: &SessionRecord) -> Result<Result<bool, PlanRefusal>, StoreError> {
        let doing = "add a session";
        let mut tx = self.store.begin_write(doing).await?;
        let at = (session.created_at_ms, doing);
        if let Err(refusal) = tx.pass_gate(session.tenant_id, Meter::Sessions, at).await? {
            return Ok(Err(refusal));
        }
        let inserted = with_tx!(&mut tx, |db| {
            sqlx::query(INSERT.of(self.store.pool()))
                .bind(session.id.0)
                .bind(session.tenant_id.0)
                .bind(&session.name)
                .bind(session.state.as_str())
                .bind(&session.phone_number)
                .bind(&session.phone_number_id)
                .bind(session.rate_per_minute)
                .bind(session.burst.map(i64::from))
                .bind(session.created_at_ms)
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        let n_inserted = inserted.map_err(StoreError::database(doing))?;
        tx.commit(doing).await?;
        Ok(Ok(0 < n_inserted))
    }

    /// Replaces all pacing settings of a session of the tenant; `false` if they are not of this version any more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn set_pacing(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        version: i64,
        settings: &PacingSettings,
    ) -> Result<bool, StoreError> {
        let doing = "set the pacing of a session";
        let rest = PacingSettings { rate_per_minute: None, burst: None, ..settings.clone() };
        let rest = (rest != PacingSettings::default()).then(|| serde_json::to_string(&rest)).transpose();
        let rest = rest.map_err(|error| sqlx::Error::Encode(error.into())).map_err(StoreError::database(doing))?;
        let set = with_writer!(self.store.pool(), |db| {
            sqlx::query(SET_PACING.of(self.store.pool()))
                .bind(id.0)
                .bind(tenant_id.0)
                .bind(version)
                .bind(settings.rate_per_minute)
                .bind(settings.burst.map(i64::from))
                .bind(rest)
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        Ok(0 < set.map_err(StoreError::database(doing))?)
    }

    /// Gives a session without a number one; `false` if it had one already.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn assign_number(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        phone_number_id: &str,
    ) -> Result<bool, StoreError> {
        let assigned = with_writer!(self.store.pool(), |db| {
            sqlx::query(ASSIGN_NUMBER.of(self.store.pool()))
                .bind(id.0)
                .bind(tenant_id.0)
                .bind(phone_number_id)
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        Ok(0 < assigned.map_err(StoreError::database("give a session a number"))?)
    }

    /// Puts down the number that a session was paired with.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written; safe to repeat.
    pub async fn set_phone_number(&self, tenant_id: TenantId, id: SessionId, number: &str) -> Result<(), StoreError> {
        with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(SET_PHONE_NUMBER.of(self.store.pool())).bind(id.0).bind(tenant_id.0);
            query.bind(number).execute(db).await.map(drop)
        })
        .map_err(StoreError::database("put down the number of a session"))
    }

    /// Changes a session of the tenant; `false` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written; safe to repeat.
    pub async fn update(&self, tenant_id: TenantId, id: SessionId, change: SessionChange) -> Result<bool, StoreError> {
        let updated = with_writer!(self.store.pool(), |db| {
            sqlx::query(UPDATE.of(self.store.pool()))
                .bind(id.0)
                .bind(tenant_id.0)
                .bind(change.name)
                .bind(change.rate_per_minute)
                .bind(change.burst.map(i64::from))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        Ok(0 < updated.map_err(StoreError::database("change a session"))?)
    }
}

#[derive(FromRow)]
struct SessionRow {
    session_id: Uuid,
    tenant_id: Uuid,
    name: String,
    state: String,
    phone_number: Option<String>,
    phone_number_id: Option<String>,
    rate_per_minute: Option<f64>,
    burst: Option<i32>,
    pacing: Option<String>,
    pacing_version: i64,
    created_at_ms: i64,
    state_reason: Option<String>,
}

impl TryFrom<SessionRow> for SessionRecord {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "sessions", key: row.session_id };
        let burst = row.burst.map(|burst| place.known("burst", u32::try_from(burst).ok()));
        Ok(Self {
            id: SessionId(row.session_id),
            tenant_id: TenantId(row.tenant_id),
            name: row.name,
            state: place.known("state", SessionState::parse(&row.state))?,
            state_reason: row.state_reason,
            phone_number: row.phone_number,
            phone_number_id: row.phone_number_id,
            rate_per_minute: row.rate_per_minute,
            burst: burst.transpose()?,
            pacing: row.pacing.map(|text| place.json("pacing", &text)).transpose()?.unwrap_or_default(),
            pacing_version: row.pacing_version,
            created_at_ms: row.created_at_ms,
        })
    }
}
