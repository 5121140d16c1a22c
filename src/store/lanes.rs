//! What dispatch needs to build its lanes: sessions with pacing and limiter state, and streams.
//!
//! Read only; the journal writes limiter states and places in streams.

use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::domain::held_by::Held;
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::job::TrafficClass;
use crate::domain::moment::Moment;
use crate::domain::pacing::{LaneRules, Pacing, PacingSettings};
use crate::domain::session::SessionState;
use crate::domain::zone::{Band, Zone};
use crate::store::bind::to_u32;
use crate::store::bind::{column, hex_list};
use crate::store::column::settings;
use crate::store::suspensions::held;
use crate::store::{Pool, Sql, Store, StoreError};
use crate::with_reader;

/// A lane as it was last saved.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneRow {
    /// The session.
    pub session_id: SessionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where the session stands.
    pub state: SessionState,
    /// The provider's name of the sending number; that of a linked device is the number itself.
    pub phone_number_id: Option<String>,
    /// Whether it is a linked device.
    pub is_device: bool,
    /// Sends per minute, when the session has its own.
    pub rate_per_minute: Option<f64>,
    /// Sends at once after a rest, when the session has its own.
    pub burst: Option<u32>,
    /// The account of its number at the provider, where it is known.
    pub account: Option<String>,
    /// Whether its settings can be read: a newer version may have written more than this one knows. Otherwise nothing
    /// may be sent, and no other lane is concerned.
    pub is_readable: bool,
    /// Its own pacing settings, those that have no column of their own.
    pub pacing: PacingSettings,
    /// Version of its settings.
    pub pacing_version: i64,
    /// Since when it is connected, UTC milliseconds.
    pub connected_at_ms: Option<i64>,
    /// When its number was first linked, UTC milliseconds.
    pub first_linked_at_ms: Option<i64>,
    /// Theoretical arrival time, UTC microseconds; none before the first send.
    pub tat_us: Option<i64>,
    /// When a message had certainly left by, UTC microseconds; see the column.
    pub left_by_us: Option<i64>,
    /// What it remembers besides, as JSON.
    pub memory: Option<String>,
    /// When that was saved, by the lane's own count of time, UTC microseconds; 0 before the first time.
    pub saved_at_us: i64,
    /// What operators hold it by.
    pub suspension: Option<Held>,
    /// From then on the tenant's subscription is not active; none while it renews itself, and where there is none.
    pub active_until: Option<Moment>,
    /// The zone of the tenant, for recipients whose own is not known.
    pub tenant_zone: Option<Zone>,
}

/// Deliveries of one campaign to one kind of recipients, in a lane that has, or had, work of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    /// The lane.
    pub session_id: SessionId,
    /// The campaign; [`CampaignId::DIRECT`] for single messages.
    pub campaign_id: CampaignId,
    /// The kind of recipients.
    pub band: Band,
    /// Their zone, where it is known.
    pub zone: Option<Zone>,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// Every delivery below it is settled.
    pub done_below_seq: i64,
}

macro_rules! lanes {
    ($rest:literal) => {
        concat!(
            "SELECT s.session_id, s.tenant_id, s.state, COALESCE(s.phone_number_id, s.phone_number) AS phone_number_id, s.phone_number_id IS NULL AS is_device, s.rate_per_minute, s.burst, s.account_id, s.pacing, \
                 s.pacing_version, s.connected_at_ms, n.first_linked_at_ms, l.tat_us, l.left_by_us, l.memory, l.saved_at_us, u.active_until_ms, \
                 t.time_zone AS tenant_zone \
             FROM sessions s LEFT JOIN lanes l ON l.session_id = s.session_id \
             LEFT JOIN usage u ON u.tenant_id = s.tenant_id \
             JOIN tenants t ON t.tenant_id = s.tenant_id \
             LEFT JOIN numbers n ON n.number = COALESCE(s.phone_number, s.phone_number_id) ",
            $rest
        )
    };
}

const LANES: Sql = Sql::portable(lanes!("ORDER BY s.session_id"));

const LANE: Sql = Sql::portable(lanes!("WHERE s.session_id = $1"));

const LANES_OF_SESSIONS: Sql = Sql::per_dialect(
    lanes!("WHERE s.session_id = ANY($1) ORDER BY s.session_id"),
    lanes!("WHERE s.session_id IN (SELECT unhex(value) FROM json_each($1)) ORDER BY s.session_id"),
);

const LANES_OF_TENANT: Sql = Sql::portable(lanes!("WHERE s.tenant_id = $1 ORDER BY s.session_id"));

const STREAMS: Sql = Sql::per_dialect(
    "SELECT s.session_id, s.campaign_id, s.band, s.zone, s.traffic_class, s.done_below_seq \
     FROM UNNEST($1::uuid[]) AS w (session_id) JOIN lane_streams s ON s.session_id = w.session_id \
     LEFT JOIN campaigns c ON c.campaign_id = s.campaign_id \
     WHERE c.state IS NULL OR c.state IN ('running', 'paused') ORDER BY s.session_id, s.campaign_id, s.band",
    "SELECT s.session_id, s.campaign_id, s.band, s.zone, s.traffic_class, s.done_below_seq \
     FROM json_each($1) AS w JOIN lane_streams s ON s.session_id = unhex(w.value) \
     LEFT JOIN campaigns c ON c.campaign_id = s.campaign_id \
     WHERE c.state IS NULL OR c.state IN ('running', 'paused') ORDER BY s.session_id, s.campaign_id, s.band",
);

