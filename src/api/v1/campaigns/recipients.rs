//! Recipients of a campaign: listed, and added as JSON or as a file.

use serde::Deserialize;
use utoipa::ToSchema;

use super::upload::RecipientsBody;
use super::views::{ImportView, RecipientView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Path};
use crate::api::page::{Page, PageQuery};
use crate::domain::id::CampaignId;
use crate::domain::message::Variables;
use crate::error::Error;
use crate::service::campaigns::RecipientInput;

/// A recipient as given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipientBody {
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "+91 98765 43210")]
    phone: String,
    /// Values for the message's variables.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>, example = json!({"name": "Ana"}))]
    variables: Variables,
}

/// Recipients to add, all of them or none.
#[derive(Debug, ToSchema)]
pub struct AddRecipientsBody {
    /// At most 10,000; more go as a file.
    pub(super) recipients: Vec<RecipientBody>,
}

/// A file to upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "exists for the document only")]
pub struct RecipientFile {
    /// CSV with a header; one column is `phone`, the others become variables.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Lists the recipients of a campaign, in their order.
#[utoipa::path(get, path = "/campaigns/{id}/recipients", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign."), PageQuery),
    responses((status = 200, body = Paged<RecipientView>), Failures, Guarded, OfOne))]
pub(super) async fn list_recipients(
    ctx: CallContext,
    Path(id): Path<CampaignId>,
    page: Page,
) -> ListResult<RecipientView> {
    let rows = ctx.store.campaign_recipients().list(ctx.caller.tenant_id, id, page.0).await?;
    paged(page, rows.ok_or(Error::NotFound("campaign"))?)
}

/// Adds recipients to a draft, as JSON or as a CSV file of any length; the good lines of a file are kept.
#[utoipa::path(post, path = "/campaigns/{id}/recipients", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    request_body(content(
        (AddRecipientsBody = "application/json"),
        (RecipientFile = "multipart/form-data"),
        (String = "text/csv", example = "phone,name\n919876543210,Ana\n"),
    )),
    responses((status = 200, body = Envelope<ImportView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn add_recipients(
    ctx: CallContext,
    Path(id): Path<CampaignId>,
    body: RecipientsBody,
) -> ApiResult<ImportView> {
    let (campaigns, tenant_id) = (&ctx.services.campaigns, ctx.caller.tenant_id);
    let file = match body {
        RecipientsBody::List(list) => return ok(campaigns.add_recipients(tenant_id, id, list).await?.into()),
        RecipientsBody::File(file) => file,
    };
    let import = campaigns.import_recipients(tenant_id, id).await?;
    ok(file.pour_into(import, ctx.settings.upload_pause_max).await?.into())
}

impl FromFields for AddRecipientsBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { recipients: fields.required("recipients")? })
    }
}

impl From<RecipientBody> for RecipientInput {
    fn from(body: RecipientBody) -> Self {
        Self { phone: body.phone, variables: body.variables }
    }
}
