//! The deliveries next in line, fetched for many lanes at once.
//!
//! Finds pending work along columns that never change; keeps no cursor of its own.

use uuid::Uuid;

use crate::domain::campaign::{OnUnknown, PassOver};
use crate::domain::id::{CampaignId, DeliveryId, JobId, SessionId, TenantId};
use crate::domain::job::TrafficClass;
use crate::domain::message::{MessageSpec, Variables};
use crate::domain::pacing::CampaignPacing;
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::domain::zone::Band;
use crate::store::bind::{column, hex_list, to_u32};
use crate::store::column::settings;
use crate::store::tx::Tx;
use crate::store::{Pool, Sql, Store, StoreError};

/// Asks for the next pending deliveries of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRequest {
    /// The lane.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The kind of recipients.
    pub band: Band,
    /// Only deliveries behind this place.
    pub after_seq: i64,
    /// At most so many.
    pub limit: u32,
}

/// A pending delivery, with what its attempt needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The lane.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The kind of recipient.
    pub band: Band,
    /// The job it came with.
    pub job_id: JobId,
    /// Its place in the stream.
    pub seq: i64,
    /// Who gets it.
    pub recipient: Recipient,
    /// Values for the message's variables.
    pub variables: Variables,
    /// Attempts made so far.
    pub n_attempts: u32,
    /// Those of them that no longer count against what is allowed.
    pub n_attempts_before: u32,
    /// Not to be tried before, UTC milliseconds.
    pub due_at_ms: i64,
    /// Until when the recipient gets no more marketing, UTC milliseconds.
    pub capped_until_ms: Option<i64>,
}

/// What deliveries of one job have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// The job.
    pub job_id: JobId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Which session sends.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// What becomes of deliveries without an answer.
    pub on_unknown: OnUnknown,
    /// What becomes of deliveries for which the plan has no message left.
    pub on_limit: OnLimit,
    /// Not to be sent before, UTC milliseconds.
    pub not_before_ms: Option<i64>,
    /// To be skipped from then on, UTC milliseconds.
    pub expires_at_ms: Option<i64>,
    /// What is sent.
    pub message: MessageSpec,
    /// Whether the campaign's own pace can be read: a newer version may have written more than this one knows. Otherwise
    /// nothing of the campaign may be sent, and no other one is concerned.
    pub is_readable: bool,
    /// The campaign's own pace.
    pub campaign_pacing: Option<CampaignPacing>,
    /// Whom the campaign passes over; single messages pass over nobody.
    pub pass_over: PassOver,
}

/// Goes along the index on columns that do not change in a usual life, one stretch per request. Of a campaign of ours that
/// does not run nothing is read: a lane may have opened its stream after the news of the pause had passed.
const FETCH: Sql = Sql::per_dialect(
    "SELECT r.no, d.*, v.marketing_capped_until_ms \
     FROM UNNEST($1::uuid[], $2::uuid[], $3::int4[], $4::int8[], $5::int8[]) \
          WITH ORDINALITY AS r (session_id, campaign_id, band, after_seq, n_max, no) \
     LEFT JOIN campaigns c ON c.campaign_id = r.campaign_id \
     CROSS JOIN LATERAL ( \
         SELECT delivery_id, job_id, seq, recipient, variables, n_attempts, n_attempts_before, due_at_ms FROM deliveries d \
         WHERE d.session_id = r.session_id AND d.campaign_id = r.campaign_id AND d.band = r.band \
           AND r.after_seq < d.seq \
           AND d.state = 'pending' ORDER BY d.seq LIMIT r.n_max) AS d \
     LEFT JOIN conversations v ON v.session_id = r.session_id AND v.recipient = d.recipient \
     WHERE c.state IS NULL OR c.state = 'running' ORDER BY r.no, d.seq",
    "SELECT 1 AS no, d.delivery_id, d.job_id, d.seq, d.recipient, d.variables, d.n_attempts, d.n_attempts_before, \
         d.due_at_ms, v.marketing_capped_until_ms \
     FROM deliveries d LEFT JOIN conversations v ON v.session_id = d.session_id AND v.recipient = d.recipient \
     WHERE d.session_id = $1 AND d.campaign_id = $2 AND d.band = $3 AND $4 < d.seq AND d.state = 'pending' \
       AND NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.campaign_id = $2 AND c.state <> 'running') \
     ORDER BY d.seq LIMIT $5",
);

