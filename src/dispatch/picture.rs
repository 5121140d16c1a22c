//! A lane as it is in the database, asked by the same rules that lanes send by: what does it wait for?
//!
//! Any node can answer, also for lanes that it does not drive, and two answers about the same rows agree.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::dispatch::lane::gate::{Gate, Opening, StreamFacts};
use crate::dispatch::lane::hours::hours_of;
use crate::dispatch::lane::memory::{LaneState, SavedHold};
use crate::dispatch::lane::restore::restored_limits;
use crate::dispatch::lane::share::Share;
use crate::dispatch::limits::LaneLimits;
use crate::dispatch::pacer::ShardTime;
use crate::domain::campaign::CampaignState;
use crate::domain::held_by::{Held, HeldBy};
use crate::domain::hours::SendingHours;
use crate::domain::pacing::Pacing;
use crate::domain::session::SessionState;
use crate::store::fronts::StreamFront;
use crate::store::lanes::LaneRow;

/// What something waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The one constraint that binds.
    pub by: HeldBy,
    /// Since when, where that is known.
    pub since: Option<Moment>,
    /// Until when, if time alone will lift it.
    pub until: Option<Moment>,
}

/// A lane as it was saved.
#[derive(Debug)]
pub struct Picture<'a> {
    row: &'a LaneRow,
    limits: LaneLimits,
    saved: LaneState,
    /// Whether a node drives it.
    is_owned: bool,
    now: Moment,
}

impl From<Held> for Waiting {
    fn from(held: Held) -> Self {
        Self { by: held.by, since: Some(held.since), until: held.until }
    }
}

impl<'a> Picture<'a> {
    /// Takes the picture of a lane at a moment; `is_owned` tells whether the lease of its partition holds.
    #[must_use]
    pub fn new(row: &'a LaneRow, default: Pacing, is_owned: bool, now: Moment) -> Self {
        let time = ShardTime::default();
        time.set(now);
        let mut saved = row.memory.as_deref().map(LaneState::read).unwrap_or_default();
        if let Some(limits) = &mut saved.limits {
            // What was begun is on its way; a lane that starts would count it as sent now, which moves with each look.
            (limits.prepared, limits.prepared_cold) = (0, 0);
        }
        let rules = Arc::new(row.rules(default));
        let mut limits = restored_limits(row, &rules, saved.limits.as_ref(), &time);
        if let Some(at_ms) = row.connected_at_ms {
            limits.connected(Moment::from_ms(at_ms));
        }
        Self { row, limits, saved, is_owned, now }
    }

    /// Returns what holds all of the lane, the widest first.
    #[must_use]
    pub fn held(&self) -> Option<Waiting> {
        let without_end = |by| Waiting { by, since: None, until: None };
        let inactive = self.row.active_until.filter(|until| *until <= self.now);
        let suspension = self.row.suspension.filter(|held| held.until.is_none_or(|until| self.now < until));
        let lost = matches!(self.row.state, SessionState::LoggedOut | SessionState::Banned);
        let down = self.row.state != SessionState::Connected || self.row.phone_number_id.is_none();
        let number = self.saved.held(self.now);
        suspension
            .map(Waiting::from)
            .or_else(|| {
                inactive.map(|since| Waiting { since: Some(since), ..without_end(HeldBy::SubscriptionInactive) })
            })
            .or_else(|| lost.then(|| without_end(HeldBy::SessionLost)))
            .or_else(|| down.then(|| without_end(HeldBy::SessionDown)))
            .or_else(|| (!self.row.is_readable).then(|| without_end(HeldBy::Settings)))
            .or_else(|| (!self.is_owned).then(|| without_end(HeldBy::NoOwner)))
            .or_else(|| number.map(|hold| hold.held().into()))
    }

    /// Returns what the first delivery of a stream waits for.
    #[must_use]
    pub fn of_stream(&self, front: &StreamFront) -> Waiting {
        if let Some(waiting) = self.held() {
            return waiting;
        }
        if front.campaign_state == Some(CampaignState::Paused) {
            let by = if front.pause_reason.is_some() { HeldBy::Guardrail } else { HeldBy::CampaignPaused };
            return Waiting { by, since: None, until: None };
        }
        if !front.is_readable {
            return Waiting { by: HeldBy::Settings, since: None, until: None };
        }
        if front.waits_for_plan {
            return Waiting { by: HeldBy::PlanMessages, since: None, until: None };
        }
        let opening = self.opening(front);
        Waiting { by: opening.by, since: self.since(front, opening.by), until: opening.at }
    }

