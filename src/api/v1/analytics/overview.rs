//! What happened in some days, on one page.

use serde::Serialize;
use utoipa::ToSchema;

use super::messages::{MessageCountsView, RatesView};
use super::query::{DaysQuery, PeriodView, Report};
use super::requests::RequestCountsView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded};

/// What happened in some days.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverviewView {
    /// In which days.
    period: PeriodView,
    /// How messages stand.
    messages: MessageCountsView,
    /// Shares of them.
    rates: RatesView,
    /// Requests to the API.
    api_requests: RequestCountsView,
    /// Campaigns that were made.
    #[schema(example = 4)]
    campaigns: i64,
    /// Sessions that there were on the last day.
    #[schema(example = 2)]
    sessions: i64,
    /// Contacts that there were on the last day, when it was last looked.
    #[schema(example = 1_200)]
    contacts: i64,
}

/// Tells what happened in some days, all together. The sums are a few seconds behind, contacts a minute.
#[utoipa::path(get, path = "/analytics/overview", tag = "analytics", security(("bearer" = [])), params(DaysQuery),
    responses((status = 200, body = Envelope<OverviewView>), Failures, Guarded))]
pub(super) async fn get_overview(ctx: CallContext, report: Report) -> ApiResult<OverviewView> {
    let days = report.days(&ctx)?;
    let overview = ctx.services.analytics.overview(days).await?;
    ok(OverviewView {
        period: days.into(),
        messages: overview.messages.into(),
        rates: RatesView::of(&overview.messages),
        api_requests: overview.requests.into(),
        campaigns: overview.campaigns,
        sessions: overview.sessions,
        contacts: overview.contacts,
    })
}
