//! Campaigns that are changed, scheduled, copied and removed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::message::MessageBody;
use super::safeguards::{CanaryBody, GuardrailsBody};
use super::views::{CampaignDetailView, CampaignPacingForm, CampaignView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, created, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, MaybeJson, Path};
use crate::api::timestamp::Timestamp;
use crate::domain::campaign::OnUnknown;
use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::domain::pacing::CampaignPacing;
use crate::domain::plan::OnLimit;
use crate::service::campaign_changes::CampaignPatch;
use crate::service::campaign_copies::CopyForm;
use crate::store::campaigns::Schedule;

/// A change of a campaign; what is missing stays. A draft, scheduled or not, takes all of it. While it runs or is paused only
/// `name` and `guardrails` may change; when it is over, only `name`.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct UpdateCampaignBody {
    /// What people call it; 1 to 200 characters.
    #[schema(example = "Diwali sale, second wave")]
    name: Option<String>,
    /// All sessions that send it: 1 to 1,000, each once.
    #[schema(value_type = Option<Vec<uuid::Uuid>>)]
    session_ids: Option<Vec<SessionId>>,
    /// What is sent.
    message: Option<MessageBody>,
    /// Whether recipients who have opted out by the moment of sending are skipped.
    #[schema(example = true)]
    respect_opt_in: Option<bool>,
    /// Recipients who got a message of your campaigns within so many hours are skipped, 1 to 2,160; null for nobody.
    #[schema(value_type = Option<u32>, example = 24)]
    skip_duplicates_hours: Option<Option<u32>>,
    /// What becomes of messages without an answer: `quarantine` or `resend`.
    #[schema(value_type = Option<String>, example = "quarantine")]
    on_unknown: Option<OnUnknown>,
    /// What becomes of messages for which the plan has none left: `hold` or `fail`.
    #[schema(value_type = Option<String>, example = "hold")]
    on_limit: Option<OnLimit>,
    /// Messages not sent by then are skipped; null for never.
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Option<Option<Timestamp>>,
    /// All of its own pace in each of its sessions; null for that of the sessions.
    #[schema(value_type = Option<CampaignPacingForm>)]
    pacing: Option<Option<CampaignPacing>>,
    /// Whether recipients who never wrote to a session go to the other sessions when it is lost for good.
    #[schema(example = false)]
    failover: Option<bool>,
    /// Which recipients go first, alone; null for none.
    #[schema(value_type = Option<CanaryBody>)]
    canary: Option<Option<CanaryBody>>,
    /// All of its budget; null for none.
    #[schema(value_type = Option<GuardrailsBody>)]
    guardrails: Option<Option<GuardrailsBody>>,
    /// When it starts by itself; null makes a scheduled campaign a draft again.
    #[schema(value_type = Option<Timestamp>)]
    scheduled_at: Option<Option<Timestamp>>,
    /// The zone in which you think of that time; it is shown again and changes nothing.
    #[schema(value_type = Option<String>, example = "Asia/Kolkata")]
    timezone: Option<Option<String>>,
}

/// When a campaign starts by itself.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ScheduleCampaignBody {
    /// In the future, within a year, with its offset from UTC.
    scheduled_at: Timestamp,
    /// The zone in which you think of that time, an IANA name; it is shown again and changes nothing.
    #[schema(example = "Asia/Kolkata")]
    timezone: Option<String>,
}

/// What becomes of a copy.
#[derive(Debug, ToSchema)]
pub struct DuplicateCampaignBody {
    /// What people call it, 1 to 200 characters; the name of the campaign and ` (copy)` when missing.
    #[schema(example = "Diwali sale, second wave")]
    name: Option<String>,
    /// Whether it gets the recipients too, at most 500,000; not when missing.
    #[schema(example = true)]
    recipients: Option<bool>,
}

/// What was removed.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemovedCampaignView {
    /// Its id.
    pub id: uuid::Uuid,
}

/// A campaign, and a recipient of it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfCampaign {
    id: CampaignId,
    recipient_id: DeliveryId,
}

