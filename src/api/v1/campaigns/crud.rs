//! Campaigns as things: listed, made, shown.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::message::MessageBody;
use super::recipients::RecipientBody;
use super::safeguards::{CanaryBody, GuardrailsBody};
use super::views::{CampaignDetailView, CampaignPacingForm, CampaignView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, created, ok, paged};
use crate::api::error::{ApiError, Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::api::timestamp::Timestamp;
use crate::domain::campaign::{CampaignState, OnUnknown, PassOver};
use crate::domain::id::{CampaignId, ContactId, GroupId, SessionId};
use crate::domain::pacing::CampaignPacing;
use crate::domain::plan::OnLimit;
use crate::domain::safeguards::Safeguards;
use crate::error::Error;
use crate::service::campaign_audience::Audience;
use crate::service::campaigns::NewCampaign;
use crate::store::campaigns::Schedule;

/// A campaign to make.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CreateCampaignBody {
    /// What people call it; 1 to 200 characters.
    #[schema(example = "Diwali sale")]
    name: String,
    /// The sessions that send it: 1 to 1,000, each once.
    #[schema(value_type = Vec<uuid::Uuid>)]
    session_ids: Vec<SessionId>,
    /// What is sent.
    message: MessageBody,
    /// Its first recipients, at most 10,000; more can be added until it starts.
    recipients: Option<Vec<RecipientBody>>,
    /// Groups whose contacts become recipients as they are now, at most 100.
    #[schema(value_type = Option<Vec<uuid::Uuid>>)]
    group_ids: Option<Vec<GroupId>>,
    /// Contacts that become recipients as they are now, at most 10,000.
    #[schema(value_type = Option<Vec<uuid::Uuid>>)]
    contact_ids: Option<Vec<ContactId>>,
    /// Whether recipients who have opted out by the moment of sending are skipped; they are when missing.
    #[schema(example = true)]
    respect_opt_in: Option<bool>,
    /// Recipients who got a message of your campaigns within so many hours are skipped, 1 to 2,160; nobody is when
    /// missing.
    #[schema(example = 24)]
    skip_duplicates_hours: Option<u32>,
    /// What becomes of messages without an answer: `quarantine` (the default, at most once) or `resend` (at least
    /// once).
    #[schema(value_type = Option<String>, example = "quarantine")]
    on_unknown: Option<OnUnknown>,
    /// What becomes of messages for which the plan has none left: `hold` (the default, until the next period or a
    /// larger plan) or `fail`.
    #[schema(value_type = Option<String>, example = "hold")]
    on_limit: Option<OnLimit>,
    /// Messages not sent by then are skipped.
    expires_at: Option<Timestamp>,
    /// Its own pace in each of its sessions; it only slows down.
    #[schema(value_type = Option<CampaignPacingForm>)]
    pacing: Option<CampaignPacing>,
    /// Whether recipients who never wrote to a session go to the other sessions when it is lost for good; not when
    /// missing.
    failover: Option<bool>,
    /// Which recipients go first, alone.
    canary: Option<CanaryBody>,
    /// The budget of the campaign.
    guardrails: Option<GuardrailsBody>,
    /// When it starts by itself, in the future and within a year; it stays a draft when missing.
    scheduled_at: Option<Timestamp>,
    /// The zone in which you think of that time, an IANA name; it is shown again and changes nothing.
    #[schema(example = "Asia/Kolkata")]
    timezone: Option<String>,
}

/// Which campaigns are listed.
#[derive(Debug, Clone, Copy)]
pub struct CampaignFilter(Option<CampaignState>);

/// The query of the list, as it is documented and as it arrives.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CampaignQuery {
    /// Only those in this status.
    #[param(example = "running")]
    status: Option<String>,
}

/// Lists the campaigns, newest first.
#[utoipa::path(get, path = "/campaigns", tag = "campaigns", security(("bearer" = [])), params(PageQuery, CampaignQuery),
    responses((status = 200, body = Paged<CampaignView>), Failures, Guarded))]
pub(super) async fn list_campaigns(ctx: CallContext, page: Page, filter: CampaignFilter) -> ListResult<CampaignView> {
    paged(page, ctx.store.campaigns().list(ctx.caller.tenant_id, filter.0, page.0).await?)
}

