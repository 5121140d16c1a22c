//! Campaigns that start by themselves: the time is set by people, the start is made by the daemon.
//!
//! A campaign starts as soon as its time has come and a node looks, however late, up to a day: after that nobody expects
//! it any more, and it fails. What may pass by itself, such as a session that is not connected, is waited for as long.

use std::time::Duration;

use crate::clock::Moment;
use crate::domain::id::{CampaignId, TenantId};
use crate::domain::zone::Zone;
use crate::error::{Error, Failures, Problems, Result};
use crate::limits::{DUE_CAMPAIGNS_MAX, SCHEDULE_AHEAD_MAX};
use crate::notice::Notice;
use crate::service::CampaignService;
use crate::service::campaign_changes::CampaignPatch;
use crate::service::plans::check_active;
use crate::store::campaign_schedule::DueCampaign;
use crate::store::campaigns::{CampaignRecord, Schedule};

/// How late a campaign may start.
pub const LATENESS_MAX: Duration = Duration::from_secs(24 * 3_600);

/// What becomes of a campaign whose time has come.
enum Due {
    Start,
    /// Something that may pass stands in the way.
    Wait(&'static str),
    /// It never starts.
    Fail(&'static str),
}

impl CampaignService {
    /// Lets a draft start by itself, or one that is to start at another time.
    ///
    /// # Errors
    /// `Validation` by `scheduledAt` and `timezone`; `NotFound`; `SubscriptionInactive`; `Conflict` when its state refuses
    /// or when it has no recipients.
    pub async fn schedule(&self, tenant_id: TenantId, id: CampaignId, given: Schedule) -> Result<CampaignRecord> {
        let scheduled_at = Some(Some(Moment::from_ms(given.at_ms)));
        let patch = CampaignPatch { scheduled_at, time_zone: Some(given.time_zone), ..CampaignPatch::default() };
        self.change(tenant_id, id, patch).await
    }

    /// Starts the campaigns whose time has come; for the daemon, on a beat. Safe to repeat and to run twice at once: a
    /// campaign starts once.
    ///
    /// # Errors
    /// `Store` when a campaign was not looked at; the others were.
    pub async fn start_due(&self) -> Result<()> {
        let mut failures = Failures::default();
        let (now, mut after) = (self.tools.clock.now(), None);
        loop {
            let due = self.tools.store.campaigns().due(now.as_ms(), after, DUE_CAMPAIGNS_MAX).await?;
            for due in &due {
                let result = self.start_one(due, now).await;
                failures.note(due.id, "start it at its time", result)?;
            }
            after = due.last().copied();
            if after.is_none() {
                return failures.into_result();
            }
        }
    }

    async fn start_one(&self, due: &DueCampaign, now: Moment) -> Result<()> {
        let campaigns = self.tools.store.campaigns();
        let Some(campaign) = campaigns.find(due.tenant_id, due.id).await? else { return Ok(()) };
        if campaign.revision != due.revision {
            return Ok(());
        }
        match self.judge_due(&campaign, due, now).await? {
            Due::Start => {
                let canary = campaign.safeguards.canary.and_then(|canary| canary.n_first(campaign.n_recipients));
                if campaigns.start_due(due, now.as_ms(), canary).await? {
                    let late_ms = now.as_ms() - due.scheduled_at_ms;
                    tracing::info!(campaign.id = %due.id, late_ms, "campaign started at its time");
                    self.tools.notices.tell(Notice::CampaignChanged(due.id));
                    self.tools.notices.tell(Notice::OutboxWritten);
                }
            }
            // Many may wait for long: what stands there already is not written again each second.
            Due::Wait(problem) if campaign.schedule_problem.as_deref() == Some(problem) => {}
            Due::Wait(problem) => campaigns.note_late(due, problem).await?,
            Due::Fail(problem) => {
                if campaigns.fail_due(due, problem, now.as_ms()).await? {
                    tracing::warn!(campaign.id = %due.id, problem, "campaign did not start at its time");
                    self.tools.notices.tell(Notice::CampaignChanged(due.id));
                }
            }
        }
        Ok(())
    }

    async fn judge_due(&self, campaign: &CampaignRecord, due: &DueCampaign, now: Moment) -> Result<Due> {
        if campaign.n_recipients == 0 {
            return Ok(Due::Fail("schedule: the campaign had no recipients"));
        }
        if campaign.expires_at_ms.is_some_and(|at_ms| at_ms <= now.as_ms()) {
            return Ok(Due::Fail("schedule: the campaign had expired"));
        }
        let waits_for = match self.check_start_by(campaign).await {
            Ok(()) => None,
            Err(Error::SubscriptionInactive) => Some("schedule: the subscription is not active"),
            Err(Error::Conflict { .. }) if !campaign.is_readable => {
                Some("schedule: its settings are of a newer version")
            }
            Err(Error::Conflict { .. }) => Some("schedule: none of the sessions is connected"),
            Err(error) => return Err(error),
        };
        if Moment::from_ms(due.scheduled_at_ms) + LATENESS_MAX < now {
            return Ok(Due::Fail(waits_for.unwrap_or("schedule: the time had passed by more than a day")));
        }
        Ok(waits_for.map_or(Due::Start, Due::Wait))
    }

    async fn check_start_by(&self, campaign: &CampaignRecord) -> Result<()> {
        check_active(&self.tools, campaign.tenant_id).await?;
        self.check_start(campaign).await
    }

    /// Tells whether a campaign may wait for its time; whether its sessions are connected counts when that has come.
    pub(super) async fn check_may_schedule(&self, campaign: &CampaignRecord) -> Result<()> {
        if campaign.n_recipients == 0 {
            return Err(Error::conflict("The campaign has no recipients."));
        }
        check_active(&self.tools, campaign.tenant_id).await
    }
}

/// Notes what is wrong with when a campaign starts; the time itself is looked at if it is a new one, as of `now`.
pub(super) fn check_schedule(
    schedule: &Schedule,
    expires_at_ms: Option<i64>,
    now: Option<Moment>,
    problems: &mut Problems,
) {
    let at = Moment::from_ms(schedule.at_ms);
    if now.is_some_and(|now| at <= now) {
        problems.push("scheduledAt", "must be in the future");
    }
    if now.is_some_and(|now| now + SCHEDULE_AHEAD_MAX < at) {
        problems.push("scheduledAt", "must be within a year");
    }
    if schedule.time_zone.as_deref().is_some_and(|zone| Zone::parse(zone).is_none()) {
        problems.push("timezone", "must be a time zone such as Asia/Kolkata, or a country such as IN");
    }
    if expires_at_ms.is_some_and(|at_ms| at_ms <= schedule.at_ms) {
        problems.push("expiresAt", "must be behind scheduledAt");
    }
}
