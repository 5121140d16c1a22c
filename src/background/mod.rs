//! Reconcilers: each looks at the state and moves it one step towards what is wanted.
//!
//! They take no input, are safe to repeat and to run twice at once, and are started by a beat and
//! by a nudge. A failure is logged and left to the next beat.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::background::request_log::RequestLogWriter;
use crate::clock::Clock;
use crate::dispatch::DispatchHandle;
use crate::domain::partition::PartitionNo;
use crate::error::{Error, Failures, Result, chain};
use crate::kill_point;
use crate::limits::{FAILOVER_STEPS_MAX, REQUEUE_ROWS_MAX};
use crate::notice::{Notice, Notices};
use crate::service::Services;
use crate::store::Store;
use crate::store::failover::Stranded;
use crate::telemetry::metrics::Metrics;

mod check_ledger;

mod fleet;

pub mod key_uses;

pub mod session_news;

pub mod device_events;

pub mod device_news;

mod media;

mod request_log;

mod retention;

mod webhooks;

/// How often a reconciler looks when nobody nudges.
#[derive(Debug, Clone, Copy)]
struct Beat {
    every: Duration,
    /// How many times as long as it worked it rests at least, so that it does not take over.
    rest: u32,
}

impl Beat {
    const fn seconds(seconds: u64) -> Self {
        Self { every: Duration::from_secs(seconds), rest: 20 }
    }

    /// Returns how long it rests after it worked for some time, until the next beat, and at least when it is nudged.
    fn rests_after(self, worked: Duration) -> (Duration, Duration) {
        let until_beat = self.every.max(worked * self.rest);
        (until_beat, (worked * (self.rest / 5)).min(until_beat))
    }
}

/// The beat of most.
const BEAT: Beat = Beat::seconds(2);

/// How often it is looked for campaigns whose time has come: so late they start at most where nothing is in their way.
const SCHEDULE_BEAT: Beat = Beat::seconds(1);

/// How often the rows are counted, at most; see [`check_ledger`]. While they are, the database is busy and messages are late:
/// in so little of the time that it is not seen in one message of a hundred.
const LEDGER_BEAT: Beat = Beat { every: Duration::from_secs(30), rest: 500 };

/// How often answers are forgotten that were kept for repeated requests, and tokens that have expired.
const FORGET_BEAT: Beat = Beat::seconds(60);

/// How often files are looked for that nobody needs any more.
const MEDIA_BEAT: Beat = Beat::seconds(600);

/// How often what waits for webhooks is counted, at most.
const WEBHOOK_BEAT: Beat = Beat::seconds(15);

/// Nudges, one per reconciler that has one.
#[derive(Debug, Clone, Default)]
pub struct Nudges {
    /// A campaign was cancelled and has deliveries left.
    pub cancelled: Arc<Notify>,
    /// The last open delivery of a campaign may have been settled.
    pub settled: Arc<Notify>,
    /// A campaign was completed: a good moment to check the ledger.
    pub finished: Arc<Notify>,
}

/// What the reconcilers work with; cheap to clone.
#[derive(Debug, Clone)]
pub struct Background {
    /// The database.
    pub store: Store,
    /// Rules.
    pub services: Services,
    /// The lanes.
    pub dispatch: DispatchHandle,
    /// Where the nodes are told what has changed.
    pub notices: Notices,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How long an unknown delivery waits for a receipt before its policy decides.
    pub unknown_grace: Duration,
    /// After how long an accepted delivery should have a receipt.
    pub no_receipt_after: Duration,
    /// Nudges.
    pub nudges: Nudges,
}

type Work = for<'a> fn(&'a Background) -> BoxFuture<'a, Result<()>>;