    fn opening(&self, front: &StreamFront) -> Opening {
        let hold =
            |saved: &Option<SavedHold>| saved.as_ref().and_then(|hold| hold.hold(self.now)).map(|hold| hold.held());
        let gate = Gate {
            limits: &self.limits,
            n_before: 0,
            lead: Duration::ZERO,
            cold: hold(&self.saved.cold),
            business: hold(&self.saved.business),
        };
        let mut share = Share::new(front.campaign_id);
        for saved in self.saved.shares.iter().filter(|saved| saved.campaign_id == front.campaign_id) {
            share.restore(&saved.clone().without_begun(), self.now);
        }
        share.set_pacing(front.campaign_pacing.clone().map(Arc::new), self.now);
        let held = self.saved.campaigns.iter().find(|(id, _)| *id == front.campaign_id);
        let hours = hours_of(&self.hours(front), front.zone.as_ref(), &self.row.tenant_zones(), self.now);
        let facts = StreamFacts {
            temperature: front.band.temperature(),
            traffic_class: front.traffic_class,
            held: held.and_then(|(_, hold)| hold.hold(self.now)).map(|hold| hold.held()),
            hours_from: hours.from,
            campaign: share.next(self.now),
        };
        let retry = if front.n_attempts == 0 { HeldBy::NotBefore } else { HeldBy::Retry };
        gate.opening(&facts, self.now)
            .or_later(Some(Moment::from_ms(front.due_at_ms)), retry)
            .or_later(front.not_before_ms.map(Moment::from_ms).or(Some(Moment::default())), HeldBy::NotBefore)
    }

    fn hours<'b>(&'b self, front: &'b StreamFront) -> [Option<&'b SendingHours>; 2] {
        let own = front.campaign_pacing.as_ref().and_then(|pacing| pacing.hours.as_ref());
        [self.limits.rules().hours.as_ref(), own]
    }

    /// Since when a constraint binds, where that follows from what was saved.
    fn since(&self, front: &StreamFront, by: HeldBy) -> Option<Moment> {
        let last_send = || {
            let saved = self.saved.limits.as_ref().and_then(|limits| limits.last_send);
            saved.or_else(|| {
                let pacing = self.limits.rules().pacing;
                self.limits.saved_tat().map(|tat| tat - pacing.interval())
            })
        };
        let of_hold = |hold: &Option<SavedHold>| hold.as_ref().map(|hold| Moment::from_ms(hold.since_ms));
        match by {
            HeldBy::SendingHours => self.closed_since(front),
            HeldBy::NewChatTimelock => of_hold(&self.saved.cold),
            HeldBy::SpamLimit => of_hold(&self.saved.business),
            HeldBy::Template | HeldBy::Media => {
                let held = self.saved.campaigns.iter().find(|(id, _)| *id == front.campaign_id);
                held.map(|(_, hold)| Moment::from_ms(hold.since_ms))
            }
            HeldBy::NotBefore | HeldBy::Retry => None,
            _ => last_send().filter(|at| *at <= self.now),
        }
    }

    /// When sending hours ended last.
    fn closed_since(&self, front: &StreamFront) -> Option<Moment> {
        const WEEK: Duration = Duration::from_secs(8 * 24 * 3_600);
        const WINDOWS_MAX: usize = 64;
        let zones = self.row.tenant_zones();
        let mut at = self.now - WEEK;
        let mut closed = None;
        for _ in 0..WINDOWS_MAX {
            let hours = hours_of(&self.hours(front), front.zone.as_ref(), &zones, at);
            let opens = hours.from?;
            let open = hours_of(&self.hours(front), front.zone.as_ref(), &zones, opens.max(at));
            if self.now <= opens.max(at) || self.now < open.known_until {
                break;
            }
            closed = Some(open.known_until);
            at = open.known_until;
        }
        closed
    }
}
