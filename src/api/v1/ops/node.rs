//! The node that answers, and the ledger of all of them.

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::api::OperatorContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfState};
use crate::api::extract::{Fields, FromFields, MaybeJson};
use crate::error::Error;
use crate::service::ledger::Ledger;
use crate::store::audit::Deed;

/// Whether every accepted message is in exactly one state.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerView {
    /// Messages ever accepted.
    #[schema(example = 125_000)]
    accepted: i64,
    /// Sum of all states.
    #[schema(example = 125_000)]
    sum: i64,
    /// How many messages are off, over all campaigns; 0 when nothing is lost. A count under load may see moves half way.
    #[schema(example = 0)]
    drift: i64,
    /// By how many messages the usage of plans is off; 0 when nothing is lost.
    #[schema(example = 0)]
    usage_drift: i64,
}

/// Which node is to drain.
#[derive(Debug, ToSchema)]
pub struct DrainBody {
    /// Its name, as in the list of partitions: refused by every other node. Without it, whichever node answers.
    #[schema(example = "node-1")]
    node: Option<String>,
}

/// A node that drains.
#[derive(Debug, Serialize, ToSchema)]
pub struct DrainView {
    /// Its name.
    #[schema(example = "node-1")]
    node: String,
    /// Always `draining`.
    #[schema(example = "draining")]
    status: &'static str,
}

impl FromFields for DrainBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { node: fields.optional("node")? })
    }
}

impl From<Ledger> for LedgerView {
    fn from(ledger: Ledger) -> Self {
        let Ledger { accepted, sum, drift, usage_drift } = ledger;
        Self { accepted, sum, drift, usage_drift }
    }
}

/// Counts all messages of all tenants now; reads every row, so one count is made at a time.
#[utoipa::path(get, path = "/ops/ledger", tag = "ops", security(("bearer" = [])),
    responses((status = 200, body = Envelope<LedgerView>), Failures, Guarded))]
pub(super) async fn get_ledger(ctx: OperatorContext) -> ApiResult<LedgerView> {
    ok(ctx.services.ledger.count().await?.into())
}

/// Stops the node that answers: it takes nothing more, finishes what is on the wire, hands back the rest, and ends.
#[utoipa::path(post, path = "/ops/drain", tag = "ops", security(("bearer" = [])),
    request_body = Option<DrainBody>,
    responses((status = 200, body = Envelope<DrainView>), Failures, Guarded, OfBody, OfState))]
pub(super) async fn drain_node(ctx: OperatorContext, MaybeJson(body): MaybeJson<DrainBody>) -> ApiResult<DrainView> {
    let node = ctx.process.node().to_owned();
    if body.node.as_ref().is_some_and(|wanted| *wanted != node) {
        return Err(Error::Conflict { message: format!("This is the node {node}.").into(), field: Some("node") }.into());
    }
    let deed = Deed { action: "node.drained".to_owned(), subject: node.clone(), tenant_id: None, details: json!({}) };
    ctx.store.write_down(&ctx.actor(), &deed, ctx.clock.now().as_ms()).await?;
    ctx.process.drain();
    ok(DrainView { node, status: "draining" })
}
