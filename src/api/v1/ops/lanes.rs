//! The lanes of all tenants: where each belongs, who serves it, and what it waits for.

use std::collections::HashMap;
use std::num::NonZeroU16;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::partitions::by_number;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, ok, paged};
use crate::api::error::{ApiError, Failures, Guarded, OfOne};
use crate::api::extract::Path;
use crate::api::page::{Page, PageQuery};
use crate::api::timestamp::Timestamp;
use crate::api::v1::held::HeldView;
use crate::api::{OperatorContext, Shared};
use crate::dispatch::picture::Waiting;
use crate::domain::id::{SessionId, TenantId};
use crate::domain::pacing::Pacing;
use crate::domain::partition::PartitionNo;
use crate::error::{Error, Problems};
use crate::limits::SESSIONS_PER_LOOK_MAX;
use crate::store::lane_pages::LaneSummary;
use crate::store::page::{Page as Rows, PageRequest};
use crate::store::partitions::PartitionRow;
use crate::store::{Store, StoreError};

/// Which lanes are wanted, checked by its extractor.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct LaneFilter {
    partition: Option<PartitionNo>,
    session_id: Option<SessionId>,
}

/// The same as it is documented and as it arrives.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct LaneQuery {
    /// Only lanes of this partition, counted from 0.
    #[param(value_type = Option<u16>, minimum = 0)]
    partition: Option<String>,
    /// Only the lane of this session.
    #[param(value_type = Option<uuid::Uuid>)]
    session_id: Option<String>,
}

impl LaneFilter {
    fn check(query: &LaneQuery, n_partitions: NonZeroU16) -> Result<Self, ApiError> {
        let mut problems = Problems::default();
        let in_range = |no: &u16| *no < n_partitions.get();
        let partition = query.partition.as_deref().map(|text| text.parse().ok().filter(in_range));
        if partition == Some(None) {
            let last = n_partitions.get() - 1;
            problems.push("partition", format!("must be a whole number from 0 to {last}"));
        }
        let session_id = query.session_id.as_deref().map(|text| text.parse().ok());
        if session_id == Some(None) {
            problems.push("sessionId", "must be a UUID");
        }
        problems.check()?;
        Ok(Self { partition: partition.flatten().map(PartitionNo), session_id: session_id.flatten() })
    }
}

impl FromRequestParts<Shared> for LaneFilter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, front: &Shared) -> Result<Self, ApiError> {
        let query = Query::<LaneQuery>::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::Malformed("The query can not be read."))?;
        Self::check(&query.0, front.settings.n_partitions)
    }
}

/// A lane: the ordered work of one session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LaneView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Whose it is.
    #[schema(value_type = uuid::Uuid)]
    tenant_id: TenantId,
    /// Where the session stands, as in the list of sessions.
    #[schema(example = "connected")]
    status: &'static str,
    /// The partition it belongs to.
    #[schema(example = 7)]
    partition: u16,
    /// The node whose lease that partition is, or was until it ran out; null when nobody owns it.
    #[schema(example = "node-1")]
    owner: Option<String>,
    /// Counts the leases of the partition; 0 when it was never claimed.
    #[schema(example = 3)]
    fence: i64,
    /// How long the lease still holds, negative since it ran out, milliseconds; null without an owner.
    #[schema(example = 9_500)]
    lease_left_ms: Option<i64>,
    /// Records of the partition that were not taken in yet; null when that is not known.
    #[schema(example = 0)]
    lag: Option<i64>,
    /// Campaigns with deliveries here that are not settled; single messages together count as one.
    #[schema(example = 1)]
    open_streams: u64,
    /// Messages in the lane's lines that wait or are being sent; too many by those that were settled out of turn.
    #[schema(example = 1_250)]
    backlog: u64,
    /// Messages that the provider took and that no receipt came for in time, ever.
    #[schema(example = 0)]
    no_receipts: u64,
    /// What the next message of the lane waits for; null when nothing waits in it.
    held_by: Option<HeldView>,
    /// Before this moment the pace allows no next send; null before the first one.
    next_send_not_before: Option<Timestamp>,
}

/// A lane with what is known of its partition.
struct Placed<'a> {
    lane: LaneSummary,
    partition: PartitionNo,
    row: Option<&'a PartitionRow>,
    default_pacing: Pacing,
    waiting: Option<Waiting>,
}

