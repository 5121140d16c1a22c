//! A whole campaign on one machine: simulator and daemon as processes of their own, everything over the REST
//! API, and a report that the provider's own ledger proves.
//!
//! The way of one run: [`stack`] starts both processes, [`client`] registers, makes sessions and campaigns and
//! uploads [`recipients`], [`progress`] shows what happens, [`observed`] reads metrics and processor time from
//! outside, [`report`] puts the figures together and [`promises`] judges them. Shares no state with the daemon.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::config::KafkaConfig;
use client::Client;
use progress::Progress;
use stack::{Stack, StackPlan};

pub use client::Stats;
pub use intake::{TakenIn, watch_intake};
pub use observed::{CpuTimes, DaemonFigures, IntakeFigures, Ledger, LedgerCount, parent_of};
pub use promises::Promise;
pub use recipients::phone;
pub use report::{Facts, Report};

mod child;
mod client;
mod intake;
mod observed;
mod progress;
mod promises;
mod recipients;
mod report;
mod stack;

/// Time between two looks at the counters.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the counters must stand still after the last receipt was handed over.
const QUIET_FOR: Duration = Duration::from_secs(2);

/// How long the counters may stand still with receipts on their way, or before the end.
const STALLED_AFTER: Duration = Duration::from_secs(600);

/// Looks at the counters that may fail in a row before the run is given up: 10 s.
const FAILED_LOOKS_MAX: u32 = 40;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Recipients of the campaign.
    pub n_recipients: u64,
    /// Sessions that send it.
    pub n_sessions: u32,
    /// Sends per second of each session.
    pub rate_per_second: f64,
    /// What goes wrong at the provider, as a file.
    pub faults: Option<PathBuf>,
    /// How long the provider takes for each answer, whatever the file says.
    pub provider_latency: Option<Duration>,
    /// The folder of settings, logs and the database; must be there.
    pub folder: PathBuf,
    /// The database; an SQLite file in the folder when none is named.
    pub store_url: Option<String>,
    /// The database's server when it runs on this machine, to count its processor time.
    pub database_pid: Option<u32>,
    /// The topics that jobs go through; straight into intake when there are none.
    pub queue: Option<KafkaConfig>,
    /// Asks for the documented ports first, for people who stay.
    pub usual_ports: bool,
}

/// A run that came to its end; the processes go on until it is dropped or stopped.
#[derive(Debug)]
pub struct Finished {
    /// The figures.
    pub facts: Facts,
    /// Processor time from the campaign's start to its end.
    pub cpu: CpuTimes,
    stack: Stack,
    login: Login,
}

/// How a person gets in afterwards.
#[derive(Debug, Clone)]
struct Login {
    email: String,
    password: String,
}

/// Runs the plan; none when `asked` to stop came first, and both processes are gone then.
///
/// # Errors
/// When a process does not start or ends early, when the API refuses something, or when nothing moves for ten
/// minutes; the text names the log to look into.
pub async fn carry_out(plan: &Plan, asked: impl Future<Output = ()>) -> anyhow::Result<Option<Finished>> {
    let mut asked = std::pin::pin!(asked);
    let progress = Progress::new(plan.n_recipients);
    progress.say("starting the simulator and the daemon");
    let stack_plan = StackPlan::new(plan)?;
    let mut stack = tokio::select! {
        started = Stack::start(&stack_plan) => started?,
        () = &mut asked => return Ok(None),
    };
    let ended = tokio::select! {
        ended = run_campaign(plan, &mut stack, &progress) => Some(ended),
        () = asked => None,
    };
    progress.finish();
    match ended {
        Some(Ok((facts, cpu, login))) => Ok(Some(Finished { facts, cpu, stack, login })),
        Some(Err(problem)) => Err(problem.context(stack.where_the_logs_are())),
        None => {
            stack.kill().await;
            Ok(None)
        }
    }
}

