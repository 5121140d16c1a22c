//! The first delivery that waits in each stream, with all that may hold it: for people who ask why nothing goes.
//!
//! Read only. What lanes send is [`crate::store::heads`].

use uuid::Uuid;

use crate::domain::campaign::CampaignState;
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::job::TrafficClass;
use crate::domain::pacing::CampaignPacing;
use crate::domain::quota::TAKES_NOTHING;
use crate::domain::zone::{Band, Zone};
use crate::store::bind::{column, hex_list};
use crate::store::column::settings;
use crate::store::{Pool, Sql, Store, StoreError};

/// A stream and the first of its deliveries that wait.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamFront {
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
    /// Where the campaign stands; none when it is not in our tables.
    pub campaign_state: Option<CampaignState>,
    /// Whether the campaign's own pace can be read; otherwise nothing of the campaign may be sent.
    pub is_readable: bool,
    /// The campaign's own pace.
    pub campaign_pacing: Option<CampaignPacing>,
    /// Why the campaign paused itself, if it did.
    pub pause_reason: Option<String>,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Not to be tried before, UTC milliseconds.
    pub due_at_ms: i64,
    /// Not to be sent before, by its job, UTC milliseconds.
    pub not_before_ms: Option<i64>,
    /// Attempts made so far.
    pub n_attempts: i32,
    /// Whether the plan had no message left for it.
    pub waits_for_plan: bool,
}

/// Which streams are asked for.
#[derive(Debug, Clone, Copy)]
pub enum FrontsOf<'a> {
    /// Those of these sessions.
    Sessions(&'a [SessionId]),
    /// Those of a campaign of the tenant.
    Campaign(TenantId, CampaignId),
}

macro_rules! fronts {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT s.session_id, s.campaign_id, s.band, s.zone, s.traffic_class, c.state AS campaign_state, \
                 c.pacing, c.pause_reason, d.delivery_id, d.due_at_ms, d.n_attempts, d.quota_period_ms, j.not_before_ms ",
            $from,
            "JOIN deliveries d ON d.delivery_id = \
                 (SELECT x.delivery_id FROM deliveries x WHERE x.session_id = s.session_id \
                    AND x.campaign_id = s.campaign_id AND x.band = s.band AND s.done_below_seq <= x.seq \
                    AND x.state = 'pending' ORDER BY x.seq LIMIT 1) \
             LEFT JOIN jobs j ON j.job_id = d.job_id LEFT JOIN campaigns c ON c.campaign_id = s.campaign_id ",
            $rest
        )
    };
}

const OF_SESSIONS: Sql = Sql::per_dialect(
    fronts!(
        "FROM UNNEST($1::uuid[]) AS w (session_id) JOIN lane_streams s ON s.session_id = w.session_id ",
        "WHERE s.done_below_seq <= s.last_seq ORDER BY s.session_id, s.campaign_id, s.band"
    ),
    fronts!(
        "FROM json_each($1) AS w JOIN lane_streams s ON s.session_id = unhex(w.value) ",
        "WHERE s.done_below_seq <= s.last_seq ORDER BY s.session_id, s.campaign_id, s.band"
    ),
);

const OF_CAMPAIGN: Sql = Sql::portable(fronts!(
    "FROM campaign_sessions cs JOIN lane_streams s ON s.session_id = cs.session_id AND s.campaign_id = cs.campaign_id ",
    "WHERE cs.campaign_id = $1 AND c.tenant_id = $2 AND s.done_below_seq <= s.last_seq \
     ORDER BY s.session_id, s.campaign_id, s.band"
));

const DOING: &str = "find what waits first";

#[derive(sqlx::FromRow)]
struct StoredFront {
    session_id: Uuid,
    campaign_id: Uuid,
    band: i32,
    zone: Option<String>,
    traffic_class: String,
    campaign_state: Option<String>,
    pacing: Option<String>,
    pause_reason: Option<String>,
    delivery_id: Uuid,
    due_at_ms: i64,
    n_attempts: i32,
    quota_period_ms: Option<i64>,
    not_before_ms: Option<i64>,
}

impl StreamFront {
    /// Reads a front; none of a stream of a kind that this version does not know, of which it sends nothing.
    fn known(row: StoredFront) -> Option<Self> {
        let state = row.campaign_state.as_deref().map(CampaignState::parse);
        let (is_readable, campaign_pacing) = settings(row.pacing.as_deref());
        Some(Self {
            session_id: SessionId(row.session_id),
            campaign_id: CampaignId(row.campaign_id),
            band: Band(row.band),
            zone: row.zone.as_deref().and_then(Zone::parse),
            traffic_class: TrafficClass::parse(&row.traffic_class)?,
            campaign_state: state.flatten(),
            is_readable: is_readable && state != Some(None),
            campaign_pacing,
            pause_reason: row.pause_reason,
            delivery_id: DeliveryId(row.delivery_id),
            due_at_ms: row.due_at_ms,
            not_before_ms: row.not_before_ms,
            n_attempts: row.n_attempts,
            waits_for_plan: row.quota_period_ms == Some(TAKES_NOTHING),
        })
    }
}

impl Store {
    /// Returns the streams that have a delivery waiting, each with the first one.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn fronts(&self, of: FrontsOf<'_>) -> Result<Vec<StreamFront>, StoreError> {
        let rows: Result<Vec<StoredFront>, sqlx::Error> = match (of, self.pool()) {
            (FrontsOf::Sessions(sessions), Pool::Postgres(pool)) => {
                let ids = column(sessions, |session_id| session_id.0);
                sqlx::query_as(OF_SESSIONS.postgres()).bind(ids).fetch_all(pool).await
            }
            (FrontsOf::Sessions(sessions), Pool::Sqlite { reader, .. }) => {
                let ids = hex_list(&column(sessions, |session_id| session_id.0));
                sqlx::query_as(OF_SESSIONS.sqlite()).bind(ids).fetch_all(reader).await
            }
            (FrontsOf::Campaign(tenant_id, id), Pool::Postgres(pool)) => {
                sqlx::query_as(OF_CAMPAIGN.postgres()).bind(id.0).bind(tenant_id.0).fetch_all(pool).await
            }
            (FrontsOf::Campaign(tenant_id, id), Pool::Sqlite { reader, .. }) => {
                sqlx::query_as(OF_CAMPAIGN.sqlite()).bind(id.0).bind(tenant_id.0).fetch_all(reader).await
            }
        };
        Ok(rows.map_err(StoreError::database(DOING))?.into_iter().filter_map(StreamFront::known).collect())
    }
}
