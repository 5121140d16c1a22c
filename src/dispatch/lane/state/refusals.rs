//! What a lane does when the journal refuses an attempt: the plan, the subscription, the provider's tier, or a recipient
//! who is passed over.
//!
//! Only the stream of the refused delivery is held. Others of the same lane may have deliveries for which a message
//! is kept, and these would be held up by one that waits for its own.

use std::time::Duration;

use super::Lane;
use crate::clock::Moment;
use crate::dispatch::lane::work::Work;
use crate::domain::held_by::{Held, HeldBy};
use crate::domain::plan::OnLimit;
use crate::store::journal::BeginRefusal;

/// How often a held stream tries again: a refund or a change of the plan may have let it go.
const RECHECK: Duration = Duration::from_secs(30);

impl Lane {
    /// Tells the lane that an attempt may not be made; returns the delivery if it is to fail for that.
    pub fn begin_refused(&mut self, work: Box<Work>, why: BeginRefusal, now: Moment) -> Option<Box<Work>> {
        self.n_preparing -= 1;
        self.give_back(&work);
        let (by, until) = match why {
            BeginRefusal::NotPending | BeginRefusal::PassedOver => {
                self.members.remove(&work.delivery_id);
                return None;
            }
            BeginRefusal::Plan { .. } if work.plan.on_limit == OnLimit::Fail => {
                self.members.remove(&work.delivery_id);
                return Some(work);
            }
            BeginRefusal::Plan { until_ms } => (HeldBy::PlanMessages, Moment::from_ms(until_ms)),
            BeginRefusal::Tier { until_ms } => (HeldBy::Tier, Moment::from_ms(until_ms)),
            BeginRefusal::Inactive => (HeldBy::SubscriptionInactive, now + RECHECK),
        };
        if self.streams.is_open(work.campaign_id, work.band) {
            // Times of other nodes may be ahead of ours: never at once again.
            let until = until.clamp(now + Duration::from_secs(1), now + RECHECK);
            self.streams.hold(work.campaign_id, work.band, Held { by, since: now, until: Some(until) });
            self.streams.put_back(work);
        } else {
            self.members.remove(&work.delivery_id);
        }
        None
    }
}
