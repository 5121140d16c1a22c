//! What is seen from outside: the provider's ledger, the daemon's metrics, memory and processor time.

use std::time::Duration;

use anyhow::Context;
use reqwest::Response;
use serde::Deserialize;

/// Ticks of a second in `/proc`; the kernel's interface has had 100 on every machine for decades.
const TICKS_PER_SECOND: f64 = 100.0;

/// The provider's ledger, judged by the pace of the sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Requests that arrived.
    pub received: u64,
    /// Those it took responsibility for.
    pub accepted: u64,
    /// Different messages among all requests.
    pub distinct: u64,
    /// Acceptances beyond the first of the same message.
    pub duplicates: u64,
    /// Requests it could not put down.
    pub unrecorded: u64,
    /// Arrivals that came earlier than the pace allows.
    pub pace_violations: u64,
    /// First arrival, UTC milliseconds.
    pub first_at_ms: Option<u64>,
    /// Last arrival.
    pub last_at_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    receipts_waiting: u64,
}

/// The daemon's own figures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DaemonFigures {
    /// How far its ledger is off.
    pub ledger_drift: i64,
    /// How late half of the attempts began, at most; milliseconds.
    pub lateness_p50_ms: f64,
    /// How late all but a hundredth of them began, at most; milliseconds.
    pub lateness_p99_ms: f64,
    /// The most memory it ever held, bytes.
    pub peak_rss_bytes: u64,
}

/// What the daemon counted of its intake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IntakeFigures {
    /// Jobs admitted.
    pub jobs: u64,
    /// Deliveries that became durable.
    pub deliveries: u64,
    /// Deliveries that were there already.
    pub duplicates: u64,
    /// Jobs that were refused.
    pub dead: u64,
}

/// The daemon's own count of all rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct LedgerCount {
    /// Deliveries ever accepted.
    pub accepted: i64,
    /// How many deliveries counters and rows disagree about.
    pub drift: i64,
}

/// Processor time of the processes, seconds since their start; none where it can not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CpuTimes {
    /// The daemon's.
    pub daemon: Option<f64>,
    /// The database server's with all its processes; none when it is inside the daemon or elsewhere.
    pub database: Option<f64>,
    /// The simulator's.
    pub simulator: Option<f64>,
}

impl Ledger {
    /// Reads the ledger of a simulator.
    pub(super) async fn read(simulator: &str, rate_per_second: f64) -> anyhow::Result<Self> {
        ask(&format!("{simulator}/ledger?ratePerSecond={rate_per_second}&burst=1")).await
    }

    /// Reads how many receipts the simulator has not handed over.
    pub(super) async fn receipts_waiting(simulator: &str) -> anyhow::Result<u64> {
        let waiting: Waiting = ask(&format!("{simulator}/ledger")).await?;
        Ok(waiting.receipts_waiting)
    }

    /// Returns acceptances per second from the first arrival to the last.
    #[must_use]
    pub fn sends_per_second(&self) -> f64 {
        let span_ms = self.first_at_ms.zip(self.last_at_ms).map_or(0, |(first, last)| last.saturating_sub(first));
        // A run within one millisecond counts as one millisecond.
        self.accepted as f64 / (span_ms.max(1) as f64 / 1_000.0)
    }
}

async fn ask<T: serde::de::DeserializeOwned>(url: &str) -> anyhow::Result<T> {
    let answer = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build()?.get(url).send().await;
    let answer = answer.and_then(Response::error_for_status).context("ask the provider's ledger")?;
    answer.json().await.context("read the provider's ledger")
}

async fn metrics_of(admin: &str) -> anyhow::Result<String> {
    let answer = reqwest::get(format!("{admin}/metrics")).await.and_then(Response::error_for_status);
    answer.context("ask for the daemon's metrics")?.text().await.context("read the daemon's metrics")
}

impl IntakeFigures {
    /// Reads the metrics of the admin port.
    pub(super) async fn read(admin: &str) -> anyhow::Result<Self> {
        Self::find(&metrics_of(admin).await?).context("find the counters of intake in the metrics")
    }

