//! What is to be turned into jobs, and the jobs that a campaign makes.
//!
//! Whoever removes a row has handed its jobs on; jobs made twice are the same jobs. With a broker
//! between, a single message is marked as handed on and stays until it is admitted, so that it can
//! be found all the time.

use uuid::Uuid;

use crate::domain::campaign::OnUnknown;
use crate::domain::id::{CampaignId, DeliveryId, JobId, SessionId, TenantId};
use crate::domain::job::{DELIVERIES_PER_JOB_MAX, JOB_VERSION, Job, JobDelivery, TrafficClass};
use crate::domain::message::MessageSpec;
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::domain::zone::Zone;
use crate::store::bind::{hex_list, time_of};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Pool, Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Its id, ordered by time.
    pub outbox_id: Uuid,
    /// The campaign, [`CampaignId::DIRECT`] for single messages.
    pub campaign_id: CampaignId,
    /// A whole job; none when the campaign is to be expanded.
    pub job: Option<Job>,
    /// The recipient to go on from when the campaign is expanded.
    pub next_seq: i64,
    /// The first recipient that is not to be expanded yet; none when all may be.
    pub below_seq: Option<i64>,
}

/// Jobs made from a window of a campaign's recipients.
#[derive(Debug, Clone, PartialEq)]
pub struct Expansion {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// The recipient to go on from.
    pub next_seq: i64,
    /// No recipient is left.
    pub finished: bool,
}

const NEXT: Sql = Sql::portable(
    "SELECT o.outbox_id, o.campaign_id, o.job, o.next_seq, c.canary_below_seq AS below_seq \
     FROM outbox o LEFT JOIN campaigns c ON c.campaign_id = o.campaign_id \
     WHERE o.handed_on_at_ms IS NULL AND (c.canary_below_seq IS NULL OR o.next_seq < c.canary_below_seq) \
     ORDER BY o.outbox_id LIMIT $1",
);

/// Locks in the order of the ids, as the admission does that removes the rows.
const HAND_ON: Sql = Sql::per_dialect(
    "UPDATE outbox AS o SET handed_on_at_ms = $2 \
     FROM (SELECT outbox_id FROM outbox WHERE outbox_id = ANY($1) AND job IS NOT NULL AND handed_on_at_ms IS NULL \
           ORDER BY outbox_id FOR NO KEY UPDATE) AS u WHERE o.outbox_id = u.outbox_id",
    "UPDATE outbox SET handed_on_at_ms = $2 \
     WHERE outbox_id IN (SELECT unhex(value) FROM json_each($1)) AND job IS NOT NULL AND handed_on_at_ms IS NULL",
);

const REMOVE: Sql = Sql::per_dialect(
    "DELETE FROM outbox WHERE outbox_id = ANY($1)",
    "DELETE FROM outbox WHERE outbox_id IN (SELECT unhex(value) FROM json_each($1))",
);

const ADVANCE: Sql = Sql::portable("UPDATE outbox SET next_seq = $2 WHERE outbox_id = $1 AND next_seq < $2");

const CAMPAIGN: Sql = Sql::portable(
    "SELECT tenant_id, message, on_unknown, on_limit, expires_at_ms FROM campaigns WHERE campaign_id = $1",
);

const SESSIONS: Sql = Sql::portable("SELECT session_id FROM campaign_sessions WHERE campaign_id = $1 ORDER BY ordinal");

const RECIPIENTS: Sql = Sql::portable(
    "SELECT seq, recipient_id, recipient, variables, time_zone FROM campaign_recipients \
     WHERE campaign_id = $1 AND $2 <= seq ORDER BY seq LIMIT $3",
);

const DOING_NEXT: &str = "read the outbox";
const DOING_HAND_ON: &str = "mark rows of the outbox as handed on";
const DOING_REMOVE: &str = "remove rows of the outbox";
const DOING_ADVANCE: &str = "note the progress of the outbox";
const DOING_EXPAND: &str = "make jobs of a campaign";

#[derive(sqlx::FromRow)]
struct StoredOutbox {
    outbox_id: Uuid,
    campaign_id: Uuid,
    job: Option<String>,
    next_seq: i64,
    below_seq: Option<i64>,
}

impl TryFrom<StoredOutbox> for OutboxRow {
    type Error = StoreError;

