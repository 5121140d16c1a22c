//! Measures what a message costs: the demo's run, flat out, with the processor time of every process apart.
//!
//! The database is a fresh one on the given server, dropped afterwards, so that nothing else is in its figures.

use serde::Serialize;

use crate::demo::{self, Facts, Plan, Promise, Report};
use crate::store::scratch::ScratchDatabase;

pub mod intake;

/// What was measured: the demo's fields and the processor time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BenchReport {
    /// The demo's fields.
    #[serde(flatten)]
    pub report: Report,
    /// Processor time for every 1,000 messages.
    pub cpu_seconds_per_1000: CpuReport,
}

/// Processor time in seconds, by process; null when it can not be read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CpuReport {
    /// The daemon's; with SQLite the database is in it.
    pub daemon: Option<f64>,
    /// The database server's with all its processes; null when it is inside the daemon or elsewhere.
    pub database: Option<f64>,
    /// The simulator's.
    pub simulator: Option<f64>,
}

/// What came of a bench.
#[derive(Debug, Clone)]
pub struct Benched {
    /// The figures.
    pub report: BenchReport,
    /// The promises, which hold under load too.
    pub promises: Vec<Promise>,
}

/// Runs the plan on a database of its own; none when `asked` to stop came first, and the database is dropped then too.
///
/// # Errors
/// As [`demo::carry_out`]; also when the server does not let us make a database.
pub async fn run(mut plan: Plan, asked: impl Future<Output = ()>) -> anyhow::Result<Option<Benched>> {
    let database = Database::make(&mut plan).await?;
    let measured = Box::pin(measure(&plan, asked)).await;
    database.drop().await?;
    measured
}

/// The database of one bench; none of its own with SQLite, whose file lies in the folder.
struct Database(Option<ScratchDatabase>);

impl Database {
    /// Makes it on the server that the plan names, and names it in the plan.
    async fn make(plan: &mut Plan) -> anyhow::Result<Self> {
        let Some(url) = plan.store_url.as_ref().filter(|url| url.starts_with("postgres")) else {
            return Ok(Self(None));
        };
        let scratch = ScratchDatabase::create(url).await?;
        plan.store_url = Some(scratch.url().to_owned());
        let found = scratch.backend_pid().and_then(|pid| demo::parent_of(pid, "postgres"));
        plan.database_pid = plan.database_pid.or(found);
        Ok(Self(Some(scratch)))
    }

    async fn drop(self) -> anyhow::Result<()> {
        match self.0 {
            Some(scratch) => Ok(scratch.drop().await?),
            None => Ok(()),
        }
    }
}

async fn measure(plan: &Plan, asked: impl Future<Output = ()>) -> anyhow::Result<Option<Benched>> {
    let Some(finished) = demo::carry_out(plan, asked).await? else {
        return Ok(None);
    };
    let promises = finished.promises();
    let report = BenchReport::new(&finished.facts, finished.cpu);
    finished.stop().await;
    Ok(Some(Benched { report, promises }))
}

impl BenchReport {
    /// Puts the figures together; the share is of messages, not of attempts.
    fn new(facts: &Facts, cpu: demo::CpuTimes) -> Self {
        let cpu_seconds_per_1000 = CpuReport::new(cpu, facts.n_recipients);
        Self { report: Report::from(facts), cpu_seconds_per_1000 }
    }

    /// Writes the page for people.
    #[must_use]
    pub fn to_page(&self, promises: &[Promise]) -> String {
        self.report.to_page(promises) + &self.cpu_seconds_per_1000.to_line("messages")
    }
}

impl CpuReport {
    /// Shares processor time out among `n` things.
    fn new(cpu: demo::CpuTimes, n: u64) -> Self {
        let share = cpu.per_1000(n);
        let rounded = |seconds: Option<f64>| seconds.map(|seconds| (seconds * 1e6).round() / 1e6);
        Self { daemon: rounded(share.daemon), database: rounded(share.database), simulator: rounded(share.simulator) }
    }

    /// Writes the last line of a page.
    fn to_line(self, things: &str) -> String {
        let ms = |seconds: Option<f64>| seconds.map_or("not known".to_owned(), |s| format!("{:.1} ms", s * 1_000.0));
        let (daemon, database, simulator) = (ms(self.daemon), ms(self.database), ms(self.simulator));
        format!("\nprocessor time per 1,000 {things}: daemon {daemon}, database {database}, simulator {simulator}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_stands_beside_the_demos_fields() {
        let facts = Facts { n_recipients: 2_000, n_sessions: 1, ..Facts::default() };
        let cpu = demo::CpuTimes { daemon: Some(0.1), database: None, simulator: Some(0.02) };
        let json = serde_json::to_string(&BenchReport::new(&facts, cpu)).expect("JSON");
        assert!(json.starts_with("{\"recipients\":2000,\"sessions\":1,\"accepted\":0,"), "{json}");
        let cpu = "\"cpuSecondsPer1000\":{\"daemon\":0.05,\"database\":null,\"simulator\":0.01}}";
        assert!(json.ends_with(cpu), "{json}");
    }
}