    fn find(text: &str) -> Option<Self> {
        let counter = |name: &str| {
            let value = sample(text, &format!("dispatcher_intake_{name}_total"))?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number, written by us"
            )]
            Some(value as u64)
        };
        Some(Self {
            jobs: counter("jobs")?,
            deliveries: counter("deliveries")?,
            duplicates: counter("duplicates")?,
            dead: counter("jobs_dead")?,
        })
    }

    /// Returns how many deliveries were taken in, those seen before among them.
    #[must_use]
    pub fn n_taken(&self) -> u64 {
        self.deliveries + self.duplicates
    }
}

impl LedgerCount {
    /// Lets the daemon count.
    pub(super) async fn read(admin: &str) -> anyhow::Result<Self> {
        let answer = reqwest::get(format!("{admin}/ledger")).await.and_then(Response::error_for_status);
        answer.context("ask for the daemon's ledger")?.json().await.context("read the daemon's ledger")
    }
}

impl DaemonFigures {
    /// Reads the metrics of the admin port, and the memory of the process.
    pub(super) async fn read(admin: &str, pid: Option<u32>) -> anyhow::Result<Self> {
        let text = metrics_of(admin).await?;
        let drift = sample(&text, "dispatcher_ledger_drift").context("find the ledger's drift in the metrics")?;
        let lateness = buckets(&text, "dispatcher_dispatch_lateness_seconds");
        Ok(Self {
            #[expect(clippy::cast_possible_truncation, reason = "a whole number, written by us")]
            ledger_drift: drift as i64,
            lateness_p50_ms: quantile(&lateness, 0.50) * 1_000.0,
            lateness_p99_ms: quantile(&lateness, 0.99) * 1_000.0,
            peak_rss_bytes: pid.and_then(peak_memory_of).unwrap_or(0),
        })
    }
}

impl CpuTimes {
    /// Returns what was used since an earlier reading.
    pub(super) fn since(&self, before: &Self) -> Self {
        let used = |now: Option<f64>, before: Option<f64>| Some((now? - before?).max(0.0));
        Self {
            daemon: used(self.daemon, before.daemon),
            database: used(self.database, before.database),
            simulator: used(self.simulator, before.simulator),
        }
    }

    /// Returns the same for every thousand of `n` messages.
    #[must_use]
    pub fn per_1000(&self, n: u64) -> Self {
        let share = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1_000.0 / n.max(1) as f64);
        Self { daemon: share(self.daemon), database: share(self.database), simulator: share(self.simulator) }
    }
}

/// Finds the value of a metric without labels.
fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Finds the buckets of a histogram without labels: upper bound in its unit, observations up to it.
fn buckets(text: &str, name: &str) -> Vec<(f64, f64)> {
    let bucket = |line: &str| {
        let rest = line.strip_prefix(name)?.strip_prefix("_bucket{le=\"")?;
        let (bound, count) = rest.split_once("\"} ")?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        Some((bound, count.trim().parse().ok()?))
    };
    text.lines().filter_map(bucket).collect()
}

/// Estimates a quantile as Prometheus does: straight inside a bucket, and the last bound beyond it.
fn quantile(buckets: &[(f64, f64)], q: f64) -> f64 {
    let n_observed = buckets.last().map_or(0.0, |bucket| bucket.1);
    let rank = q * n_observed;
    let (mut lower, mut n_before) = (0.0, 0.0);
    for &(upper, n_until) in buckets {
        if 0.0 < n_until && rank <= n_until {
            let within = if n_before < n_until { (rank - n_before) / (n_until - n_before) } else { 0.0 };
            return if upper.is_finite() { lower + (upper - lower) * within } else { lower };
        }
        (lower, n_before) = (upper, n_until);
    }
    0.0
}

fn peak_memory_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    kilobytes.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// One line of `/proc/PID/stat`.
#[derive(Debug, PartialEq)]
struct ProcessStat {
    parent: u32,
    own_seconds: f64,
    ended_children_seconds: f64,
}

/// Reads the processor time of one process, with that of its threads.
pub(super) fn cpu_of_process(pid: u32) -> Option<f64> {
    stat_of(pid).map(|stat| stat.own_seconds)
}

/// Reads the processor time of a process, of its children, and of its children that have ended.
pub(super) fn cpu_of_tree(pid: u32) -> Option<f64> {
    let root = stat_of(pid)?;
    let pids = std::fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let children = pids.filter_map(stat_of).filter(|stat| stat.parent == pid).map(|stat| stat.own_seconds);
    Some(root.own_seconds + root.ended_children_seconds + children.sum::<f64>())
}