    fn try_from(row: StoredOutbox) -> Result<Self, StoreError> {
        let job = row.job.map(|job| Job::decode(job.as_bytes())).transpose();
        Ok(Self {
            outbox_id: row.outbox_id,
            campaign_id: CampaignId(row.campaign_id),
            job: job.map_err(|_| StoreError::corrupt("outbox", "job", row.outbox_id))?,
            next_seq: row.next_seq,
            below_seq: row.below_seq,
        })
    }
}

#[derive(sqlx::FromRow)]
struct StoredCampaign {
    tenant_id: Uuid,
    message: String,
    on_unknown: String,
    on_limit: String,
    expires_at_ms: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct StoredRecipient {
    seq: i64,
    recipient_id: Uuid,
    recipient: String,
    variables: String,
    time_zone: Option<String>,
}

impl StoredRecipient {
    fn to_delivery(&self) -> Result<JobDelivery, StoreError> {
        let corrupt = |column| StoreError::corrupt("campaign_recipients", column, self.recipient_id);
        Ok(JobDelivery {
            id: DeliveryId(self.recipient_id),
            to: Recipient::from_stored(&self.recipient).ok_or_else(|| corrupt("recipient"))?,
            variables: serde_json::from_str(&self.variables).map_err(|_| corrupt("variables"))?,
            // A zone that this version does not know is no reason to send nothing.
            time_zone: self.time_zone.as_deref().and_then(Zone::parse),
        })
    }
}

impl Store {
    /// Returns the oldest rows of the outbox that were not handed on; not those of campaigns that wait for what
    /// becomes of their first recipients.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a job can not be read.
    pub async fn outbox_next(&self, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let sql = NEXT.of(self.pool());
        let rows = with_reader!(self.pool(), |db| {
            sqlx::query_as::<_, StoredOutbox>(sql).bind(i64::from(limit)).fetch_all(db).await
        });
        rows.map_err(StoreError::database(DOING_NEXT))?.into_iter().map(OutboxRow::try_from).collect()
    }

    /// Marks rows of single messages as handed on to a broker; they go when they are admitted.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn outbox_hand_on(&self, outbox_ids: &[Uuid], now_ms: i64) -> Result<(), StoreError> {
        let marked = match self.pool() {
            Pool::Postgres(pool) => {
                sqlx::query(HAND_ON.postgres()).bind(outbox_ids).bind(now_ms).execute(pool).await.map(drop)
            }
            Pool::Sqlite { writer, .. } => {
                let query = sqlx::query(HAND_ON.sqlite()).bind(hex_list(outbox_ids)).bind(now_ms);
                query.execute(writer).await.map(drop)
            }
        };
        marked.map_err(StoreError::database(DOING_HAND_ON))
    }

    /// Removes rows whose jobs were handed on.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn outbox_remove(&self, outbox_ids: &[Uuid]) -> Result<(), StoreError> {
        let removed = match self.pool() {
            Pool::Postgres(pool) => sqlx::query(REMOVE.postgres()).bind(outbox_ids).execute(pool).await.map(drop),
            Pool::Sqlite { writer, .. } => {
                sqlx::query(REMOVE.sqlite()).bind(hex_list(outbox_ids)).execute(writer).await.map(drop)
            }
        };
        removed.map_err(StoreError::database(DOING_REMOVE))
    }

    /// Notes that a campaign's jobs below `next_seq` were handed on; never goes back.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn outbox_advance(&self, outbox_id: Uuid, next_seq: i64) -> Result<(), StoreError> {
        let sql = ADVANCE.of(self.pool());
        with_writer!(self.pool(), |db| sqlx::query(sql).bind(outbox_id).bind(next_seq).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING_ADVANCE))
    }

    /// Makes jobs from the next recipients of a campaign, at most `n_recipients_max`.
    ///
    /// Recipients are spread over the campaign's sessions by their place. The same window makes the
    /// same jobs, with the same ids, each time. A campaign that is not there, or has no session,
    /// makes no jobs and is finished.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn expand_campaign(
        &self,
        campaign_id: CampaignId,
        next_seq: i64,
        n_recipients_max: u32,
    ) -> Result<Expansion, StoreError> {
        let mut tx = self.begin_read(DOING_EXPAND).await?;
        let sql = (CAMPAIGN.of(self.pool()), SESSIONS.of(self.pool()), RECIPIENTS.of(self.pool()));
        let read: Result<_, sqlx::Error> = with_tx!(&mut tx, |db| async {
            let query = sqlx::query_as::<_, StoredCampaign>(sql.0).bind(campaign_id.0);
            let campaign = query.fetch_optional(&mut *db).await?;
            let sessions = sqlx::query_scalar::<_, Uuid>(sql.1).bind(campaign_id.0).fetch_all(&mut *db).await?;
            let query = sqlx::query_as::<_, StoredRecipient>(sql.2).bind(campaign_id.0).bind(next_seq);
            let recipients = query.bind(i64::from(n_recipients_max)).fetch_all(&mut *db).await?;
            Ok((campaign, sessions, recipients))
        }
        .await);
        let (campaign, sessions, recipients) = read.map_err(StoreError::database(DOING_EXPAND))?;
        tx.commit(DOING_EXPAND).await?;
        let is_last = recipients.len() < usize::try_from(n_recipients_max).unwrap_or(usize::MAX);
        let after = recipients.last().map_or(next_seq, |recipient| recipient.seq + 1);
        match campaign {
            Some(campaign) if !sessions.is_empty() => {
                let jobs = make_jobs(campaign_id, &campaign, &sessions, &recipients)?;
                Ok(Expansion { jobs, next_seq: after, finished: is_last })
            }
            _ => Ok(Expansion { jobs: Vec::new(), next_seq, finished: true }),
        }
    }
}

