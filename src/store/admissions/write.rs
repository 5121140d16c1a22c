//! The statements of an admission: one per table, whatever the number of rows.
//!
//! Decides nothing but which contents differ.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::known::Known;
use super::{Batch, Candidate, DOING, NewDelivery};
use crate::domain::id::{CampaignId, JobId, SessionId, TenantId};
use crate::domain::job::{Job, JobDelivery};
use crate::store::bind::{Hex, column, hex_list, ms_of, to_json, written};
use crate::store::fingerprint::Terms;
use crate::store::tx::Tx;
use crate::store::{Sql, StoreError};

/// Sessions, which have no state here, and campaigns, which nobody may cancel meanwhile.
const KNOWN: Sql = Sql::per_dialect(
    "WITH held AS (SELECT campaign_id, tenant_id, state FROM campaigns WHERE campaign_id = ANY($2) \
                   ORDER BY campaign_id FOR SHARE) \
     SELECT session_id, tenant_id, NULL AS state FROM sessions WHERE session_id = ANY($1) \
     UNION ALL SELECT campaign_id, tenant_id, state FROM held",
    "SELECT session_id, tenant_id, NULL AS state FROM sessions \
     WHERE session_id IN (SELECT unhex(value) FROM json_each($1)) \
     UNION ALL SELECT campaign_id, tenant_id, state FROM campaigns \
     WHERE campaign_id IN (SELECT unhex(value) FROM json_each($2))",
);

const INSERT_JOBS: Sql = Sql::per_dialect(
    "INSERT INTO jobs (created_at_ms, job_id, tenant_id, session_id, campaign_id, traffic_class, on_unknown, \
         on_limit, not_before_ms, expires_at_ms, message) \
     SELECT $1, u.* FROM UNNEST($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], \
                                $8::text[], $9::int8[], $10::int8[], $11::text[]) AS u \
     ON CONFLICT DO NOTHING RETURNING job_id",
    "INSERT INTO jobs (created_at_ms, job_id, tenant_id, session_id, campaign_id, traffic_class, on_unknown, \
         on_limit, not_before_ms, expires_at_ms, message) \
     SELECT $1, unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), unhex(value ->> 3), value ->> 4, \
            value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9 FROM json_each($2) WHERE true \
     ON CONFLICT DO NOTHING RETURNING job_id",
);

const INSERT_DELIVERIES: Sql = Sql::per_dialect(
    "INSERT INTO deliveries (created_at_ms, delivery_id, tenant_id, session_id, campaign_id, job_id, band, seq, \
         recipient, variables, state, settled_at_ms, fingerprint, quota_period_ms) \
     SELECT $1, u.* FROM UNNEST($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::int4[], \
                                $8::int8[], $9::text[], $10::text[], $11::text[], $12::int8[], $13::int8[], \
                                $14::int8[]) AS u \
     ON CONFLICT DO NOTHING RETURNING delivery_id",
    "INSERT INTO deliveries (created_at_ms, delivery_id, tenant_id, session_id, campaign_id, job_id, band, seq, \
         recipient, variables, state, settled_at_ms, fingerprint, quota_period_ms) \
     SELECT $1, unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), unhex(value ->> 3), unhex(value ->> 4), \
            value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12 \
     FROM json_each($2) WHERE true ON CONFLICT DO NOTHING RETURNING delivery_id",
);

const WHO_WROTE: Sql = Sql::per_dialect(
    "SELECT c.session_id, c.recipient FROM UNNEST($1::uuid[], $2::text[]) AS u (session_id, recipient) \
     JOIN conversations c ON c.session_id = u.session_id AND c.recipient = u.recipient \
     WHERE c.last_inbound_at_ms IS NOT NULL",
    "SELECT c.session_id, c.recipient FROM json_each($1) AS u \
     JOIN conversations c ON c.session_id = unhex(u.value ->> 0) AND c.recipient = u.value ->> 1 \
     WHERE c.last_inbound_at_ms IS NOT NULL",
);

/// Rows from before there were fingerprints have none, and count as the same.
const FINGERPRINTS: Sql = Sql::per_dialect(
    "SELECT delivery_id, fingerprint FROM deliveries WHERE delivery_id = ANY($1) AND fingerprint IS NOT NULL",
    "SELECT delivery_id, fingerprint FROM deliveries \
     WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1)) AND fingerprint IS NOT NULL",
);