/// Returns the parent of a process of this machine, when it is called `name`.
#[must_use]
pub fn parent_of(pid: u32, name: &str) -> Option<u32> {
    let called = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (called.trim() == name).then(|| stat_of(pid)).flatten().map(|stat| stat.parent)
}

fn stat_of(pid: u32) -> Option<ProcessStat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields by their number in proc(5): 4 parent, 14 and 15 own time, 16 and 17 that of ended children.
fn parse_stat(text: &str) -> Option<ProcessStat> {
    // The name may hold spaces and brackets; it ends at the last bracket, before field 3.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u32>().ok();
    let seconds = |a: usize, b: usize| Some((f64::from(field(a)?) + f64::from(field(b)?)) / TICKS_PER_SECOND);
    Some(ProcessStat { parent: field(4)?, own_seconds: seconds(14, 15)?, ended_children_seconds: seconds(16, 17)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_inside_their_bucket() {
        let text = "\
# TYPE x histogram
x_bucket{le=\"0.001\"} 50
x_bucket{le=\"0.002\"} 98
x_bucket{le=\"0.004\"} 100
x_bucket{le=\"+Inf\"} 100
x_sum 0.1
x_count 100
y 7
";
        let buckets = buckets(text, "x");
        assert_eq!(buckets.len(), 4);
        assert!((quantile(&buckets, 0.5) - 0.001).abs() < 1e-9);
        assert!((quantile(&buckets, 0.99) - 0.003).abs() < 1e-9);
        assert!((quantile(&[(0.5, 0.0), (f64::INFINITY, 4.0)], 0.99) - 0.5).abs() < 1e-9);
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(quantile(&[(1.0, 0.0), (f64::INFINITY, 0.0)], 0.5), 0.0);
        assert_eq!(sample(text, "y"), Some(7.0));
        assert_eq!(sample(text, "x"), None);
    }

    #[test]
    fn counters_of_intake_are_found_by_their_whole_name() {
        let metrics = crate::telemetry::metrics::Metrics::new().expect("names are unique");
        metrics.intake.jobs.inc_by(3);
        metrics.intake.jobs_dead.inc();
        metrics.intake.deliveries.inc_by(1_200);
        metrics.intake.duplicates.inc_by(7);
        let text = String::from_utf8(metrics.encode().expect("consistent")).expect("text");
        let expected = IntakeFigures { jobs: 3, deliveries: 1_200, duplicates: 7, dead: 1 };
        assert_eq!(IntakeFigures::find(&text), Some(expected));
        assert_eq!(expected.n_taken(), 1_207);
        assert_eq!(IntakeFigures::find("dispatcher_intake_jobs_total 1\n"), None);
    }

    #[test]
    fn process_lines_are_read_whatever_the_name() {
        let line = "42 (post (gres) 1) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 1000 25 20 0 1 0 99 1 2";
        let expected = ProcessStat { parent: 7, own_seconds: 2.0, ended_children_seconds: 10.25 };
        assert_eq!(parse_stat(line), Some(expected));
        assert_eq!(parse_stat("42 (x) S 7"), None);
    }

    #[test]
    fn our_own_process_is_there() {
        let pid = std::process::id();
        assert!(cpu_of_process(pid).is_some() && cpu_of_tree(pid).is_some());
        assert!(peak_memory_of(pid).is_some_and(|bytes| 1_000_000 < bytes));
        assert_eq!(parent_of(pid, "no such name"), None);
    }

    #[test]
    fn rates_are_by_the_ledgers_own_times() {
        let ledger = Ledger { accepted: 500, first_at_ms: Some(1_000), last_at_ms: Some(1_250), ..Ledger::default() };
        assert!((ledger.sends_per_second() - 2_000.0).abs() < 1e-9);
        assert_eq!(Ledger::default().sends_per_second(), 0.0);
    }

    #[test]
    fn shares_are_per_thousand_and_unknown_stays_unknown() {
        let before = CpuTimes { daemon: Some(1.0), database: None, simulator: Some(2.0) };
        let after = CpuTimes { daemon: Some(3.0), database: Some(9.0), simulator: Some(2.0) };
        let share = after.since(&before).per_1000(4_000);
        assert_eq!(share, CpuTimes { daemon: Some(0.5), database: None, simulator: Some(0.0) });
    }
}
