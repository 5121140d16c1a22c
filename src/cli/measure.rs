//! The commands `demo` and `bench`: a run, its figures, and what stays of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::queue::{QueueArgs, RunTopics};
use super::signals::Signals;
use super::simulate::read_faults;
use super::{Failure, Outcome, block_on, print};
use crate::bench::intake::JobSizes;
use crate::demo::{Finished, Plan, Promise, Report};
use crate::{bench, demo};

/// Sends per second of all sessions together when no rate is given.
const RATE_OF_ALL_PER_SECOND: f64 = 2_000.0;

/// Slowest pace of a session when no rate is given.
const RATE_PER_SECOND_MIN: f64 = 0.5;

/// Fastest pace of a session, sends per second: the provider's own ceiling.
const RATE_PER_SECOND_MAX: f64 = 1_000.0;

/// Runs a whole campaign on this machine and checks every promise against the provider's ledger.
///
/// Starts a simulated provider and the daemon with SQLite as processes of their own on free ports, and does
/// over the REST API what any client would: registers, makes and connects sessions, uploads the recipients as
/// CSV, starts the campaign. When every message has come to its end, the report compares our counters with the
/// provider's own ledger. Exit code 1 when a promise is broken. Progress goes to standard error, the report to
/// standard output.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dispatcher demo
  dispatcher demo --recipients 200000 --sessions 1000
  dispatcher demo --faults tests/faults/five_percent.toml --json
  dispatcher demo --queue kafka --brokers 127.0.0.1:9092
  dispatcher demo --serve --data-dir /tmp/demo")]
pub(super) struct DemoArgs {
    /// How many made-up recipients the campaign has.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    recipients: u64,
    /// How many sessions send it.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// Sends per second of each session, up to 1,000 [default: 2000 divided by the sessions, at least 0.5]
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// What goes wrong at the provider, as TOML.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Where settings, logs and the database go [default: a temporary folder, removed when all went well]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Stays up afterwards and prints the addresses; Ctrl-C stops everything.
    #[arg(long)]
    serve: bool,
    #[command(flatten)]
    queue: QueueArgs,
    /// Prints the report as exactly one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures sends per second and processor time per 1,000 messages.
///
/// Runs the demo flat out and also reports the processor time of daemon, database and simulator for every 1,000
/// messages. With PostgreSQL it makes a database of its own on the server and drops it afterwards; the server's
/// processor time is counted when it runs on this machine.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dispatcher bench --store postgres://postgres@127.0.0.1/postgres --sessions 1000 --messages 200000
  dispatcher bench --sessions 20 --messages 50000 --provider-latency 60 --json
  dispatcher bench --queue kafka --brokers 127.0.0.1:9092 --intake --messages 200000")]
pub(super) struct BenchArgs {
    /// postgres://USER@HOST/DATABASE of a user who may create databases, or sqlite:PATH of a new file
    /// [default: SQLite in a temporary folder]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// How many sessions send.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// How many messages.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    messages: u64,
    /// Sends per second of each session, up to 1,000.
    #[arg(long, value_name = "PER_SECOND", default_value_t = RATE_PER_SECOND_MAX, value_parser = rate)]
    rate: f64,
    /// Milliseconds that the provider takes for each answer.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    provider_latency: u64,
    /// Process id of the database server [default: found out when it runs on this machine]
    #[arg(long, value_name = "PID", env = "DISPATCHER_BENCH_DATABASE_PID", hide_env = true)]
    database_pid: Option<u32>,
    #[command(flatten)]
    queue: QueueArgs,
    /// Measures instead how fast jobs that lie on the topic become durable; nothing is sent. Needs --queue kafka.
    #[arg(long, conflicts_with_all = ["rate", "provider_latency"])]
    intake: bool,
    /// How many deliveries each of those jobs has.
    #[arg(long, value_name = "NUMBER", default_value_t = 400, requires = "intake",
        value_parser = clap::value_parser!(u64).range(1..=500))]
    per_job: u64,
    /// Prints the report as exactly one JSON object.
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let range = 0.001..=RATE_PER_SECOND_MAX;
    let rate = text.parse().ok().filter(|rate| range.contains(rate));
    rate.ok_or_else(|| format!("must be between {} and {}", range.start(), range.end()))
}

impl DemoArgs {
    pub(super) fn run(self) -> Outcome {
        if let Some(path) = &self.faults {
            read_faults(path)?;
        }
        self.queue.check()?;
        let folder = Folder::prepare(self.data_dir.as_deref())?;
        block_on(Box::pin(self.demonstrate(folder)))?
    }

    fn plan(&self, folder: &Path, topics: &RunTopics) -> Plan {
        let fair_share =
            (RATE_OF_ALL_PER_SECOND / f64::from(self.sessions)).clamp(RATE_PER_SECOND_MIN, RATE_PER_SECOND_MAX);
        Plan {
            n_recipients: self.recipients,
            n_sessions: self.sessions,
            rate_per_second: self.rate.unwrap_or(fair_share),
            faults: self.faults.clone(),
            provider_latency: None,
            folder: folder.to_owned(),
            store_url: None,
            database_pid: None,
            queue: topics.config(),
            usual_ports: self.serve,
        }
    }

    async fn demonstrate(self, folder: Folder) -> Outcome {
        let signals = Signals::listen()?;
        let topics = self.queue.topics().await?;
        let plan = self.plan(folder.path(), &topics);
        let outcome = Box::pin(self.carry_out(plan, folder, signals)).await;
        topics.delete_after(outcome).await
    }

