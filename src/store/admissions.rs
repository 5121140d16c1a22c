//! Jobs become rows: the intake's one write.
//!
//! Safe to repeat: the ids come from the job. Reads no topic and stores no offset.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use crate::domain::campaign::Counters;
use crate::domain::delivery::DeliveryState;
use crate::domain::id::{CampaignId, JobId, SessionId};
use crate::domain::job::{Job, JobDelivery, TrafficClass};
use crate::store::bind::{Hex, column, hex_list, ms_of, to_json, written};
use crate::store::tx::{Tries, Tx};
use crate::store::{Sql, Store, StoreError};

/// A job to be admitted.
#[derive(Debug, Clone, Copy)]
pub struct Admission<'a> {
    /// The job.
    pub job: &'a Job,
    /// The place of its first delivery in its stream; the others follow.
    pub first_seq: i64,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The job.
    pub job_id: JobId,
    /// The session that is to send it.
    pub session_id: SessionId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// The place of its first delivery in its stream.
    pub first_seq: i64,
    /// Deliveries that were not there before.
    pub n_new: usize,
    /// Why nothing of it was persisted.
    pub refused: Option<Refusal>,
}

/// Why a job was not persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The tenant has no such session.
    UnknownSession,
}

const SESSIONS: Sql = Sql::per_dialect(
    "SELECT session_id, tenant_id FROM sessions WHERE session_id = ANY($1)",
    "SELECT session_id, tenant_id FROM sessions WHERE session_id IN (SELECT unhex(value) FROM json_each($1))",
);

const INSERT_JOBS: Sql = Sql::per_dialect(
    "INSERT INTO jobs (created_at_ms, job_id, tenant_id, session_id, campaign_id, traffic_class, on_unknown, \
         not_before_ms, expires_at_ms, message) \
     SELECT $1, u.* FROM UNNEST($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], \
                                $8::int8[], $9::int8[], $10::text[]) AS u ON CONFLICT DO NOTHING",
    "INSERT INTO jobs (created_at_ms, job_id, tenant_id, session_id, campaign_id, traffic_class, on_unknown, \
         not_before_ms, expires_at_ms, message) \
     SELECT $1, unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), unhex(value ->> 3), value ->> 4, \
            value ->> 5, value ->> 6, value ->> 7, value ->> 8 FROM json_each($2) WHERE true ON CONFLICT DO NOTHING",
);

/// Answers with one row per job that has new deliveries on PostgreSQL, one per delivery on SQLite.
const INSERT_DELIVERIES: Sql = Sql::per_dialect(
    "WITH new AS ( \
         INSERT INTO deliveries (created_at_ms, delivery_id, tenant_id, session_id, campaign_id, job_id, seq, \
             recipient, variables, state, settled_at_ms) \
         SELECT $1, u.* FROM UNNEST($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::int8[], \
                                    $8::text[], $9::text[], $10::text[], $11::int8[]) AS u \
         ON CONFLICT DO NOTHING RETURNING job_id) \
     SELECT job_id, count(*) FROM new GROUP BY job_id",
    "INSERT INTO deliveries (created_at_ms, delivery_id, tenant_id, session_id, campaign_id, job_id, seq, \
         recipient, variables, state, settled_at_ms) \
     SELECT $1, unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), unhex(value ->> 3), unhex(value ->> 4), \
            value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9 FROM json_each($2) WHERE true \
     ON CONFLICT DO NOTHING RETURNING job_id, 1",
);

/// A stream whose place lies behind a delivery that is new is taken back to it.
const OPEN_STREAMS: Sql = Sql::per_dialect(
    "INSERT INTO lane_streams AS s (session_id, campaign_id, traffic_class, done_below_seq) \
     SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::int8[]) \
     ON CONFLICT (session_id, campaign_id) DO UPDATE SET done_below_seq = EXCLUDED.done_below_seq \
         WHERE EXCLUDED.done_below_seq < s.done_below_seq",
    "INSERT INTO lane_streams AS s (session_id, campaign_id, traffic_class, done_below_seq) \
     SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3 FROM json_each($1) WHERE true \
     ON CONFLICT (session_id, campaign_id) DO UPDATE SET done_below_seq = EXCLUDED.done_below_seq \
         WHERE EXCLUDED.done_below_seq < s.done_below_seq",
);

const DOING: &str = "admit jobs";

/// The columns of a new delivery.
struct NewDelivery<'a> {
    job: &'a Job,
    delivery: &'a JobDelivery,
    seq: i64,
    variables: String,
    state: DeliveryState,
    settled_at_ms: Option<i64>,
}