async fn run_campaign(plan: &Plan, stack: &mut Stack, progress: &Progress) -> anyhow::Result<(Facts, CpuTimes, Login)> {
    let login = Login {
        email: format!("demo-{}@example.com", uuid::Uuid::new_v4().simple()),
        password: uuid::Uuid::new_v4().simple().to_string(),
    };
    let client = Client::register(&stack.api, &login.email, &login.password).await.context("register")?;
    progress.say(&format!("making and connecting {} sessions", plan.n_sessions));
    let sessions = client.connect_sessions(plan.n_sessions, plan.rate_per_second).await?;
    progress.say(&format!("uploading {} recipients", plan.n_recipients));
    let campaigns = client.make_campaigns(&sessions, plan.n_recipients).await?;
    let imported = campaigns.iter().map(|campaign| campaign.n_imported).sum();
    let ids: Vec<String> = campaigns.into_iter().map(|campaign| campaign.id).collect();
    let before = stack.cpu_times(plan.database_pid);
    let began = Instant::now();
    for id in &ids {
        client.start(id).await?;
    }
    progress.say("sending");
    let (stats, elapsed) = Box::pin(follow(plan, stack, &client, &ids, progress)).await?;
    let cpu = stack.cpu_times(plan.database_pid).since(&before);
    let ledger = Ledger::read(&stack.simulator, plan.rate_per_second).await?;
    let daemon = stack.observe_daemon().await?;
    let elapsed = elapsed.unwrap_or_else(|| began.elapsed());
    let facts = Facts {
        n_recipients: plan.n_recipients,
        n_sessions: plan.n_sessions,
        imported,
        stats,
        ledger,
        daemon,
        elapsed,
    };
    Ok((facts, cpu, login))
}

/// Watches until everything is settled and the receipts are through; also tells when the last message was settled.
async fn follow(
    plan: &Plan,
    stack: &mut Stack,
    client: &Client,
    ids: &[String],
    progress: &Progress,
) -> anyhow::Result<(Stats, Option<Duration>)> {
    let began = Instant::now();
    let paced = plan.n_recipients as f64 / (f64::from(plan.n_sessions) * plan.rate_per_second);
    let deadline = began + Duration::from_secs_f64(paced * 3.0) + Duration::from_secs(3_600);
    let (mut last, mut moved_at, mut settled_after, mut failed_looks) = (Stats::default(), began, None, 0);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        stack.fail_if_ended()?;
        let stats = match client.stats(ids).await {
            Ok(stats) => stats,
            Err(problem) if failed_looks == FAILED_LOOKS_MAX => return Err(problem),
            Err(_) => {
                failed_looks += 1;
                continue;
            }
        };
        failed_looks = 0;
        progress.show(&stats);
        if stats != last {
            (last, moved_at) = (stats, Instant::now());
        }
        if stats.is_over() && settled_after.is_none() {
            settled_after = Some(began.elapsed());
        }
        let quiet = QUIET_FOR <= moved_at.elapsed();
        if stats.is_over() && (stats.nothing_can_move() || quiet && receipts_are_through(stack).await) {
            return Ok((stats, settled_after));
        }
        if STALLED_AFTER <= moved_at.elapsed() || deadline <= Instant::now() {
            bail!("nothing moved for {} s; the last counters: {stats:?}", moved_at.elapsed().as_secs());
        }
    }
}

/// Tells whether the provider has handed over all its receipts; one that does not say has not.
async fn receipts_are_through(stack: &Stack) -> bool {
    Ledger::receipts_waiting(&stack.simulator).await.is_ok_and(|n| n == 0)
}

impl Finished {
    /// Returns the promises, each kept or broken.
    #[must_use]
    pub fn promises(&self) -> Vec<Promise> {
        promises::check(&self.facts)
    }

    /// Says where everything answers and how to get in, for people who stay.
    #[must_use]
    pub fn addresses(&self) -> String {
        let Stack { api, admin, simulator, .. } = &self.stack;
        let Login { email, password } = &self.login;
        format!(
            "API         {api}/api/v1\n\
             Swagger UI  {api}/api/docs\n\
             metrics     {admin}/metrics\n\
             ledger      {simulator}/ledger\n\
             log in with email {email} and password {password}\n\
             data, settings and logs are in {}\n\
             Ctrl-C stops everything\n",
            self.stack.folder.display(),
        )
    }

    /// Waits until one of the processes ends.
    ///
    /// # Errors
    /// Always: they should not.
    pub async fn until_a_process_ends(&mut self) -> anyhow::Error {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(ended) = self.stack.fail_if_ended() {
                return ended.context(self.stack.where_the_logs_are());
            }
        }
    }

    /// Lets both processes finish, and ends them when they do not.
    pub async fn stop(self) {
        self.stack.stop().await;
    }
}
