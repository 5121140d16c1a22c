//! Contacts as files: taken in, and given out as a stream.
//!
//! Holds one step of rows at a time. What is given out can be taken in again, but for attributes, which are one column.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;

use crate::api::CallContext;
use crate::api::csv::push_line;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{ApiError, Failures, Guarded, OfBody};
use crate::api::timestamp::Timestamp;
use crate::api::v1::campaigns::recipients::RecipientFile;
use crate::api::v1::campaigns::upload::RecipientUpload;
use crate::api::v1::campaigns::views::ImportView;
use crate::domain::id::ContactId;
use crate::domain::zone::Zone;
use crate::limits::CONTACT_STEP_MAX;
use crate::store::contacts::ContactRecord;

/// The first line of every export.
const HEADER: &str = "phone,name,email,optIn,timeZone,attributes,createdAt\r\n";

/// Takes in a CSV file of any length with the columns `phone`, `name`, `email`, `optin` and `timezone`, of which only the
/// first must be there; the others become attributes. Good lines are kept; contacts that are there stay as they are.
#[utoipa::path(post, path = "/contacts/import", tag = "contacts", security(("bearer" = [])),
    request_body(content(
        (RecipientFile = "multipart/form-data"),
        (String = "text/csv", example = "phone,name\n919876543210,Ana\n"),
    )),
    responses((status = 200, body = Envelope<ImportView>), Failures, Guarded, OfBody))]
pub(super) async fn import_contacts(ctx: CallContext, file: RecipientUpload) -> ApiResult<ImportView> {
    let import = ctx.services.contacts.import(ctx.caller.tenant_id).await?;
    ok(file.pour_into(import, ctx.settings.upload_pause_max).await?.into())
}

/// Exports every contact as CSV, the oldest first.
#[utoipa::path(get, path = "/contacts/export", tag = "contacts", security(("bearer" = [])),
    responses((status = 200, description = "The file.", body = String, content_type = "text/csv",
        example = "phone,name,…"), Failures, Guarded))]
pub(super) async fn export_contacts(ctx: CallContext) -> Result<Response, ApiError> {
    let (beginning, next) = step(&ctx, HEADER.to_owned(), None).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"contacts.csv\"")),
    ];
    // A failed read breaks the stream off, so that half a file is seen as such.
    let rest = stream::try_unfold(next, move |after| {
        let ctx = ctx.clone();
        async move {
            match after {
                Some(after) => step(&ctx, String::new(), Some(after)).await.map(Some),
                None => Ok(None),
            }
        }
    });
    let file = Body::from_stream(futures::StreamExt::chain(stream::iter([Ok(beginning)]), rest));
    Ok((StatusCode::OK, headers, file).into_response())
}

/// Writes the next contacts, and tells behind which one to go on.
async fn step(
    ctx: &CallContext,
    mut text: String,
    after: Option<ContactId>,
) -> Result<(Bytes, Option<ContactId>), ApiError> {
    let contacts = ctx.store.contacts().step(ctx.caller.tenant_id, after).await?;
    for contact in &contacts {
        push_line(&mut text, &cells(contact));
    }
    let is_full = contacts.len() == CONTACT_STEP_MAX as usize;
    Ok((text.into(), contacts.last().filter(|_| is_full).map(|contact| contact.id)))
}

fn cells(contact: &ContactRecord) -> [String; 7] {
    let attributes = match contact.attributes.is_empty() {
        true => String::new(),
        false => serde_json::to_string(&contact.attributes).unwrap_or_default(),
    };
    [
        contact.phone.as_str().to_owned(),
        contact.name.clone(),
        contact.email.clone().unwrap_or_default(),
        contact.is_opted_in().to_string(),
        contact.time_zone.as_ref().map(Zone::as_str).unwrap_or_default().to_owned(),
        attributes,
        Timestamp(contact.created_at_ms).to_text(),
    ]
}