/// Makes a campaign; it is a draft until it is started, or scheduled if you say when it starts.
#[utoipa::path(post, path = "/campaigns", tag = "campaigns", security(("bearer" = [])),
    request_body = CreateCampaignBody,
    responses((status = 201, body = Envelope<CampaignDetailView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn create_campaign(
    ctx: CallContext,
    Json(mut body): Json<CreateCampaignBody>,
) -> ApiResult<CampaignDetailView> {
    body.message = body.message.resolved(&ctx).await?;
    let session_ids = body.session_ids.clone();
    let (campaign, _) = ctx.services.campaigns.create(ctx.caller.tenant_id, body.into()).await?;
    created(CampaignDetailView::new(campaign, session_ids))
}

/// Shows a campaign, its sessions and its counters.
#[utoipa::path(get, path = "/campaigns/{id}", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    responses((status = 200, body = Envelope<CampaignDetailView>), Failures, Guarded, OfOne))]
pub(super) async fn get_campaign(ctx: CallContext, Path(id): Path<CampaignId>) -> ApiResult<CampaignDetailView> {
    let campaigns = ctx.store.campaigns();
    let campaign = campaigns.find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("campaign"))?;
    let session_ids = campaigns.session_ids(ctx.caller.tenant_id, id).await?;
    ok(CampaignDetailView::new(campaign, session_ids))
}

impl FromFields for CreateCampaignBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name");
        let session_ids = fields.required("sessionIds");
        let message = fields.required("message");
        let recipients = fields.optional("recipients");
        let group_ids = fields.optional("groupIds");
        let contact_ids = fields.optional("contactIds");
        let respect_opt_in = fields.optional("respectOptIn");
        let skip_duplicates_hours = fields.optional("skipDuplicatesHours");
        let on_unknown = fields.optional("onUnknown");
        let on_limit = fields.optional("onLimit");
        let expires_at = fields.optional("expiresAt");
        let pacing = fields.optional("pacing");
        let failover = fields.optional("failover");
        let canary = fields.optional("canary");
        let guardrails = fields.optional("guardrails");
        let scheduled_at = fields.optional("scheduledAt");
        let timezone: Option<Option<String>> = fields.optional("timezone");
        if matches!((&scheduled_at, &timezone), (Some(None), Some(Some(_)))) {
            fields.refuse("timezone", "goes with scheduledAt");
        }
        Some(Self {
            name: name?,
            session_ids: session_ids?,
            message: message?,
            recipients: recipients?,
            group_ids: group_ids?,
            contact_ids: contact_ids?,
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

impl From<CreateCampaignBody> for NewCampaign {
    fn from(body: CreateCampaignBody) -> Self {
        Self {
            name: body.name,
            session_ids: body.session_ids,
            message: body.message.into(),
            on_unknown: body.on_unknown.unwrap_or_default(),
            on_limit: body.on_limit.unwrap_or_default(),
            expires_at: body.expires_at.map(Timestamp::moment),
            pacing: body.pacing.unwrap_or_default(),
            safeguards: Safeguards {
                failover: body.failover.unwrap_or(false),
                canary: body.canary.map(Into::into),
                guardrails: body.guardrails.map(Into::into),
            },
            pass_over: PassOver {
                opted_out: body.respect_opt_in.unwrap_or(true),
                written_within_hours: body.skip_duplicates_hours,
            },
            audience: Audience {
                group_ids: body.group_ids.unwrap_or_default(),
                contact_ids: body.contact_ids.unwrap_or_default(),
            },
            recipients: body.recipients.unwrap_or_default().into_iter().map(Into::into).collect(),
            schedule: body.scheduled_at.map(|at| Schedule { at_ms: at.moment().as_ms(), time_zone: body.timezone }),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CampaignFilter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Query(query) = Query::<CampaignQuery>::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::Malformed("The query can not be read."))?;
        let Some(word) = query.status else {
            return Ok(Self(None));
        };
        let state =
            CampaignState::parse(&word).ok_or_else(|| ApiError::invalid("status", "is not a status of campaigns"))?;
        Ok(Self(Some(state)))
    }
}
