//! Sends one message: the only place that calls the gateway.
//!
//! Contains no rule. A send is never inside `select!`: a message that may be out gets its outcome.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::clock::{Clock, Moment};
use crate::dispatch::lane::work::{Prepared, Work};
use crate::dispatch::shard::output::Release;
use crate::dispatch::shard::{LaneIndex, Report};
use crate::domain::attempt::Outcome;
use crate::gateway::{Answer, Gateway, SendRequest};
use crate::kill_point;

/// A send that came back.
#[derive(Debug)]
pub struct Finished {
    /// The lane it belongs to.
    pub lane: LaneIndex,
    /// The delivery.
    pub work: Box<Work>,
    /// How it ended.
    pub outcome: Outcome,
    /// When it was released.
    pub released_at: Moment,
    /// When its bytes left, if any did.
    pub left_at: Option<Moment>,
    /// When it ended.
    pub ended_at: Moment,
}

/// What a send needs besides the message.
#[derive(Clone)]
pub struct Sender {
    /// The provider's side.
    pub gateway: Arc<dyn Gateway>,
    /// The time.
    pub clock: Clock,
    /// Where outcomes go.
    pub reports: mpsc::Sender<Report>,
}

impl Sender {
    /// Sends one message and reports the outcome to its shard.
    ///
    /// After the end of the lane's lease nothing leaves: a process that stood still finds out here.
    pub async fn send(self, release: Release, released_at: Moment) {
        let Release { lane, lease, sender, prepared: Prepared { work, content }, .. } = release;
        let (recipient, deadline) = (work.recipient.clone(), lease.deadline.clone());
        let (token, is_single) = (work.delivery_id, work.campaign_id.is_direct());
        let request = SendRequest { sender, recipient, content, token, is_single, deadline };
        kill_point!("lane: before the gateway is called");
        let Answer { outcome, left_at } = if lease.deadline.has_passed(self.clock.now()) {
            Answer { outcome: None, left_at: None }
        } else {
            self.gateway.send(request).await
        };
        kill_point!("lane: before the outcome is reported");
        let ended_at = self.clock.now();
        let report = match outcome {
            Some(outcome) => Report::Finished(Finished { lane, work, outcome, released_at, left_at, ended_at }),
            None => Report::NotSent(lane, work, released_at),
        };
        if self.reports.send(report).await.is_err() {
            // The shard is gone, which happens only when the process is being ended at once: the
            // attempt stays without an outcome and is unknown on the next start.
            tracing::debug!("outcome came after the shard ended");
        }
    }
}