impl Background {
    /// Starts all reconcilers; they end when `stop` is cancelled.
    pub fn start(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        let Nudges { cancelled, settled, finished } = self.nudges.clone();
        let nobody = Arc::new(Notify::new());
        let reconcilers: [(&'static str, Beat, Arc<Notify>, Work); 18] = [
            ("settle cancelled campaigns", BEAT, cancelled, |background| Box::pin(background.settle_cancelled())),
            ("finish campaigns", BEAT, settled, |background| Box::pin(background.finish_campaigns())),
            ("requeue unknown deliveries", BEAT, Arc::clone(&nobody), |background| {
                Box::pin(background.requeue_unknown())
            }),
            ("end suspensions", BEAT, Arc::clone(&nobody), |background| Box::pin(background.end_suspensions())),
            ("finish what people asked", BEAT, Arc::clone(&nobody), |background| Box::pin(background.finish_recalls())),
            ("move subscriptions", BEAT, Arc::clone(&nobody), |background| Box::pin(background.move_subscriptions())),
            ("judge campaigns", BEAT, Arc::clone(&nobody), |background| Box::pin(background.judge_campaigns())),
            ("fail over", BEAT, Arc::clone(&nobody), |background| Box::pin(background.fail_over())),
            ("look for receipts", BEAT, Arc::clone(&nobody), |background| Box::pin(background.look_for_receipts())),
            ("start campaigns at their time", SCHEDULE_BEAT, Arc::clone(&nobody), |background| {
                Box::pin(background.start_due())
            }),
            ("forget removed campaigns", FORGET_BEAT, Arc::clone(&nobody), |background| {
                Box::pin(background.forget_removed())
            }),
            ("forget what was told", FORGET_BEAT, Arc::clone(&nobody), |background| Box::pin(background.forget_told())),
            ("forget what is old", FORGET_BEAT, Arc::clone(&nobody), |background| Box::pin(background.forget_old())),
            ("sweep media", MEDIA_BEAT, Arc::clone(&nobody), |background| Box::pin(background.sweep_media())),
            ("add up days", BEAT, Arc::clone(&nobody), |background| Box::pin(background.roll_up_days())),
            ("note contacts", FORGET_BEAT, Arc::clone(&nobody), |background| Box::pin(background.note_contacts())),
            ("tend webhooks", WEBHOOK_BEAT, nobody, |background| Box::pin(background.tend_webhooks())),
            ("check the ledger", LEDGER_BEAT, finished, |background| Box::pin(background.check_ledger())),
        ];
        for (doing, beat, nudge, work) in reconcilers {
            tasks.spawn(self.clone().repeat(doing, beat, nudge, (work, stop.clone())));
        }
        let writer = RequestLogWriter { requests: self.services.requests.clone() };
        tasks.spawn(writer.run(stop.clone()));
        tasks.spawn(self.clone().remove_old(stop.clone()));
        tasks.spawn(self.clone().watch_fleet(stop.clone()));
    }

    async fn repeat(
        self,
        doing: &'static str,
        beat: Beat,
        nudge: Arc<Notify>,
        (work, stop): (Work, CancellationToken),
    ) {
        let mut nudged = false;
        while !stop.is_cancelled() {
            let started_at = tokio::time::Instant::now();
            // On the beat one node looks for all: the owner of the first partition.
            let is_ours = nudged || self.dispatch.leases().of(PartitionNo::FIRST).is_some();
            if is_ours && let Err(error) = work(&self).await {
                tracing::warn!(doing, error = chain(&error), "background work failed, will try again");
            }
            let (until_beat, at_least) = beat.rests_after(started_at.elapsed());
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(until_beat) => nudged = false,
                () = nudge.notified() => {
                    nudged = true;
                    stop.run_until_cancelled(tokio::time::sleep(at_least)).await;
                }
            }
        }
    }

    /// Cancels what is left of cancelled campaigns.
    async fn settle_cancelled(&self) -> Result<()> {
        self.services.campaigns.settle_cancelled().await.map(|_| ())
    }

    /// Completes campaigns whose last delivery is settled, and closes their streams.
    async fn finish_campaigns(&self) -> Result<()> {
        let mut failures = Failures::default();
        for campaign_id in self.store.open_campaigns().await? {
            kill_point!("background: before a campaign is completed");
            let result = self.store.finish_if_settled(campaign_id, self.clock.now().as_ms()).await;
            if failures.note(campaign_id, "complete a campaign", result.map_err(Error::from))? == Some(true) {
                tracing::info!(campaign.id = %campaign_id, "campaign completed");
                // To all nodes: each has lanes with a stream of it.
                self.notices.tell(Notice::CampaignChanged(campaign_id));
                self.nudges.finished.notify_one();
            }
        }
        failures.into_result()
    }

