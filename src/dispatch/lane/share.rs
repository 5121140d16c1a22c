//! A campaign's part of one lane: whose turn it is, and the pace that the campaign sets for itself.
//!
//! Knows nothing of the campaign's messages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::dispatch::lane::memory::is_zero;
use crate::dispatch::lane::step::Hold;
use crate::dispatch::limits::count::{MovingCount, SavedCount};
use crate::domain::held_by::{Held, HeldBy};
use crate::domain::id::CampaignId;
use crate::domain::pacing::{CampaignPacing, Pacing};

/// A campaign that has streams in the lane, or had, as long as something of that counts.
#[derive(Debug)]
pub struct Share {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Held by a person.
    pub paused: bool,
    /// Turns it had.
    pub n_served: u64,
    /// What holds the campaign here, such as a paused template.
    hold: Option<Hold>,
    pacing: Option<Arc<CampaignPacing>>,
    /// When its own rate allows the next message.
    next: Moment,
    /// Messages of the last day, where they are capped.
    day: Option<MovingCount>,
    /// Begun and not let go.
    n_prepared: u32,
    /// Begun before a restart: they may have left. They count in the day from then on, and put off the next message as soon
    /// as the campaign's rate is known.
    n_unsure: u32,
    is_told: bool,
    /// Since when it is known that its settings can not be read.
    unreadable_since: Option<Moment>,
}

/// What is kept of a campaign's own pace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedShare {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// When its own rate allows the next message, nanoseconds.
    pub next_ns: u64,
    /// Messages of the last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<SavedCount>,
    /// Begun and not let go when this was saved.
    #[serde(default)]
    pub n_prepared: u32,
    /// Begun and not let go when an earlier owner of the lane saved it, and not yet in `next_ns`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_unsure: u32,
}

impl SavedShare {
    /// Returns it as if nothing had been begun that has not left.
    #[must_use]
    pub fn without_begun(self) -> Self {
        Self { n_prepared: 0, n_unsure: 0, ..self }
    }
}

impl Share {
    /// Makes the share of a campaign of which nothing is known.
    #[must_use]
    pub fn new(campaign_id: CampaignId) -> Self {
        Self {
            campaign_id,
            paused: false,
            n_served: 0,
            hold: None,
            pacing: None,
            next: Moment::default(),
            day: None,
            n_prepared: 0,
            n_unsure: 0,
            is_told: false,
            unreadable_since: None,
        }
    }

    /// Takes up what was saved; what was begun then may have left just now.
    pub fn restore(&mut self, saved: &SavedShare, now: Moment) {
        self.next = Moment(saved.next_ns);
        self.day = saved.day.as_ref().map(|day| MovingCount::day().restored(day, now));
        for _ in 0..saved.n_prepared {
            // So that what is never asked about again is forgotten with the day.
            self.day.get_or_insert_with(MovingCount::day).add(now);
        }
        self.n_unsure = saved.n_prepared.saturating_add(saved.n_unsure);
    }

    /// Follows the campaign's own pace from now on.
    pub fn set_pacing(&mut self, pacing: Option<Arc<CampaignPacing>>, now: Moment) {
        let is_capped = pacing.as_ref().is_some_and(|pacing| pacing.daily_cap.is_some());
        if is_capped {
            self.day.get_or_insert_with(MovingCount::day);
        } else {
            self.day = None;
        }
        let n_unsure = std::mem::take(&mut self.n_unsure);
        match rate_of(pacing.as_deref()) {
            Some(rate) if n_unsure != 0 => self.next = self.next.max(now) + rate.interval() * n_unsure,
            Some(_) => {}
            None => self.next = Moment::default(),
        }
        self.pacing = pacing;
        (self.is_told, self.unreadable_since) = (true, None);
    }

    /// Tells whether the campaign's own pace is known, none included.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// Holds the campaign because its settings can not be read, until they are told or its streams are opened anew.
    pub fn set_unreadable(&mut self, now: Moment) {
        self.unreadable_since.get_or_insert(now);
    }

    /// Begins anew with the first stream of the campaign: what is known of its state and settings may be old, what counts
    /// is not.
    pub fn open(&mut self, n_served: u64) {
        (self.n_served, self.paused) = (n_served, false);
        (self.is_told, self.unreadable_since) = (false, None);
    }

    /// Holds the campaign in this lane.
    pub fn set_hold(&mut self, hold: Option<Hold>) {
        self.hold = hold;
    }

    /// Returns the hold of the campaign, if it lasts.
    #[must_use]
    pub fn hold(&self, now: Moment) -> Option<Hold> {
        self.hold.filter(|hold| now < hold.until)
    }

    /// Returns what holds the campaign now.
    #[must_use]
    pub fn held(&self, now: Moment) -> Option<Held> {
        let unreadable = self.unreadable_since.map(|since| Held { by: HeldBy::Settings, since, until: None });
        unreadable.or_else(|| self.hold(now).map(Hold::held))
    }

    /// Returns the campaign's own pace, if it is known.
    #[must_use]
    pub fn pacing(&self) -> Option<&CampaignPacing> {
        self.pacing.as_deref()
    }

