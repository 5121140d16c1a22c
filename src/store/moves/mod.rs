//! What happens to deliveries in one transaction, worked out in memory between reading and writing.
//!
//! Every move goes through [`DeliveryState::apply`]; what comes out is the rows that changed and
//! the counters that move with them. Does no I/O: [`read`] gets the rows, [`mod@write`] puts down the result.

mod changes;
mod days;
mod pass_over;
mod read;
mod recall;
mod sessions;
mod spend;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use recall::Recalled;
pub(crate) use spend::{counted_tenants, spenders};

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::domain::attempt::Outcome;
use crate::domain::campaign::Counters;
use crate::domain::delivery::{DeliveryEvent, DeliveryState};
use crate::domain::failure::{Failure, FailureClass, Reason};
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::receipt::{Receipt, ReceiptKind};
use crate::domain::zone::Band;
use crate::store::journal::{Begin, BeginRefusal, Dismissal, End, Ended, JournalBatch};
use crate::store::places::StreamKey;
use crate::store::repeats::Repeats;
use crate::store::tiers::Tiers;
use crate::store::usage::Budgets;

/// The columns of a delivery that decide or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    pub(crate) delivery_id: DeliveryId,
    pub(crate) tenant_id: TenantId,
    pub(crate) session_id: SessionId,
    pub(crate) campaign_id: CampaignId,
    pub(crate) band: Band,
    pub(crate) seq: i64,
    pub(crate) created_at_ms: i64,
    pub(crate) state: DeliveryState,
    pub(crate) n_attempts: u32,
    pub(crate) due_at_ms: i64,
    pub(crate) class: Option<FailureClass>,
    /// As stored: a word that a newer program wrote must not hold up the journal.
    pub(crate) reason: Option<String>,
    pub(crate) provider_code: Option<String>,
    pub(crate) provider_message_id: Option<String>,
    pub(crate) sent_at_ms: Option<i64>,
    pub(crate) delivered_at_ms: Option<i64>,
    pub(crate) read_at_ms: Option<i64>,
    pub(crate) settled_at_ms: Option<i64>,
    /// What it takes of its plan; see [`crate::domain::quota`].
    pub(crate) quota_period_ms: Option<i64>,
    /// The messages of failed attempts that a person took up again, parted by blanks; only read here, see
    /// [`crate::store::recalls`].
    pub(crate) ignored_message_id: Option<String>,
    /// Whether its recipient has opted out; only looked at while it is pending, and not a column.
    pub(crate) is_opted_out: bool,
    /// When it moved in this transaction, where that is known; not a column.
    pub(crate) moved_at_ms: Option<i64>,
}

impl DeliveryRow {
    fn move_to(&mut self, state: DeliveryState, at_ms: i64) {
        self.state = state;
        self.moved_at_ms = Some(at_ms);
        if state.is_settled() {
            self.settled_at_ms.get_or_insert(at_ms);
        } else {
            self.settled_at_ms = None;
        }
        if matches!(state, DeliveryState::Sent | DeliveryState::Delivered | DeliveryState::Read) {
            (self.class, self.reason, self.provider_code) = (None, None, None);
        }
    }

    /// Cancels it if it is pending; `true` when it was.
    fn cancel(&mut self, at_ms: i64) -> bool {
        let Some(next) = self.state.apply(DeliveryEvent::Cancelled) else {
            return false;
        };
        self.move_to(next, at_ms);
        true
    }

    /// Tells whether a receipt is about a message whose failure a person has already taken up: providers repeat themselves.
    fn ignores(&self, receipt: &Receipt) -> bool {
        let (ignored, told) = (self.ignored_message_id.as_deref(), receipt.provider_message_id.as_deref());
        ignored.zip(told).is_some_and(|(ignored, told)| ignored == told || ignored.split(' ').any(|of| of == told))
    }

