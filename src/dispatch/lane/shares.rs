//! What a lane knows of each campaign's own pace and holds, whether the campaign has streams in it just now or not.
//!
//! The only place of that: streams come and go, and nothing that counts goes with them. Knows nothing of messages.

use std::collections::BTreeMap;

use crate::clock::Moment;
use crate::dispatch::lane::memory::LaneState;
use crate::dispatch::lane::share::Share;
use crate::dispatch::lane::step::{Hold, MaxByEnd};
use crate::domain::id::CampaignId;
use crate::limits::CAMPAIGNS_PER_LANE_MAX;

/// The campaigns that a lane serves, or has to remember.
#[derive(Debug, Default)]
pub struct Shares {
    by_campaign: BTreeMap<CampaignId, Share>,
}

impl Shares {
    /// Returns a campaign's share of the lane.
    #[must_use]
    pub fn get(&self, campaign_id: CampaignId) -> Option<&Share> {
        self.by_campaign.get(&campaign_id)
    }

    /// Returns a campaign's share of the lane, to be changed.
    pub fn get_mut(&mut self, campaign_id: CampaignId) -> Option<&mut Share> {
        self.by_campaign.get_mut(&campaign_id)
    }

    /// Returns a campaign's share, made if there is none; none when there are as many as may be. Single messages are not
    /// shut out by campaigns.
    pub fn get_or_make(&mut self, campaign_id: CampaignId) -> Option<&mut Share> {
        let is_full = CAMPAIGNS_PER_LANE_MAX <= self.by_campaign.len() && !campaign_id.is_direct();
        if is_full && !self.by_campaign.contains_key(&campaign_id) {
            return None;
        }
        Some(self.by_campaign.entry(campaign_id).or_insert_with(|| Share::new(campaign_id)))
    }

    /// Holds a campaign, also one that has no stream here any more; of two holds the one that ends later.
    pub fn hold(&mut self, campaign_id: CampaignId, hold: Hold, now: Moment) {
        // Without a place for it the provider says so again.
        if let Some(share) = self.get_or_make(campaign_id) {
            share.set_hold(share.hold(now).max_by_end(hold));
        }
    }

    /// Takes up what was saved.
    pub fn remember(&mut self, saved: &LaneState, now: Moment) {
        for saved in &saved.shares {
            let share = self.by_campaign.entry(saved.campaign_id).or_insert_with(|| Share::new(saved.campaign_id));
            share.restore(saved, now);
        }
        for (campaign_id, hold) in &saved.campaigns {
            let share = self.by_campaign.entry(*campaign_id).or_insert_with(|| Share::new(*campaign_id));
            share.set_hold(hold.hold(now));
        }
    }

    /// Drops campaigns that are not served and of which nothing counts any more.
    pub fn forget(&mut self, now: Moment, is_served: impl Fn(CampaignId) -> bool) {
        self.by_campaign.retain(|campaign_id, share| share.is_worth_keeping(now) || is_served(*campaign_id));
    }

    /// Drops a campaign that never sends again.
    pub fn drop_of(&mut self, campaign_id: CampaignId) {
        self.by_campaign.remove(&campaign_id);
    }

    /// Puts down what is to be saved: holds that last, and where own paces stand as far as that counts.
    pub fn save_into(&self, state: &mut LaneState, now: Moment) {
        let holds = self.by_campaign.iter().filter_map(|(id, share)| Some((*id, share.hold(now)?.into())));
        state.campaigns = holds.collect();
        state.shares = self.by_campaign.values().filter_map(|share| share.saved(now)).collect();
    }
}
