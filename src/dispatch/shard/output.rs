//! What the scheduler of a shard wants done after a round.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::dispatch::lane::memory::LaneStanding;
use crate::dispatch::lane::step::{Dismissed, Lateness};
use crate::dispatch::lane::work::{Prepared, Work};
use crate::dispatch::lease::Lease;
use crate::dispatch::shard::{LaneIndex, Withdrawal};
use crate::domain::attempt::Outcome;
use crate::domain::failure::Reason;
use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::domain::message::Content;
use crate::domain::partition::{Fence, PartitionNo};
use crate::domain::session::SessionEvent;
use crate::domain::zone::Band;
use crate::gateway::Sender;

/// What is to be done after a round.
#[derive(Debug, Default)]
pub struct Output {
    /// Attempts to write.
    pub begins: Vec<Begin>,
    /// Where lanes stand that let messages go: queued for writing before these go.
    ///
    /// With the outcomes would be too late: a receipt can settle a delivery before the answer comes,
    /// and after a crash in between nothing would tell that the lane has just sent.
    pub lane_states: Vec<(Arc<LaneStanding>, Fence)>,
    /// Messages to let go.
    pub releases: Vec<Release>,
    /// Attempts to take back.
    pub withdrawals: Vec<Withdrawal>,
    /// Deliveries to settle without an attempt.
    pub dismissals: Vec<Dismissal>,
    /// Outcomes to write.
    pub ends: Vec<End>,
    /// Streams with nothing left up to a place.
    pub settled_below: Vec<SettledBelow>,
    /// Sessions that are gone for good, by what the provider said.
    pub lost: Vec<(SessionId, SessionEvent, Reason)>,
    /// Partitions of which no lane is left.
    pub closed: Vec<PartitionNo>,
}

/// A delivery to settle without an attempt.
#[derive(Debug)]
pub struct Dismissal {
    /// The session.
    pub session_id: SessionId,
    /// By what right it is written.
    pub fence: Fence,
    /// The delivery.
    pub work: Box<Work>,
    /// Why.
    pub why: Dismissed,
}

/// A stream with nothing left up to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettledBelow {
    /// The session.
    pub session_id: SessionId,
    /// By what right it is written.
    pub fence: Fence,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The kind of recipients.
    pub band: Band,
    /// Every delivery below it is settled.
    pub below_seq: i64,
}

/// An attempt to write.
#[derive(Debug)]
pub struct Begin {
    /// The lane.
    pub lane: LaneIndex,
    /// Its session.
    pub session_id: SessionId,
    /// By what right it is written.
    pub fence: Fence,
    /// The delivery.
    pub work: Box<Work>,
    /// What it says.
    pub content: Content,
    /// By which version of the session's settings.
    pub settings_version: i64,
    /// Where the lane stands with this attempt counted, and those that it began with it: at the first of them, where that
    /// must be durable with it.
    pub save: Option<Arc<LaneStanding>>,
}

/// A message to let go.
#[derive(Debug)]
pub struct Release {
    /// The lane.
    pub lane: LaneIndex,
    /// Until when it may leave.
    pub lease: Arc<Lease>,
    /// Who sends it.
    pub sender: Sender,
    /// The message.
    pub prepared: Prepared,
    /// How late it is.
    pub lateness: Lateness,
}

/// An outcome to write.
#[derive(Debug)]
pub struct End {
    /// The lane.
    pub lane: LaneIndex,
    /// Its session.
    pub session_id: SessionId,
    /// By what right it is written.
    pub fence: Fence,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Which attempt.
    pub attempt_no: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it counts against the attempts that the delivery may have.
    pub is_try: bool,
    /// When it ended.
    pub ended_at: Moment,
    /// How long the provider took.
    pub took: Duration,
    /// When a deferred delivery is due again.
    pub due_at: Moment,
    /// A deferred delivery, to be put back when that is durable.
    pub again: Option<Box<Work>>,
}
