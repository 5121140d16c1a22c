//! The partitions: who owns each, under which fence, and how far behind it is.

use std::collections::HashMap;
use std::num::NonZeroU16;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::OperatorContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded};
use crate::api::timestamp::Timestamp;
use crate::domain::partition::PartitionNo;
use crate::store::partitions::PartitionRow;

/// A partition and its lease.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionView {
    /// Its number, counted from 0.
    #[schema(example = 7)]
    partition: u16,
    /// The node whose lease it is, or was until it ran out; null when it was given back or never claimed.
    #[schema(example = "node-1")]
    owner: Option<String>,
    /// Counts its leases; 0 when it was never claimed.
    #[schema(example = 3)]
    fence: i64,
    /// How long the lease still holds by the database's clock, negative since it ran out, milliseconds; null without
    /// an owner.
    #[schema(example = 9_500)]
    lease_left_ms: Option<i64>,
    /// When the lease ends unless it is renewed; null without an owner.
    lease_ends_at: Option<Timestamp>,
    /// When it was last claimed; null when it never was.
    claimed_at: Option<Timestamp>,
    /// Records of the job topic that were not taken in yet; null when that is not known.
    #[schema(example = 0)]
    lag: Option<i64>,
}

impl PartitionView {
    fn new(partition: PartitionNo, row: Option<PartitionRow>, now_ms: i64) -> Self {
        let left_ms = row.as_ref().filter(|row| row.owner_name.is_some()).map(|row| row.lease_left_ms);
        let claimed_at_ms = row.as_ref().map_or(0, |row| row.claimed_at_ms);
        Self {
            partition: partition.0,
            fence: row.as_ref().map_or(0, |row| row.fence),
            lease_left_ms: left_ms,
            lease_ends_at: left_ms.map(|left_ms| Timestamp(now_ms.saturating_add(left_ms))),
            claimed_at: (claimed_at_ms != 0).then_some(Timestamp(claimed_at_ms)),
            lag: row.as_ref().and_then(|row| row.lag),
            owner: row.and_then(|row| row.owner_name),
        }
    }
}

/// Lists all partitions, in their order, unclaimed ones too.
#[utoipa::path(get, path = "/ops/partitions", tag = "ops", security(("bearer" = [])),
    responses((status = 200, body = Envelope<Vec<PartitionView>>), Failures, Guarded))]
pub(super) async fn list_partitions(ctx: OperatorContext) -> ApiResult<Vec<PartitionView>> {
    let now_ms = ctx.clock.now().as_ms();
    let mut rows = by_number(ctx.store.partitions().await?);
    let view = |partition| PartitionView::new(partition, rows.remove(&partition), now_ms);
    ok(all(ctx.settings.n_partitions).map(view).collect())
}

/// Puts the rows where they are found by their number.
pub(super) fn by_number(rows: Vec<PartitionRow>) -> HashMap<PartitionNo, PartitionRow> {
    rows.into_iter().map(|row| (row.partition, row)).collect()
}

fn all(n_partitions: NonZeroU16) -> impl Iterator<Item = PartitionNo> {
    (0..n_partitions.get()).map(PartitionNo)
}
