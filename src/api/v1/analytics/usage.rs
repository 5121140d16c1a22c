//! What was had and used day by day, of what plans limit.

use serde::Serialize;
use utoipa::ToSchema;

use super::query::{Day, DaysQuery, PeriodView, Report};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded};
use crate::service::analytics::UsageDay;

/// What was had and used on one day.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageDayView {
    /// The day.
    day: Day,
    /// Messages of the plan that were, or may have been, sent on this day.
    #[schema(example = 980)]
    messages: i64,
    /// Sessions that there were.
    #[schema(example = 2)]
    sessions: i64,
    /// Requests to the API that count for the plan.
    #[schema(example = 310)]
    api_requests: i64,
    /// Campaigns that were made.
    #[schema(example = 1)]
    campaigns: i64,
    /// Contacts that there were, when it was last looked on this day.
    #[schema(example = 1_200)]
    contacts: i64,
}

/// What was had and used, day by day.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageHistoryView {
    /// On which days.
    period: PeriodView,
    /// Every day, oldest first.
    days: Vec<UsageDayView>,
}

/// Tells day by day what was had and used of what plans limit. The sums are a few seconds behind, contacts a minute.
#[utoipa::path(get, path = "/analytics/usage", tag = "analytics", security(("bearer" = [])), params(DaysQuery),
    responses((status = 200, body = Envelope<UsageHistoryView>), Failures, Guarded))]
pub(super) async fn get_usage_history(ctx: CallContext, report: Report) -> ApiResult<UsageHistoryView> {
    let days = report.days(&ctx)?;
    let usage = ctx.services.analytics.usage(days).await?;
    ok(UsageHistoryView { period: days.into(), days: usage.into_iter().map(UsageDayView::from).collect() })
}

impl From<UsageDay> for UsageDayView {
    fn from(of: UsageDay) -> Self {
        Self {
            day: Day(of.day),
            messages: of.messages,
            sessions: of.sessions,
            api_requests: of.api_requests,
            campaigns: of.campaigns,
            contacts: of.contacts,
        }
    }
}
