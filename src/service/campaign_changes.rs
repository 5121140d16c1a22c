//! Changes of campaigns that people make, and campaigns and recipients that they remove.
//!
//! A draft, scheduled or not, may change in everything but its recipients, which have operations of their own. One that runs
//! or is paused may change in its name and its budget: the rest is in its deliveries already, and lanes have read it. One
//! that is over may only get another name.

use crate::clock::Moment;
use crate::domain::campaign::{CampaignEvent, CampaignState, OnUnknown};
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::message::{MessageSpec, MessageTemplate};
use crate::domain::pacing::CampaignPacing;
use crate::domain::plan::OnLimit;
use crate::domain::safeguards::{Canary, Guardrails};
use crate::error::{Error, Problems, Result};
use crate::limits::CHANGE_TRIES_MAX;
use crate::notice::Notice;
use crate::service::CampaignService;
use crate::service::campaign_audience::check_pass_over;
use crate::service::campaign_schedule::check_schedule;
use crate::service::campaigns::{NAME_CHARS_MAX, check_pacing, check_safeguards};
use crate::service::check::check_name;
use crate::service::media::check_media;
use crate::store::campaign_changes::RecipientRemoval;
use crate::store::campaigns::{CampaignRecord, Schedule};

/// A change of a campaign; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct CampaignPatch {
    /// What people call it; 1 to 200 characters.
    pub name: Option<String>,
    /// The sessions that send it, as when it was made.
    pub session_ids: Option<Vec<SessionId>>,
    /// What is sent.
    pub message: Option<MessageSpec>,
    /// What becomes of deliveries without an answer.
    pub on_unknown: Option<OnUnknown>,
    /// What becomes of deliveries for which the plan has no message left.
    pub on_limit: Option<OnLimit>,
    /// Deliveries not sent by then are skipped; an inner none takes it back.
    pub expires_at: Option<Option<Moment>>,
    /// Its own pace, all of it.
    pub pacing: Option<CampaignPacing>,
    /// Whether cold recipients of a lost session go to the others.
    pub failover: Option<bool>,
    /// Which recipients go first; an inner none stands for nobody.
    pub canary: Option<Option<Canary>>,
    /// Its budget, all of it; an inner none takes it back.
    pub guardrails: Option<Option<Guardrails>>,
    /// Whether recipients who have opted out are passed over.
    pub respect_opt_in: Option<bool>,
    /// Within how many hours a recipient gets no second message; an inner none stands for any time.
    pub skip_duplicates_hours: Option<Option<u32>>,
    /// When it starts by itself; an inner none takes that back.
    pub scheduled_at: Option<Option<Moment>>,
    /// The zone in which people think of that time.
    pub time_zone: Option<Option<String>>,
}

impl CampaignService {
    /// Changes a campaign.
    ///
    /// # Errors
    /// `Validation` with every problem, as when it is made, and by `scheduledAt` and `timezone`; `NotFound`;
    /// `SubscriptionInactive` when it is to be scheduled; `Conflict`, with the first field that may not change as it was
    /// asked where the campaign stands, when it has no recipients to be scheduled for, or when others change it too.
    pub async fn change(&self, tenant_id: TenantId, id: CampaignId, patch: CampaignPatch) -> Result<CampaignRecord> {
        let campaigns = self.tools.store.campaigns();
        for _ in 0..CHANGE_TRIES_MAX {
            let before = campaigns.find(tenant_id, id).await?.ok_or(Error::NotFound("campaign"))?;
            check_readable(&before)?;
            let present = campaigns.session_ids(tenant_id, id).await?;
            let sessions = patch.session_ids.as_ref().filter(|ids| **ids != present);
            let after = merged(&before, &patch)?;
            refuse_unsafe(&before, &after, sessions.is_some())?;
            self.check_change(&before, &after, (&patch, sessions)).await?;
            if before == after && sessions.is_none() {
                return Ok(before);
            }
            if campaigns.update(&before, &after, sessions.map(Vec::as_slice)).await? {
                if !after.state.is_over() {
                    self.tools.notices.tell(Notice::CampaignChanged(id));
                }
                return Ok(CampaignRecord { revision: before.revision + 1, schedule_problem: None, ..after });
            }
        }
        Err(Error::conflict("The campaign changed meanwhile."))
    }

