//! The query of reports: which days, and whose.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use uuid::Uuid;

use crate::api::CallContext;
use crate::api::error::ApiError;
use crate::domain::day::{DAY_MS, day_of};
use crate::domain::id::{CampaignId, SessionId};
use crate::error::Problems;
use crate::store::analytics::TenantDays;

const FORM: StaticFormatDescription = format_description!("[year]-[month]-[day]");

/// A day in UTC, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day(pub i64);

impl Day {
    /// Reads a day as it is on the wire; none of a year that has not four digits.
    fn read(text: &str) -> Option<Self> {
        let day = Date::parse(text, FORM).ok().filter(|date| (1_970..=9_999).contains(&date.year()))?;
        Some(Self(day_of(day.midnight().assume_utc().unix_timestamp() * 1_000)))
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = OffsetDateTime::from_unix_timestamp(self.0.saturating_mul(DAY_MS / 1_000));
        let text = at.ok().and_then(|at| at.date().format(FORM).ok());
        serializer.serialize_str(text.as_deref().unwrap_or("9999-12-31"))
    }
}

impl PartialSchema for Day {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
            .description(Some("A day in UTC."))
            .examples(["2026-01-31"])
            .into()
    }
}

impl ToSchema for Day {}

/// The days of a report.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeriodView {
    /// The first day.
    from: Day,
    /// The last day, which is included.
    to: Day,
    /// In which zone days begin: always `UTC`.
    #[schema(example = "UTC")]
    time_zone: &'static str,
}

impl From<TenantDays> for PeriodView {
    fn from(days: TenantDays) -> Self {
        Self { from: Day(days.first), to: Day(days.last), time_zone: "UTC" }
    }
}

/// Which days a report is about.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct DaysQuery {
    /// The first day, in UTC; 30 days with `to` when missing. At most 366 days together.
    #[param(value_type = Option<Day>)]
    from: Option<String>,
    /// The last day, in UTC, which is included; today when missing.
    #[param(value_type = Option<Day>)]
    to: Option<String>,
}

/// Whose messages or campaigns a report is about.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct SubjectQuery {
    /// Only what went through this session.
    #[param(value_type = Option<uuid::Uuid>)]
    session_id: Option<String>,
    /// Only what belongs to this campaign.
    #[param(value_type = Option<uuid::Uuid>)]
    campaign_id: Option<String>,
}

/// Whose requests a report is about.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct CallerQuery {
    /// Only requests of this key.
    #[param(value_type = Option<uuid::Uuid>)]
    api_key_id: Option<String>,
}

/// What a report is about, as it was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    from: Option<i64>,
    to: Option<i64>,
    /// Only what went through this session.
    pub(super) session_id: Option<SessionId>,
    /// Only what belongs to this campaign.
    pub(super) campaign_id: Option<CampaignId>,
    /// Only requests of this key.
    pub(super) api_key_id: Option<Uuid>,
}

impl Report {
    /// Returns the days of the caller that it is about.
    ///
    /// # Errors
    /// When these are not days in their order, or too many.
    pub(super) fn days(&self, ctx: &CallContext) -> Result<TenantDays, ApiError> {
        Ok(ctx.services.analytics.days(ctx.caller.tenant_id, self.from, self.to)?)
    }
}

/// Reads an id of a query.
pub(in crate::api::v1) fn read_id(field: &'static str, text: Option<&str>, problems: &mut Problems) -> Option<Uuid> {
    let read = Uuid::parse_str(text?).ok();
    if read.is_none() {
        problems.push(field, "must be a UUID");
    }
    read
}

impl Report {
    fn read(days: &DaysQuery, subject: &SubjectQuery, caller: &CallerQuery) -> Result<Self, ApiError> {
        let mut problems = Problems::default();
        let mut day = |field: &'static str, text: Option<&str>| {
            let read = Day::read(text?);
            if read.is_none() {
                problems.push(field, "must be a day such as 2026-01-31");
            }
            read.map(|day| day.0)
        };
        let (from, to) = (day("from", days.from.as_deref()), day("to", days.to.as_deref()));
        let session_id = read_id("sessionId", subject.session_id.as_deref(), &mut problems).map(SessionId);
        let campaign_id = read_id("campaignId", subject.campaign_id.as_deref(), &mut problems).map(CampaignId);
        let api_key_id = read_id("apiKeyId", caller.api_key_id.as_deref(), &mut problems);
        problems.check()?;
        Ok(Self { from, to, session_id, campaign_id, api_key_id })
    }
}

/// Reads those parameters of a query that one of its parts has.
fn part<T: DeserializeOwned>(parts: &Parts) -> Result<T, ApiError> {
    let read = Query::try_from_uri(&parts.uri).map_err(|_| ApiError::Malformed("The query can not be read."))?;
    Ok(read.0)
}

impl<S: Send + Sync> FromRequestParts<S> for Report {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Self::read(&part(parts)?, &part(parts)?, &part(parts)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written() {
        for (text, day) in [("1970-01-01", 0), ("1970-01-02", 1), ("2026-01-31", 20_484)] {
            assert_eq!(Day::read(text), Some(Day(day)), "{text}");
            assert_eq!(serde_json::to_value(Day(day)).unwrap(), text);
        }
        for text in
            ["", "1969-12-31", "2026-02-30", "2026-1-31", "2026-01-31T00:00:00Z", "10000-01-01", "x", "2026-01-31 "]
        {
            assert_eq!(Day::read(text), None, "{text}");
        }
    }
}
