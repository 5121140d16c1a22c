//! What came of campaigns: how much arrived, was read and failed, why, and how fast it went.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::messages::RatesView;
use super::query::{DaysQuery, Report, SubjectQuery};
use crate::api::CallContext;
use crate::api::envelope::{ListResult, Paged, paged};
use crate::api::error::{Failures, Guarded};
use crate::api::page::{Page, PageQuery};
use crate::api::timestamp::Timestamp;
use crate::domain::day::Rates;
use crate::domain::id::CampaignId;
use crate::store::analytics::campaigns::{CampaignDays, CampaignOutcome};
use crate::store::campaign_stats::CampaignStats;
use crate::store::page::Page as Rows;

/// What came of a campaign.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignOutcomeView {
    /// The campaign.
    #[schema(value_type = uuid::Uuid)]
    id: CampaignId,
    /// What people call it.
    #[schema(example = "Spring sale")]
    name: String,
    /// Its status.
    #[schema(example = "completed")]
    status: &'static str,
    /// Its recipients.
    #[schema(example = 1_000)]
    recipients: i64,
    /// Messages that the provider took, whatever was reported of them since.
    #[schema(example = 980)]
    sent: i64,
    /// Of these, those that were delivered.
    #[schema(example = 880)]
    delivered: i64,
    /// Of these, those that were read.
    #[schema(example = 380)]
    read: i64,
    /// Messages that failed.
    #[schema(example = 10)]
    failed: i64,
    /// Shares.
    #[serde(flatten)]
    rates: RatesView,
    /// Failures by class: `LIMIT_EXCEEDED` and `WHATSAPP_UNAVAILABLE`.
    #[schema(example = json!({"LIMIT_EXCEEDED": 4, "WHATSAPP_UNAVAILABLE": 6}))]
    failed_by_code: BTreeMap<&'static str, i64>,
    /// Messages that failed or were skipped, by reason.
    #[schema(example = json!({"NOT_ON_WHATSAPP": 10}))]
    by_reason: BTreeMap<String, i64>,
    /// Messages a minute that the provider took, from the start to the end, or until now; null before any was taken.
    #[schema(example = 59.4)]
    sent_per_minute: Option<f64>,
    /// When it was started.
    started_at: Timestamp,
    /// When it was over; null while it is not.
    finished_at: Option<Timestamp>,
}

/// Lists what came of campaigns that were started on these days, latest first. All numbers are those of now.
#[utoipa::path(get, path = "/analytics/campaigns", tag = "analytics", security(("bearer" = [])),
    params(DaysQuery, SubjectQuery, PageQuery),
    responses((status = 200, body = Paged<CampaignOutcomeView>), Failures, Guarded))]
pub(super) async fn list_campaign_outcomes(
    ctx: CallContext,
    page: Page,
    report: Report,
) -> ListResult<CampaignOutcomeView> {
    let days = report.days(&ctx)?;
    let of = CampaignDays { days, session_id: report.session_id, campaign_id: report.campaign_id };
    let now_ms = ctx.clock.now().as_ms();
    let Rows { items, total } = ctx.store.analytics().campaigns(&of, page.0).await?;
    let items = items.into_iter().map(|item| CampaignOutcomeView::new(item, now_ms)).collect();
    paged::<CampaignOutcomeView, CampaignOutcomeView>(page, Rows { items, total })
}

impl CampaignOutcomeView {
    fn new(of: CampaignOutcome, now_ms: i64) -> Self {
        let stats = CampaignStats::of(of.state, of.n_recipients, &of.counters);
        let delivered = stats.delivered + stats.read;
        let (sent, failed) = (stats.sent + delivered, stats.failed_limit + stats.failed_unavailable);
        let took_ms = of.finished_at_ms.unwrap_or(now_ms) - of.started_at_ms;
        Self {
            id: of.id,
            name: of.name,
            status: of.state.as_str(),
            recipients: stats.total,
            sent,
            delivered,
            read: stats.read,
            failed,
            rates: Rates::of(sent, delivered, stats.read, failed).into(),
            failed_by_code: BTreeMap::from([
                ("LIMIT_EXCEEDED", stats.failed_limit),
                ("WHATSAPP_UNAVAILABLE", stats.failed_unavailable),
            ]),
            by_reason: of.reasons.into_iter().collect(),
            sent_per_minute: per_minute(sent, took_ms),
            started_at: Timestamp(of.started_at_ms),
            finished_at: of.finished_at_ms.map(Timestamp),
        }
    }
}

/// Returns how many there were a minute; none where there were none, or no time passed.
fn per_minute(n: i64, took_ms: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a speed may be a little off beyond 2^53")]
    (0 < n && 0 < took_ms).then(|| n as f64 * 60_000.0 / took_ms as f64)
}
