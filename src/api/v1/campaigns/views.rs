//! Campaigns as clients see them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::message::MessageBody;
use super::safeguards::{CanaryBody, GuardrailsBody};
use crate::api::timestamp::Timestamp;
use crate::api::v1::sessions::settings::HoursForm;
use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::domain::pacing::CampaignPacing;
use crate::domain::safeguards::{CanaryState, Safeguards};
use crate::service::campaigns::AddedRecipients;
use crate::service::file_import::{ImportReport, LineProblem};
use crate::store::campaign_recipients::RecipientRecord;
use crate::store::campaign_stats::CampaignStats;
use crate::store::campaigns::CampaignRecord;

/// A campaign.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignView {
    /// The campaign.
    #[schema(value_type = uuid::Uuid)]
    id: CampaignId,
    /// What people call it.
    #[schema(example = "Diwali sale")]
    name: String,
    /// `draft`, `scheduled`, `running`, `paused`, `completed`, `cancelled` or `failed`.
    #[schema(example = "running")]
    status: &'static str,
    /// Why it paused itself; null when it did not.
    #[schema(example = "guardrail: failure rate 12 % above 5 %")]
    pause_reason: Option<String>,
    /// What is sent.
    message: MessageBody,
    /// What becomes of messages without an answer: `quarantine` or `resend`.
    #[schema(example = "quarantine")]
    on_unknown: &'static str,
    /// What becomes of deliveries for which the plan has no message left: `hold` or `fail`.
    #[schema(example = "hold")]
    on_limit: &'static str,
    /// Its own pace in each of its sessions; what is not there is the session's.
    #[schema(value_type = CampaignPacingForm)]
    pacing: CampaignPacing,
    /// What became of the recipients.
    counters: CountersView,
    /// Messages not sent by then are skipped.
    expires_at: Option<Timestamp>,
    /// When it starts, or was to start, by itself.
    scheduled_at: Option<Timestamp>,
    /// The zone in which you think of that time.
    #[schema(example = "Asia/Kolkata")]
    timezone: Option<String>,
    /// Why it did not start at its time; null when nothing kept it.
    #[schema(example = "schedule: none of the sessions is connected")]
    schedule_problem: Option<String>,
    /// When it was made.
    created_at: Timestamp,
    /// When it was started.
    started_at: Option<Timestamp>,
    /// When it was completed, cancelled or failed.
    finished_at: Option<Timestamp>,
}

/// A campaign's own pace; it only slows down, the limits of its sessions hold besides.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CampaignPacingForm {
    /// Sends per minute in each session, at most.
    #[schema(example = 10.0)]
    pub rate_per_minute: Option<f64>,
    /// Sends in any 24 hours in each session, at most.
    #[schema(example = 200)]
    pub daily_cap: Option<u32>,
    /// When messages may go, by the recipient's clock; the hours of the session hold besides.
    pub hours: Option<Vec<HoursForm>>,
}

/// A campaign with its sessions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignDetailView {
    /// What the list shows.
    #[serde(flatten)]
    campaign: CampaignView,
    /// The sessions that send it, in their order.
    #[schema(value_type = Vec<uuid::Uuid>)]
    session_ids: Vec<SessionId>,
    /// Whether recipients who never wrote to a session go to the other sessions when it is lost for good.
    failover: bool,
    /// Which recipients go first, alone.
    canary: Option<CanaryBody>,
    /// `sending`, `judging`, `passed` or `failed`; null without a canary and before the start.
    #[schema(example = "judging")]
    canary_status: Option<&'static str>,
    /// The budget of the campaign.
    guardrails: Option<GuardrailsBody>,
    /// Whether recipients who have opted out by the moment of sending are skipped.
    #[schema(example = true)]
    respect_opt_in: bool,
    /// Recipients who got a message of your campaigns within so many hours are skipped; null when nobody is.
    #[schema(example = 24)]
    skip_duplicates_hours: Option<u32>,
}

/// What became of the recipients; the numbers after `total` add up to it once the campaign has started.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct CountersView {
    /// Recipients.
    #[schema(example = 1000)]
    total: i64,
    /// Waiting.
    #[schema(example = 700)]
    queued: i64,
    /// Being sent.
    #[schema(example = 2)]
    sending: i64,
    /// Taken by the provider.
    #[schema(example = 98)]
    sent: i64,
    /// On the phone.
    #[schema(example = 150)]
    delivered: i64,
    /// Read.
    #[schema(example = 40)]
    read: i64,
    /// Not to be sent any more; the stats say by which code.
    #[schema(example = 10)]
    failed: i64,
    /// Not sent by our decision.
    #[schema(example = 0)]
    skipped: i64,
    /// Cancelled by a person.
    #[schema(example = 0)]
    cancelled: i64,
    /// May have been sent; no answer came.
    #[schema(example = 0)]
    unknown: i64,
}

/// The counters with failures by code, and the ledger.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatsView {
    /// The campaign.
    #[schema(value_type = uuid::Uuid)]
    id: CampaignId,
    /// Where it stands.
    #[schema(example = "running")]
    status: &'static str,
    /// The counters.
    #[serde(flatten)]
    counters: CountersView,
    /// Failures by code.
    failed_by_code: FailedView,
    /// Failed and skipped messages by reason.
    #[schema(example = json!({"RECIPIENT_UNREACHABLE": 7}))]
    failed_by_reason: BTreeMap<String, i64>,
    /// Messages handed over so far minus the sum of their states; 0 when nothing is lost.
    #[schema(example = 0)]
    ledger_drift: i64,
    /// When it was started.
    started_at: Option<Timestamp>,
    /// When it was completed, cancelled or failed.
    finished_at: Option<Timestamp>,
}

