//! Contacts opted out of campaigns, and in again. Both do nothing where that is so already.

use super::views::ContactView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfOne};
use crate::api::extract::Path;
use crate::domain::id::ContactId;

/// Lets campaigns write to a contact again.
#[utoipa::path(post, path = "/contacts/{id}/opt-in", tag = "contacts", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The contact.")),
    responses((status = 200, body = Envelope<ContactView>), Failures, Guarded, OfOne))]
pub(super) async fn opt_in(ctx: CallContext, Path(id): Path<ContactId>) -> ApiResult<ContactView> {
    ok(ctx.services.contacts.opt(ctx.caller.tenant_id, id, true).await?.into())
}

/// Keeps campaigns from writing to a contact, also those that run.
#[utoipa::path(post, path = "/contacts/{id}/opt-out", tag = "contacts", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The contact.")),
    responses((status = 200, body = Envelope<ContactView>), Failures, Guarded, OfOne))]
pub(super) async fn opt_out(ctx: CallContext, Path(id): Path<ContactId>) -> ApiResult<ContactView> {
    ok(ctx.services.contacts.opt(ctx.caller.tenant_id, id, false).await?.into())
}