impl Tx {
    /// Removes rows, by ids in ascending order.
    pub(crate) async fn remove_from_outbox(&mut self, ids: &[Uuid], doing: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Postgres(tx) => sqlx::query(REMOVE.postgres()).bind(ids).execute(&mut **tx).await.map(drop),
            Self::Sqlite(tx) => sqlx::query(REMOVE.sqlite()).bind(hex_list(ids)).execute(&mut **tx).await.map(drop),
        }
        .map_err(StoreError::database(doing))
    }
}

/// Spreads recipients over sessions and cuts each session's share into jobs, in order of their first recipient.
fn make_jobs(
    campaign_id: CampaignId,
    campaign: &StoredCampaign,
    sessions: &[Uuid],
    recipients: &[StoredRecipient],
) -> Result<Vec<Job>, StoreError> {
    let corrupt = |column| StoreError::corrupt("campaigns", column, campaign_id);
    let message: MessageSpec = serde_json::from_str(&campaign.message).map_err(|_| corrupt("message"))?;
    let on_unknown = OnUnknown::parse(&campaign.on_unknown).ok_or_else(|| corrupt("on_unknown"))?;
    let on_limit = OnLimit::parse(&campaign.on_limit).ok_or_else(|| corrupt("on_limit"))?;
    let expires_at =
        campaign.expires_at_ms.map(|ms| time_of(ms).ok_or_else(|| corrupt("expires_at_ms"))).transpose()?;
    let mut shares: Vec<Vec<&StoredRecipient>> = sessions.iter().map(|_| Vec::new()).collect();
    for recipient in recipients {
        let place = usize::try_from(recipient.seq).unwrap_or(0) % sessions.len();
        shares[place].push(recipient);
    }
    let mut jobs = Vec::new();
    for (session_id, share) in sessions.iter().zip(&shares) {
        for chunk in share.chunks(DELIVERIES_PER_JOB_MAX.get()) {
            let deliveries = chunk.iter().map(|recipient| recipient.to_delivery()).collect::<Result<_, _>>()?;
            let job = Job {
                v: JOB_VERSION,
                job_id: job_id_of(campaign_id, chunk[0].seq, *session_id),
                tenant_id: TenantId(campaign.tenant_id),
                session_id: SessionId(*session_id),
                campaign_id: Some(campaign_id),
                traffic_class: TrafficClass::Bulk,
                on_unknown,
                on_limit,
                not_before: None,
                expires_at,
                message: message.clone(),
                deliveries,
            };
            jobs.push((chunk[0].seq, job));
        }
    }
    jobs.sort_by_key(|(first_seq, _)| *first_seq);
    Ok(jobs.into_iter().map(|(_, job)| job).collect())
}

/// Names a job by what it holds, so that a job made again is the same job.
fn job_id_of(campaign_id: CampaignId, first_seq: i64, session_id: Uuid) -> JobId {
    let mut name = [0; 24];
    name[..8].copy_from_slice(&first_seq.to_be_bytes());
    name[8..].copy_from_slice(session_id.as_bytes());
    JobId(Uuid::new_v5(&campaign_id.0, &name))
}
