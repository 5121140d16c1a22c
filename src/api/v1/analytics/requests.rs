//! How many requests were made to the API, by day and by who made them.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::query::{CallerQuery, Day, DaysQuery, PeriodView, Report};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded};
use crate::store::analytics::requests::{RequestCounts, RequesterCounts};

/// How many requests there were.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestCountsView {
    /// All of them.
    #[schema(example = 1_000)]
    requests: i64,
    /// Of these, those that count for the plan.
    #[schema(example = 990)]
    counted: i64,
    /// Refused because of what was asked: status 400 to 499.
    #[schema(example = 12)]
    client_errors: i64,
    /// Failed on our side: status 500 and above.
    #[schema(example = 0)]
    server_errors: i64,
    /// How long they took on average, in milliseconds; null without any.
    #[schema(example = 14.2)]
    average_duration_ms: Option<f64>,
}

/// The requests of one day.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestDayView {
    /// The day.
    day: Day,
    /// How many.
    #[serde(flatten)]
    counts: RequestCountsView,
}

/// The requests of one key or person.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequesterView {
    /// `apiKey` or `user`.
    #[schema(example = "apiKey")]
    kind: &'static str,
    /// The key, or the person.
    id: Uuid,
    /// What people call it; null when it is gone.
    #[schema(example = "Shop backend")]
    name: Option<String>,
    /// How the key begins; null for a person.
    #[schema(example = "awp_1f0e6a7d93b2c458")]
    prefix: Option<String>,
    /// How many.
    #[serde(flatten)]
    counts: RequestCountsView,
}

/// How many requests were made to the API.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiUsageView {
    /// On which days.
    period: PeriodView,
    /// All together.
    total: RequestCountsView,
    /// By day; days without any are left out.
    days: Vec<RequestDayView>,
    /// By key and person, most first.
    callers: Vec<RequesterView>,
}

/// Counts requests to the API by day, and by key and person. The sums are a few seconds behind.
#[utoipa::path(get, path = "/analytics/api-usage", tag = "analytics", security(("bearer" = [])),
    params(DaysQuery, CallerQuery),
    responses((status = 200, body = Envelope<ApiUsageView>), Failures, Guarded))]
pub(super) async fn get_api_usage(ctx: CallContext, report: Report) -> ApiResult<ApiUsageView> {
    let days = report.days(&ctx)?;
    let by_day = ctx.store.analytics().requests_by_day(days, report.api_key_id).await?;
    let callers = ctx.store.analytics().requests_by_caller(days, report.api_key_id).await?;
    let mut total = RequestCounts::default();
    by_day.iter().for_each(|(_, counts)| total += *counts);
    ok(ApiUsageView {
        period: days.into(),
        total: total.into(),
        days: by_day.into_iter().map(|(day, counts)| RequestDayView { day: Day(day), counts: counts.into() }).collect(),
        callers: callers.into_iter().map(RequesterView::from).collect(),
    })
}

/// Returns the word for who made a request.
pub(in crate::api::v1) fn kind_of(is_key: bool) -> &'static str {
    if is_key { "apiKey" } else { "user" }
}

impl From<RequesterCounts> for RequesterView {
    fn from(of: RequesterCounts) -> Self {
        let kind = kind_of(of.is_key);
        Self { kind, id: of.caller_id, name: of.name, prefix: of.prefix, counts: of.counts.into() }
    }
}

impl From<RequestCounts> for RequestCountsView {
    fn from(counts: RequestCounts) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "an average may be a little off beyond 2^53")]
        let average = |sum: i64, n: i64| (0 < n).then(|| sum as f64 / n as f64);
        Self {
            requests: counts.n_requests,
            counted: counts.n_counted,
            client_errors: counts.n_client_errors,
            server_errors: counts.n_server_errors,
            average_duration_ms: average(counts.duration_ms, counts.n_requests),
        }
    }
}
