//! Measures how fast jobs on the topic become durable: all are written first, then a daemon takes them in.
//!
//! The sessions are made in the database and never connected, so that intake is all the daemon has to do.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{CpuReport, Database};
use crate::broker::{Broker, Outgoing, Producer};
use crate::clock::Clock;
use crate::config::KafkaConfig;
use crate::demo::{Plan, Promise, TakenIn, phone, watch_intake};
use crate::domain::campaign::OnUnknown;
use crate::domain::id::{CampaignId, DeliveryId, JobId, SessionId, TenantId, UserId};
use crate::domain::job::{JOB_VERSION, Job, JobDelivery, TrafficClass};
use crate::domain::message::{MessageSpec, Variables};
use crate::domain::pacing::PacingSettings;
use crate::domain::partition::PartitionNo;
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::domain::session::SessionState;
use crate::domain::user::Role;
use crate::store::Store;
use crate::store::sessions::SessionRecord;
use crate::store::tenants::TenantRecord;
use crate::store::users::UserRecord;

/// Jobs written together: 64 × 500 deliveries × about 100 bytes = 3 MB.
const JOBS_AT_ONCE: usize = 64;

/// Sessions being made at once.
const SESSIONS_AT_ONCE: usize = 8;

/// What every recipient would get.
const TEXT: &str = "{Hello|Hi} {{name|there}}, our sale begins today.";

/// What is to be measured, beside the run's plan.
#[derive(Debug, Clone, Copy)]
pub struct JobSizes {
    /// Deliveries of one job; the last one of a session may have fewer.
    pub deliveries_per_job: usize,
}

/// The JSON object; names and order of the fields are a contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IntakeReport {
    /// Deliveries on the topic.
    pub deliveries: u64,
    /// Records that carried them.
    pub jobs: u64,
    /// Sessions they were for.
    pub sessions: u32,
    /// Partitions of the topic.
    pub partitions: u16,
    /// Deliveries made durable per second, from the last moment at which none was until all were.
    pub deliveries_per_second: f64,
    /// That time.
    pub busy_seconds: f64,
    /// From the start of the process until all were durable; joining the group is in it.
    pub elapsed_seconds: f64,
    /// Processor time for every 1,000 deliveries.
    pub cpu_seconds_per_1000: CpuReport,
    /// The most memory the daemon held.
    pub peak_rss_bytes: u64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct IntakeBenched {
    /// The figures.
    pub report: IntakeReport,
    /// What must hold, or the figures mean nothing.
    pub promises: Vec<Promise>,
}

/// Runs the plan on a database of its own; none when `asked` to stop came first.
///
/// # Errors
/// When the plan has no queue, database or broker refuse, or as [`watch_intake`].
pub async fn run(
    mut plan: Plan,
    sizes: JobSizes,
    asked: impl Future<Output = ()>,
) -> anyhow::Result<Option<IntakeBenched>> {
    let queue = plan.queue.clone().context("intake is measured with a broker")?;
    let file = || format!("sqlite:{}", plan.folder.join("dispatcher.db").display());
    // Named, since the sessions are put into it before the daemon starts.
    plan.store_url = Some(plan.store_url.take().unwrap_or_else(file));
    let database = Database::make(&mut plan).await?;
    let measured = Box::pin(measure(&plan, sizes, &queue, asked)).await;
    database.drop().await?;
    measured
}

async fn measure(
    plan: &Plan,
    sizes: JobSizes,
    queue: &KafkaConfig,
    asked: impl Future<Output = ()>,
) -> anyhow::Result<Option<IntakeBenched>> {
    let mut asked = std::pin::pin!(asked);
    let prepare = async {
        eprintln!("making {} sessions", plan.n_sessions);
        let (tenant_id, sessions) = make_sessions(plan).await?;
        eprintln!("writing jobs for {} deliveries", plan.n_recipients);
        let jobs = jobs(tenant_id, &sessions, plan.n_recipients, sizes.deliveries_per_job);
        write_jobs(queue, jobs).await
    };
    let n_jobs = tokio::select! {
        written = prepare => written?,
        () = &mut asked => return Ok(None),
    };
    eprintln!("starting the daemon");
    let Some(taken) = watch_intake(plan, asked).await? else { return Ok(None) };
    let report = IntakeReport::new(plan, queue, n_jobs, &taken);
    Ok(Some(IntakeBenched { report, promises: promises(plan.n_recipients, n_jobs, &taken) }))
}

