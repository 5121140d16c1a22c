//! What the daemon tells about itself: metrics, logs, and the admin port that shows them.
//!
//! Decides nothing. No id, recipient, text or secret becomes a metric label or a log field value.

pub mod metrics;