const FIND_JOBS: Sql = Sql::per_dialect(
    "SELECT j.job_id, j.tenant_id, j.session_id, j.campaign_id, j.traffic_class, j.on_unknown, j.on_limit, j.not_before_ms, \
         j.expires_at_ms, j.message, c.pacing, c.respect_opt_in, c.skip_duplicates_hours \
     FROM jobs j LEFT JOIN campaigns c ON c.campaign_id = j.campaign_id WHERE j.job_id = ANY($1)",
    "SELECT j.job_id, j.tenant_id, j.session_id, j.campaign_id, j.traffic_class, j.on_unknown, j.on_limit, j.not_before_ms, \
         j.expires_at_ms, j.message, c.pacing, c.respect_opt_in, c.skip_duplicates_hours \
     FROM jobs j LEFT JOIN campaigns c ON c.campaign_id = j.campaign_id \
     WHERE j.job_id IN (SELECT unhex(value) FROM json_each($1))",
);

const DOING: &str = "fetch the next deliveries";
const DOING_JOBS: &str = "find jobs";

#[derive(sqlx::FromRow)]
struct StoredHead {
    no: i64,
    delivery_id: Uuid,
    job_id: Uuid,
    seq: i64,
    recipient: String,
    variables: String,
    n_attempts: i32,
    n_attempts_before: i32,
    due_at_ms: i64,
    marketing_capped_until_ms: Option<i64>,
}

impl StoredHead {
    fn into_head(self, request: &HeadRequest) -> Result<Head, StoreError> {
        let corrupt = |column| StoreError::corrupt("deliveries", column, self.delivery_id);
        Ok(Head {
            delivery_id: DeliveryId(self.delivery_id),
            session_id: request.session_id,
            campaign_id: request.campaign_id,
            band: request.band,
            job_id: JobId(self.job_id),
            seq: self.seq,
            recipient: Recipient::from_stored(&self.recipient).ok_or_else(|| corrupt("recipient"))?,
            variables: serde_json::from_str(&self.variables).map_err(|_| corrupt("variables"))?,
            n_attempts: to_u32(self.n_attempts),
            n_attempts_before: to_u32(self.n_attempts_before),
            due_at_ms: self.due_at_ms,
            capped_until_ms: self.marketing_capped_until_ms,
        })
    }
}

#[derive(sqlx::FromRow)]
struct StoredJob {
    job_id: Uuid,
    tenant_id: Uuid,
    session_id: Uuid,
    campaign_id: Uuid,
    traffic_class: String,
    on_unknown: String,
    on_limit: String,
    not_before_ms: Option<i64>,
    expires_at_ms: Option<i64>,
    message: String,
    pacing: Option<String>,
    respect_opt_in: Option<bool>,
    skip_duplicates_hours: Option<i32>,
}

impl TryFrom<StoredJob> for JobRow {
    type Error = StoreError;

    fn try_from(row: StoredJob) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("jobs", column, row.job_id);
        let (is_readable, campaign_pacing) = settings(row.pacing.as_deref());
        let traffic_class = TrafficClass::parse(&row.traffic_class).ok_or_else(|| corrupt("traffic_class"))?;
        Ok(Self {
            job_id: JobId(row.job_id),
            tenant_id: TenantId(row.tenant_id),
            session_id: SessionId(row.session_id),
            campaign_id: CampaignId(row.campaign_id),
            traffic_class,
            on_unknown: OnUnknown::parse(&row.on_unknown).ok_or_else(|| corrupt("on_unknown"))?,
            on_limit: OnLimit::parse(&row.on_limit).ok_or_else(|| corrupt("on_limit"))?,
            not_before_ms: row.not_before_ms,
            expires_at_ms: row.expires_at_ms,
            message: serde_json::from_str(&row.message).map_err(|_| corrupt("message"))?,
            is_readable,
            campaign_pacing,
            pass_over: PassOver {
                // Campaigns of other clients of the topic respect it too: they can not say otherwise.
                opted_out: traffic_class == TrafficClass::Bulk && row.respect_opt_in.unwrap_or(true),
                written_within_hours: row.skip_duplicates_hours.map(to_u32),
            },
        })
    }
}

