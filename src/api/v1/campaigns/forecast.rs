//! What becomes of a campaign, before it starts and while it runs.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfOne, OfState};
use crate::api::extract::Path;
use crate::api::timestamp::Timestamp;
use crate::clock::Moment;
use crate::dispatch::forecast::SessionForecast;
use crate::domain::held_by::HeldBy;
use crate::domain::id::{CampaignId, SessionId};
use crate::service::forecast::CampaignForecast;

/// What becomes of a campaign if it starts, or goes on, now and every message is taken at its first attempt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastView {
    /// When it is over; null when it waits for something without an end, or is cut off.
    finish_at: Option<Timestamp>,
    /// Messages that are sent.
    #[schema(example = 1000)]
    n: u64,
    /// Messages of each day that has any.
    per_day: Vec<DayView>,
    /// Its sessions, in their order.
    per_session: Vec<SessionForecastView>,
    /// What the session waits for longest that is over last, or what the campaign waits for without an end: the words of
    /// `heldBy`; null when nothing is waited for.
    #[schema(example = "daily_cap")]
    bound_by: Option<&'static str>,
    /// The same campaign with one session more, fresh and with the settings of the one in the middle; null when that
    /// can not be told.
    with_one_more_session: Option<OneMoreView>,
    /// Whether the forecast was cut off: it goes 400 days and a few million messages far.
    #[schema(example = false)]
    truncated: bool,
    /// The minute that it is of; two forecasts of one minute agree unless the campaign changed.
    computed_at: Timestamp,
}

/// Messages of a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayView {
    /// The day, in UTC.
    #[schema(example = "2026-01-31")]
    date: String,
    /// How many.
    #[schema(example = 400)]
    n: u64,
}

/// What becomes of a campaign in one session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionForecastView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Messages that it sends.
    #[schema(example = 500)]
    n: u64,
    /// Messages that it has and does not send.
    #[schema(example = 0)]
    unsent: u64,
    /// When it is over; null without messages or without an end.
    finish_at: Option<Timestamp>,
    /// What it waits for longest, or without an end.
    #[schema(example = "daily_cap")]
    bound_by: Option<&'static str>,
}

/// What one session more would buy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OneMoreView {
    /// When the campaign would be over.
    finish_at: Timestamp,
}

/// Tells when a campaign is over, day by day and session by session, and which limit binds.
#[utoipa::path(post, path = "/campaigns/{id}/forecast", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    responses((status = 200, body = Envelope<ForecastView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn forecast_campaign(ctx: CallContext, Path(id): Path<CampaignId>) -> ApiResult<ForecastView> {
    ok(ctx.services.forecasts.of_campaign(ctx.caller.tenant_id, id).await?.into())
}

impl From<CampaignForecast> for ForecastView {
    fn from(made: CampaignForecast) -> Self {
        let forecast = made.forecast;
        let day = |(day, n): (Moment, u64)| {
            let date = Timestamp(day.as_ms()).to_text().chars().take_while(|c| *c != 'T').collect();
            DayView { date, n }
        };
        Self {
            finish_at: forecast.finish_at.map(time),
            n: forecast.n,
            per_day: forecast.per_day.into_iter().map(day).collect(),
            per_session: forecast.per_session.into_iter().map(Into::into).collect(),
            bound_by: forecast.bound_by.map(HeldBy::as_str),
            with_one_more_session: made.finish_with_one_more.map(|at| OneMoreView { finish_at: time(at) }),
            truncated: forecast.truncated,
            computed_at: time(made.computed_at),
        }
    }
}

impl From<SessionForecast> for SessionForecastView {
    fn from(of: SessionForecast) -> Self {
        Self {
            session_id: of.session_id,
            n: of.n,
            unsent: of.n_unsent,
            finish_at: of.finish_at.map(time),
            bound_by: of.bound_by.map(HeldBy::as_str),
        }
    }
}

fn time(at: Moment) -> Timestamp {
    Timestamp(at.as_ms())
}