    /// Fills in what a receipt tells besides the state; the first to tell is believed.
    fn note(&mut self, receipt: &Receipt) {
        if self.provider_message_id.is_none() {
            self.provider_message_id.clone_from(&receipt.provider_message_id);
        }
        match receipt.kind {
            ReceiptKind::Failed => return,
            ReceiptKind::Sent => {}
            ReceiptKind::Delivered => {
                self.delivered_at_ms.get_or_insert(receipt.at_ms);
            }
            ReceiptKind::Read => {
                self.read_at_ms.get_or_insert(receipt.at_ms);
            }
        }
        self.sent_at_ms.get_or_insert(receipt.at_ms);
    }

    fn blame_receipt(&mut self, receipt: &Receipt) {
        match &receipt.failure {
            Some(failure) => self.blame(failure),
            None => {
                // A provider that does not say why is one that failed.
                self.class = Some(FailureClass::WhatsappUnavailable);
                self.reason = Some(Reason::ProviderError.as_str().to_owned());
                self.provider_code = None;
            }
        }
    }

    fn blame(&mut self, failure: &Failure) {
        self.class = Some(failure.class);
        self.reason = Some(failure.reason.as_str().to_owned());
        self.provider_code.clone_from(&failure.provider_code);
    }
}

/// A row as it was read, and as it is to be.
#[derive(Debug)]
struct Moving {
    was: DeliveryRow,
    now: DeliveryRow,
}

/// The moves of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Moves<'a> {
    /// By id, so that every transaction writes in the same order.
    rows: Vec<Moving>,
    /// Campaigns in which nothing may become pending any more.
    cancelled: HashSet<CampaignId>,
    /// Sessions whose attempts and dismissals are refused: another node owns them.
    refused: HashSet<SessionId>,
    /// Lanes of which a receipt came before the answer to its message.
    answered_early: BTreeSet<SessionId>,
    attempts: Vec<&'a Begin>,
    outcomes: Vec<&'a End>,
    /// Deliveries that are pending again after an attempt that does not count against what they may have.
    spared: Vec<DeliveryId>,
    n_receipts_applied: usize,
    /// What the tenants may send; of those whose deliveries may take or give back anything.
    budgets: Budgets,
    /// Whom the sessions may write to.
    tiers: Tiers,
    /// Who got a message a short time ago.
    repeats: Repeats,
}

/// What became of the begins of a batch.
#[derive(Debug, Default)]
pub(crate) struct Begins {
    /// Those that hold.
    pub(crate) begun: Vec<DeliveryId>,
    /// The others.
    pub(crate) refused: Vec<(DeliveryId, BeginRefusal)>,
}

fn find(rows: &mut [Moving], delivery_id: DeliveryId) -> Option<&mut DeliveryRow> {
    let index = rows.binary_search_by_key(&delivery_id, |moving| moving.was.delivery_id).ok()?;
    Some(&mut rows[index].now)
}

impl<'a> Moves<'a> {
    /// Starts from rows that the transaction has locked.
    pub(crate) fn of(mut rows: Vec<DeliveryRow>, cancelled: HashSet<CampaignId>) -> Self {
        rows.sort_unstable_by_key(|row| row.delivery_id);
        let rows = rows.into_iter().map(|row| Moving { was: row.clone(), now: row }).collect();
        Self { rows, cancelled, ..Self::default() }
    }

    /// Refuses what attempts and dismissals say about deliveries of these sessions.
    pub(crate) fn refusing(mut self, refused: HashSet<SessionId>) -> Self {
        self.refused = refused;
        self
    }

    /// Takes in all of a batch; returns which begins hold.
    ///
    /// Receipts come first: what the provider says it did must keep us from doing it again. Then
    /// attempts, each delivery's in their order.
    pub(crate) fn apply_batch(&mut self, batch: &'a JournalBatch) -> Begins {
        self.receive(&batch.receipts);
        for dismissal in &batch.dismissals {
            self.dismiss(dismissal);
        }
        let begins = batch.begins.iter().map(|begin| (begin.attempt_no, Ok(begin)));
        let ends = batch.ends.iter().map(|end| (end.attempt_no, Err(end)));
        let mut in_order: Vec<(u32, Result<&Begin, &End>)> = begins.chain(ends).collect();
        in_order.sort_by_key(|(attempt_no, entry)| (*attempt_no, entry.is_err()));
        let mut begins = Begins::default();
        for (_, entry) in in_order {
            match entry {
                Ok(begin) => match self.begin(begin, batch.repeated) {
                    Ok(()) => begins.begun.push(begin.delivery_id),
                    Err(why) => begins.refused.push((begin.delivery_id, why)),
                },
                Err(end) => self.end(end),
            }
        }
        begins
    }

