//! Pacing settings of a session: profile, rates, caps, breaks, sending hours.
//!
//! The forms here are the document's; values are read and written by the settings themselves.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::views::rounded;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::domain::id::SessionId;
use crate::domain::pacing::PacingSettings;
use crate::service::session_settings::SettingsOfSession;

/// Pacing settings of a session. In a change, what is missing stays and `null` removes.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PacingSettingsForm {
    /// A set of figures for what is not set: `new`, `standard`, `mature` or `cloud`.
    #[schema(example = "standard")]
    pub profile: Option<String>,
    /// Steady rate of all sends, per minute.
    #[schema(example = 60.0)]
    pub rate_per_minute: Option<f64>,
    /// Sends at once after a rest, 1–64.
    #[schema(example = 1)]
    pub burst: Option<u32>,
    /// Share of the interval added at random at most, 0–10: 1 makes 10 s to 10–20 s.
    #[schema(example = 0.5)]
    pub jitter: Option<f64>,
    /// Breaks of the whole session.
    pub breaks: Option<BreaksForm>,
    /// Sends in any hour, at most.
    #[schema(example = 100)]
    pub hourly_cap: Option<u32>,
    /// Sends in any 24 hours, at most.
    #[schema(example = 1000)]
    pub daily_cap: Option<u32>,
    /// What holds besides for recipients who never wrote to the session.
    pub cold: Option<ColdForm>,
    /// Seconds from a connect until the full pace, 0–3,600.
    #[schema(example = 60)]
    pub slow_start_seconds: Option<u32>,
    /// When messages may go, by the recipient's clock; 1 to 32 windows.
    pub hours: Option<Vec<HoursForm>>,
    /// Milliseconds between two messages to one recipient, at least.
    #[schema(example = 6000)]
    pub pair_interval_ms: Option<u32>,
    /// Different recipients in any 24 hours, at most.
    #[schema(example = 1000)]
    pub tier: Option<u32>,
}

/// Breaks: after so many sends, so long, both drawn anew each time.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct BreaksForm {
    /// Sends between two breaks, at least.
    #[schema(example = 20)]
    pub every_min: u32,
    /// Sends between two breaks, at most.
    #[schema(example = 25)]
    pub every_max: u32,
    /// Seconds of the shortest break.
    #[schema(example = 60)]
    pub shortest_seconds: u32,
    /// Seconds of the longest break.
    #[schema(example = 180)]
    pub longest_seconds: u32,
}

/// What holds besides for recipients who never wrote to the session.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ColdForm {
    /// Steady rate, per minute.
    #[schema(example = 7.5)]
    pub rate_per_minute: Option<f64>,
    /// Share of the interval added at random at most, 0–10.
    #[schema(example = 1.5)]
    pub jitter: Option<f64>,
    /// Breaks of these sends.
    pub breaks: Option<BreaksForm>,
    /// Sends in any 24 hours, at most.
    #[schema(example = 250)]
    pub daily_cap: Option<u32>,
    /// How the cap grows with the age of the number.
    pub warm_up: Option<WarmUpForm>,
    /// Hours without any send after which the session warms up anew, 24 and more.
    #[schema(example = 72)]
    pub rewarm_after_hours: Option<u32>,
}

/// A cap that grows from day to day.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct WarmUpForm {
    /// Sends on the first day.
    #[schema(example = 20)]
    pub first_day: u32,
    /// How many times as many on each day after, 1–10.
    #[schema(example = 1.8)]
    pub growth: f64,
    /// Where the growth ends.
    #[schema(example = 200)]
    pub until: u32,
}

/// A window on some days of the week; one across midnight is given as two.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct HoursForm {
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`.
    #[schema(example = json!(["mon", "tue"]))]
    pub days: Vec<String>,
    /// From when.
    #[schema(example = "08:00")]
    pub from: String,
    /// Until when; `24:00` is the end of the day.
    #[schema(example = "20:00")]
    pub to: String,
}

/// A change of settings.
#[derive(Debug)]
pub struct SettingsChange(Map<String, Value>);

/// The settings of a session, and what follows from them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettingsView {
    /// What the session sets itself.
    #[schema(value_type = PacingSettingsForm)]
    settings: PacingSettings,
    /// What holds: its own settings, filled from the profile and the default. What is not there does not limit.
    #[schema(value_type = PacingSettingsForm)]
    effective: PacingSettings,
    /// One higher with each change; attempts name the version that they were made by.
    #[schema(example = 3)]
    version: i64,
}

/// Shows the pacing settings of a session and what follows from them.
#[utoipa::path(get, path = "/whatsapp/{id}/settings", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 200, body = Envelope<SettingsView>), Failures, Guarded, OfOne))]
pub(super) async fn get_session_settings(ctx: CallContext, Path(id): Path<SessionId>) -> ApiResult<SettingsView> {
    ok(ctx.services.sessions.settings(ctx.caller.tenant_id, id).await?.into())
}

/// Changes the pacing settings of a session, from the next send on: given fields replace, `null` removes.
#[utoipa::path(patch, path = "/whatsapp/{id}/settings", tag = "sessions", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")), request_body = PacingSettingsForm,
    responses((status = 200, body = Envelope<SettingsView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn update_session_settings(
    ctx: CallContext,
    Path(id): Path<SessionId>,
    Json(SettingsChange(change)): Json<SettingsChange>,
) -> ApiResult<SettingsView> {
    ok(ctx.services.sessions.change_settings(ctx.caller.tenant_id, id, change).await?.into())
}

impl FromFields for SettingsChange {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let given = PacingSettings::FIELDS.map(|name| (name, fields.as_written(name)));
        let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value??)));
        Some(Self(given.collect()))
    }
}

impl From<SettingsOfSession> for SettingsView {
    fn from(of: SettingsOfSession) -> Self {
        let SettingsOfSession { own, mut effective, version } = of;
        effective.rate_per_minute = effective.rate_per_minute.map(rounded);
        Self { settings: own, effective, version }
    }
}