/// Changes a campaign, in everything while it is a draft and in what is safe while it runs.
#[utoipa::path(patch, path = "/campaigns/{id}", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")), request_body = UpdateCampaignBody,
    responses((status = 200, body = Envelope<CampaignDetailView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn update_campaign(
    ctx: CallContext,
    Path(id): Path<CampaignId>,
    Json(mut body): Json<UpdateCampaignBody>,
) -> ApiResult<CampaignDetailView> {
    if let Some(message) = body.message.take() {
        body.message = Some(message.resolved(&ctx).await?);
    }
    let campaign = ctx.services.campaigns.change(ctx.caller.tenant_id, id, body.into()).await?;
    let session_ids = ctx.store.campaigns().session_ids(ctx.caller.tenant_id, id).await?;
    ok(CampaignDetailView::new(campaign, session_ids))
}

/// Removes a campaign that is a draft or over; its messages stay.
#[utoipa::path(delete, path = "/campaigns/{id}", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    responses((status = 200, body = Envelope<RemovedCampaignView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn delete_campaign(ctx: CallContext, Path(id): Path<CampaignId>) -> ApiResult<RemovedCampaignView> {
    ctx.services.campaigns.delete(ctx.caller.tenant_id, id).await?;
    ok(RemovedCampaignView { id: id.0 })
}

/// Lets a campaign start by itself, within seconds of its time; up to a day late when nothing can send then, after that it
/// fails. Pausing it makes it a draft again.
#[utoipa::path(post, path = "/campaigns/{id}/schedule", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")), request_body = ScheduleCampaignBody,
    responses((status = 200, body = Envelope<CampaignView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn schedule_campaign(
    ctx: CallContext,
    Path(id): Path<CampaignId>,
    Json(body): Json<ScheduleCampaignBody>,
) -> ApiResult<CampaignView> {
    ok(ctx.services.campaigns.schedule(ctx.caller.tenant_id, id, body.into()).await?.into())
}

/// Makes a draft with the message, the sessions and the settings of a campaign, and its recipients if you ask for them.
#[utoipa::path(post, path = "/campaigns/{id}/duplicate", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    request_body(content = Option<DuplicateCampaignBody>, description = "Nothing for a copy without recipients."),
    responses((status = 201, body = Envelope<CampaignDetailView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn duplicate_campaign(
    ctx: CallContext,
    Path(id): Path<CampaignId>,
    MaybeJson(body): MaybeJson<DuplicateCampaignBody>,
) -> ApiResult<CampaignDetailView> {
    let form = CopyForm { name: body.name, with_recipients: body.recipients.unwrap_or(false) };
    let (copy, session_ids) = ctx.services.campaigns.duplicate(ctx.caller.tenant_id, id, form).await?;
    created(CampaignDetailView::new(copy, session_ids))
}

/// Removes a recipient of a draft; the last recipient takes its place in the order.
#[utoipa::path(delete, path = "/campaigns/{id}/recipients/{recipientId}", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign."),
        ("recipientId" = uuid::Uuid, Path, description = "The recipient, as it is listed.")),
    responses((status = 200, body = Envelope<RemovedCampaignView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn remove_recipient(ctx: CallContext, Path(of): Path<OfCampaign>) -> ApiResult<RemovedCampaignView> {
    ctx.services.campaigns.remove_recipient(ctx.caller.tenant_id, of.id, of.recipient_id).await?;
    ok(RemovedCampaignView { id: of.recipient_id.0 })
}

impl FromFields for UpdateCampaignBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name");
        let session_ids = fields.optional("sessionIds");
        let message = fields.optional("message");
        let respect_opt_in = fields.optional("respectOptIn");
        let skip_duplicates_hours = fields.as_written("skipDuplicatesHours");
        let on_unknown = fields.optional("onUnknown");
        let on_limit = fields.optional("onLimit");
        let expires_at = fields.as_written("expiresAt");
        let pacing = fields.as_written("pacing");
        let failover = fields.optional("failover");
        let canary = fields.as_written("canary");
        let guardrails = fields.as_written("guardrails");
        let scheduled_at = fields.as_written("scheduledAt");
        let timezone = fields.as_written("timezone");
        Some(Self {
            name: name?,
            session_ids: session_ids?,
            message: message?,
            respect_opt_in: respect_opt_in?,
            skip_duplicates_hours: skip_duplicates_hours?,
            on_unknown: on_unknown?,
            on_limit: on_limit?,
            expires_at: expires_at?,
            pacing: pacing?,
            failover: failover?,
            canary: canary?,
            guardrails: guardrails?,
            scheduled_at: scheduled_at?,
            timezone: timezone?,
        })
    }
}

impl FromFields for ScheduleCampaignBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let scheduled_at = fields.required("scheduledAt");
        let timezone = fields.optional("timezone");
        Some(Self { scheduled_at: scheduled_at?, timezone: timezone? })
    }
}

impl FromFields for DuplicateCampaignBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name");
        let recipients = fields.optional("recipients");
        Some(Self { name: name?, recipients: recipients? })
    }
}

impl From<UpdateCampaignBody> for CampaignPatch {
    fn from(body: UpdateCampaignBody) -> Self {
        Self {
            name: body.name,
            session_ids: body.session_ids,
            message: body.message.map(Into::into),
            on_unknown: body.on_unknown,
            on_limit: body.on_limit,
            expires_at: body.expires_at.map(|at| at.map(Timestamp::moment)),
            pacing: body.pacing.map(Option::unwrap_or_default),
            failover: body.failover,
            canary: body.canary.map(|canary| canary.map(Into::into)),
            guardrails: body.guardrails.map(|guardrails| guardrails.map(Into::into)),
            respect_opt_in: body.respect_opt_in,
            skip_duplicates_hours: body.skip_duplicates_hours,
            scheduled_at: body.scheduled_at.map(|at| at.map(Timestamp::moment)),
            time_zone: body.timezone,
        }
    }
}

impl From<ScheduleCampaignBody> for Schedule {
    fn from(body: ScheduleCampaignBody) -> Self {
        Self { at_ms: body.scheduled_at.moment().as_ms(), time_zone: body.timezone }
    }
}
