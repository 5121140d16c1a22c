//! What the daemon tells about itself: metrics, logs, and the admin port that shows them.
//!
//! Decides nothing. No id, recipient, text or secret becomes a metric label, and no recipient, text or
//! secret a field of a log event.

pub mod admin;
pub mod logging;
pub mod metrics;