impl Tx {
    /// Returns what is known of the candidates' sessions and campaigns, and holds the campaigns.
    pub(super) async fn hold_known(&mut self, candidates: &[Candidate<'_>]) -> Result<Known, StoreError> {
        if candidates.is_empty() {
            return Ok(Known::default());
        }
        let unique = |mut ids: Vec<Uuid>| {
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let sessions = unique(column(candidates, |candidate| candidate.job.session_id.0));
        let campaigns = unique(column(candidates, |candidate| candidate.job.campaign().0));
        let rows: Vec<(Uuid, Uuid, Option<String>)> = match self {
            Self::Postgres(tx) => {
                sqlx::query_as(KNOWN.postgres()).bind(sessions).bind(campaigns).fetch_all(&mut **tx).await
            }
            Self::Sqlite(tx) => {
                let query = sqlx::query_as(KNOWN.sqlite()).bind(hex_list(&sessions)).bind(hex_list(&campaigns));
                query.fetch_all(&mut **tx).await
            }
        }
        .map_err(StoreError::database(DOING))?;
        let mut known = Known::default();
        for (id, tenant_id, state) in rows {
            let tenant_id = TenantId(tenant_id);
            match state {
                None => drop(known.sessions.insert(SessionId(id), tenant_id)),
                Some(state) => {
                    known.campaigns.insert(CampaignId(id), (tenant_id, state));
                }
            }
        }
        Ok(known)
    }

    /// Returns the recipients of the candidates that ever wrote to their session.
    pub(super) async fn who_wrote(
        &mut self,
        candidates: &[Candidate<'_>],
    ) -> Result<HashSet<(SessionId, String)>, sqlx::Error> {
        let of = |candidate: &Candidate<'_>| {
            let session_id = candidate.job.session_id.0;
            let pair = move |delivery: &JobDelivery| (session_id, delivery.to.as_str().to_owned());
            candidate.job.deliveries.iter().map(pair).collect::<Vec<_>>()
        };
        let pairs: Vec<(Uuid, String)> = candidates.iter().flat_map(of).collect();
        let rows: Vec<(Uuid, String)> = match self {
            Self::Postgres(tx) => {
                let query = sqlx::query_as(WHO_WROTE.postgres()).bind(column(&pairs, |pair| pair.0));
                query.bind(column(&pairs, |pair| pair.1.as_str())).fetch_all(&mut **tx).await?
            }
            Self::Sqlite(tx) => {
                let json = to_json(&pairs, |pair| (Hex(pair.0), &pair.1));
                sqlx::query_as(WHO_WROTE.sqlite()).bind(json).fetch_all(&mut **tx).await?
            }
        };
        Ok(rows.into_iter().map(|(session_id, recipient)| (SessionId(session_id), recipient)).collect())
    }

    /// Returns the jobs that were not there.
    pub(super) async fn insert_jobs(&mut self, batch: &Batch<'_>, now_ms: i64) -> Result<HashSet<Uuid>, sqlx::Error> {
        let mut jobs: Vec<&Job> = batch.welcome().map(|(_, candidate)| candidate.job).collect();
        if jobs.is_empty() {
            return Ok(HashSet::new());
        }
        jobs.sort_by_key(|job| job.job_id);
        let new: Vec<Uuid> = match self {
            Self::Postgres(tx) => {
                sqlx::query_scalar(INSERT_JOBS.postgres())
                    .bind(now_ms)
                    .bind(column(&jobs, |job| job.job_id.0))
                    .bind(column(&jobs, |job| job.tenant_id.0))
                    .bind(column(&jobs, |job| job.session_id.0))
                    .bind(column(&jobs, |job| job.campaign().0))
                    .bind(column(&jobs, |job| job.traffic_class.as_str()))
                    .bind(column(&jobs, |job| job.on_unknown.as_str()))
                    .bind(column(&jobs, |job| job.on_limit.as_str()))
                    .bind(column(&jobs, |job| job.not_before.map(ms_of)))
                    .bind(column(&jobs, |job| job.expires_at.map(ms_of)))
                    .bind(column(&jobs, |job| written(&job.message)))
                    .fetch_all(&mut **tx)
                    .await?
            }
            Self::Sqlite(tx) => {
                let json = to_json(&jobs, |job| {
                    (
                        Hex(job.job_id.0),
                        Hex(job.tenant_id.0),
                        Hex(job.session_id.0),
                        Hex(job.campaign().0),
                        job.traffic_class.as_str(),
                        job.on_unknown.as_str(),
                        job.on_limit.as_str(),
                        job.not_before.map(ms_of),
                        job.expires_at.map(ms_of),
                        written(&job.message),
                    )
                });
                sqlx::query_scalar(INSERT_JOBS.sqlite()).bind(now_ms).bind(json).fetch_all(&mut **tx).await?
            }
        };
        Ok(new.into_iter().collect())
    }

    /// Returns the deliveries that were not there.
    pub(super) async fn insert_deliveries(
        &mut self,
        rows: &[NewDelivery<'_>],
        now_ms: i64,
    ) -> Result<HashSet<Uuid>, sqlx::Error> {
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        let new: Vec<Uuid> = match self {
            Self::Postgres(tx) => {
                sqlx::query_scalar(INSERT_DELIVERIES.postgres())
                    .bind(now_ms)
                    .bind(column(rows, |row| row.delivery.id.0))
                    .bind(column(rows, |row| row.job.tenant_id.0))
                    .bind(column(rows, |row| row.job.session_id.0))
                    .bind(column(rows, |row| row.job.campaign().0))
                    .bind(column(rows, |row| row.job.job_id.0))
                    .bind(column(rows, |row| row.band.0))
                    .bind(column(rows, |row| row.seq))
                    .bind(column(rows, |row| row.delivery.to.as_str()))
                    .bind(column(rows, |row| row.variables.as_str()))
                    .bind(column(rows, |row| row.state.as_str()))
                    .bind(column(rows, |row| row.settled_at_ms))
                    .bind(column(rows, |row| row.fingerprint))
                    .bind(column(rows, |row| row.quota_period_ms))
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
                        row.band.0,
                        row.seq,
                        row.delivery.to.as_str(),
                        row.variables.as_str(),
                        row.state.as_str(),
                        row.settled_at_ms,
                        row.fingerprint,
                        row.quota_period_ms,
                    )
                });
                sqlx::query_scalar(INSERT_DELIVERIES.sqlite()).bind(now_ms).bind(json).fetch_all(&mut **tx).await?
            }
        };
        Ok(new.into_iter().collect())
    }