    /// Takes in reports of the provider: any order, any number per delivery.
    pub(crate) fn receive(&mut self, receipts: &[Receipt]) {
        let mut in_order: Vec<&Receipt> = receipts.iter().collect();
        in_order.sort_by_key(|receipt| (receipt.kind, receipt.at_ms));
        for receipt in in_order {
            let Some(row) = find(&mut self.rows, receipt.delivery_id).filter(|row| !row.ignores(receipt)) else {
                continue;
            };
            row.note(receipt);
            let Some(next) = row.state.apply(DeliveryEvent::Receipt(receipt.kind)) else {
                continue;
            };
            if row.state == DeliveryState::Sending {
                self.answered_early.insert(row.session_id);
            }
            let from = row.state;
            row.move_to(next, receipt.at_ms);
            row.spend(from, &mut self.budgets);
            if next == DeliveryState::Failed {
                row.blame_receipt(receipt);
            }
            self.n_receipts_applied += 1;
        }
    }

    /// Settles a pending delivery without an attempt; one that is not pending stays as it is.
    fn dismiss(&mut self, dismissal: &Dismissal) {
        let Some(row) = find(&mut self.rows, dismissal.delivery_id) else {
            return;
        };
        if row.state != DeliveryState::Pending || self.refused.contains(&row.session_id) {
            return;
        }
        let Some(next) = row.state.apply(dismissal.event) else {
            return;
        };
        row.move_to(next, dismissal.at_ms);
        row.spend(DeliveryState::Pending, &mut self.budgets);
        row.class = dismissal.class;
        row.reason = Some(dismissal.reason.as_str().to_owned());
        row.provider_code = None;
    }

    /// Begins an attempt, also when a repeated batch began it before.
    fn begin(&mut self, begin: &'a Begin, repeated: bool) -> Result<(), BeginRefusal> {
        let Some(row) = find(&mut self.rows, begin.delivery_id) else {
            return Err(BeginRefusal::NotPending);
        };
        // It may have gone to another session since this one read it.
        if self.refused.contains(&row.session_id) || row.session_id != begin.session_id {
            return Err(BeginRefusal::NotPending);
        }
        if row.state == DeliveryState::Sending && row.n_attempts == begin.attempt_no {
            return if repeated { Ok(()) } else { Err(BeginRefusal::NotPending) };
        }
        if row.n_attempts.checked_add(1) != Some(begin.attempt_no) {
            return Err(BeginRefusal::NotPending);
        }
        let Some(next) = row.state.apply(DeliveryEvent::AttemptStarted) else {
            return Err(BeginRefusal::NotPending);
        };
        if let Some(reason) = row.passed_over(begin, &self.repeats) {
            row.skip(reason, begin.started_at_ms);
            row.spend(DeliveryState::Pending, &mut self.budgets);
            return Err(BeginRefusal::PassedOver);
        }
        self.budgets.may_begin(row.tenant_id, row.quota_period_ms)?;
        self.tiers.may_begin(begin).map_err(|until_ms| BeginRefusal::Tier { until_ms })?;
        row.n_attempts = begin.attempt_no;
        row.move_to(next, begin.started_at_ms);
        row.spend(DeliveryState::Pending, &mut self.budgets);
        self.tiers.begun(begin);
        self.repeats.begun(row.tenant_id, begin);
        self.attempts.push(begin);
        Ok(())
    }

