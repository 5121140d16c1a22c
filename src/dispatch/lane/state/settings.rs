//! What a lane does when the settings of its session or of a campaign become known, change, or can not be read.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::Lane;
use crate::clock::Moment;
use crate::dispatch::lane::work::Work;
use crate::dispatch::limits::LaneLimits;
use crate::domain::pacing::LaneRules;

impl Lane {
    /// Takes note of a change of the session's settings. Such as can not be read change nothing but that nothing goes;
    /// a lane that was opened with those gets the limits of its row as soon as they can be read.
    pub fn settings_changed(
        &mut self,
        rules: Arc<LaneRules>,
        is_readable: bool,
        restored: impl FnOnce(&Arc<LaneRules>) -> LaneLimits,
    ) {
        self.is_readable = is_readable;
        if !is_readable {
            return;
        }
        if std::mem::take(&mut self.is_provisional) {
            self.limits = restored(&rules);
            self.streams.forget_hours();
        } else {
            self.set_rules(rules);
        }
    }

    /// Says that the limits were made without the session's settings, because these can not be read.
    pub fn set_provisional(&mut self) {
        self.is_provisional = true;
    }

    /// Takes note of the tenant's zones.
    pub fn set_tenant_zones(&mut self, zones: Vec<TimeZone>) {
        if self.tenant_zones != zones {
            self.tenant_zones = zones;
            self.streams.forget_hours();
        }
    }

    /// Follows other rules from now on.
    pub fn set_rules(&mut self, rules: Arc<LaneRules>) {
        if **self.limits.rules() != *rules {
            self.limits.set_rules(rules);
            self.streams.forget_hours();
        }
    }

    /// Takes the campaign's own pace from the first of its deliveries that comes.
    pub(super) fn tell_pace(&mut self, work: &Work, now: Moment) {
        if let Some(share) = self.streams.shares.get_mut(work.campaign_id).filter(|share| !share.is_told()) {
            if work.plan.is_readable {
                share.set_pacing(work.plan.campaign_pacing.clone(), now);
            } else {
                share.set_unreadable(now);
            }
            self.streams.forget_hours();
        }
    }
}
