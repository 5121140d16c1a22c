//! Drains the outbox into intake: the local form of the queue.
//!
//! Whole jobs are admitted as they are, campaigns are expanded window by window. A row leaves the
//! outbox only after its jobs are persisted; what is repeated after a crash changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::job::Job;
use crate::error::chain;
use crate::intake::Intake;
use crate::kill_point;
use crate::limits::{EXPAND_RECIPIENTS_MAX, OUTBOX_ROWS_MAX};
use crate::store::StoreError;
use crate::store::outbox::OutboxRow;

/// How long the outbox is left alone when nobody nudges.
const BEAT: Duration = Duration::from_secs(1);

/// Wait after a failure.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// Drains the outbox until told to stop; finishes the window it is at.
pub async fn drain_outbox(intake: Intake, nudge: Arc<Notify>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let wait = match drain_once(&intake).await {
            Ok(true) => continue,
            Ok(false) => BEAT,
            Err(error) => {
                intake.metrics.intake.failures.inc();
                tracing::warn!(error = chain(&error), "outbox could not be drained, will try again");
                RETRY_WAIT
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = nudge.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Takes one window; `false` when the outbox is empty.
async fn drain_once(intake: &Intake) -> Result<bool, StoreError> {
    let rows = intake.store.outbox_next(OUTBOX_ROWS_MAX).await?;
    intake.metrics.intake.outbox_backlog.set(i64::try_from(rows.len()).unwrap_or(i64::MAX));
    if rows.is_empty() {
        return Ok(false);
    }
    // Single messages first: somebody waits for them, and a campaign takes its time anyway.
    let (singles, campaigns): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.job.is_some());
    let ids: Vec<Uuid> = singles.iter().map(|row| row.outbox_id).collect();
    let jobs: Vec<Job> = singles.into_iter().filter_map(|row| row.job).collect();
    if !jobs.is_empty() {
        intake.admit(&jobs).await?;
        kill_point!("intake: before the outbox row is removed");
        intake.store.outbox_remove(&ids).await?;
        kill_point!("intake: after the outbox row is removed");
    }
    for row in &campaigns {
        expand(intake, row).await?;
    }
    Ok(true)
}

async fn expand(intake: &Intake, row: &OutboxRow) -> Result<(), StoreError> {
    let expansion = intake.store.expand_campaign(row.campaign_id, row.next_seq, EXPAND_RECIPIENTS_MAX).await?;
    intake.admit(&expansion.jobs).await?;
    kill_point!("intake: before the outbox row is removed");
    if expansion.finished {
        intake.store.outbox_remove(&[row.outbox_id]).await?;
    } else {
        intake.store.outbox_advance(row.outbox_id, expansion.next_seq).await?;
    }
    kill_point!("intake: after the outbox row is removed");
    Ok(())
}