    /// Ends an attempt. The outcome is kept even where a receipt was faster; it moves only what is being sent, because a
    /// repeated batch may find what became of the delivery since, such as another try that a person asked for.
    fn end(&mut self, end: &'a End) {
        let Some(row) = find(&mut self.rows, end.delivery_id) else {
            return;
        };
        if row.n_attempts < end.attempt_no || self.refused.contains(&row.session_id) {
            return;
        }
        self.outcomes.push(end);
        if row.n_attempts != end.attempt_no || row.state == DeliveryState::Pending {
            return;
        }
        if let Ended::Outcome(Outcome::Accepted { provider_message_id }) = &end.ended {
            row.provider_message_id.get_or_insert_with(|| provider_message_id.clone());
            row.sent_at_ms.get_or_insert(end.ended_at_ms);
        }
        let event = match &end.ended {
            Ended::Withdrawn => DeliveryEvent::AttemptWithdrawn,
            Ended::Outcome(outcome) => outcome.event(),
        };
        let from = row.state;
        let Some(next) = from.apply(event) else {
            return;
        };
        row.move_to(next, end.ended_at_ms);
        if let Ended::Outcome(outcome) = &end.ended
            && let Some(failure) = outcome.failure()
        {
            row.blame(failure);
        }
        if next == DeliveryState::Pending {
            row.due_at_ms = end.due_at_ms;
            if !end.is_try {
                self.spared.push(end.delivery_id);
            }
            if self.cancelled.contains(&row.campaign_id) {
                row.cancel(end.ended_at_ms);
            }
        }
        row.spend(from, &mut self.budgets);
    }

    /// Cancels every pending delivery; returns how many.
    pub(crate) fn cancel_all(&mut self, at_ms: Option<i64>) -> usize {
        let mut n_cancelled = 0;
        for Moving { now: row, .. } in &mut self.rows {
            if row.cancel(at_ms.unwrap_or(0)) {
                (row.settled_at_ms, row.moved_at_ms) = (at_ms, at_ms);
                row.spend(DeliveryState::Pending, &mut self.budgets);
                n_cancelled += 1;
            }
        }
        n_cancelled
    }

    /// Puts every unknown delivery back in line; returns them with their places, which are the caller's to change.
    pub(crate) fn requeue_all(&mut self) -> Vec<(StreamKey, i64, DeliveryId)> {
        let mut requeued = Vec::new();
        for Moving { now: row, .. } in &mut self.rows {
            if self.cancelled.contains(&row.campaign_id) {
                continue;
            }
            let Some(next) = row.state.apply(DeliveryEvent::Requeued) else {
                continue;
            };
            row.move_to(next, 0);
            (row.due_at_ms, row.moved_at_ms) = (0, None);
            row.spend(DeliveryState::Unknown, &mut self.budgets);
            requeued.push(((row.session_id, row.campaign_id, row.band), row.seq, row.delivery_id));
        }
        requeued
    }

    /// Returns by how much the counters of each campaign move.
    pub(crate) fn deltas(&self) -> BTreeMap<CampaignId, Counters> {
        let mut deltas: BTreeMap<CampaignId, Counters> = BTreeMap::new();
        for Moving { was, now } in &self.rows {
            if (was.state, was.class) != (now.state, now.class) {
                let delta = deltas.entry(now.campaign_id).or_default();
                *delta.of_mut(was.state, was.class) -= 1;
                *delta.of_mut(now.state, now.class) += 1;
            }
        }
        deltas.retain(|_, delta| *delta != Counters::default());
        deltas
    }

    /// Returns the lanes of which a receipt came before the answer to its message.
    pub(crate) fn answered_early(&self) -> BTreeSet<SessionId> {
        self.answered_early.clone()
    }

    /// Returns how many receipts moved their delivery.
    pub(crate) fn n_receipts_applied(&self) -> usize {
        self.n_receipts_applied
    }

    /// Returns the rows that are to be written: as they were, and as they are to be.
    fn changed(&self) -> Vec<&Moving> {
        self.rows.iter().filter(|moving| moving.was != moving.now).collect()
    }
}
