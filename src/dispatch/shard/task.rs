//! Runs one shard: waits for what happens, lets the scheduler decide, carries out.
//!
//! Contains no rule. Ends when it is drained, or when its deadline for that has passed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Moment};
use crate::dispatch::journal::{Beginning, Entry, JournalSender, Reply};
use crate::dispatch::lane::step::Dismissed;
use crate::dispatch::lane::task::Sender;
use crate::dispatch::lane::work::Work;
use crate::dispatch::lead::Lead;
use crate::dispatch::shard::loader::Loads;
use crate::dispatch::shard::output::{Begin, Dismissal, End, Output, Release, SettledBelow};
use crate::dispatch::shard::state::Shard;
use crate::dispatch::shard::{Command, Report, Withdrawal};
use crate::domain::delivery::DeliveryEvent;
use crate::domain::failure::Reason;
use crate::domain::held_by::HeldBy;
use crate::domain::id::SessionId;
use crate::domain::partition::PartitionNo;
use crate::domain::session::SessionEvent;
use crate::store::journal::{self, Ended, StreamSave};
use crate::telemetry::metrics::Metrics;

/// Reports taken in one round, at most: rounds stay short, so timers stay exact.
const REPORTS_PER_ROUND: usize = 512;

/// Longest sleep: a shard without timers still publishes its gauges.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// One shard with everything it talks to.
pub struct ShardTask {
    /// Its place among the shards.
    pub index: usize,
    /// The scheduler.
    pub shard: Shard,
    /// The time.
    pub clock: Clock,
    /// How far ahead attempts are written.
    pub lead: Lead,
    /// What comes back.
    pub reports: mpsc::Receiver<Report>,
    /// What is asked.
    pub commands: mpsc::Receiver<Command>,
    /// Where rows go.
    pub journal: JournalSender,
    /// Where loads go; holds one round of them.
    pub loads: mpsc::Sender<Loads>,
    /// How messages leave.
    pub sender: Sender,
    /// Sends on the wire.
    pub sends: TaskTracker,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who waits for partitions to be closed.
    pub closed: mpsc::Sender<PartitionNo>,
    /// Changes when a breaker of an account closes.
    pub closings: watch::Receiver<u64>,
    /// Who moves the states of sessions.
    pub lost: mpsc::Sender<(SessionId, SessionEvent, Reason)>,
    /// How long a drain may take.
    pub drain_deadline: Duration,
    /// Lanes of this shard that the shared gauge counts so far.
    pub n_lanes_published: i64,
    /// The same by what lanes wait for, and when that was.
    pub held_published: BTreeMap<HeldBy, i64>,
    /// When gauges were published last.
    pub published_at: Instant,
}

impl ShardTask {
    /// Runs until the shard is drained.
    pub async fn run(mut self) {
        let mut reports = Vec::with_capacity(REPORTS_PER_ROUND);
        let mut drain_until: Option<Instant> = None;
        loop {
            let now = self.clock.now();
            let mut out = Output::default();
            for report in reports.drain(..) {
                self.count(&report);
                self.shard.report(report, now, &mut out);
            }
            self.shard.run(now, self.lead.get(), &mut out);
            self.carry_out(out, now).await;
            self.ask_for_heads();
            self.publish();
            let drained = drain_until.is_some() && self.shard.n_out() == 0;
            if drained || drain_until.is_some_and(|until| until <= Instant::now()) {
                return;
            }
            let wake_at = self.wake_at(drain_until);
            tokio::select! {
                biased;
                n = self.reports.recv_many(&mut reports, REPORTS_PER_ROUND) => if n == 0 { return },
                command = self.commands.recv() => match command {
                    Some(Command::Drain) | None => {
                        drain_until.get_or_insert(Instant::now() + self.drain_deadline);
                        self.shard.command(Command::Drain, self.clock.now());
                    }
                    Some(command) => self.shard.command(command, self.clock.now()),
                },
                Ok(()) = self.closings.changed() => self.shard.look_again(),
                () = sleep_until(wake_at) => {}
            }
        }
    }

    fn count(&self, report: &Report) {
        match report {
            Report::NotSent(..) => self.metrics.dispatch.in_flight.dec(),
            Report::Finished(finished) => {
                if let Some(left_at) = finished.left_at {
                    let after = left_at.since(finished.released_at);
                    self.metrics.dispatch.pace_error_seconds.observe(after.as_secs_f64());
                }
            }
            _ => {}
        }
    }

    fn wake_at(&self, drain_until: Option<Instant>) -> Instant {
        let latest = Instant::now() + SLEEP_MAX;
        let timer = self.shard.next_wake().map_or(latest, |at| self.clock.instant_of(at));
        timer.min(latest).min(drain_until.unwrap_or(latest))
    }