/// Makes a tenant with sessions that nobody connects.
async fn make_sessions(plan: &Plan) -> anyhow::Result<(TenantId, Vec<SessionId>)> {
    let url = plan.store_url.as_deref().context("the database must be named")?;
    let store = Store::open(url, 8).await.context("open the database")?;
    store.migrate().await.context("make the schema")?;
    let created_at_ms = Clock::system().now().as_ms();
    let tenant = TenantRecord { id: TenantId::generate(), name: "Bench".to_owned(), created_at_ms };
    let owner = UserRecord {
        id: UserId::generate(),
        tenant_id: tenant.id,
        tenant_name: tenant.name.clone(),
        email: "bench@example.com".to_owned(),
        email_verified_at_ms: Some(created_at_ms),
        name: "Bench".to_owned(),
        // No password has this hash: nobody can log in.
        password_hash: "none".into(),
        role: Role::Owner,
        created_at_ms,
    };
    store.users().insert_with_tenant(&tenant, &owner, None).await.context("make a tenant")?;
    let made = (1..=plan.n_sessions).map(|n| {
        let store = &store;
        async move {
            let session = SessionRecord {
                state_reason: None,
                id: SessionId::generate(),
                tenant_id: tenant.id,
                name: format!("Bench {n}"),
                state: SessionState::Disconnected,
                phone_number: None,
                phone_number_id: None,
                rate_per_minute: None,
                burst: None,
                pacing: PacingSettings::default(),
                pacing_version: 1,
                created_at_ms,
            };
            store.sessions().insert(&session).await.map(|_| session.id)
        }
    });
    let sessions = stream::iter(made).buffered(SESSIONS_AT_ONCE).try_collect().await.context("make sessions")?;
    store.close().await;
    Ok((tenant.id, sessions))
}

/// Makes jobs of one campaign, session by session in turn.
fn jobs(
    tenant_id: TenantId,
    sessions: &[SessionId],
    n_deliveries: u64,
    deliveries_per_job: usize,
) -> impl Iterator<Item = Job> {
    let campaign_id = Some(CampaignId::generate());
    let step = deliveries_per_job.max(1);
    let starts = (0..n_deliveries).step_by(step);
    starts.zip(sessions.iter().copied().cycle()).map(move |(start, session_id)| Job {
        v: JOB_VERSION,
        job_id: JobId::generate(),
        tenant_id,
        session_id,
        campaign_id,
        traffic_class: TrafficClass::Bulk,
        on_unknown: OnUnknown::Quarantine,
        on_limit: OnLimit::Hold,
        not_before: None,
        expires_at: None,
        message: MessageSpec::Text { text: TEXT.to_owned() },
        deliveries: (start..n_deliveries).take(step).filter_map(delivery).collect(),
    })
}

fn delivery(n: u64) -> Option<JobDelivery> {
    let mut variables = Variables::default();
    variables.insert("name", format!("Ana {n}")).ok()?;
    Some(JobDelivery { id: DeliveryId::generate(), to: Recipient::from_stored(&phone(n))?, variables, time_zone: None })
}

/// Writes the jobs where their sessions belong; returns how many.
async fn write_jobs(queue: &KafkaConfig, jobs: impl Iterator<Item = Job>) -> anyhow::Result<u64> {
    let broker = Broker::new(queue.clone())?;
    let producer = Producer::start(&broker).context("start the producer")?;
    let (mut n_jobs, mut jobs) = (0, jobs.peekable());
    while jobs.peek().is_some() {
        let records: Result<Vec<_>, _> = jobs.by_ref().take(JOBS_AT_ONCE).map(|job| record(queue, &job)).collect();
        let records = records.context("write a job")?;
        n_jobs += records.len() as u64;
        producer.send_all(records).await.context("write jobs to the topic")?;
    }
    producer.close().await;
    Ok(n_jobs)
}

fn record(queue: &KafkaConfig, job: &Job) -> Result<Outgoing, serde_json::Error> {
    Ok(Outgoing {
        topic: queue.topics.jobs.clone(),
        partition: Some(PartitionNo::of(job.session_id, queue.partitions)),
        key: Some(Bytes::from(job.session_id.to_string())),
        payload: Some(Bytes::from(job.encode()?)),
        headers: Vec::new(),
    })
}