    /// Returns the jobs that contradict what was persisted before; reads nothing when all is new.
    pub(super) async fn contradictions(
        &mut self,
        batch: &Batch<'_>,
        new_jobs: &HashSet<Uuid>,
        new: &HashSet<Uuid>,
    ) -> Result<HashSet<usize>, StoreError> {
        let mut strange = HashSet::new();
        let rows = batch.rows.iter();
        let old: Vec<Uuid> = rows.map(|row| row.delivery.id.0).filter(|id| !new.contains(id)).collect();
        if !old.is_empty() {
            let persisted = self.fingerprints(&old).await.map_err(StoreError::database(DOING))?;
            strange.extend(batch.with_other_content(&persisted));
        }
        // New deliveries under the id of an old job would be sent with that job's message.
        let rows = batch.rows.iter().filter(|row| new.contains(&row.delivery.id.0));
        let grown: HashSet<JobId> =
            rows.map(|row| row.job.job_id).filter(|job_id| !new_jobs.contains(&job_id.0)).collect();
        if !grown.is_empty() {
            let grown: Vec<JobId> = grown.into_iter().collect();
            for row in self.jobs(&grown).await? {
                let terms = Terms::of_row(&row).print();
                let same_id = batch.welcome().filter(|(_, candidate)| candidate.job.job_id == row.job_id);
                strange.extend(same_id.filter(|(_, candidate)| candidate.terms != terms).map(|(index, _)| index));
            }
        }
        Ok(strange)
    }

    async fn fingerprints(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, i64>, sqlx::Error> {
        let rows: Vec<(Uuid, i64)> = match self {
            Self::Postgres(tx) => sqlx::query_as(FINGERPRINTS.postgres()).bind(ids).fetch_all(&mut **tx).await?,
            Self::Sqlite(tx) => sqlx::query_as(FINGERPRINTS.sqlite()).bind(hex_list(ids)).fetch_all(&mut **tx).await?,
        };
        Ok(rows.into_iter().collect())
    }

    /// Removes single messages from the outbox: from now on they are found as deliveries.
    pub(super) async fn remove_admitted_messages(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let single = batch.welcome().filter(|(_, candidate)| candidate.job.campaign().is_direct());
        let mut ids: Vec<Uuid> =
            single.flat_map(|(_, candidate)| &candidate.job.deliveries).map(|delivery| delivery.id.0).collect();
        ids.sort_unstable();
        if ids.is_empty() { Ok(()) } else { self.remove_from_outbox(&ids, DOING).await }
    }
}
