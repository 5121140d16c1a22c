//! What travels through a lane: a delivery with everything needed to send it.

use std::sync::Arc;

use crate::clock::Moment;
use crate::domain::campaign::PassOver;
use crate::domain::held_by::HeldBy;
use crate::domain::id::{CampaignId, DeliveryId, JobId};
use crate::domain::job::TrafficClass;
use crate::domain::message::{Content, MessageTemplate, RenderProblem, Variables};
use crate::domain::pacing::CampaignPacing;
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::domain::zone::{Band, Temperature};

/// What the deliveries of one job share.
#[derive(Debug)]
pub struct JobPlan {
    /// The job.
    pub job_id: JobId,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// What becomes of it when the plan has no message left.
    pub on_limit: OnLimit,
    /// Not to be sent earlier.
    pub not_before: Option<Moment>,
    /// Not to be sent from then on.
    pub expires_at: Option<Moment>,
    /// Whether the campaign's own pace can be read.
    pub is_readable: bool,
    /// Whom its campaign passes over.
    pub pass_over: PassOver,
    /// The campaign's own pace, as it was when the job was read.
    pub campaign_pacing: Option<Arc<CampaignPacing>>,
    /// What is sent; `None` when the stored message can not be read, and every delivery fails.
    pub template: Option<MessageTemplate>,
}

impl JobPlan {
    /// Makes the plan of a job without terms of its own; it has nothing to send yet.
    #[must_use]
    pub fn plain(job_id: JobId, traffic_class: TrafficClass) -> Self {
        Self {
            job_id,
            traffic_class,
            on_limit: OnLimit::Hold,
            not_before: None,
            expires_at: None,
            is_readable: true,
            pass_over: PassOver::default(),
            campaign_pacing: None,
            template: None,
        }
    }
}

/// One delivery on its way through a lane.
#[derive(Debug)]
pub struct Work {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The kind of its recipient.
    pub band: Band,
    /// Its place in its stream.
    pub seq: i64,
    /// Who gets it.
    pub recipient: Recipient,
    /// Values for the message.
    pub variables: Variables,
    /// Attempts begun so far.
    pub n_attempts: u32,
    /// Those of them that do not count against what is allowed: made before a person put it back in line, taken back,
    /// throttled, or refused for what holds the number or a kind of its messages.
    pub n_attempts_before: u32,
    /// When it could go as far as the delivery itself is concerned: loaded and due.
    pub ready_at: Moment,
    /// Until when its recipient gets no more marketing.
    pub capped_until: Option<Moment>,
    /// What its job says.
    pub plan: Arc<JobPlan>,
}

/// A delivery whose attempt is durable and that waits for its moment.
#[derive(Debug)]
pub struct Prepared {
    /// The delivery.
    pub work: Box<Work>,
    /// What it says.
    pub content: Content,
}

impl Work {
    /// Makes the message of this delivery; the same every time.
    ///
    /// # Errors
    /// [`RenderProblem`] when its variables do not fit; `None` inside when the job's message
    /// itself can not be read.
    pub fn render(&self) -> Result<Content, Option<RenderProblem>> {
        let template = self.plan.template.as_ref().ok_or(None)?;
        template.render(&self.variables, &self.recipient, self.seed()).map_err(Some)
    }

    /// Returns a number that differs between deliveries and stays the same for each.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.delivery_id.0.as_u64_pair().1
    }

    /// Tells whether its recipient never wrote to the session.
    #[must_use]
    pub fn is_cold(&self) -> bool {
        self.band.temperature() == Temperature::Cold
    }

    /// Tells whether it is no answer to its recipient.
    #[must_use]
    pub fn is_business(&self) -> bool {
        self.is_cold() || self.plan.traffic_class == TrafficClass::Bulk
    }

    /// Returns what it waits for that is not due yet.
    #[must_use]
    pub fn put_off_by(&self) -> HeldBy {
        if self.n_attempts == 0 { HeldBy::NotBefore } else { HeldBy::Retry }
    }

    /// Returns the stream it belongs to.
    #[must_use]
    pub fn stream(&self) -> (CampaignId, Band) {
        (self.campaign_id, self.band)
    }

    /// Returns how many attempts count against what is allowed.
    #[must_use]
    pub fn n_tries(&self) -> u32 {
        self.n_attempts.saturating_sub(self.n_attempts_before)
    }

    /// Tells whether its recipient has had enough marketing for now.
    #[must_use]
    pub fn is_capped(&self, now: Moment) -> bool {
        self.plan.traffic_class == TrafficClass::Bulk && self.capped_until.is_some_and(|until| now < until)
    }

    /// Tells whether it may not be sent any more.
    #[must_use]
    pub fn is_expired(&self, now: Moment) -> bool {
        self.plan.expires_at.is_some_and(|at| at <= now)
    }
}
