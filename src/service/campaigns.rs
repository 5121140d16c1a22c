//! Campaigns: made, and given recipients.
//!
//! Starting, pausing and cancelling is [`crate::service::campaign_control`].

use std::collections::HashSet;

use crate::clock::Moment;
use crate::domain::campaign::{CampaignState, Counters, OnUnknown, PassOver};
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::message::{MessageSpec, MessageTemplate, Variables};
use crate::domain::pacing::CampaignPacing;
use crate::domain::plan::OnLimit;
use crate::domain::recipient::Recipient;
use crate::domain::safeguards::Safeguards;
use crate::error::{Error, Problems, Result};
use crate::limits::{RECIPIENTS_PER_BODY_MAX, SESSIONS_PER_CAMPAIGN_MAX};
use crate::service::Tools;
use crate::service::campaign_audience::{Audience, check_pass_over};
use crate::service::campaign_schedule::check_schedule;
use crate::service::check::check_name;
use crate::service::media::check_media;
use crate::service::recipient_import::{RecipientImport, RecipientRows};
use crate::store::campaign_recipients::{Appended, NewRecipient};
use crate::store::campaigns::{CampaignRecord, Schedule};

/// Characters of a campaign's name, at most.
pub(super) const NAME_CHARS_MAX: usize = 200;
/// Longest wait for receipts of the first recipients: a day.
const RECEIPT_WAIT_SECONDS_MAX: u32 = 86_400;

/// A campaign to make.
#[derive(Debug, Clone)]
pub struct NewCampaign {
    /// What people call it; 1 to 200 characters.
    pub name: String,
    /// The sessions that send it: 1 to 1,000 of the tenant's, each once.
    pub session_ids: Vec<SessionId>,
    /// What is sent.
    pub message: MessageSpec,
    /// What becomes of deliveries without an answer.
    pub on_unknown: OnUnknown,
    /// What becomes of deliveries for which the plan has no message left.
    pub on_limit: OnLimit,
    /// Deliveries not sent by then are skipped.
    pub expires_at: Option<Moment>,
    /// Its own pace in each of its sessions; it only slows down.
    pub pacing: CampaignPacing,
    /// What keeps it from doing harm.
    pub safeguards: Safeguards,
    /// Whom it passes over at the moment of sending.
    pub pass_over: PassOver,
    /// Its first recipients.
    pub recipients: Vec<RecipientInput>,
    /// Contacts that it is for besides; a recipient given above keeps what was given there.
    pub audience: Audience,
    /// When it starts by itself.
    pub schedule: Option<Schedule>,
}

/// A recipient as given.
#[derive(Debug, Clone)]
pub struct RecipientInput {
    /// The address as written by people.
    pub phone: String,
    /// Values for the message's variables.
    pub variables: Variables,
}

/// What became of recipients given at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddedRecipients {
    /// New ones.
    pub accepted: u64,
    /// Those that the campaign or the list had before.
    pub duplicates: u64,
}

/// Makes campaigns.
#[derive(Debug, Clone)]
pub struct CampaignService {
    pub(super) tools: Tools,
}