impl Store {
    /// Returns the pending deliveries behind each request's place, in stream order, one list per request; none of a
    /// campaign that does not run.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn fetch_heads(&self, requests: &[HeadRequest]) -> Result<Vec<Vec<Head>>, StoreError> {
        let mut heads: Vec<Vec<Head>> = requests.iter().map(|_| Vec::new()).collect();
        if requests.is_empty() {
            return Ok(heads);
        }
        let mut tx = self.begin_read(DOING).await?;
        let rows = tx.heads(requests).await.map_err(StoreError::database(DOING))?;
        tx.commit(DOING).await?;
        for row in rows {
            let place = usize::try_from(row.no - 1).ok().and_then(|i| Some((requests.get(i)?, heads.get_mut(i)?)));
            let (request, heads) = place.expect("the statement numbers its rows by request, from 1");
            heads.push(row.into_head(request)?);
        }
        Ok(heads)
    }

    /// Returns the jobs that exist among the given ones, in no order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn find_jobs(&self, job_ids: &[JobId]) -> Result<Vec<JobRow>, StoreError> {
        if job_ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids = column(job_ids, |job_id| job_id.0);
        let rows: Vec<StoredJob> = match self.pool() {
            Pool::Postgres(pool) => sqlx::query_as(FIND_JOBS.postgres()).bind(ids).fetch_all(pool).await,
            Pool::Sqlite { reader, .. } => {
                sqlx::query_as(FIND_JOBS.sqlite()).bind(hex_list(&ids)).fetch_all(reader).await
            }
        }
        .map_err(StoreError::database(DOING_JOBS))?;
        rows.into_iter().map(JobRow::try_from).collect()
    }
}

impl Tx {
    /// Returns the jobs that exist among the given ones, in no order; sees what this transaction wrote.
    pub(crate) async fn jobs(&mut self, job_ids: &[JobId]) -> Result<Vec<JobRow>, StoreError> {
        let ids = column(job_ids, |job_id| job_id.0);
        let rows: Vec<StoredJob> = match self {
            Self::Postgres(tx) => sqlx::query_as(FIND_JOBS.postgres()).bind(ids).fetch_all(&mut **tx).await,
            Self::Sqlite(tx) => sqlx::query_as(FIND_JOBS.sqlite()).bind(hex_list(&ids)).fetch_all(&mut **tx).await,
        }
        .map_err(StoreError::database(DOING_JOBS))?;
        rows.into_iter().map(JobRow::try_from).collect()
    }

    async fn heads(&mut self, requests: &[HeadRequest]) -> Result<Vec<StoredHead>, sqlx::Error> {
        match self {
            Self::Postgres(tx) => {
                sqlx::query_as(FETCH.postgres())
                    .bind(column(requests, |request| request.session_id.0))
                    .bind(column(requests, |request| request.campaign_id.0))
                    .bind(column(requests, |request| request.band.0))
                    .bind(column(requests, |request| request.after_seq))
                    .bind(column(requests, |request| i64::from(request.limit)))
                    .fetch_all(&mut **tx)
                    .await
            }
            Self::Sqlite(tx) => {
                let mut all = Vec::new();
                for (no, request) in (1..).zip(requests) {
                    let query = sqlx::query_as::<_, StoredHead>(FETCH.sqlite())
                        .bind(request.session_id.0)
                        .bind(request.campaign_id.0)
                        .bind(request.band.0)
                        .bind(request.after_seq)
                        .bind(request.limit);
                    let rows = query.fetch_all(&mut **tx).await?;
                    all.extend(rows.into_iter().map(|row| StoredHead { no, ..row }));
                }
                Ok(all)
            }
        }
    }
}
