//! Section `telemetry`: logs.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::problems::Problems;

/// Logs.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Which events are logged: a level, or directives such as `info,actiwapi_dispatcher=debug`.
    pub log: String,
    /// How they are written.
    pub log_form: LogForm,
}

/// Forms of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// For people.
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TelemetryFile {
    log: String,
    log_form: String,
}

impl Default for TelemetryFile {
    fn default() -> Self {
        Self { log: "info".into(), log_form: "text".into() }
    }
}

impl TelemetryFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<TelemetryConfig> {
        let filter = EnvFilter::builder().parse(&self.log);
        let filter = problems.or_push("telemetry.log", filter);
        let forms = [("text", LogForm::Text), ("json", LogForm::Json)];
        let log_form = problems.one_of("telemetry.log_form", &self.log_form, &forms);
        filter.and(Some(TelemetryConfig { log: self.log, log_form: log_form? }))
    }
}
