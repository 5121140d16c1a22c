//! Records of the job topic that could not be read or admitted: listed, and put back.
//!
//! Their keys and values hold personal data and are not shown; the command line shows them.

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::api::OperatorContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, ok, paged};
use crate::api::error::{ApiError, Failures, Guarded, OfOne, OfState};
use crate::api::extract::Path;
use crate::api::page::{Page, PageQuery};
use crate::api::process::{KeptRecord, Replayed};
use crate::api::timestamp::Timestamp;
use crate::error::Error;
use crate::store::audit::Deed;
use crate::store::page::Page as Rows;

/// A record that could not be admitted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterView {
    /// Its place on the dead topic.
    #[schema(example = "0:17")]
    id: String,
    /// When it was kept.
    at: Timestamp,
    /// Why: `UNREADABLE`, `UNKNOWN_VERSION`, `DELIVERY_COUNT`, `FOREIGN_TENANT`, `UNKNOWN_SESSION`, `CONFLICTING_ID`,
    /// `OVER_SIZE` or `EXPIRED`.
    #[schema(example = "UNKNOWN_SESSION")]
    cause: &'static str,
    /// More about it, for people.
    #[schema(example = "there is no such session")]
    detail: String,
    /// The topic it came from.
    #[schema(example = "campaign.jobs")]
    source_topic: String,
    /// The partition it came from.
    #[schema(example = 5)]
    source_partition: u16,
    /// Its place there.
    #[schema(example = 4711)]
    source_offset: i64,
    /// Bytes of its value.
    #[schema(example = 1_834)]
    bytes: u64,
    /// Whether only its beginning is kept; it can not be replayed then.
    truncated: bool,
    /// Whether it was replayed.
    replayed: bool,
}

/// A record that was put back.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayedView {
    /// Its place on the dead topic.
    #[schema(example = "0:17")]
    id: String,
    /// Always `true`.
    #[schema(example = true)]
    replayed: bool,
}

impl From<KeptRecord> for DeadLetterView {
    fn from(kept: KeptRecord) -> Self {
        Self {
            id: kept.id,
            at: Timestamp(i64::try_from(kept.at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)),
            cause: kept.cause.as_str(),
            detail: kept.detail,
            source_topic: kept.source_topic,
            source_partition: kept.source_partition.0,
            source_offset: kept.source_offset,
            bytes: kept.n_bytes,
            truncated: kept.is_truncated,
            replayed: kept.is_replayed,
        }
    }
}

/// Lists the newest 10,000 records that could not be admitted, newest first; none where there is no broker.
#[utoipa::path(get, path = "/ops/dead-letters", tag = "ops", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<DeadLetterView>), Failures, Guarded))]
pub(super) async fn list_dead_letters(ctx: OperatorContext, page: Page) -> ListResult<DeadLetterView> {
    let letters = ctx.process.dead_letters().await?;
    let total = letters.len() as u64;
    let skip = usize::try_from(page.0.offset()).unwrap_or(usize::MAX);
    let items = letters.into_iter().skip(skip).take(page.0.limit() as usize).collect();
    paged(page, Rows { items, total })
}

/// Writes a record to the job topic again, after what was wrong is mended; what is still wrong comes back.
#[utoipa::path(post, path = "/ops/dead-letters/{id}/replay", tag = "ops", security(("bearer" = [])),
    params(("id" = String, Path, description = "The record, as the list names it.", example = "0:17")),
    responses((status = 200, body = Envelope<ReplayedView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn replay_dead_letter(ctx: OperatorContext, Path(id): Path<String>) -> ApiResult<ReplayedView> {
    if !is_place(&id) {
        return Err(ApiError::invalid("id", "must be PARTITION:OFFSET, as the list names it"));
    }
    match ctx.process.replay(&id).await? {
        Replayed::Done => {}
        Replayed::NotThere => return Err(Error::NotFound("dead letter").into()),
        Replayed::Truncated => {
            return Err(Error::conflict("Only its beginning was kept, so it can not be replayed.").into());
        }
    }
    let deed =
        Deed { action: "dead_letter.replayed".to_owned(), subject: id.clone(), tenant_id: None, details: json!({}) };
    ctx.store.write_down(&ctx.actor(), &deed, ctx.clock.now().as_ms()).await?;
    ok(ReplayedView { id, replayed: true })
}

fn is_place(id: &str) -> bool {
    let is_number = |text: &str| (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    id.split_once(':').is_some_and(|(partition, offset)| is_number(partition) && is_number(offset))
}

#[cfg(test)]
mod tests {
    use super::is_place;

    #[test]
    fn places_are_two_numbers() {
        assert!(is_place("0:17"));
        for text in ["", ":", "0:", ":1", "0:x", "-1:2", "0:1:2", "0: 1", &format!("0:{}", "1".repeat(20))] {
            assert!(!is_place(text), "{text}");
        }
    }
}
