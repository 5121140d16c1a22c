//! What every client of the broker reports about itself: its log, and whether anybody answers.
//!
//! Logs no payload, key or setting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Whether the cluster was heard from lately; shared by a client and whoever asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Connection {
    is_up: Arc<AtomicBool>,
}

impl Connection {
    /// Tells whether a broker answered since the last time that all were down.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Relaxed);
    }
}

impl ClientContext for Connection {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // Told once: the client finds out anew many times a second.
            Some(RDKafkaErrorCode::AllBrokersDown) if !self.is_up.swap(false, Ordering::Relaxed) => {}
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            _ => log_error(&error, reason),
        }
    }
}

impl ConsumerContext for Connection {}

/// Passes a line of the client's log on.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel as Level;
    match level {
        // It goes on by itself, so nobody has to act.
        Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
            tracing::warn!(facility, detail = message, "kafka client");
        }
        Level::Notice | Level::Info => tracing::info!(facility, detail = message, "kafka client"),
        Level::Debug => tracing::debug!(facility, detail = message, "kafka client"),
    }
}

/// Passes an error of the client on: it goes on by itself, so this is no more than a warning.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    tracing::warn!(%error, reason, "kafka client reports a problem");
}