    /// Returns when the campaign's own pace allows one more, and which part of it that is.
    #[must_use]
    pub fn next(&self, now: Moment) -> (Moment, HeldBy) {
        let Some(pacing) = &self.pacing else { return (Moment::default(), HeldBy::CampaignPace) };
        let paced = match rate_of(Some(pacing)) {
            Some(_) if self.n_prepared == 0 => self.next,
            Some(rate) => self.next.max(now) + rate.interval() * self.n_prepared,
            None => Moment::default(),
        };
        let capped = self.day.as_ref().zip(pacing.daily_cap).map(|(day, cap)| day.earliest(now, self.n_prepared, cap));
        (paced.max(capped.unwrap_or_default()), HeldBy::CampaignPace)
    }

    /// Counts a message whose attempt is being made.
    pub fn begun(&mut self) {
        self.n_prepared += 1;
    }

    /// Gives back one that will not go.
    pub fn withdrawn(&mut self) {
        self.n_prepared = self.n_prepared.saturating_sub(1);
    }

    /// Returns when the campaign's own pace lets one go that was begun.
    #[must_use]
    pub fn leaves(&self, now: Moment) -> Moment {
        let capped = self.day.as_ref().zip(self.pacing.as_ref().and_then(|pacing| pacing.daily_cap));
        self.next.max(capped.map(|(day, cap)| day.earliest(now, 0, cap)).unwrap_or_default())
    }

    /// Tells whether one that was begun may go now.
    #[must_use]
    pub fn may_leave(&self, now: Moment) -> bool {
        self.leaves(now) <= now
    }

    /// Takes note of one that goes.
    pub fn left(&mut self, now: Moment) {
        self.n_prepared = self.n_prepared.saturating_sub(1);
        if let Some(rate) = rate_of(self.pacing.as_deref()) {
            self.next = self.next.max(now) + rate.interval();
        }
        if let Some(day) = &mut self.day {
            day.add(now);
        }
    }

    /// Takes note of when one that was let go really left; returns whether that moved anything.
    pub fn moved(&mut self, released_at: Moment, at: Moment) -> bool {
        if let Some(day) = &mut self.day {
            day.shift(released_at, at);
        }
        let least = rate_of(self.pacing.as_deref()).map_or(Moment::default(), |rate| at + rate.interval());
        let moves = self.next < least;
        self.next = self.next.max(least);
        moves
    }

    /// Takes back one that was let go and certainly did not leave.
    pub fn not_left(&mut self, released_at: Moment) {
        if let Some(day) = &mut self.day {
            day.take_back(released_at);
        }
    }

    /// Returns what to keep of the campaign's own pace, as far as it counts: a window has not passed, or something that
    /// was begun may have left. Where that pace is not known yet, all that was saved before.
    #[must_use]
    pub fn saved(&self, now: Moment) -> Option<SavedShare> {
        self.counts(now).then(|| SavedShare {
            campaign_id: self.campaign_id,
            next_ns: self.next.0,
            day: self.day.as_ref().map(MovingCount::saved),
            n_prepared: self.n_prepared,
            n_unsure: self.n_unsure,
        })
    }

    fn counts(&self, now: Moment) -> bool {
        let is_paced = |pacing: &CampaignPacing| pacing.rate_per_minute.is_some() || pacing.daily_cap.is_some();
        (!self.is_told || self.pacing().is_some_and(is_paced))
            && (self.n_prepared != 0 || now < self.next || self.day.as_ref().is_some_and(|day| day.at(now) != 0))
    }

    /// Tells whether something of the campaign counts, though it may have no stream here.
    #[must_use]
    pub fn is_worth_keeping(&self, now: Moment) -> bool {
        self.counts(now) || self.hold(now).is_some()
    }
}

fn rate_of(pacing: Option<&CampaignPacing>) -> Option<Pacing> {
    pacing?.rate_per_minute.and_then(|rate| Pacing::new(rate, 1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_can_not_be_read_hold_the_campaign_whatever_comes() {
        let (mut share, now) = (Share::new(CampaignId::generate()), Moment::from_ms(5));
        share.set_pacing(None, now);
        assert_eq!(share.held(now), None);
        share.set_unreadable(now);
        share.set_hold(None);
        let held = Held { by: HeldBy::Settings, since: now, until: None };
        assert_eq!(share.held(Moment::from_ms(1_000_000)), Some(held));
    }

    #[test]
    fn settings_that_can_not_be_read_change_no_count() {
        let (mut share, now) = (Share::new(CampaignId::generate()), Moment::from_ms(5));
        let pacing = Some(Arc::new(CampaignPacing { daily_cap: Some(2), ..CampaignPacing::default() }));
        share.set_pacing(pacing.clone(), now);
        share.begun();
        share.left(now);
        let before = share.saved(now);
        assert!(before.is_some());
        share.open(0);
        share.set_unreadable(now);
        assert_eq!(share.saved(now), before);
        share.set_pacing(pacing, now);
        assert_eq!((share.saved(now), share.held(now)), (before, None));
    }
}
