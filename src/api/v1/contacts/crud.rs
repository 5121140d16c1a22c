//! Contacts as things: listed and looked for, made, shown, changed, removed; and phones checked.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::views::{ContactView, CreatedContactView, RemovedContactsView, ValidatedView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, RemovedView, created, ok, paged};
use crate::api::error::{ApiError, Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::domain::contact::Search;
use crate::domain::id::ContactId;
use crate::domain::message::Variables;
use crate::error::Error;
use crate::service::contacts::{ContactInput, ContactPatch};

/// Characters of a search, at most: half a name.
const SEARCH_CHARS_MAX: usize = 100;

/// A contact to make.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CreateContactBody {
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "+91 98765 43210")]
    phone: String,
    /// What people call them; at most 200 characters.
    #[schema(example = "Ana Rao")]
    name: Option<String>,
    /// Their e-mail address.
    #[schema(example = "ana@example.com")]
    email: Option<String>,
    /// `false` opts them out of campaigns. Who has opted out before stays so, also with `true`.
    #[schema(example = true)]
    opt_in: Option<bool>,
    /// Where they live, for sending hours: an IANA name, or a country such as `IN`.
    #[schema(example = "Asia/Kolkata")]
    time_zone: Option<String>,
    /// What else is known of them, at most 30 texts; not `phone`, `name` or `email`.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>, example = json!({"city": "Pune"}))]
    attributes: Option<Variables>,
}

/// What is to change; what is missing stays, and an e-mail address or zone of null is taken away.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct UpdateContactBody {
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "+91 98765 43210")]
    phone: Option<String>,
    /// What people call them; at most 200 characters.
    #[schema(example = "Ana Rao")]
    name: Option<String>,
    /// Their e-mail address.
    #[schema(value_type = Option<String>, example = "ana@example.com")]
    email: Option<Option<String>>,
    /// Whether campaigns may write to them.
    #[schema(example = true)]
    opt_in: Option<bool>,
    /// Where they live, for sending hours: an IANA name, or a country such as `IN`.
    #[schema(value_type = Option<String>, example = "Asia/Kolkata")]
    time_zone: Option<Option<String>>,
    /// All of what else is known of them, at most 30 texts; not `phone`, `name` or `email`.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>, example = json!({"city": "Pune"}))]
    attributes: Option<Variables>,
}

/// Contacts to remove.
#[derive(Debug, ToSchema)]
pub struct DeleteContactsBody {
    /// 1 to 1,000; those that are not there are passed over.
    #[schema(value_type = Vec<uuid::Uuid>)]
    ids: Vec<ContactId>,
}

/// Texts that may be phones.
#[derive(Debug, ToSchema)]
pub struct ValidatePhonesBody {
    /// 1 to 1,000.
    #[schema(example = json!(["+91 98765 43210", "12345"]))]
    phones: Vec<String>,
}

/// What is looked for.
#[derive(Debug, Clone)]
pub struct ContactSearch(Option<Search>);

/// The query of the list, as it is documented and as it arrives.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ContactQuery {
    /// The beginning of a phone, or of any word of a name.
    #[param(example = "ana", max_length = 100)]
    search: Option<String>,
}

/// Lists the contacts, newest first, or those that a search finds, in its order; a total past 100,000 found is not counted
/// on.
#[utoipa::path(get, path = "/contacts", tag = "contacts", security(("bearer" = [])), params(PageQuery, ContactQuery),
    responses((status = 200, body = Paged<ContactView>), Failures, Guarded))]
pub(super) async fn list_contacts(ctx: CallContext, page: Page, search: ContactSearch) -> ListResult<ContactView> {
    paged(page, ctx.store.contacts().list(ctx.caller.tenant_id, search.0.as_ref(), page.0).await?)
}

/// Makes a contact.
#[utoipa::path(post, path = "/contacts", tag = "contacts", security(("bearer" = [])), request_body = CreateContactBody,
    responses((status = 201, body = Envelope<CreatedContactView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn create_contact(
    ctx: CallContext,
    Json(body): Json<CreateContactBody>,
) -> ApiResult<CreatedContactView> {
    created(ctx.services.contacts.create(ctx.caller.tenant_id, body.into()).await?.into())
}

/// Shows a contact.
#[utoipa::path(get, path = "/contacts/{id}", tag = "contacts", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The contact.")),
    responses((status = 200, body = Envelope<ContactView>), Failures, Guarded, OfOne))]
pub(super) async fn get_contact(ctx: CallContext, Path(id): Path<ContactId>) -> ApiResult<ContactView> {
    ok(ctx.store.contacts().find(ctx.caller.tenant_id, id).await?.ok_or(Error::NotFound("contact"))?.into())
}

