//! What a forecast is made of: the open work of lanes, counted, and the recipients of a campaign.
//!
//! Read only.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{CampaignId, SessionId};
use crate::domain::job::TrafficClass;
use crate::domain::pacing::CampaignPacing;
use crate::domain::recipient::Recipient;
use crate::domain::zone::{Band, Temperature, Zone};
use crate::limits::FORECAST_MESSAGES_MAX;
use crate::store::column::{RowPlace, settings};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// Pending deliveries of one campaign to one kind of recipients, in one lane.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenStream {
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
    /// The campaign's own pace.
    pub pacing: Option<CampaignPacing>,
    /// How many.
    pub n: i64,
}

/// A recipient that has no delivery yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientToCome {
    /// Its place in the campaign.
    pub seq: i64,
    /// Who gets the message.
    pub recipient: Recipient,
    /// Where they live, if that was said.
    pub own_zone: Option<Zone>,
    /// The session that is to write to them.
    pub session_id: SessionId,
    /// Whether they ever wrote to it.
    pub temperature: Temperature,
}

/// Counts along the index on columns that do not change; the campaign itself whatever its state, others while they run.
const OPEN: Sql = Sql::portable(
    "SELECT s.session_id, s.campaign_id, s.band, s.zone, s.traffic_class, c.pacing, \
         (SELECT COUNT(*) FROM (SELECT 1 FROM deliveries d WHERE d.session_id = s.session_id \
              AND d.campaign_id = s.campaign_id AND d.band = s.band AND s.done_below_seq <= d.seq \
              AND d.state = 'pending' LIMIT $2) AS p) AS n \
     FROM campaign_sessions cs JOIN lane_streams s ON s.session_id = cs.session_id \
     LEFT JOIN campaigns c ON c.campaign_id = s.campaign_id \
     WHERE cs.campaign_id = $1 AND s.done_below_seq <= s.last_seq \
       AND (s.campaign_id = $1 OR c.state IS NULL OR c.state = 'running') \
     ORDER BY s.session_id, s.campaign_id, s.band",
);

/// Recipients go round the sessions by their place, as when the campaign is expanded.
const TO_COME: Sql = Sql::portable(
    "SELECT r.seq, r.recipient, cs.session_id, w.last_inbound_at_ms, r.time_zone \
     FROM campaign_recipients r \
     JOIN campaign_sessions cs ON cs.campaign_id = r.campaign_id \
         AND cs.ordinal = r.seq % (SELECT COUNT(*) FROM campaign_sessions n WHERE n.campaign_id = $1) \
     LEFT JOIN conversations w ON w.session_id = cs.session_id AND w.recipient = r.recipient \
     WHERE r.campaign_id = $1 AND $2 <= r.seq ORDER BY r.seq LIMIT $3",
);

const DOING_OPEN: &str = "count the open work of lanes";
const DOING_TO_COME: &str = "read the recipients of a campaign for a forecast";

#[derive(FromRow)]
struct StoredOpen {
    session_id: Uuid,
    campaign_id: Uuid,
    band: i32,
    zone: Option<String>,
    traffic_class: String,
    pacing: Option<String>,
    n: i64,
}

impl OpenStream {
    /// Reads a stream beside a campaign; none where this version can not read what a newer one wrote, and nothing is sent.
    fn beside(campaign_id: CampaignId, row: &StoredOpen) -> Option<Self> {
        let (is_readable, pacing) = settings(row.pacing.as_deref());
        let stream = Self {
            session_id: SessionId(row.session_id),
            campaign_id: CampaignId(row.campaign_id),
            band: Band(row.band),
            zone: row.zone.as_deref().and_then(Zone::parse),
            traffic_class: TrafficClass::parse(&row.traffic_class)?,
            pacing,
            n: row.n,
        };
        (is_readable || stream.campaign_id == campaign_id).then_some(stream)
    }
}

/// Place, recipient, session, when the recipient last wrote, and the recipient's own zone.
type StoredToCome = (i64, String, Uuid, Option<i64>, Option<String>);

impl Store {
    /// Returns the streams with pending deliveries in the lanes of a campaign: its own, and those of other campaigns that
    /// run and of single messages. Counts up to [`FORECAST_MESSAGES_MAX`] of each.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn open_streams_beside(&self, campaign_id: CampaignId) -> Result<Vec<OpenStream>, StoreError> {
        let sql = OPEN.of(self.pool());
        let rows = with_reader!(self.pool(), |db| {
            sqlx::query_as::<_, StoredOpen>(sql).bind(campaign_id.0).bind(FORECAST_MESSAGES_MAX).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_OPEN))?;
        let streams = rows.iter().filter_map(|row| OpenStream::beside(campaign_id, row));
        Ok(streams.filter(|stream| stream.n != 0).collect())
    }

    /// Returns the recipients of a campaign from a place on, at most `limit`, each with the session that is to write to it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn recipients_to_come(
        &self,
        campaign_id: CampaignId,
        from_seq: i64,
        limit: u32,
    ) -> Result<Vec<RecipientToCome>, StoreError> {
        let sql = TO_COME.of(self.pool());
        let rows: Result<Vec<StoredToCome>, sqlx::Error> = with_reader!(self.pool(), |db| {
            sqlx::query_as(sql).bind(campaign_id.0).bind(from_seq).bind(i64::from(limit)).fetch_all(db).await
        });
        let place = RowPlace { table: "campaign_recipients", key: campaign_id.0 };
        let read = |(seq, recipient, session_id, wrote_at_ms, zone): StoredToCome| {
            let temperature = if wrote_at_ms.is_some() { Temperature::Warm } else { Temperature::Cold };
            let recipient = place.recipient(&recipient)?;
            let own_zone = zone.as_deref().and_then(Zone::parse);
            Ok(RecipientToCome { seq, recipient, own_zone, session_id: SessionId(session_id), temperature })
        };
        rows.map_err(StoreError::database(DOING_TO_COME))?.into_iter().map(read).collect()
    }
}
