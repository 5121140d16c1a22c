//! Watches a daemon take in what lies on its topic, until all of it is durable.
//!
//! Writes no jobs; they lie there before the daemon starts. Its sessions are not connected, so nothing is sent.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

use super::Plan;
use super::observed::{CpuTimes, IntakeFigures, LedgerCount};
use super::stack::{Stack, StackPlan};

/// Time between two looks at the counters.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// How long the counters may stand still before the run is given up; joining the group is in it.
const STALLED_AFTER: Duration = Duration::from_secs(120);

/// What was seen while everything was taken in.
#[derive(Debug, Clone, Copy, Default)]
pub struct TakenIn {
    /// The daemon's counters at the end.
    pub figures: IntakeFigures,
    /// Deliveries in the database at the end, by a count of all rows, and how many the counters miss.
    pub ledger: LedgerCount,
    /// From the last look at which nothing was durable until all was.
    pub busy: Duration,
    /// From the start of the process until all was durable; joining the group is in it.
    pub elapsed: Duration,
    /// Processor time while it was busy.
    pub cpu: CpuTimes,
    /// The most memory the daemon held, bytes.
    pub peak_rss_bytes: u64,
}

/// Starts a daemon and waits until it has taken in the plan's recipients; none when `asked` to stop came first.
///
/// # Errors
/// When a process does not start or ends early, or when nothing moves for two minutes; the text names the log.
pub async fn watch_intake(plan: &Plan, asked: impl Future<Output = ()>) -> anyhow::Result<Option<TakenIn>> {
    let mut asked = std::pin::pin!(asked);
    let stack_plan = StackPlan::new(plan)?;
    let began = Instant::now();
    let mut stack = tokio::select! {
        started = Stack::start(&stack_plan) => started?,
        () = &mut asked => return Ok(None),
    };
    let watched = tokio::select! {
        watched = watch(plan, &mut stack, began) => Some(watched),
        () = asked => None,
    };
    let Some(watched) = watched else {
        stack.kill().await;
        return Ok(None);
    };
    let watched = watched.with_context(|| stack.where_the_logs_are());
    stack.stop().await;
    watched.map(Some)
}

async fn watch(plan: &Plan, stack: &mut Stack, began: Instant) -> anyhow::Result<TakenIn> {
    // Whatever was done before the first look counts as done since the start: the rate is never flattered.
    let (mut idle_until, mut cpu_before) = (began, CpuTimes::default());
    let (mut last, mut moved_at) = (IntakeFigures::default(), Instant::now());
    loop {
        let (looked_at, cpu) = (Instant::now(), stack.cpu_times(plan.database_pid));
        let figures = IntakeFigures::read(&stack.admin).await?;
        if figures.n_taken() == 0 {
            (idle_until, cpu_before) = (looked_at, cpu);
        }
        if plan.n_recipients <= figures.n_taken() {
            let (busy, elapsed) = (idle_until.elapsed(), began.elapsed());
            let cpu = stack.cpu_times(plan.database_pid).since(&cpu_before);
            let ledger = LedgerCount::read(&stack.admin).await?;
            let peak_rss_bytes = stack.observe_daemon().await?.peak_rss_bytes;
            return Ok(TakenIn { figures, ledger, busy, elapsed, cpu, peak_rss_bytes });
        }
        stack.fail_if_ended()?;
        if 0 < figures.dead {
            bail!("the daemon refused {} of the jobs", figures.dead);
        }
        if figures != last {
            (last, moved_at) = (figures, Instant::now());
        }
        if STALLED_AFTER <= moved_at.elapsed() {
            bail!("nothing moved for {} s; the last counters: {last:?}", STALLED_AFTER.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
