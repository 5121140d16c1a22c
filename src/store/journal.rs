//! The group commit of dispatch: attempts, outcomes, receipts and counters of one batch.
//!
//! One transaction per batch, a handful of statements whatever its size. Decides nothing about
//! lanes or retries; a batch that is written twice changes nothing the second time.

use crate::domain::attempt::Outcome;
use crate::domain::campaign::Counters;
use crate::domain::delivery::DeliveryEvent;
use crate::domain::failure::{FailureClass, Reason};
use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::domain::receipt::Receipt;
use crate::store::{Store, StoreError};

/// An attempt that is about to be made; durable before its first byte leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// The delivery it tries.
    pub delivery_id: DeliveryId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The session that sends.
    pub session_id: SessionId,
    /// Which attempt at the delivery this is; the first is 1.
    pub attempt_no: u32,
    /// When it was begun, UTC milliseconds.
    pub started_at_ms: i64,
}

/// How an attempt came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was made.
    Outcome(Outcome),
    /// It was taken back before any byte left.
    Withdrawn,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The delivery it tried.
    pub delivery_id: DeliveryId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The session that sent.
    pub session_id: SessionId,
    /// Which attempt at the delivery this was.
    pub attempt_no: u32,
    /// How it ended.
    pub ended: Ended,
    /// When it ended, UTC milliseconds.
    pub ended_at_ms: i64,
    /// When a deferred or withdrawn delivery is due again, UTC milliseconds.
    pub due_at_ms: i64,
}

/// Settles a pending delivery without an attempt: expired, or it can not be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dismissal {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// [`DeliveryEvent::Skipped`] or [`DeliveryEvent::Rejected`].
    pub event: DeliveryEvent,
    /// Why.
    pub reason: Reason,
    /// The class of a rejection.
    pub class: Option<FailureClass>,
    /// When it was decided, UTC milliseconds.
    pub at_ms: i64,
}

/// The limiter state of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneSave {
    /// The lane.
    pub session_id: SessionId,
    /// Theoretical arrival time, UTC microseconds.
    pub tat_us: i64,
}

/// How far a stream is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSave {
    /// The lane.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Every delivery below it is settled.
    pub done_below_seq: i64,
}

/// What one transaction writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalBatch {
    /// Attempts about to be made.
    pub begins: Vec<Begin>,
    /// Attempts that ended.
    pub ends: Vec<End>,
    /// Deliveries settled without an attempt.
    pub dismissals: Vec<Dismissal>,
    /// What the provider reported.
    pub receipts: Vec<Receipt>,
    /// Limiter states.
    pub lanes: Vec<LaneSave>,
    /// Places in streams.
    pub streams: Vec<StreamSave>,
}

/// What a written batch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The begins that hold now; the others were refused because the delivery was not pending any more.
    pub begun: Vec<DeliveryId>,
    /// The counters after the write, of every campaign whose deliveries moved.
    pub counters: Vec<(CampaignId, Counters)>,
    /// Receipts that moved their delivery.
    pub n_receipts_applied: usize,
}

impl Store {
    /// Writes a batch, all or nothing; safe to repeat when it is not known whether it was written.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written or the commit was not confirmed,
    /// [`StoreError::Corrupt`] when a row holds a word that is not known.
    pub async fn write_journal(&self, batch: &JournalBatch) -> Result<Written, StoreError> {
        todo!("{batch:?}")
    }
}