fn promises(n_deliveries: u64, n_jobs: u64, taken: &TakenIn) -> Vec<Promise> {
    let TakenIn { figures, ledger, .. } = taken;
    let accepted = u64::try_from(ledger.accepted).unwrap_or(0);
    vec![
        Promise {
            text: "every delivery is durable, and once",
            kept: accepted == n_deliveries && ledger.drift == 0 && figures.deliveries == n_deliveries,
            found: format!("{n_deliveries} written, {accepted} in the database, drift {}", ledger.drift),
        },
        Promise {
            text: "no job is refused",
            kept: figures.dead == 0 && n_jobs <= figures.jobs,
            found: format!("{n_jobs} written, {} admitted, {} dead", figures.jobs, figures.dead),
        },
    ]
}

impl IntakeReport {
    fn new(plan: &Plan, queue: &KafkaConfig, n_jobs: u64, taken: &TakenIn) -> Self {
        let seconds = |time: Duration| (time.as_secs_f64() * 1_000.0).round() / 1_000.0;
        let rate = plan.n_recipients as f64 / taken.busy.as_secs_f64().max(0.001);
        Self {
            deliveries: plan.n_recipients,
            jobs: n_jobs,
            sessions: plan.n_sessions,
            partitions: queue.partitions.get(),
            deliveries_per_second: (rate * 10.0).round() / 10.0,
            busy_seconds: seconds(taken.busy),
            elapsed_seconds: seconds(taken.elapsed),
            cpu_seconds_per_1000: CpuReport::new(taken.cpu, plan.n_recipients),
            peak_rss_bytes: taken.peak_rss_bytes,
        }
    }

    /// Writes the page for people.
    #[must_use]
    pub fn to_page(&self, promises: &[Promise]) -> String {
        let mut page = format!(
            "{} deliveries in {} jobs for {} sessions over {} partitions\n\
             {:.1} deliveries a second became durable, {:.1} s; {:.1} s from the start of the process; daemon held at \
             most {} MB\n\n",
            self.deliveries,
            self.jobs,
            self.sessions,
            self.partitions,
            self.deliveries_per_second,
            self.busy_seconds,
            self.elapsed_seconds,
            self.peak_rss_bytes / 1_000_000,
        );
        page.extend(promises.iter().map(|promise| format!("{promise}\n")));
        page + &self.cpu_seconds_per_1000.to_line("deliveries")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_hold_every_delivery_once_and_take_the_sessions_in_turn() {
        let sessions = [SessionId::generate(), SessionId::generate()];
        let jobs: Vec<Job> = jobs(TenantId::generate(), &sessions, 1_001, 400).collect();
        let sizes: Vec<usize> = jobs.iter().map(|job| job.deliveries.len()).collect();
        assert_eq!(sizes, [400, 400, 201]);
        let [first, second, third] = [0, 1, 2].map(|place| jobs[place].session_id);
        assert_eq!([first, second, third], [sessions[0], sessions[1], sessions[0]]);
        let mut recipients: Vec<_> = jobs.iter().flat_map(|job| &job.deliveries).map(|one| one.to.as_str()).collect();
        recipients.sort_unstable();
        recipients.dedup();
        assert_eq!(recipients.len(), 1_001);
        for job in jobs {
            assert_eq!(Job::decode(&job.encode().expect("JSON")).expect("a job"), job);
        }
    }

    #[test]
    fn a_delivery_that_is_missing_or_there_twice_breaks_the_promise() {
        let broken = |deliveries, accepted, drift, dead| {
            let mut taken = TakenIn::default();
            (taken.figures.deliveries, taken.figures.jobs, taken.figures.dead) = (deliveries, 3, dead);
            (taken.ledger.accepted, taken.ledger.drift) = (accepted, drift);
            promises(1_000, 3, &taken).iter().filter(|promise| !promise.kept).count()
        };
        assert_eq!(broken(1_000, 1_000, 0, 0), 0);
        for (deliveries, accepted, drift, dead) in
            [(999, 1_000, 0, 0), (1_000, 999, 0, 0), (1_000, 1_000, 1, 0), (1_000, 1_000, 0, 1)]
        {
            assert_eq!(broken(deliveries, accepted, drift, dead), 1);
        }
    }
}