/// Changes a contact; campaigns that were made before keep what they had.
#[utoipa::path(patch, path = "/contacts/{id}", tag = "contacts", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The contact.")), request_body = UpdateContactBody,
    responses((status = 200, body = Envelope<ContactView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn update_contact(
    ctx: CallContext,
    Path(id): Path<ContactId>,
    Json(body): Json<UpdateContactBody>,
) -> ApiResult<ContactView> {
    ok(ctx.services.contacts.change(ctx.caller.tenant_id, id, body.into()).await?.into())
}

/// How a contact is removed.
#[derive(Debug, Clone, Copy, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Removal {
    /// Whether all that tells who they are is erased too, wherever it is kept.
    #[param(value_type = Option<bool>, default = false)]
    erase: bool,
}

/// Removes a contact; who has opted out stays so.
///
/// With `erase=true` everything that tells who they are goes too: their messages and places in campaigns keep their ids,
/// numbers and how they stand, and lose number, name and text; whatever waits to be sent to them is cancelled first. Answers 409
/// while something is on its way to them, or about to be handed over by a campaign that runs: ask again then. Whoever has
/// opted out stays so, remembered by a keyed hash alone. The audit log is kept.
#[utoipa::path(delete, path = "/contacts/{id}", tag = "contacts", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The contact."), Removal),
    responses((status = 200, body = Envelope<RemovedView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn delete_contact(
    ctx: CallContext,
    Path(id): Path<ContactId>,
    removal: Removal,
) -> ApiResult<RemovedView> {
    if removal.erase {
        ctx.services.erasure.erase(ctx.caller.tenant_id, id, &ctx.actor()).await?;
    } else {
        ctx.services.contacts.remove(ctx.caller.tenant_id, id).await?;
    }
    ok(RemovedView { id: id.0 })
}

/// Removes many contacts at once.
#[utoipa::path(post, path = "/contacts/bulk-delete", tag = "contacts", security(("bearer" = [])),
    request_body = DeleteContactsBody,
    responses((status = 200, body = Envelope<RemovedContactsView>), Failures, Guarded, OfBody))]
pub(super) async fn delete_contacts(
    ctx: CallContext,
    Json(body): Json<DeleteContactsBody>,
) -> ApiResult<RemovedContactsView> {
    ok(RemovedContactsView { deleted: ctx.services.contacts.remove_all(ctx.caller.tenant_id, &body.ids).await? })
}

/// Tells of texts whether they are phones, and whose; does not ask the provider.
#[utoipa::path(post, path = "/contacts/validate", tag = "contacts", security(("bearer" = [])),
    request_body = ValidatePhonesBody,
    responses((status = 200, body = Envelope<Vec<ValidatedView>>), Failures, Guarded, OfBody))]
pub(super) async fn validate_phones(
    ctx: CallContext,
    Json(body): Json<ValidatePhonesBody>,
) -> ApiResult<Vec<ValidatedView>> {
    let validated = ctx.services.contacts.validate(ctx.caller.tenant_id, body.phones).await?;
    ok(validated.into_iter().map(ValidatedView::from).collect())
}

impl FromFields for CreateContactBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let phone = fields.required("phone");
        let name = fields.optional("name");
        let email = fields.optional("email");
        let opt_in = fields.optional("optIn");
        let time_zone = fields.optional("timeZone");
        let attributes = fields.optional("attributes");
        Some(Self {
            phone: phone?,
            name: name?,
            email: email?,
            opt_in: opt_in?,
            time_zone: time_zone?,
            attributes: attributes?,
        })
    }
}

impl FromFields for UpdateContactBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let phone = fields.optional("phone");
        let name = fields.optional("name");
        let email = fields.as_written("email");
        let opt_in = fields.optional("optIn");
        let time_zone = fields.as_written("timeZone");
        let attributes = fields.optional("attributes");
        Some(Self {
            phone: phone?,
            name: name?,
            email: email?,
            opt_in: opt_in?,
            time_zone: time_zone?,
            attributes: attributes?,
        })
    }
}

impl FromFields for DeleteContactsBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { ids: fields.required("ids")? })
    }
}

impl FromFields for ValidatePhonesBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { phones: fields.required("phones")? })
    }
}

impl From<CreateContactBody> for ContactInput {
    fn from(body: CreateContactBody) -> Self {
        Self {
            phone: body.phone,
            name: body.name.unwrap_or_default(),
            email: body.email,
            opt_in: body.opt_in,
            time_zone: body.time_zone,
            attributes: body.attributes.unwrap_or_default(),
        }
    }
}

impl From<UpdateContactBody> for ContactPatch {
    fn from(body: UpdateContactBody) -> Self {
        Self {
            phone: body.phone,
            name: body.name,
            email: body.email,
            opt_in: body.opt_in,
            time_zone: body.time_zone,
            attributes: body.attributes,
        }
    }
}

/// The query of a removal, as it arrives.
#[derive(Debug, Deserialize)]
struct RemovalQuery {
    erase: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Removal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Query(query) = Query::<RemovalQuery>::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::Malformed("The query can not be read."))?;
        let erase = query.erase.map_or(Ok(false), |text| text.parse());
        erase.map(|erase| Self { erase }).map_err(|_| ApiError::invalid("erase", "must be true or false"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ContactSearch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Query(query) = Query::<ContactQuery>::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::Malformed("The query can not be read."))?;
        let Some(text) = query.search else {
            return Ok(Self(None));
        };
        if SEARCH_CHARS_MAX < text.chars().count() {
            return Err(ApiError::invalid("search", format!("must have at most {SEARCH_CHARS_MAX} characters")));
        }
        if text.chars().any(char::is_control) {
            return Err(ApiError::invalid("search", "must not have control characters"));
        }
        Ok(Self(Search::read(&text)))
    }
}
