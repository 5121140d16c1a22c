//! How messages stand, by day, by session and by status.

use serde::Serialize;
use utoipa::ToSchema;

use super::query::{Day, DaysQuery, PeriodView, Report, SubjectQuery};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded};
use crate::domain::day::{DayCounts, Rates};
use crate::domain::id::SessionId;
use crate::store::analytics::messages::MessageDays;

/// How messages stand now. A message belongs to the day on which it was sent; one that was not, to the day on which it came to
/// an end; one that waits, to the day on which it was accepted. What is reported of it later changes how it stands and not its
/// day.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageCountsView {
    /// All of them.
    #[schema(example = 1_000)]
    total: i64,
    /// They wait, or are being sent.
    #[schema(example = 0)]
    queued: i64,
    /// Taken by the provider, with no further report.
    #[schema(example = 100)]
    sent: i64,
    /// Delivered, and not read as far as is known.
    #[schema(example = 500)]
    delivered: i64,
    /// Read.
    #[schema(example = 380)]
    read: i64,
    /// Failed because of a limit.
    #[schema(example = 5)]
    failed_limit: i64,
    /// Failed because the session or the provider could not.
    #[schema(example = 5)]
    failed_unavailable: i64,
    /// Not sent by our decision, such as to somebody who has opted out.
    #[schema(example = 5)]
    skipped: i64,
    /// Cancelled by a person.
    #[schema(example = 5)]
    cancelled: i64,
    /// They may have been sent.
    #[schema(example = 0)]
    unknown: i64,
}

/// Shares from 0 to 1; null where there is nothing to divide.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RatesView {
    /// Of those that the provider took, how many were delivered.
    #[schema(example = 0.9)]
    delivery_rate: Option<f64>,
    /// Of those that were delivered, how many were read.
    #[schema(example = 0.43)]
    read_rate: Option<f64>,
    /// Of those that the provider took or that failed, how many failed.
    #[schema(example = 0.01)]
    failure_rate: Option<f64>,
}

/// The messages of one day.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageDayView {
    /// The day.
    day: Day,
    /// How its messages stand.
    #[serde(flatten)]
    counts: MessageCountsView,
}

/// The messages of one session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionMessagesView {
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// What people call it.
    #[schema(example = "Shop")]
    name: Option<String>,
    /// How its messages stand.
    #[serde(flatten)]
    counts: MessageCountsView,
    /// Shares.
    #[serde(flatten)]
    rates: RatesView,
}

/// How messages stand.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageReportView {
    /// Of which days.
    period: PeriodView,
    /// All together.
    total: MessageCountsView,
    /// Shares of all together.
    rates: RatesView,
    /// By day; days without any are left out.
    days: Vec<MessageDayView>,
    /// By session.
    sessions: Vec<SessionMessagesView>,
}

/// Counts messages by day, by session and by status. The sums are a few seconds behind.
#[utoipa::path(get, path = "/analytics/messages", tag = "analytics", security(("bearer" = [])),
    params(DaysQuery, SubjectQuery),
    responses((status = 200, body = Envelope<MessageReportView>), Failures, Guarded))]
pub(super) async fn get_message_report(ctx: CallContext, report: Report) -> ApiResult<MessageReportView> {
    let days = report.days(&ctx)?;
    let of = MessageDays { days, session_id: report.session_id, campaign_id: report.campaign_id };
    let by_day = ctx.store.analytics().messages_by_day(&of).await?;
    let by_session = ctx.store.analytics().messages_by_session(&of).await?;
    let mut total = DayCounts::default();
    by_day.iter().for_each(|(_, counts)| total += *counts);
    let sessions = by_session.into_iter().map(|session| SessionMessagesView {
        session_id: session.session_id,
        name: session.name,
        counts: session.counts.into(),
        rates: RatesView::of(&session.counts),
    });
    ok(MessageReportView {
        period: days.into(),
        total: total.into(),
        rates: RatesView::of(&total),
        days: by_day.into_iter().map(|(day, counts)| MessageDayView { day: Day(day), counts: counts.into() }).collect(),
        sessions: sessions.collect(),
    })
}

impl RatesView {
    /// Works out the shares of some messages.
    pub(super) fn of(counts: &DayCounts) -> Self {
        Rates::of(counts.taken(), counts.delivered + counts.read, counts.read, counts.failed()).into()
    }
}

impl From<Rates> for RatesView {
    fn from(rates: Rates) -> Self {
        Self { delivery_rate: rates.delivery, read_rate: rates.read, failure_rate: rates.failure }
    }
}

impl From<DayCounts> for MessageCountsView {
    fn from(counts: DayCounts) -> Self {
        Self {
            total: counts.total(),
            queued: counts.waiting,
            sent: counts.sent,
            delivered: counts.delivered,
            read: counts.read,
            failed_limit: counts.failed_limit,
            failed_unavailable: counts.failed_unavailable,
            skipped: counts.skipped,
            cancelled: counts.cancelled,
            unknown: counts.unknown,
        }
    }
}