/// Failures by code.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct FailedView {
    /// Because of a limit.
    #[schema(example = 3)]
    limit_exceeded: i64,
    /// Because the session or the provider could not.
    #[schema(example = 7)]
    whatsapp_unavailable: i64,
}

/// A recipient of a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecipientView {
    /// Also the id of the message.
    #[schema(value_type = uuid::Uuid)]
    id: DeliveryId,
    /// Digits with country code.
    #[schema(example = "919876543210")]
    phone: String,
    /// Values for the message's variables.
    #[schema(example = json!({"name": "Ana"}))]
    variables: BTreeMap<String, String>,
}

/// What became of given recipients; the three numbers add up to what was given.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportView {
    /// New recipients.
    #[schema(example = 9997)]
    accepted: u64,
    /// Those that the campaign had before, or that were given twice.
    #[schema(example = 2)]
    duplicates: u64,
    /// Lines that are not recipients.
    #[schema(example = 1)]
    rejected: u64,
    /// The first 100 of those lines.
    bad_lines: Vec<BadLineView>,
}

/// A line that is not a recipient.
#[derive(Debug, Serialize, ToSchema)]
pub struct BadLineView {
    /// Which line of the file, counted from 1.
    #[schema(example = 17)]
    line: u64,
    /// What is wrong with it.
    #[schema(example = "The phone number is too short.")]
    problem: String,
}

impl From<CampaignRecord> for CampaignView {
    fn from(campaign: CampaignRecord) -> Self {
        Self {
            id: campaign.id,
            counters: campaign.stats().into(),
            name: campaign.name,
            status: campaign.state.as_str(),
            pause_reason: campaign.pause_reason,
            message: campaign.message.into(),
            on_unknown: campaign.on_unknown.as_str(),
            on_limit: campaign.on_limit.as_str(),
            pacing: campaign.pacing,
            expires_at: campaign.expires_at_ms.map(Timestamp),
            scheduled_at: campaign.schedule.as_ref().map(|schedule| Timestamp(schedule.at_ms)),
            timezone: campaign.schedule.and_then(|schedule| schedule.time_zone),
            schedule_problem: campaign.schedule_problem,
            created_at: Timestamp(campaign.created_at_ms),
            started_at: campaign.started_at_ms.map(Timestamp),
            finished_at: campaign.finished_at_ms.map(Timestamp),
        }
    }
}

impl CampaignDetailView {
    /// Shows a campaign and its sessions.
    pub(super) fn new(campaign: CampaignRecord, session_ids: Vec<SessionId>) -> Self {
        let Safeguards { failover, canary, guardrails } = campaign.safeguards;
        Self {
            session_ids,
            failover,
            canary: canary.map(Into::into),
            canary_status: campaign.canary_state.map(CanaryState::as_str),
            guardrails: guardrails.map(Into::into),
            respect_opt_in: campaign.pass_over.opted_out,
            skip_duplicates_hours: campaign.pass_over.written_within_hours,
            campaign: campaign.into(),
        }
    }
}

impl From<CampaignStats> for CountersView {
    fn from(stats: CampaignStats) -> Self {
        Self {
            total: stats.total,
            queued: stats.queued,
            sending: stats.sending,
            sent: stats.sent,
            delivered: stats.delivered,
            read: stats.read,
            failed: stats.failed_limit + stats.failed_unavailable,
            skipped: stats.skipped,
            cancelled: stats.cancelled,
            unknown: stats.unknown,
        }
    }
}

impl StatsView {
    /// Shows a campaign's counters and the reasons of its failures.
    pub(super) fn new(campaign: CampaignRecord, reasons: Vec<(String, i64)>) -> Self {
        let stats = campaign.stats();
        Self {
            id: campaign.id,
            status: campaign.state.as_str(),
            counters: stats.into(),
            failed_by_code: FailedView {
                limit_exceeded: stats.failed_limit,
                whatsapp_unavailable: stats.failed_unavailable,
            },
            failed_by_reason: reasons.into_iter().collect(),
            ledger_drift: campaign.counters.drift(),
            started_at: campaign.started_at_ms.map(Timestamp),
            finished_at: campaign.finished_at_ms.map(Timestamp),
        }
    }
}

impl From<RecipientRecord> for RecipientView {
    fn from(recipient: RecipientRecord) -> Self {
        let variables = recipient.variables.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { id: recipient.id, phone: recipient.recipient.as_str().to_owned(), variables }
    }
}

impl From<AddedRecipients> for ImportView {
    fn from(added: AddedRecipients) -> Self {
        Self { accepted: added.accepted, duplicates: added.duplicates, rejected: 0, bad_lines: Vec::new() }
    }
}

impl From<ImportReport> for ImportView {
    fn from(report: ImportReport) -> Self {
        let bad_lines =
            report.first_problems.into_iter().map(|LineProblem { line, problem }| BadLineView { line, problem });
        Self {
            accepted: report.accepted,
            duplicates: report.duplicates,
            rejected: report.rejected,
            bad_lines: bad_lines.collect(),
        }
    }
}