impl CampaignService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Makes a campaign, a draft; all or nothing of it, but for contacts, which are added to the draft step by step, and
    /// the time at which it is to start, which is set when it is whole.
    ///
    /// # Errors
    /// `Validation` with every problem, by the fields `name`, `sessionIds`, `message`, `message.mediaId`, `expiresAt`, `pacing`, `canary`,
    /// `guardrails.…`, `skipDuplicatesHours`, `recipients[n].phone`, `groupIds[n]`, `contactIds[n]`, `scheduledAt`,
    /// `timezone`; `SubscriptionInactive` and `Conflict` where it is made and stays a draft, because it can not be
    /// scheduled.
    pub async fn create(&self, tenant_id: TenantId, mut new: NewCampaign) -> Result<(CampaignRecord, AddedRecipients)> {
        let now = self.tools.clock.now();
        let mut problems = Problems::default();
        let name = check_name("name", &new.name, NAME_CHARS_MAX, &mut problems);
        self.check_sessions(tenant_id, &new.session_ids, &mut problems).await?;
        if let Err(problem) = MessageTemplate::compile(&new.message) {
            problems.push("message", problem.to_string());
        }
        check_media(&self.tools, tenant_id, &mut new.message, ("message.mediaId", &mut problems)).await?;
        if new.expires_at.is_some_and(|at| at <= now) {
            problems.push("expiresAt", "must be in the future");
        }
        check_pacing(&new.pacing, &mut problems);
        check_safeguards(&new.safeguards, &mut problems);
        check_pass_over(new.pass_over, &mut problems);
        new.audience.check(&self.tools, tenant_id, &mut problems).await?;
        let recipients = check_recipients(new.recipients, &mut problems);
        let expires_at_ms = new.expires_at.map(Moment::as_ms);
        if let Some(schedule) = &new.schedule {
            check_schedule(schedule, expires_at_ms, Some(now), &mut problems);
            if recipients.is_empty() && new.audience.is_empty() {
                problems.push("scheduledAt", "goes with recipients, groupIds or contactIds");
            }
        }
        problems.check()?;
        let campaign = CampaignRecord {
            id: CampaignId::generate(),
            tenant_id,
            name,
            state: CampaignState::Draft,
            message: new.message,
            on_unknown: new.on_unknown,
            on_limit: new.on_limit,
            is_readable: true,
            pacing: new.pacing,
            n_recipients: 0,
            expires_at_ms,
            created_at_ms: now.as_ms(),
            started_at_ms: None,
            finished_at_ms: None,
            schedule: None,
            schedule_problem: None,
            revision: 0,
            safeguards: new.safeguards,
            pass_over: new.pass_over,
            canary_state: None,
            pause_reason: None,
            counters: Counters::default(),
        };
        let campaigns = self.tools.store.campaigns();
        let appended = campaigns.insert(&campaign, &new.session_ids, &recipients).await??;
        let mut added = AddedRecipients::from(&appended);
        added += new.audience.add_to(&self.tools, tenant_id, campaign.id).await?;
        let n_recipients = i64::try_from(added.accepted).map_err(Error::internal("count recipients"))?;
        let campaign = match new.schedule {
            Some(schedule) => self.schedule(tenant_id, campaign.id, schedule).await?,
            None => CampaignRecord { n_recipients, ..campaign },
        };
        Ok((campaign, added))
    }

    /// Adds recipients to a draft, all of them or none; those it has are only counted.
    ///
    /// # Errors
    /// `Validation` with every problem, by the fields `recipients` and `recipients[n].phone`;
    /// `NotFound`; `Conflict` when it is no draft.
    pub async fn add_recipients(
        &self,
        tenant_id: TenantId,
        id: CampaignId,
        recipients: Vec<RecipientInput>,
    ) -> Result<AddedRecipients> {
        let mut problems = Problems::default();
        if recipients.is_empty() {
            problems.push("recipients", "must not be empty");
        }
        let recipients = check_recipients(recipients, &mut problems);
        problems.check()?;
        let appended = append(&self.tools, tenant_id, id, &recipients).await?;
        Ok(AddedRecipients::from(&appended))
    }

    /// Starts taking a recipient file for a draft.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is no draft.
    pub async fn import_recipients(&self, tenant_id: TenantId, id: CampaignId) -> Result<RecipientImport> {
        append(&self.tools, tenant_id, id, &[]).await?;
        Ok(RecipientImport::new(RecipientRows { tools: self.tools.clone(), tenant_id, campaign_id: id }))
    }

    pub(super) async fn check_sessions(
        &self,
        tenant_id: TenantId,
        ids: &[SessionId],
        problems: &mut Problems,
    ) -> Result<()> {
        let field = "sessionIds";
        if ids.is_empty() || SESSIONS_PER_CAMPAIGN_MAX < ids.len() {
            problems.push(field, format!("must name 1 to {SESSIONS_PER_CAMPAIGN_MAX} sessions"));
            return Ok(());
        }
        let distinct: HashSet<SessionId> = ids.iter().copied().collect();
        if distinct.len() < ids.len() {
            problems.push(field, "must name each session once");
        }
        let known: HashSet<SessionId> = self.tools.store.sessions().known(tenant_id, ids).await?.into_iter().collect();
        let unknown = ids.iter().enumerate().filter(|(_, id)| !known.contains(id));
        for (place, _) in unknown {
            problems.push(format!("{field}[{place}]"), "There is no such session");
        }
        Ok(())
    }
}