    /// Removes a campaign that is a draft or over; its messages and their numbers stay, its recipients are forgotten.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while it is scheduled, runs or is paused.
    pub async fn delete(&self, tenant_id: TenantId, id: CampaignId) -> Result<()> {
        let campaigns = self.tools.store.campaigns();
        if campaigns.delete(tenant_id, id, self.tools.clock.now().as_ms()).await? {
            return Ok(());
        }
        let campaign = campaigns.find(tenant_id, id).await?.ok_or(Error::NotFound("campaign"))?;
        let state = campaign.state.as_str();
        Err(Error::conflict(format!(
            "The campaign is {state}; only drafts and campaigns that are over can be removed."
        )))
    }

    /// Removes a recipient of a draft; the last one takes its place in the order.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the campaign is no draft, or its recipients are being changed by others.
    pub async fn remove_recipient(&self, tenant_id: TenantId, id: CampaignId, recipient_id: DeliveryId) -> Result<()> {
        let store = &self.tools.store;
        for _ in 0..CHANGE_TRIES_MAX {
            let campaign = store.campaigns().find(tenant_id, id).await?.ok_or(Error::NotFound("campaign"))?;
            if campaign.state != CampaignState::Draft {
                let state = campaign.state.as_str();
                return Err(Error::conflict(format!(
                    "The campaign is {state}; recipients can only be removed from a draft."
                )));
            }
            match store.campaign_recipients().remove(tenant_id, id, recipient_id).await? {
                RecipientRemoval::Done => return Ok(()),
                RecipientRemoval::NotFound => return Err(Error::NotFound("recipient")),
                RecipientRemoval::Refused => {}
            }
        }
        Err(Error::conflict("The recipients of the campaign changed meanwhile."))
    }

    /// Forgets recipients of campaigns that were removed, step by step; for the daemon, on a beat. Safe to break off.
    ///
    /// # Errors
    /// `Store` when a step did not happen.
    pub async fn forget_removed(&self) -> Result<()> {
        while self.tools.store.forget_recipients().await? {}
        Ok(())
    }

    async fn check_change(
        &self,
        before: &CampaignRecord,
        after: &CampaignRecord,
        (patch, sessions): (&CampaignPatch, Option<&Vec<SessionId>>),
    ) -> Result<()> {
        let now = self.tools.clock.now();
        let mut problems = Problems::default();
        if patch.name.is_some() {
            check_name("name", &after.name, NAME_CHARS_MAX, &mut problems);
        }
        if let Some(ids) = sessions {
            self.check_sessions(before.tenant_id, ids, &mut problems).await?;
        }
        if let Err(problem) = MessageTemplate::compile(&after.message)
            && patch.message.is_some()
        {
            problems.push("message", problem.to_string());
        }
        if let Some(mut message) = patch.message.clone() {
            check_media(&self.tools, before.tenant_id, &mut message, ("message.mediaId", &mut problems)).await?;
        }
        if before.expires_at_ms != after.expires_at_ms && after.expires_at_ms.is_some_and(|at| at <= now.as_ms()) {
            problems.push("expiresAt", "must be in the future");
        }
        check_pacing(&after.pacing, &mut problems);
        check_safeguards(&after.safeguards, &mut problems);
        check_pass_over(after.pass_over, &mut problems);
        let is_new = before.schedule.as_ref().map(|schedule| schedule.at_ms)
            != after.schedule.as_ref().map(|schedule| schedule.at_ms);
        match &after.schedule {
            Some(schedule) if after.state == CampaignState::Scheduled => {
                check_schedule(schedule, after.expires_at_ms, is_new.then_some(now), &mut problems);
            }
            _ => {}
        }
        if after.schedule.is_none() && patch.time_zone.as_ref().is_some_and(Option::is_some) {
            problems.push("timezone", "goes with scheduledAt");
        }
        problems.check()?;
        if after.state == CampaignState::Scheduled && before.state != CampaignState::Scheduled {
            self.check_may_schedule(after).await?;
        }
        Ok(())
    }
}