impl From<Placed<'_>> for LaneView {
    fn from(placed: Placed<'_>) -> Self {
        let Placed { lane, partition, row, default_pacing, waiting } = placed;
        // Rounded up: nobody is told a moment that is too early.
        let not_before_us = lane.not_before_us(default_pacing);
        let not_before_ms = not_before_us.map(|us| us.div_euclid(1_000) + i64::from(us.rem_euclid(1_000) != 0));
        Self {
            session_id: lane.session_id,
            tenant_id: lane.tenant_id,
            status: lane.state.as_str(),
            partition: partition.0,
            owner: row.and_then(|row| row.owner_name.clone()),
            fence: row.map_or(0, |row| row.fence),
            lease_left_ms: row.filter(|row| row.owner_name.is_some()).map(|row| row.lease_left_ms),
            lag: row.and_then(|row| row.lag),
            open_streams: lane.n_open_streams,
            backlog: lane.n_backlog,
            no_receipts: lane.n_no_receipts,
            held_by: waiting.map(HeldView::from),
            next_send_not_before: not_before_ms.map(Timestamp),
        }
    }
}

/// Lists the lanes of all tenants, those of the newest sessions first.
#[utoipa::path(get, path = "/ops/lanes", tag = "ops", security(("bearer" = [])), params(PageQuery, LaneQuery),
    responses((status = 200, body = Paged<LaneView>), Failures, Guarded))]
pub(super) async fn list_lanes(ctx: OperatorContext, page: Page, filter: LaneFilter) -> ListResult<LaneView> {
    let n_partitions = ctx.settings.n_partitions;
    let sessions = wanted(&ctx.store, filter, page.0, n_partitions).await?;
    let items = views(&ctx, &sessions.items).await?;
    paged(page, Rows { items, total: sessions.total })
}

/// Shows the lane of one session.
#[utoipa::path(get, path = "/ops/lanes/{id}", tag = "ops", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session of the lane.")),
    responses((status = 200, body = Envelope<LaneView>), Failures, Guarded, OfOne))]
pub(super) async fn get_operated_lane(ctx: OperatorContext, Path(id): Path<SessionId>) -> ApiResult<LaneView> {
    ok(views(&ctx, &[id]).await?.pop().ok_or(Error::NotFound("session"))?)
}

async fn views(ctx: &OperatorContext, sessions: &[SessionId]) -> Result<Vec<LaneView>, ApiError> {
    let n_partitions = ctx.settings.n_partitions;
    let lanes = ctx.store.lane_summaries(sessions).await?;
    let waiting = ctx.services.waiting.of_lanes(sessions).await?;
    let partitions: HashMap<_, _> = by_number(ctx.store.partitions().await?);
    let default_pacing = ctx.services.sessions.default_pacing();
    let view = |lane: LaneSummary| {
        let partition = PartitionNo::of(lane.session_id, n_partitions);
        let waiting = waiting.get(&lane.session_id).and_then(|lane| lane.held);
        Placed { lane, partition, row: partitions.get(&partition), default_pacing, waiting }.into()
    };
    Ok(lanes.into_iter().map(view).collect())
}

/// Finds the sessions of a page, and how many there are on all pages.
async fn wanted(
    store: &Store,
    filter: LaneFilter,
    page: PageRequest,
    n_partitions: NonZeroU16,
) -> Result<Rows<SessionId>, StoreError> {
    let is_in = |id: &SessionId| filter.partition.is_none_or(|wanted| PartitionNo::of(*id, n_partitions) == wanted);
    if let Some(session_id) = filter.session_id {
        let there = !store.lane_summaries(&[session_id]).await?.is_empty() && is_in(&session_id);
        let items = if there && page.offset() == 0 { vec![session_id] } else { vec![] };
        return Ok(Rows { items, total: u64::from(there) });
    }
    if filter.partition.is_none() {
        return store.all_sessions(page).await;
    }
    // The database does not know the hash, so all sessions are looked at, some at a time.
    let (mut items, mut total, mut below) = (Vec::new(), 0, None);
    let (skipped, limit) = (page.offset().unsigned_abs(), page.limit() as usize);
    loop {
        let look = store.sessions_below(below, SESSIONS_PER_LOOK_MAX).await?;
        for id in look.iter().filter(|id| is_in(id)) {
            if skipped <= total && items.len() < limit {
                items.push(*id);
            }
            total += 1;
        }
        match look.last() {
            Some(last) if look.len() == SESSIONS_PER_LOOK_MAX as usize => below = Some(*last),
            _ => return Ok(Rows { items, total }),
        }
    }
}