    /// Lets messages go first, they are due; then writes. Only where their lanes stand is queued before.
    async fn carry_out(&mut self, out: Output, now: Moment) {
        for (save, fence) in out.lane_states {
            self.write(Entry::Lane(save, fence)).await;
        }
        for release in out.releases {
            self.release(release, now);
        }
        for end in out.ends {
            self.end(end).await;
        }
        for begin in out.begins {
            self.begin(begin, now).await;
        }
        for withdrawal in out.withdrawals {
            self.withdraw(withdrawal, now).await;
        }
        for Dismissal { session_id, fence, work, why } in out.dismissals {
            self.write(Entry::Dismiss(dismissal(&work, why, now), session_id, fence)).await;
        }
        for SettledBelow { session_id, fence, campaign_id, band, below_seq: done_below_seq } in out.settled_below {
            self.write(Entry::Stream(StreamSave { session_id, campaign_id, band, done_below_seq }, fence)).await;
        }
        for report in out.lost {
            // One that finds no place comes again with the next refusal of the session.
            self.lost.try_send(report).ok();
        }
        for partition in out.closed {
            if self.closed.send(partition).await.is_err() {
                tracing::debug!("nobody asks any more which partitions are closed");
            }
        }
    }

    fn release(&self, release: Release, now: Moment) {
        self.metrics.dispatch.lateness_seconds.observe(release.lateness.0.as_secs_f64());
        self.metrics.dispatch.in_flight.inc();
        self.sends.spawn(self.sender.clone().send(release, now));
    }

    async fn begin(&self, begin: Begin, now: Moment) {
        let Begin { lane, session_id, fence, work, content, settings_version, save } = begin;
        let row = journal::Begin {
            delivery_id: work.delivery_id,
            campaign_id: work.campaign_id,
            session_id,
            attempt_no: work.n_attempts + 1,
            started_at_ms: now.as_ms(),
            settings_version,
            recipient: work.recipient.clone(),
            pass_over: work.plan.pass_over,
        };
        let reply = Reply { shard: self.index, lane, fence };
        self.write(Entry::Begin(Box::new(Beginning { row, reply, work, content, save }))).await;
    }

    async fn end(&self, end: End) {
        self.metrics.dispatch.in_flight.dec();
        self.metrics.dispatch.count_outcome(&end.outcome);
        self.metrics.dispatch.call_seconds.observe(end.took.as_secs_f64());
        let row = journal::End {
            delivery_id: end.delivery_id,
            campaign_id: end.campaign_id,
            session_id: end.session_id,
            attempt_no: end.attempt_no,
            ended: Ended::Outcome(end.outcome),
            is_try: end.is_try,
            ended_at_ms: end.ended_at.as_ms(),
            due_at_ms: end.due_at.as_ms(),
        };
        let reply = Reply { shard: self.index, lane: end.lane, fence: end.fence };
        self.write(match end.again {
            Some(work) => Entry::PutBack(row, reply, work),
            None => Entry::End(row, reply),
        })
        .await;
    }

    async fn withdraw(&self, withdrawal: Withdrawal, now: Moment) {
        self.metrics.dispatch.withdrawn.inc();
        let Withdrawal { lane, session_id, fence, work } = withdrawal;
        let row = journal::End {
            delivery_id: work.delivery_id,
            campaign_id: work.campaign_id,
            session_id,
            attempt_no: work.n_attempts,
            ended: Ended::Withdrawn,
            is_try: false,
            ended_at_ms: now.as_ms(),
            due_at_ms: now.as_ms(),
        };
        self.write(Entry::PutBack(row, Reply { shard: self.index, lane, fence }, work)).await;
    }

    /// Hands an entry to the journal; waits when it is full, which is its back-pressure.
    async fn write(&self, entry: Entry) {
        if !self.journal.send(entry).await {
            tracing::error!("the journal ended before its shards");
        }
    }

    fn ask_for_heads(&mut self) {
        let Ok(permit) = self.loads.try_reserve() else { return };
        let mut loads = Loads::new();
        self.shard.take_loads(&mut loads);
        if !loads.is_empty() {
            permit.send(loads);
        }
    }

    fn publish(&mut self) {
        let n_lanes = i64::try_from(self.shard.n_lanes()).unwrap_or(i64::MAX);
        self.metrics.dispatch.lanes.add(n_lanes - self.n_lanes_published);
        self.n_lanes_published = n_lanes;
        let now = Instant::now();
        let passed = now.duration_since(std::mem::replace(&mut self.published_at, now)).as_secs_f64();
        for (by, n) in self.shard.held() {
            let (label, published) = (by.as_str(), self.held_published.entry(*by).or_default());
            if *published != *n {
                self.metrics.dispatch.lanes_held.of(label).add(*n - *published);
            }
            // Exact to the second: what changed in between counts as it was at the last look.
            let n_before = u32::try_from(*published).unwrap_or(0);
            if n_before != 0 {
                self.metrics.dispatch.held_seconds.of(label).inc_by(passed * f64::from(n_before));
            }
            *published = *n;
        }
    }
}

fn dismissal(work: &Work, why: Dismissed, now: Moment) -> journal::Dismissal {
    journal::Dismissal {
        delivery_id: work.delivery_id,
        campaign_id: work.campaign_id,
        event: match why {
            Dismissed::Expired => DeliveryEvent::Skipped,
            Dismissed::Unrenderable | Dismissed::PlanUsedUp | Dismissed::MarketingCap => DeliveryEvent::Rejected,
        },
        reason: why.reason(),
        class: why.class(),
        at_ms: now.as_ms(),
    }
}