impl Store {
    /// Persists jobs with their deliveries, all in one transaction; what is there already stays.
    ///
    /// Answers in the order of the admissions. Deliveries of a cancelled campaign are persisted as
    /// cancelled, and the place of a stream goes back to the first delivery that is new.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written or the commit was not confirmed; safe to
    /// repeat.
    pub async fn admit_jobs(&self, admissions: &[Admission<'_>], now_ms: i64) -> Result<Vec<Admitted>, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.admit_jobs_once(admissions, now_ms).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn admit_jobs_once(&self, admissions: &[Admission<'_>], now_ms: i64) -> Result<Vec<Admitted>, StoreError> {
        let mut tx = self.begin_write(DOING).await?;
        let campaigns = column(admissions, |admission| admission.job.campaign().0);
        let cancelled = tx.hold_cancelled(campaigns, DOING).await?;
        let tenants = tx.tenants_of_sessions(admissions).await.map_err(StoreError::database(DOING))?;
        let known =
            |admission: &&Admission<'_>| tenants.get(&admission.job.session_id.0) == Some(&admission.job.tenant_id.0);
        let welcome: Vec<Admission<'_>> = admissions.iter().filter(known).copied().collect();
        let rows = new_deliveries(&welcome, &cancelled, now_ms);
        tx.insert_jobs(&welcome, now_ms).await.map_err(StoreError::database(DOING))?;
        let mut n_new = tx.insert_deliveries(&rows, now_ms).await.map_err(StoreError::database(DOING))?;
        tx.open_streams(&welcome, &n_new).await.map_err(StoreError::database(DOING))?;
        let mut deltas: BTreeMap<CampaignId, Counters> = BTreeMap::new();
        let mut admitted = Vec::with_capacity(admissions.len());
        for admission in admissions {
            let job = admission.job;
            // A job that is there twice has its new deliveries counted once.
            let n_new = n_new.remove(&job.job_id.0).filter(|_| known(&admission)).unwrap_or(0);
            if 0 < n_new {
                let state = state_in(job.campaign(), &cancelled);
                let delta = deltas.entry(job.campaign()).or_default();
                delta.accepted += n_new;
                *delta.of_mut(state, None) += n_new;
            }
            admitted.push(Admitted {
                job_id: job.job_id,
                session_id: job.session_id,
                campaign_id: job.campaign(),
                traffic_class: job.traffic_class,
                first_seq: admission.first_seq,
                n_new: usize::try_from(n_new).unwrap_or(0),
                refused: (!known(&admission)).then_some(Refusal::UnknownSession),
            });
        }
        tx.add_to_counters(&deltas, DOING).await?;
        tx.commit(DOING).await?;
        Ok(admitted)
    }
}

fn state_in(campaign_id: CampaignId, cancelled: &HashSet<CampaignId>) -> DeliveryState {
    if cancelled.contains(&campaign_id) { DeliveryState::Cancelled } else { DeliveryState::Pending }
}

/// Makes the rows, by id: every transaction inserts in the same order.
fn new_deliveries<'a>(
    admissions: &[Admission<'a>],
    cancelled: &HashSet<CampaignId>,
    now_ms: i64,
) -> Vec<NewDelivery<'a>> {
    let mut rows = Vec::new();
    for admission in admissions {
        let state = state_in(admission.job.campaign(), cancelled);
        rows.extend((admission.first_seq..).zip(&admission.job.deliveries).map(|(seq, delivery)| NewDelivery {
            job: admission.job,
            delivery,
            seq,
            variables: written(&delivery.variables),
            state,
            settled_at_ms: state.is_settled().then_some(now_ms),
        }));
    }
    rows.sort_by_key(|row| row.delivery.id);
    rows
}