/// Refuses a campaign whose settings a newer version has written: what this one does not know would be lost.
pub(super) fn check_readable(campaign: &CampaignRecord) -> Result<()> {
    if campaign.is_readable {
        return Ok(());
    }
    Err(Error::conflict("The campaign has settings that this version does not know."))
}

/// Returns the campaign as it would be after a change.
fn merged(before: &CampaignRecord, patch: &CampaignPatch) -> Result<CampaignRecord> {
    let mut after = before.clone();
    let patch = patch.clone();
    if let Some(name) = patch.name {
        name.trim().clone_into(&mut after.name);
    }
    after.message = patch.message.unwrap_or(after.message);
    after.on_unknown = patch.on_unknown.unwrap_or(after.on_unknown);
    after.on_limit = patch.on_limit.unwrap_or(after.on_limit);
    after.expires_at_ms = patch.expires_at.map_or(after.expires_at_ms, |at| at.map(Moment::as_ms));
    after.pacing = patch.pacing.unwrap_or(after.pacing);
    after.safeguards.failover = patch.failover.unwrap_or(after.safeguards.failover);
    after.safeguards.canary = patch.canary.unwrap_or(after.safeguards.canary);
    after.safeguards.guardrails = patch.guardrails.unwrap_or(after.safeguards.guardrails);
    after.pass_over.opted_out = patch.respect_opt_in.unwrap_or(after.pass_over.opted_out);
    after.pass_over.written_within_hours = patch.skip_duplicates_hours.unwrap_or(after.pass_over.written_within_hours);
    let at_ms = patch.scheduled_at.map_or(before.schedule.as_ref().map(|was| was.at_ms), |at| at.map(Moment::as_ms));
    let time_zone = patch.time_zone.unwrap_or_else(|| before.schedule.as_ref().and_then(|was| was.time_zone.clone()));
    let schedule = at_ms.map(|at_ms| Schedule { at_ms, time_zone });
    let is_taken_back = before.state == CampaignState::Scheduled && schedule.is_none();
    if after.schedule != schedule || is_taken_back {
        let event = if schedule.is_some() { CampaignEvent::Scheduled } else { CampaignEvent::Unscheduled };
        let state = before.state.apply(event);
        after.state = state.map_err(|refused| Error::conflict_of("scheduledAt", refused.to_string()))?;
        after.schedule = schedule;
    }
    Ok(after)
}

/// Refuses what may not change where the campaign stands.
fn refuse_unsafe(before: &CampaignRecord, after: &CampaignRecord, other_sessions: bool) -> Result<()> {
    if matches!(before.state, CampaignState::Draft | CampaignState::Scheduled) {
        return Ok(());
    }
    let is_over = before.state.is_over();
    let (was, is) = (&before.safeguards, &after.safeguards);
    let changed = [
        ("sessionIds", other_sessions),
        ("message", before.message != after.message),
        ("onUnknown", before.on_unknown != after.on_unknown),
        ("onLimit", before.on_limit != after.on_limit),
        ("failover", was.failover != is.failover),
        ("canary", was.canary != is.canary),
        ("respectOptIn", before.pass_over.opted_out != after.pass_over.opted_out),
        ("skipDuplicatesHours", before.pass_over.written_within_hours != after.pass_over.written_within_hours),
        ("expiresAt", before.expires_at_ms != after.expires_at_ms),
        ("guardrails", is_over && was.guardrails != is.guardrails),
        ("pacing", before.pacing != after.pacing),
    ];
    let state = before.state.as_str();
    if let Some((field, _)) = changed.into_iter().find(|(_, changed)| *changed) {
        return Err(Error::conflict_of(field, format!("The campaign is {state}; this can not be changed any more.")));
    }
    Ok(())
}