impl std::ops::AddAssign for AddedRecipients {
    fn add_assign(&mut self, more: Self) {
        self.accepted += more.accepted;
        self.duplicates += more.duplicates;
    }
}

impl From<&Appended> for AddedRecipients {
    fn from(appended: &Appended) -> Self {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Self { accepted: count(appended.accepted), duplicates: count(appended.duplicates.len()) }
    }
}

/// Adds recipients to a draft, or says why that is not possible.
pub(super) async fn append(
    tools: &Tools,
    tenant_id: TenantId,
    id: CampaignId,
    recipients: &[NewRecipient],
) -> Result<Appended> {
    if let Some(appended) = tools.store.campaign_recipients().append(tenant_id, id, recipients).await? {
        return Ok(appended);
    }
    let campaign = tools.store.campaigns().find(tenant_id, id).await?.ok_or(Error::NotFound("campaign"))?;
    let state = campaign.state.as_str();
    Err(Error::conflict(format!("The campaign is {state}; recipients can only be added to a draft.")))
}

pub(super) fn check_pacing(pacing: &CampaignPacing, problems: &mut Problems) {
    for problem in pacing.check().err().unwrap_or_default() {
        problems.push(format!("pacing.{}", problem.field), problem.rule);
    }
}

pub(super) fn check_safeguards(safeguards: &Safeguards, problems: &mut Problems) {
    if let Some(canary) = safeguards.canary {
        if canary.first.is_some() == canary.percent.is_some() {
            problems.push("canary", "must have either first or percent");
        }
        if canary.first == Some(0) {
            problems.push("canary.first", "must be at least 1");
        }
        if canary.percent.is_some_and(|percent| !(0.01..100.0).contains(&percent)) {
            problems.push("canary.percent", "must be at least 0.01 and less than 100");
        }
    }
    let Some(guardrails) = safeguards.guardrails else { return };
    for (field, rate) in [
        ("guardrails.maxFailureRate", guardrails.max_failure_rate),
        ("guardrails.maxNoReceiptRate", guardrails.max_no_receipt_rate),
        ("guardrails.maxOptOutRate", guardrails.max_opt_out_rate),
    ] {
        if rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
            problems.push(field, "must be 0 to 1");
        }
    }
    if guardrails.min_sample == 0 {
        problems.push("guardrails.minSample", "must be at least 1");
    }
    if RECEIPT_WAIT_SECONDS_MAX < guardrails.no_receipt_after_seconds {
        problems.push("guardrails.noReceiptAfterSeconds", format!("must be at most {RECEIPT_WAIT_SECONDS_MAX}"));
    }
}

fn check_recipients(given: Vec<RecipientInput>, problems: &mut Problems) -> Vec<NewRecipient> {
    if RECIPIENTS_PER_BODY_MAX < given.len() {
        let most = format!("must be at most {RECIPIENTS_PER_BODY_MAX}; upload a file for more");
        problems.push("recipients", most);
        return vec![];
    }
    let mut recipients = Vec::with_capacity(given.len());
    for (place, RecipientInput { phone, variables }) in given.into_iter().enumerate() {
        match Recipient::parse(&phone) {
            Ok(recipient) => recipients.push(NewRecipient { recipient, variables, time_zone: None }),
            Err(problem) => problems.push(format!("recipients[{place}].phone"), problem.to_string()),
        }
    }
    recipients
}