    /// Takes the steps of what people asked for that nobody takes any more.
    async fn finish_recalls(&self) -> Result<()> {
        self.services.campaigns.finish_recalls().await
    }

    /// Pauses campaigns that went beyond their budget, and lets the others of a canary follow.
    async fn judge_campaigns(&self) -> Result<()> {
        self.services.campaigns.judge().await
    }

    /// Moves the subscriptions whose time has come.
    async fn move_subscriptions(&self) -> Result<()> {
        self.services.billing.move_due().await
    }

    /// Moves what waits for cold recipients away from sessions that are lost for good, where campaigns want that.
    async fn fail_over(&self) -> Result<()> {
        let mut failures = Failures::default();
        for stranded in self.store.stranded().await? {
            let result = self.fail_over_stream(&stranded).await;
            failures.note(stranded.campaign_id, "move what a lost session has of it", result)?;
        }
        failures.into_result()
    }

    async fn fail_over_stream(&self, stranded: &Stranded) -> Result<()> {
        for _ in 0..FAILOVER_STEPS_MAX {
            kill_point!("background: before deliveries leave a lost session");
            let streams = self.store.fail_over(stranded).await?;
            if streams.is_empty() {
                break;
            }
            self.dispatch.offer_streams(streams).await;
        }
        Ok(())
    }

    /// Counts accepted deliveries that no receipt came for in time.
    async fn look_for_receipts(&self) -> Result<()> {
        let before = self.clock.now() - self.no_receipt_after;
        loop {
            let look = self.store.look_for_receipts(before.as_ms()).await?;
            self.metrics.dispatch.no_receipts.inc_by(look.n);
            if !look.goes_on {
                return Ok(());
            }
        }
    }

    /// Starts campaigns whose time has come.
    async fn start_due(&self) -> Result<()> {
        self.services.campaigns.start_due().await
    }

    /// Forgets the recipients of campaigns that were removed.
    async fn forget_removed(&self) -> Result<()> {
        self.services.campaigns.forget_removed().await
    }

    /// Forgets what people who look on were told.
    async fn forget_told(&self) -> Result<()> {
        Ok(self.store.forget_realtime(i64::try_from(FORGET_BEAT.every.as_millis()).unwrap_or(i64::MAX)).await?)
    }

    /// Forgets answers that were kept for repeated requests, coupons that nobody paid with, and tokens that have expired.
    async fn forget_old(&self) -> Result<()> {
        self.services.idempotency.forget_old().await?;
        self.services.billing.forget_old().await?;
        self.services.auth.forget_expired().await
    }

    /// Adds up how messages stand day by day.
    async fn roll_up_days(&self) -> Result<()> {
        self.services.analytics.roll_up().await
    }

    /// Notes how many contacts there are today.
    async fn note_contacts(&self) -> Result<()> {
        self.services.analytics.note_contacts().await
    }

    /// Tells the lanes whose suspension has ended what else holds them.
    async fn end_suspensions(&self) -> Result<()> {
        self.services.levers.end_overdue().await
    }

    /// Puts unknown deliveries back in line where their policy is to resend.
    async fn requeue_unknown(&self) -> Result<()> {
        let before = self.clock.now() - self.unknown_grace;
        let requeued = self.store.requeue_unknown(before.as_ms(), REQUEUE_ROWS_MAX).await?;
        self.dispatch.offer_streams(requeued).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_long_does_not_take_over() {
        let ms = Duration::from_millis;
        assert_eq!(BEAT.rests_after(ms(1)), (ms(2_000), ms(4)));
        assert_eq!(BEAT.rests_after(ms(1_000)), (ms(20_000), ms(4_000)));
        // Whoever is late because all rows are counted must be one message in a hundred at most, nudged or not.
        for worked in [ms(1), ms(700), ms(20_000)] {
            let (until_beat, at_least) = LEDGER_BEAT.rests_after(worked);
            assert!(worked * 100 <= at_least && at_least <= until_beat, "{worked:?} {at_least:?} {until_beat:?}");
        }
    }
}