const STREAMS_OF_CAMPAIGN: Sql = Sql::portable(
    "SELECT s.session_id, s.campaign_id, s.band, s.zone, s.traffic_class, s.done_below_seq \
     FROM lane_streams s WHERE s.campaign_id = $1 ORDER BY s.session_id, s.band",
);

const DOING: &str = "read lanes";
const DOING_STREAMS: &str = "read the streams of lanes";

#[derive(sqlx::FromRow)]
struct StoredLane {
    session_id: Uuid,
    tenant_id: Uuid,
    state: String,
    phone_number_id: Option<String>,
    is_device: bool,
    rate_per_minute: Option<f64>,
    burst: Option<i32>,
    account_id: Option<String>,
    pacing: Option<String>,
    pacing_version: i64,
    connected_at_ms: Option<i64>,
    first_linked_at_ms: Option<i64>,
    tat_us: Option<i64>,
    left_by_us: Option<i64>,
    memory: Option<String>,
    saved_at_us: Option<i64>,
    active_until_ms: Option<i64>,
    tenant_zone: Option<String>,
}

impl TryFrom<StoredLane> for LaneRow {
    type Error = StoreError;

    fn try_from(row: StoredLane) -> Result<Self, StoreError> {
        let corrupt = || StoreError::corrupt("sessions", "state", row.session_id);
        let (is_readable, pacing) = settings(row.pacing.as_deref());
        Ok(Self {
            session_id: SessionId(row.session_id),
            tenant_id: TenantId(row.tenant_id),
            state: SessionState::parse(&row.state).ok_or_else(corrupt)?,
            phone_number_id: row.phone_number_id,
            is_device: row.is_device,
            rate_per_minute: row.rate_per_minute,
            burst: row.burst.map(to_u32),
            account: row.account_id,
            is_readable,
            pacing: pacing.unwrap_or_default(),
            pacing_version: row.pacing_version,
            connected_at_ms: row.connected_at_ms,
            first_linked_at_ms: row.first_linked_at_ms,
            tat_us: row.tat_us,
            left_by_us: row.left_by_us,
            memory: row.memory,
            saved_at_us: row.saved_at_us.unwrap_or(0),
            suspension: None,
            active_until: row.active_until_ms.map(Moment::from_ms),
            tenant_zone: row.tenant_zone.as_deref().and_then(Zone::parse),
        })
    }
}

#[derive(sqlx::FromRow)]
struct StoredStream {
    session_id: Uuid,
    campaign_id: Uuid,
    band: i32,
    zone: Option<String>,
    traffic_class: String,
    done_below_seq: i64,
}

impl StreamRow {
    /// Reads a stream; none of a kind that only a newer version knows: that one sends it, and no other stream is concerned.
    fn known(row: StoredStream) -> Option<Self> {
        let traffic_class = TrafficClass::parse(&row.traffic_class);
        if traffic_class.is_none() {
            tracing::warn!(session_id = %row.session_id, "a stream of a kind that this version does not know is left alone");
        }
        Some(Self {
            session_id: SessionId(row.session_id),
            campaign_id: CampaignId(row.campaign_id),
            band: Band(row.band),
            zone: row.zone.as_deref().and_then(Zone::parse),
            traffic_class: traffic_class?,
            done_below_seq: row.done_below_seq,
        })
    }
}