    async fn carry_out(self, plan: Plan, folder: Folder, mut signals: Signals) -> Outcome {
        let finished = match demo::carry_out(&plan, signals.asked()).await {
            Ok(Some(finished)) => finished,
            Ok(None) => return Err(interrupted()),
            Err(problem) => {
                folder.keep();
                return Err(problem.into());
            }
        };
        let (report, promises) = (Report::from(&finished.facts), finished.promises());
        show(self.json, &report, || report.to_page(&promises))?;
        let broken = tell_broken(&promises, self.json);
        let stayed = if self.serve { stay(finished, &mut signals).await } else { leave(finished).await };
        if broken.is_err() || stayed.is_err() {
            folder.keep();
        }
        stayed.and(broken)
    }
}

impl BenchArgs {
    pub(super) fn run(self) -> Outcome {
        self.queue.check()?;
        if self.intake && !self.queue.is_kafka() {
            return Err(Failure::Usage("--intake measures the way from Kafka: add --queue kafka".to_owned()));
        }
        let folder = Folder::prepare(None)?;
        block_on(Box::pin(self.measure(folder)))?
    }

    fn plan(&self, folder: &Path, topics: &RunTopics) -> Plan {
        Plan {
            n_recipients: self.messages,
            n_sessions: self.sessions,
            rate_per_second: self.rate,
            faults: None,
            provider_latency: Some(Duration::from_millis(self.provider_latency)),
            folder: folder.to_owned(),
            store_url: self.store.clone(),
            database_pid: self.database_pid,
            queue: topics.config(),
            usual_ports: false,
        }
    }

    async fn measure(self, folder: Folder) -> Outcome {
        let signals = Signals::listen()?;
        let topics = self.queue.topics().await?;
        let plan = self.plan(folder.path(), &topics);
        let measured = if self.intake {
            Box::pin(self.measure_intake(plan, signals)).await
        } else {
            Box::pin(self.measure_all(plan, signals)).await
        };
        if matches!(&measured, Err(Ended::Unexplained(_))) {
            folder.keep();
        }
        topics.delete_after(measured.map_err(Ended::into_failure)).await
    }

    async fn measure_all(&self, plan: Plan, mut signals: Signals) -> Result<(), Ended> {
        let benched = bench::run(plan, signals.asked()).await.map_err(Ended::failed)?.ok_or(Ended::Interrupted)?;
        show(self.json, &benched.report, || benched.report.to_page(&benched.promises)).map_err(Ended::Told)?;
        tell_broken(&benched.promises, self.json).map_err(Ended::Unexplained)
    }

    async fn measure_intake(&self, plan: Plan, mut signals: Signals) -> Result<(), Ended> {
        let sizes = JobSizes { deliveries_per_job: usize::try_from(self.per_job).unwrap_or(1) };
        let benched = bench::intake::run(plan, sizes, signals.asked()).await;
        let benched = benched.map_err(Ended::failed)?.ok_or(Ended::Interrupted)?;
        show(self.json, &benched.report, || benched.report.to_page(&benched.promises)).map_err(Ended::Told)?;
        tell_broken(&benched.promises, self.json).map_err(Ended::Unexplained)
    }
}

/// How a bench ended when it did not end well.
#[derive(Debug)]
enum Ended {
    /// The folder explains it.
    Unexplained(Failure),
    /// There is nothing to look for.
    Told(Failure),
    /// Somebody asked to stop.
    Interrupted,
}

impl Ended {
    fn failed(problem: anyhow::Error) -> Self {
        Self::Unexplained(problem.into())
    }

    fn into_failure(self) -> Failure {
        match self {
            Self::Unexplained(failure) | Self::Told(failure) => failure,
            Self::Interrupted => interrupted(),
        }
    }
}

/// The folder of a run; a temporary one goes away unless it is kept.
#[derive(Debug)]
enum Folder {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn prepare(given: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = given else {
            let folder = tempfile::Builder::new().prefix("dispatcher-").tempdir();
            return Ok(Self::Temporary(folder.context("make a temporary folder")?));
        };
        std::fs::create_dir_all(path).with_context(|| format!("make the folder {}", path.display()))?;
        Ok(Self::Given(path.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// Keeps it, and says where it is: something in it explains what went wrong.
    fn keep(self) {
        let path = match self {
            Self::Given(path) => path,
            Self::Temporary(folder) => folder.keep(),
        };
        eprintln!("settings, logs and data are kept in {}", path.display());
    }
}

fn show(json: bool, report: &impl serde::Serialize, page: impl FnOnce() -> String) -> Outcome {
    if json {
        let text = serde_json::to_string(report).context("write the report")?;
        return print(format!("{text}\n").as_bytes());
    }
    print(page().as_bytes())
}

/// Fails when a promise is broken; says which where the report does not.
fn tell_broken(promises: &[Promise], json: bool) -> Outcome {
    let broken: Vec<&Promise> = promises.iter().filter(|promise| !promise.kept).collect();
    for promise in broken.iter().filter(|_| json) {
        eprintln!("{promise}");
    }
    if broken.is_empty() { Ok(()) } else { Err(Failure::Broken) }
}

/// Stays up until somebody asks to stop, or a process ends by itself.
async fn stay(mut finished: Finished, signals: &mut Signals) -> Outcome {
    eprint!("\n{}", finished.addresses());
    let ended = tokio::select! {
        ended = finished.until_a_process_ends() => Some(ended),
        () = signals.asked() => None,
    };
    match ended {
        Some(problem) => Err(problem.into()),
        None => leave(finished).await,
    }
}

async fn leave(finished: Finished) -> Outcome {
    finished.stop().await;
    Ok(())
}

fn interrupted() -> Failure {
    Failure::Failed(anyhow::anyhow!("interrupted"))
}
