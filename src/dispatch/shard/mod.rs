//! A slice of the sessions, run by one task that owns all their lanes: no locks.
//!
//! [`state`] is the scheduler, pure: events and the time go in, [`output::Output`] comes out.
//! [`task`] waits, carries out and feeds back. [`loader`] reads heads for many lanes in one query.

use std::sync::Arc;

use crate::clock::Moment;
use crate::dispatch::lane::streams::Load;
use crate::dispatch::lane::task::Finished;
use crate::dispatch::lane::work::Work;
use crate::dispatch::lease::Lease;
use crate::domain::campaign::CampaignState;
use crate::domain::id::{CampaignId, SessionId};
use crate::domain::job::TrafficClass;
use crate::domain::message::Content;
use crate::domain::partition::{Fence, PartitionNo};
use crate::domain::zone::{Band, Zone};
use crate::store::journal::BeginRefusal;
use crate::store::lanes::LaneRow;

pub mod state;

pub mod output;

pub mod loader;

pub mod task;

/// The place of a lane in its shard; given to another one only when nothing of the first is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LaneIndex(pub u32);

/// What comes back to a shard from what it started itself; bounded by the places it gave out.
#[derive(Debug)]
pub enum Report {
    /// The attempt is durable.
    Begun(LaneIndex, Box<Work>, Content),
    /// The attempt may not be made.
    BeginRefused(LaneIndex, Box<Work>, BeginRefusal),
    /// The delivery is durably pending again: its attempt was withdrawn or deferred.
    PutBack(LaneIndex, Box<Work>),
    /// An end of each of these lanes is durable.
    Written(Vec<LaneIndex>),
    /// A send came back.
    Finished(Finished),
    /// A message released then did not leave: its lease had ended.
    NotSent(LaneIndex, Box<Work>, Moment),
    /// Heads were loaded.
    Loaded(Vec<Loaded>),
}

/// The answer to one load.
#[derive(Debug)]
pub struct Loaded {
    /// The lane.
    pub lane: LaneIndex,
    /// What was asked for.
    pub load: Load,
    /// How many rows there were.
    pub n_rows: usize,
    /// The last of them.
    pub last_seq: Option<i64>,
    /// The deliveries.
    pub works: Vec<Box<Work>>,
}

/// Pending deliveries of a campaign to one kind of recipients, in a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The lane's session.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The kind of recipients.
    pub band: Band,
    /// Their zone, where it is known.
    pub zone: Option<Zone>,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// Every delivery of the stream below this place is settled: where to start when the stream is
    /// not open. One that is open goes on from where it is, because a stream only grows at its end.
    pub done_below_seq: i64,
}

/// What others ask of a shard.
#[derive(Debug)]
pub enum Command {
    /// A campaign has pending deliveries in a lane.
    Offer(Offer),
    /// A campaign's state changed.
    Campaign(CampaignId, CampaignState),
    /// A session appeared or changed; as stored, under the lease of its partition.
    Session(Box<LaneRow>, Arc<Lease>),
    /// A partition is another node's: finish what is under way in its lanes, and forget them.
    Close(PartitionNo),
    /// Stop handing out and finish.
    Drain,
}

/// An attempt to take back, on its way to the journal.
#[derive(Debug)]
pub struct Withdrawal {
    /// The lane.
    pub lane: LaneIndex,
    /// Its session.
    pub session_id: SessionId,
    /// By what right it is written.
    pub fence: Fence,
    /// The delivery.
    pub work: Box<Work>,
}
