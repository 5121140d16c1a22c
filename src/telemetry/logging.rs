//! Sets up the log of the process; the only place that does.
//!
//! Events go to standard error, so that standard output is a command's own.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogForm, TelemetryConfig};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingProblem {
    /// The filter can not be read; a checked [`TelemetryConfig`] has none such.
    #[error("the log filter can not be read")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Somebody set up a log before.
    #[error("the log is set up already")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Begins to log; once per process.
///
/// # Errors
/// [`LoggingProblem`] when the filter is malformed or a log is set up already.
pub fn init(config: &TelemetryConfig) -> Result<(), LoggingProblem> {
    let filter = EnvFilter::builder().parse(&config.log).map_err(LoggingProblem::Filter)?;
    // A log that can not be written, on a full disk, is no reason to panic, which saying so there would be.
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    match config.log_form {
        LogForm::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogForm::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    }
    .map_err(LoggingProblem::Twice)
}