impl Tx {
    async fn tenants_of_sessions(&mut self, admissions: &[Admission<'_>]) -> Result<HashMap<Uuid, Uuid>, sqlx::Error> {
        let ids = column(admissions, |admission| admission.job.session_id.0);
        let rows: Vec<(Uuid, Uuid)> = match self {
            Self::Postgres(tx) => sqlx::query_as(SESSIONS.postgres()).bind(ids).fetch_all(&mut **tx).await?,
            Self::Sqlite(tx) => sqlx::query_as(SESSIONS.sqlite()).bind(hex_list(&ids)).fetch_all(&mut **tx).await?,
        };
        Ok(rows.into_iter().collect())
    }

    async fn insert_jobs(&mut self, admissions: &[Admission<'_>], now_ms: i64) -> Result<(), sqlx::Error> {
        let mut jobs: Vec<&Job> = admissions.iter().map(|admission| admission.job).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        jobs.sort_by_key(|job| job.job_id);
        match self {
            Self::Postgres(tx) => sqlx::query(INSERT_JOBS.postgres())
                .bind(now_ms)
                .bind(column(&jobs, |job| job.job_id.0))
                .bind(column(&jobs, |job| job.tenant_id.0))
                .bind(column(&jobs, |job| job.session_id.0))
                .bind(column(&jobs, |job| job.campaign().0))
                .bind(column(&jobs, |job| job.traffic_class.as_str()))
                .bind(column(&jobs, |job| job.on_unknown.as_str()))
                .bind(column(&jobs, |job| job.not_before.map(ms_of)))
                .bind(column(&jobs, |job| job.expires_at.map(ms_of)))
                .bind(column(&jobs, |job| written(&job.message)))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&jobs, |job| {
                    (
                        Hex(job.job_id.0),
                        Hex(job.tenant_id.0),
                        Hex(job.session_id.0),
                        Hex(job.campaign().0),
                        job.traffic_class.as_str(),
                        job.on_unknown.as_str(),
                        job.not_before.map(ms_of),
                        job.expires_at.map(ms_of),
                        written(&job.message),
                    )
                });
                sqlx::query(INSERT_JOBS.sqlite()).bind(now_ms).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }

    /// Returns how many deliveries of each job are new.
    async fn insert_deliveries(
        &mut self,
        rows: &[NewDelivery<'_>],
        now_ms: i64,
    ) -> Result<HashMap<Uuid, i64>, sqlx::Error> {
        if rows.is_empty() {
            return Ok(HashMap::new());
        }
        let new: Vec<(Uuid, i64)> = match self {
            Self::Postgres(tx) => {
                sqlx::query_as(INSERT_DELIVERIES.postgres())
                    .bind(now_ms)
                    .bind(column(rows, |row| row.delivery.id.0))
                    .bind(column(rows, |row| row.job.tenant_id.0))
                    .bind(column(rows, |row| row.job.session_id.0))
                    .bind(column(rows, |row| row.job.campaign().0))
                    .bind(column(rows, |row| row.job.job_id.0))
                    .bind(column(rows, |row| row.seq))
                    .bind(column(rows, |row| row.delivery.to.as_str()))
                    .bind(column(rows, |row| row.variables.as_str()))
                    .bind(column(rows, |row| row.state.as_str()))
                    .bind(column(rows, |row| row.settled_at_ms))
                    .fetch_all(&mut **tx)
                    .await?
            }
            Self::Sqlite(tx) => {
                let json = to_json(rows, |row| {
                    (
                        Hex(row.delivery.id.0),
                        Hex(row.job.tenant_id.0),
                        Hex(row.job.session_id.0),
                        Hex(row.job.campaign().0),
                        Hex(row.job.job_id.0),
                        row.seq,
                        row.delivery.to.as_str(),
                        row.variables.as_str(),
                        row.state.as_str(),
                        row.settled_at_ms,
                    )
                });
                let query = sqlx::query_as(INSERT_DELIVERIES.sqlite()).bind(now_ms).bind(json);
                query.fetch_all(&mut **tx).await?
            }
        };
        let mut n_new = HashMap::new();
        for (job_id, n) in new {
            *n_new.entry(job_id).or_insert(0) += n;
        }
        Ok(n_new)
    }

    async fn open_streams(
        &mut self,
        admissions: &[Admission<'_>],
        n_new: &HashMap<Uuid, i64>,
    ) -> Result<(), sqlx::Error> {
        let mut streams: BTreeMap<(Uuid, Uuid), (TrafficClass, i64)> = BTreeMap::new();
        for admission in admissions.iter().filter(|admission| n_new.contains_key(&admission.job.job_id.0)) {
            let job = admission.job;
            let stream =
                streams.entry((job.session_id.0, job.campaign().0)).or_insert((job.traffic_class, admission.first_seq));
            stream.1 = stream.1.min(admission.first_seq);
        }
        let rows: Vec<_> = streams.into_iter().collect();
        if rows.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(OPEN_STREAMS.postgres())
                .bind(column(&rows, |(key, _)| key.0))
                .bind(column(&rows, |(key, _)| key.1))
                .bind(column(&rows, |(_, stream)| stream.0.as_str()))
                .bind(column(&rows, |(_, stream)| stream.1))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |(key, stream)| (Hex(key.0), Hex(key.1), stream.0.as_str(), stream.1));
                sqlx::query(OPEN_STREAMS.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }
}