impl Store {
    /// Returns a lane per session, of all tenants, in order of session.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn lanes(&self) -> Result<Vec<LaneRow>, StoreError> {
        let sql = LANES.of(self.pool());
        let rows = with_reader!(self.pool(), |db| sqlx::query_as::<_, StoredLane>(sql).fetch_all(db).await);
        let rows = rows.map_err(StoreError::database(DOING))?.into_iter().map(LaneRow::try_from);
        let mut lanes = rows.collect::<Result<Vec<_>, _>>()?;
        self.note_suspensions(&mut lanes).await?;
        Ok(lanes)
    }

    /// Returns the lane of one session, `None` when there is no such session.
    ///
    /// # Errors
    /// As [`Store::lanes`].
    pub async fn lane(&self, session_id: SessionId) -> Result<Option<LaneRow>, StoreError> {
        let sql = LANE.of(self.pool());
        let row = with_reader!(self.pool(), |db| {
            sqlx::query_as::<_, StoredLane>(sql).bind(session_id.0).fetch_optional(db).await
        });
        let row = row.map_err(StoreError::database(DOING))?.map(LaneRow::try_from).transpose()?;
        let Some(mut lane) = row else { return Ok(None) };
        lane.suspension = held(self.suspensions_of(lane.tenant_id, session_id).await?.iter());
        Ok(Some(lane))
    }

    /// Returns the streams of some sessions that may still have work: of running and paused campaigns, of
    /// campaigns that are not in our tables, and of single messages.
    ///
    /// # Errors
    /// As [`Store::lanes`].
    pub async fn streams_of_sessions(&self, sessions: &[SessionId]) -> Result<Vec<StreamRow>, StoreError> {
        let ids = column(sessions, |session_id| session_id.0);
        let rows: Result<Vec<StoredStream>, sqlx::Error> = match self.pool() {
            Pool::Postgres(pool) => sqlx::query_as(STREAMS.postgres()).bind(ids).fetch_all(pool).await,
            Pool::Sqlite { reader, .. } => {
                sqlx::query_as(STREAMS.sqlite()).bind(hex_list(&ids)).fetch_all(reader).await
            }
        };
        Ok(rows.map_err(StoreError::database(DOING_STREAMS))?.into_iter().filter_map(StreamRow::known).collect())
    }

    /// Returns the lanes of a tenant.
    ///
    /// # Errors
    /// As [`Store::lanes`].
    pub async fn lanes_of_tenant(&self, tenant_id: TenantId) -> Result<Vec<LaneRow>, StoreError> {
        let sql = LANES_OF_TENANT.of(self.pool());
        let rows = with_reader!(self.pool(), |db| {
            sqlx::query_as::<_, StoredLane>(sql).bind(tenant_id.0).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING))?.into_iter().map(LaneRow::try_from);
        let mut lanes = rows.collect::<Result<Vec<_>, _>>()?;
        self.note_suspensions(&mut lanes).await?;
        Ok(lanes)
    }

    /// Returns the lanes of some sessions, in order of session; those that are not there are left out.
    ///
    /// # Errors
    /// As [`Store::lanes`].
    pub async fn lanes_of_sessions(&self, sessions: &[SessionId]) -> Result<Vec<LaneRow>, StoreError> {
        let ids = column(sessions, |session_id| session_id.0);
        let rows: Result<Vec<StoredLane>, sqlx::Error> = match self.pool() {
            Pool::Postgres(pool) => sqlx::query_as(LANES_OF_SESSIONS.postgres()).bind(ids).fetch_all(pool).await,
            Pool::Sqlite { reader, .. } => {
                sqlx::query_as(LANES_OF_SESSIONS.sqlite()).bind(hex_list(&ids)).fetch_all(reader).await
            }
        };
        let rows = rows.map_err(StoreError::database(DOING))?.into_iter().map(LaneRow::try_from);
        let mut lanes = rows.collect::<Result<Vec<_>, _>>()?;
        self.note_suspensions(&mut lanes).await?;
        Ok(lanes)
    }

    /// Returns all streams of one campaign, whatever its state.
    ///
    /// # Errors
    /// As [`Store::lanes`].
    pub async fn streams_of_campaign(&self, campaign_id: CampaignId) -> Result<Vec<StreamRow>, StoreError> {
        let sql = STREAMS_OF_CAMPAIGN.of(self.pool());
        let rows = with_reader!(self.pool(), |db| {
            sqlx::query_as::<_, StoredStream>(sql).bind(campaign_id.0).fetch_all(db).await
        });
        Ok(rows.map_err(StoreError::database(DOING_STREAMS))?.into_iter().filter_map(StreamRow::known).collect())
    }
}

impl LaneRow {
    /// Makes the row of a connected session without settings of its own that has sent nothing yet.
    #[must_use]
    pub fn plain(session_id: SessionId, tenant_id: TenantId) -> Self {
        Self {
            session_id,
            tenant_id,
            state: SessionState::Connected,
            phone_number_id: Some(session_id.to_string()),
            is_device: false,
            rate_per_minute: None,
            burst: None,
            account: None,
            is_readable: true,
            pacing: PacingSettings::default(),
            pacing_version: 1,
            connected_at_ms: None,
            first_linked_at_ms: None,
            tat_us: None,
            left_by_us: None,
            memory: None,
            saved_at_us: 0,
            suspension: None,
            active_until: None,
            tenant_zone: None,
        }
    }

    /// Returns the rules that hold for the lane: the default, the profile and the session's own settings in one.
    #[must_use]
    pub fn rules(&self, default: Pacing) -> LaneRules {
        let mut settings = self.pacing.clone();
        settings.rate_per_minute = self.rate_per_minute.or(settings.rate_per_minute);
        settings.burst = self.burst.or(settings.burst);
        let since = self.first_linked_at_ms.map(Moment::from_ms);
        LaneRules::resolve(&settings, default, self.pacing_version).with_age_since(since)
    }

    /// Returns the zones for recipients whose own is not known: the tenant's, or UTC.
    #[must_use]
    pub fn tenant_zones(&self) -> Vec<TimeZone> {
        self.tenant_zone.as_ref().map(Zone::zones).unwrap_or_else(|| vec![TimeZone::UTC])
    }

    /// Returns the steady rate and burst that hold for the lane.
    #[must_use]
    pub fn pacing(&self, default: Pacing) -> Pacing {
        self.rules(default).pacing
    }
}
