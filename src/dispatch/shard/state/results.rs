//! What came of sends and loads, told to their lanes.

use std::sync::Arc;

use super::Shard;
use crate::clock::Moment;
use crate::dispatch::lane::state::sent;
use crate::dispatch::lane::step::{Dismissed, Verdict};
use crate::dispatch::lane::task::Finished;
use crate::dispatch::lane::work::Work;
use crate::dispatch::shard::output::{Dismissal, End, Output, SettledBelow};
use crate::dispatch::shard::{LaneIndex, Loaded};
use crate::domain::failure::{Failure, Handling, Reason};
use crate::domain::id::CampaignId;
use crate::domain::session::SessionEvent;
use crate::domain::zone::Band;
use crate::store::journal::BeginRefusal;

impl Shard {
    pub(super) fn finished(&mut self, finished: Finished, now: Moment, out: &mut Output) {
        let Finished { lane: index, work, outcome, released_at, left_at, ended_at } = finished;
        let (delivery_id, campaign_id, attempt_no) = (work.delivery_id, work.campaign_id, work.n_attempts);
        let stream = (campaign_id, work.band);
        let entry = self.entry(index);
        let (session_id, fence) = (entry.lane.session_id, entry.lease.fence);
        if let Some(at) = left_at {
            entry.lane.left(&work, released_at, at);
        }
        out.lost.extend(outcome.failure().and_then(told_by).map(|(event, reason)| (session_id, event, reason)));
        let (breakers, account) = (Arc::clone(&self.breakers), Arc::clone(&self.entry(index).account));
        breakers.settle(&account, &sent(&work, released_at), &outcome, now);
        let entry = self.entry(index);
        entry.lane.account_says(breakers.verdict(&account, now));
        let verdict = entry.lane.finished(work, outcome, released_at, now);
        let Verdict { outcome, is_try, due_at, again } = verdict;
        out.ends.push(End {
            lane: index,
            session_id,
            fence,
            campaign_id,
            delivery_id,
            attempt_no,
            outcome,
            is_try,
            ended_at,
            took: ended_at.since(released_at),
            due_at,
            again,
        });
        self.note_settled(index, stream, out);
        self.queue(index);
    }

    pub(super) fn begin_refused(
        &mut self,
        index: LaneIndex,
        (work, why): (Box<Work>, BeginRefusal),
        now: Moment,
        out: &mut Output,
    ) {
        let entry = self.entry(index);
        let (session_id, fence) = (entry.lane.session_id, entry.lease.fence);
        let (campaign_id, band) = (work.campaign_id, work.band);
        if let Some(work) = entry.lane.begin_refused(work, why, now) {
            out.dismissals.push(Dismissal { session_id, fence, work, why: Dismissed::PlanUsedUp });
        }
        self.note_settled(index, (campaign_id, band), out);
        self.queue(index);
    }

    pub(super) fn loaded(&mut self, loaded: Loaded, now: Moment) {
        let Loaded { lane: index, load, n_rows, last_seq, works } = loaded;
        let entry = self.entry(index);
        entry.n_loading -= 1;
        entry.lane.loaded(&load, n_rows, last_seq, (works, now));
        self.queue(index);
    }

    pub(super) fn note_settled(&mut self, index: LaneIndex, (campaign_id, band): (CampaignId, Band), out: &mut Output) {
        let entry = self.entry(index);
        if let Some(below_seq) = entry.lane.settled_below(campaign_id, band) {
            let (session_id, fence) = (entry.lane.session_id, entry.lease.fence);
            out.settled_below.push(SettledBelow { session_id, fence, campaign_id, band, below_seq });
        }
    }
}

/// What a failure says about the session itself.
fn told_by(failure: &Failure) -> Option<(SessionEvent, Reason)> {
    let event = match (failure.handling, failure.reason) {
        (Handling::CloseSession, _) => SessionEvent::Replaced,
        (Handling::LoseSession, Reason::AccountBanned) => SessionEvent::Banned,
        (Handling::LoseSession, _) => SessionEvent::LoggedOut,
        _ => return None,
    };
    Some((event, failure.reason))
}
