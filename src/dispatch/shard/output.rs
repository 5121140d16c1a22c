//! What the scheduler of a shard wants done after a round.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::dispatch::lane::step::{Dismissed, Lateness};
use crate::dispatch::lane::work::{Prepared, Work};
use crate::dispatch::shard::{LaneIndex, Withdrawal};
use crate::domain::attempt::Outcome;
use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::domain::message::Content;

/// What is to be done after a round.
#[derive(Debug, Default)]
pub struct Output {
    /// Attempts to write.
    pub begins: Vec<Begin>,
    /// Limiter states of lanes that let messages go, UTC microseconds: queued for writing before these go.
    ///
    /// With the outcomes would be too late: a receipt can settle a delivery before the answer comes,
    /// and after a crash in between nothing would tell that the lane has just sent.
    pub lane_states: Vec<(SessionId, i64)>,
    /// Messages to let go.
    pub releases: Vec<Release>,
    /// Attempts to take back.
    pub withdrawals: Vec<Withdrawal>,
    /// Deliveries to settle without an attempt.
    pub dismissals: Vec<(Box<Work>, Dismissed)>,
    /// Outcomes to write.
    pub ends: Vec<End>,
    /// Streams with nothing left up to a place: session, campaign, place.
    pub settled_below: Vec<(SessionId, CampaignId, i64)>,
}

/// An attempt to write.
#[derive(Debug)]
pub struct Begin {
    /// The lane.
    pub lane: LaneIndex,
    /// Its session.
    pub session_id: SessionId,
    /// The delivery.
    pub work: Box<Work>,
    /// What it says.
    pub content: Content,
}

/// A message to let go.
#[derive(Debug)]
pub struct Release {
    /// The lane.
    pub lane: LaneIndex,
    /// The provider's name of the sending number.
    pub phone_number_id: Arc<str>,
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
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Which attempt.
    pub attempt_no: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    pub ended_at: Moment,
    /// How long the provider took.
    pub took: Duration,
    /// When a deferred delivery is due again.
    pub due_at: Moment,
    /// A deferred delivery, to be put back when that is durable.
    pub again: Option<Box<Work>>,
}
