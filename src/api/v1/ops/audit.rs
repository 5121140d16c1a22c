//! The audit log: who did what to whom.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::OperatorContext;
use crate::api::envelope::{ListResult, Paged, paged};
use crate::api::error::{Failures, Guarded};
use crate::api::page::{Page, PageQuery};
use crate::api::timestamp::Timestamp;
use crate::store::audit::AuditRecord;

/// A deed, as it was written down.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    /// Its id.
    id: Uuid,
    /// When.
    at: Timestamp,
    /// Who did it, a person or an API key; null for the system itself.
    actor_id: Option<Uuid>,
    /// Whose thing it was; null for everything.
    tenant_id: Option<Uuid>,
    /// What was done.
    #[schema(example = "lane.suspended")]
    action: String,
    /// To what: the id of a thing, or `everything`.
    #[schema(example = "0198c0de-0000-7000-8000-0000000000bb")]
    subject: String,
    /// What else is to be known: ids, words and numbers.
    #[schema(value_type = Object, example = json!({"reason": "The provider asked us to wait."}))]
    details: serde_json::Value,
    /// The request that asked for it, by `x-request-id`; null for the system itself.
    request_id: Option<String>,
}

impl From<AuditRecord> for AuditView {
    fn from(record: AuditRecord) -> Self {
        Self {
            id: record.id,
            at: Timestamp(record.at_ms),
            actor_id: record.actor.key_id.map(|id| id.0).or(record.actor.user_id.map(|id| id.0)),
            tenant_id: record.deed.tenant_id.map(|id| id.0),
            action: record.deed.action,
            subject: record.deed.subject,
            details: record.deed.details,
            request_id: record.actor.request_id,
        }
    }
}

/// Lists deeds of all tenants, newest first: what operators did, and what changed plans, keys, accounts and teams.
#[utoipa::path(get, path = "/ops/audit", tag = "ops", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<AuditView>), Failures, Guarded))]
pub(super) async fn list_audit(ctx: OperatorContext, page: Page) -> ListResult<AuditView> {
    paged(page, ctx.store.audit_log(page.0).await?)
}
